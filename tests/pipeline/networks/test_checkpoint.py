"""Checkpoints load whole or not at all, and the error says what differs."""

import pytest
import torch

from pyraseg.pipeline.networks import CBAMResNetPSPNet, load_checkpoint
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
    with pytest.raises(CheckpointError, match=r"torch\.load refuses"):
        load_checkpoint(trained, tmp_path / "model.pt")


@pytest.mark.parametrize("content", [[1, 2], {"epoch": 3}, {}, {"model": {"lr": 0.1}}, torch.zeros(2)])
def test_a_file_without_a_state_dict_is_refused(content, trained, tmp_path):
    torch.save(content, tmp_path / "model.pt")
    with pytest.raises(CheckpointError, match="dictionary of tensors"):
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
