"""Checkpoints load whole or not at all, and the error says what differs."""

import contextlib
import struct
import zipfile
from functools import partial
from pathlib import Path

import numpy as np
import pytest
import torch

from pyraseg.pipeline.networks import CBAMResNetPSPNet, load_checkpoint, load_pretrained, read_checkpoint
from pyraseg.pipeline.networks.checkpoint import facts_of, find_state, with_facts
from pyraseg.transforms.errors import CheckpointError


def network(**options) -> CBAMResNetPSPNet:
    return CBAMResNetPSPNet(**{"in_channels": 1, "depth": 18, **options})


@pytest.fixture(scope="module")
def trained() -> CBAMResNetPSPNet:
    return network(aux=True)


@pytest.fixture(scope="module")
def file(trained, tmp_path_factory):
    path = tmp_path_factory.mktemp("Sentinel^Name") / "model.pt"
    torch.save({"model": trained.state_dict(), "epoch": 3}, path)
    return path


def same(one: torch.nn.Module, other: torch.nn.Module) -> bool:
    mine, theirs = one.state_dict(), other.state_dict()
    return all(torch.equal(value, theirs[name]) for name, value in mine.items())


def test_a_checkpoint_comes_back_whole(trained, file):
    other = network(aux=True)
    load_checkpoint(other, file)
    assert same(other, trained)


def test_the_auxiliary_head_may_stay_behind(trained, file):
    other = network()
    load_checkpoint(other, file)
    assert same(other, trained)


def test_a_bare_state_dict_and_one_of_distributed_training_load(trained, tmp_path):
    torch.save(
        {f"module.{name}": value for name, value in trained.state_dict().items()}, tmp_path / "bare.pt"
    )
    other = network()
    load_checkpoint(other, tmp_path / "bare.pt")
    assert same(other, trained)


@pytest.mark.parametrize(
    ("options", "wanted", "found"),
    [
        ({"out_channels": 2}, "2 classes", "3 classes"),
        ({"depth": 34}, "depth 34", "depth 18"),
        ({"depth": 50, "out_channels": 5}, "5 classes, depth 50", "3 classes, depth 18"),
        ({"attention": "none"}, "attention none", "attention cbam, channel first"),
        ({"attention": "sam"}, "attention sam", "attention cbam, channel first"),
        ({"order": "spatial_first"}, "attention cbam, spatial first", "attention cbam, channel first"),
        ({"attention": "se"}, "channel attention", "attention cbam, channel first"),
        ({"stem": "plain7"}, "stem plain7", "stem deep3"),
        ({"in_channels": 3}, "3 input channels", "1 input channels"),
        ({"spatial_dims": 3}, "3 spatial dimensions", "2 spatial dimensions"),
        ({"bins": (1, 2)}, "2 pyramid levels", "4 pyramid levels"),
        ({"reduction": 8}, "tensors", "4 of another shape"),
    ],
)
def test_another_architecture_is_refused_by_what_differs(options, wanted, found, file):
    with torch.device("meta"):
        other = network(**options)
    with pytest.raises(CheckpointError) as caught:
        load_checkpoint(other, file)
    assert caught.value.wanted.endswith(wanted)
    assert caught.value.found.endswith(found)
    assert "Sentinel" not in str(caught.value)
    assert caught.value.path == str(file)


def test_a_missing_auxiliary_head_is_said(trained, tmp_path):
    torch.save(network().state_dict(), tmp_path / "plain.pt")
    with pytest.raises(CheckpointError, match=r"with an auxiliary head, found .* no auxiliary head"):
        load_checkpoint(trained, tmp_path / "plain.pt")


def test_weights_of_another_kind_of_network_are_refused(trained, tmp_path):
    torch.save(torch.nn.Linear(2, 2).state_dict(), tmp_path / "linear.pt")
    with pytest.raises(CheckpointError, match="missing, 2 unknown"):
        load_checkpoint(trained, tmp_path / "linear.pt")


