"""An export is made once, found again, and never trusted when it is damaged."""

from __future__ import annotations

import hashlib
import logging
import multiprocessing
import shutil
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from pyraseg.pipeline.inference.backends import export
from pyraseg.pipeline.inference.backends.export import entry, export_network, onnx_file
from pyraseg.transforms.errors import ConfigError, OutputError

SHAPE = (1, 32, 40)


@pytest.fixture(scope="module")
def whole(tmp_path_factory, small):
    """The folder of an intact entry, to copy."""
    folder = tmp_path_factory.mktemp("whole") / "entry"
    stored(small(), folder)
    return folder


@pytest.fixture
def exports(monkeypatch):
    """The number of exports so far, as a list of their paths."""
    made = []

    def counted(network, path, **options):
        made.append(path)
        export_network(network, path, **options)

    monkeypatch.setattr(export, "export_network", counted)
    return made


def stored(network, folder) -> bytes:
    with onnx_file(network, shape=SHAPE, folder=folder) as path:
        return path.read_bytes()


def test_the_second_use_finds_the_first_one_s_export(small, tmp_path, exports):
    assert stored(small(), tmp_path) == stored(small(), tmp_path)
    assert len(exports) == 1


@pytest.mark.parametrize("damage", ["cut", "flip", "note", "forged", "moved", "no note", "no file"])
def test_an_entry_that_was_damaged_or_forged_is_made_anew(small, tmp_path, whole, exports, damage):
    folder = tmp_path / whole.name
    shutil.copytree(whole, folder)
    content = stored(small(), folder)
    assert exports == []
    file, note = folder / "network.onnx", folder / "network.json"
    match damage:
        case "cut":
            file.write_bytes(content[:-100])
        case "flip":
            file.write_bytes(content[:50] + bytes([content[50] ^ 1]) + content[51:])
        case "note":
            note.write_text('{"sha256": ')
        case "forged":
            file.write_bytes(content[:-1] + b"x")
            digest = hashlib.sha256(file.read_bytes()).hexdigest()
            note.write_text(note.read_text().replace(hashlib.sha256(content).hexdigest(), digest))
        case "moved":
            folder = folder.rename(tmp_path / "of another network")
        case "no note":
            note.unlink()
        case "no file":
            file.unlink()
    assert len(stored(small(), folder)) == len(content)
    assert len(exports) == 1
    stored(small(), folder)
    assert len(exports) == 1


def test_the_cache_is_its_user_s_alone(small, tmp_path, setting, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    (tmp_path / "pyraseg" / "backends").mkdir(parents=True)
    (tmp_path / "pyraseg").chmod(0o777)
    stored(small(), entry(small(), setting))
    folders = [path for path in tmp_path.rglob("*") if path.is_dir()]
    assert len(folders) == 3
    assert {oct(path.stat().st_mode & 0o777) for path in folders} == {"0o700"}
    monkeypatch.setattr("os.geteuid", lambda: 12345)
    with pytest.raises(OutputError, match=r"found another user's\. .*XDG_CACHE_HOME"):
        entry(small(), setting)


def test_without_a_folder_to_write_the_export_is_temporary_and_said_so(small, tmp_path, caplog):
    (tmp_path / "file").write_text("no folder")
    with onnx_file(small(), shape=SHAPE, folder=tmp_path / "file" / "entry") as path:
        assert path.stat().st_size > 0
    assert not path.exists()
    ours = [record.levelname for record in caplog.records if record.name.startswith("pyraseg.pipeline")]
    assert ours == ["WARNING"]
    assert str(tmp_path) not in caplog.text


def test_what_changes_the_export_changes_its_entry(small, setting, cache):
    entries = [
        entry(small(), setting),
        entry(small(), setting, member=1),
        entry(small(in_channels=3), setting),
        entry(small(), replace(setting, weights_hash="1" * 64)),
        entry(small(), replace(setting, shape=(1, 64, 40))),
    ]
    assert len(set(entries)) == len(entries)
    assert {path.parent for path in entries} == {cache}
    assert entry(small(), replace(setting, threads=8, batch_size=4)) == entries[0]


def test_the_network_stays_in_its_mode_with_its_gradients(small, tmp_path):
    network = small().train()
    weights = {name: value.clone() for name, value in network.state_dict().items()}
    random = torch.get_rng_state()
    export_network(network, tmp_path / "network.onnx", shape=SHAPE)
    assert network.training
    assert all(parameter.requires_grad for parameter in network.parameters())
    assert all(torch.equal(value, weights[name]) for name, value in network.state_dict().items())
    assert torch.equal(torch.get_rng_state(), random)


def test_the_export_is_quiet(small, tmp_path, caplog, capfd, recwarn):
    with caplog.at_level(logging.INFO):
        export_network(small(), tmp_path / "network.onnx", shape=SHAPE)
    assert caplog.records == []
    assert capfd.readouterr() == ("", "")
    assert list(recwarn) == []


class Sorting(torch.nn.Module):
    """What depends on an image's values has no place in a graph."""

    def forward(self, x):
        return torch.cat([x, x * 2], 1) if x.mean().item() > 0 else x


def test_a_network_that_cannot_be_exported_is_an_error_with_a_remedy(tmp_path):
    with pytest.raises(ConfigError, match="--backend torch"):
        export_network(Sorting(), tmp_path / "network.onnx", shape=SHAPE)
    assert list(tmp_path.iterdir()) == []


def _export(folder: str, number: int) -> None:
    with onnx_file(torch.nn.Conv2d(1, 2, 3), shape=SHAPE, folder=Path(folder)) as path:
        Path(folder, f"seen-{number}").write_bytes(path.read_bytes())


def test_two_processes_at_once_share_one_whole_export(tmp_path):
    context = multiprocessing.get_context("spawn")  # a fork of a process with threads may crash
    processes = [context.Process(target=_export, args=(str(tmp_path), number)) for number in (1, 2)]
    for process in processes:
        process.start()
    for process in processes:
        process.join(120)
    assert [process.exitcode for process in processes] == [0, 0]
    # two exports of the different random weights would differ
    assert (tmp_path / "seen-1").read_bytes() == (tmp_path / "seen-2").read_bytes()