def test_a_failed_load_changes_nothing(file):
    other = network(out_channels=2)
    before = {name: value.clone() for name, value in other.state_dict().items()}
    with pytest.raises(CheckpointError):
        load_checkpoint(other, file)
    assert all(torch.equal(value, before[name]) for name, value in other.state_dict().items())


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"hello, world",
        b"\x89PNG\r\n\x1a\n" + bytes(64),
        b"PK\x03\x04" + bytes(64),
        b"\x80\x02}q\x00.",
        bytes(200),
    ],
)
def test_a_file_that_is_no_checkpoint_is_refused(content, trained, tmp_path):
    (tmp_path / "model.pt").write_bytes(content)
    with pytest.raises(CheckpointError):
        load_checkpoint(trained, tmp_path / "model.pt")


@pytest.mark.parametrize("share", [0.1, 0.5, 0.99])
def test_a_truncated_checkpoint_is_refused(share, trained, file, tmp_path):
    content = file.read_bytes()
    (tmp_path / "model.pt").write_bytes(content[: int(share * len(content))])
    with pytest.raises(CheckpointError, match="a damaged archive"):
        load_checkpoint(trained, tmp_path / "model.pt")


def spans(path: Path) -> list[tuple[int, int]]:
    """Where the data of each record of the archive begin and end."""
    found = []
    with zipfile.ZipFile(path) as archive, open(path, "rb") as file:
        for record in archive.infolist():
            file.seek(record.header_offset + 26)
            name, extra = struct.unpack("<HH", file.read(4))
            begin = record.header_offset + 30 + name + extra
            found.append((begin, begin + record.compress_size))
    return found


@pytest.mark.parametrize("seed", range(6))
def test_one_flipped_bit_or_512_zeroed_bytes_of_any_record_are_refused(seed, trained, file, tmp_path):
    random, content = np.random.default_rng(seed), bytearray(file.read_bytes())
    path = tmp_path / "model.pt"
    begin, end = random.choice([span for span in spans(file) if span[1] > span[0]])
    if seed == 0:
        begin, end = max(spans(file), key=lambda span: span[1] - span[0])
        content[begin + 64 : begin + 576] = bytes(512)
    else:
        content[random.integers(begin, end)] ^= 1 << random.integers(8)
    path.write_bytes(content)
    for load in (read_checkpoint, partial(load_checkpoint, trained), partial(load_pretrained, trained)):
        with pytest.raises(CheckpointError, match="damaged"):
            load(path)


def test_a_bit_of_the_archives_directory_is_refused_or_changes_nothing(tmp_path):
    state, path = {"weight": torch.arange(4.0), "bias": torch.ones(2)}, tmp_path / "model.pt"
    torch.save(state, path)
    whole = path.read_bytes()
    with zipfile.ZipFile(path) as archive:
        begin, end = archive.start_dir, len(whole)
    for bit in range(8 * begin, 8 * end, 3):
        content = bytearray(whole)
        content[bit // 8] ^= 1 << bit % 8
        path.write_bytes(content)
        with contextlib.suppress(CheckpointError):
            loaded = find_state(read_checkpoint(path), path=path)
            assert all(torch.equal(loaded[name], state[name]) for name in state), bit


def test_a_record_marked_as_a_folder_which_torch_leaves_unread_is_refused(tmp_path):
    torch.save({"weight": torch.ones(2)}, tmp_path / "model.pt")
    content = bytearray((tmp_path / "model.pt").read_bytes())
    content[content.rindex(b"/data/0") - len("model") - 46 + 38] ^= 0x10
    (tmp_path / "model.pt").write_bytes(content)
    with pytest.raises(CheckpointError, match="data/0"):
        read_checkpoint(tmp_path / "model.pt")


@pytest.mark.parametrize("nest", [None, "state_dict", "model", "network"])
def test_weights_are_found_where_training_programs_keep_them(nest, trained, tmp_path):
    state = trained.state_dict()
    torch.save(state if nest is None else {nest: state, "epoch": 3}, tmp_path / "model.pt")
    load_checkpoint(trained, tmp_path / "model.pt")


@pytest.mark.parametrize("value", [float("nan"), float("inf"), float("-inf")])
def test_weights_that_are_not_finite_are_refused_wherever_they_are_loaded(value, trained, tmp_path):
    state = {name: tensor.clone() for name, tensor in trained.state_dict().items()}
    state["backbone.bn1.running_var"][0] = value
    torch.save(state, tmp_path / "model.pt")
    for load in (load_checkpoint, load_pretrained):
        with pytest.raises(CheckpointError, match=r"finite .* backbone\.bn1\.running_var"):
            load(trained, tmp_path / "model.pt")


def test_compressed_records_are_refused_before_they_fill_the_memory(tmp_path):
    torch.save({"weight": torch.zeros(2**22)}, tmp_path / "plain.pt")
    with (
        zipfile.ZipFile(tmp_path / "plain.pt") as plain,
        zipfile.ZipFile(tmp_path / "bomb.pt", "w") as packed,
    ):
        for record in plain.infolist():
            packed.writestr(record.filename, plain.read(record), zipfile.ZIP_DEFLATED)
    assert (tmp_path / "bomb.pt").stat().st_size < 2**16
    with pytest.raises(CheckpointError, match="compressed records"):
        read_checkpoint(tmp_path / "bomb.pt")


@pytest.mark.parametrize("content", [b"\x80\x02X\xff\xff\xff\xff", b"\x80\x02\x8a\x7f" + b"\xff" * 9])
def test_a_length_of_gigabytes_in_the_old_format_is_refused(content, tmp_path):
    (tmp_path / "old.pt").write_bytes(content)
    with pytest.raises(CheckpointError, match="refuses"):
        read_checkpoint(tmp_path / "old.pt")


def test_the_format_without_checksums_is_loaded_and_said_to_be_one(trained, tmp_path, caplog):
    torch.save(trained.state_dict(), tmp_path / "old.pt", _use_new_zipfile_serialization=False)
    load_checkpoint(trained, tmp_path / "old.pt")
    assert "without checksums" in caplog.text


def test_a_plain_state_dict_keeps_its_facts_when_copied_saved_again_or_nested(trained, tmp_path):
    torch.save(with_facts(trained.state_dict(), {"spacing": [4.0]}), tmp_path / "a.pt")
    torch.save(torch.load(tmp_path / "a.pt", weights_only=True), tmp_path / "b.pt")
    torch.save({"model": read_checkpoint(tmp_path / "b.pt"), "epoch": 3}, tmp_path / "c.pt")
    assert facts_of(read_checkpoint(tmp_path / "b.pt")) == {"spacing": [4.0]}
    assert facts_of(read_checkpoint(tmp_path / "c.pt")) == {"spacing": [4.0], "epoch": 3}
    assert facts_of(trained.state_dict()) == {}
    for name in "abc":
        load_checkpoint(trained, tmp_path / f"{name}.pt")


@pytest.mark.parametrize("content", [[1, 2], {"epoch": 3}, {}, {"model": {"lr": 0.1}}, torch.zeros(2)])
def test_a_file_without_a_state_dict_is_refused(content, trained, tmp_path):
    torch.save(content, tmp_path / "model.pt")
    with pytest.raises(CheckpointError, match="tensors by parameter name"):
        load_checkpoint(trained, tmp_path / "model.pt")


def test_code_in_a_checkpoint_does_not_run(trained, tmp_path):
    class Payload:
        def __reduce__(self):
            return (tmp_path.joinpath("ran").touch, ())

    torch.save({"model": Payload()}, tmp_path / "model.pt")
    with pytest.raises(CheckpointError, match="refuses"):
        load_checkpoint(trained, tmp_path / "model.pt")
    assert not (tmp_path / "ran").exists()


def test_a_missing_file_and_a_folder_are_refused(trained, tmp_path):
    for path in (tmp_path / "absent.pt", tmp_path):
        with pytest.raises(CheckpointError, match="no such file"):
            load_checkpoint(trained, path)
