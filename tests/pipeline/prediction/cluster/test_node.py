"""What a node checks before it gets items, and what is said of a Ray that cannot be used."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import pytest
from filelock import FileLock

from pyraseg.pipeline import cli
from pyraseg.pipeline.prediction.cluster.node import Common, check_node, common_to_nodes
from pyraseg.pipeline.prediction.cluster.session import ray_session
from pyraseg.pipeline.prediction.job import Job, absolute
from pyraseg.transforms.errors import UsageError


@pytest.fixture
def common(tmp_path) -> Iterator[Common]:
    """As the driver leaves it, its lock held; another FileLock on the file stands for another process."""
    (tmp_path / "out" / ".pyraseg").mkdir(parents=True)
    with (
        FileLock(tmp_path / "out" / ".pyraseg" / "run-1-of-1.lock"),
        common_to_nodes(tmp_path / "out", "1-of-1", inputs=[tmp_path]) as common,
    ):
        yield common


def test_a_node_with_all_of_it_can_begin_and_leaves_nothing(common):
    before = sorted(common.output.rglob("*"))
    assert check_node(common, "a") is None
    assert sorted(common.output.rglob("*")) == before


def test_the_token_goes_with_the_run(tmp_path):
    (tmp_path / ".pyraseg").mkdir()
    (tmp_path / ".pyraseg" / "nodes-1-of-1-0123").write_text("of a driver that was killed")
    with common_to_nodes(tmp_path, "1-of-1", inputs=[]) as common:
        assert (tmp_path / ".pyraseg" / common.token).exists()
    assert list((tmp_path / ".pyraseg").iterdir()) == []


def test_what_a_node_lacks_is_one_sentence_without_a_path(common, tmp_path):
    (tmp_path / "other" / ".pyraseg").mkdir(parents=True)
    wrong = {
        "a node without it (a)": replace(common, output=tmp_path / "nowhere"),
        "a node where another folder has its name (a)": replace(common, output=tmp_path / "other"),
        "one whose locks do not reach the node a": replace(common, lock="another.lock"),
        "a node without one (a)": replace(common, inputs=[tmp_path / "nothing"]),
        "on the node a": replace(common, version="0.0"),
    }
    for found, one in wrong.items():
        refusal = check_node(one, "a")
        assert found in str(refusal)
        assert str(tmp_path) not in str(refusal)


def test_a_folder_in_which_nothing_can_be_moved_is_refused(common, monkeypatch):
    def refused(*_: object) -> None:
        raise PermissionError(1, "Operation not permitted")

    monkeypatch.setattr(Path, "rename", refused)
    assert "cannot write (Operation not permitted)" in str(check_node(common, "a"))


def test_a_ray_that_is_missing_or_too_old_is_one_sentence(monkeypatch):
    monkeypatch.setitem(sys.modules, "ray", None)
    with pytest.raises(UsageError, match=r'pip install "pyraseg\[ray\]"'), ray_session(None):
        pass
    monkeypatch.setitem(sys.modules, "ray", SimpleNamespace(__version__="2.59.1"))
    with pytest.raises(UsageError, match=r"ray 2\.60 or newer, found ray 2\.59\.1"), ray_session(None):
        pass


def test_a_clients_address_and_options_without_the_engine_are_refused(monkeypatch, tmp_path, capsys):
    fake = SimpleNamespace(__version__="2.60.0", shutdown=lambda: None)
    monkeypatch.setitem(sys.modules, "ray", fake)
    with pytest.raises(UsageError, match="one of a client's port"), ray_session("ray://head:10001"):
        pass
    command = ["predict", str(tmp_path), "--bundle", "b", "--output", "o", "--ray-cores", "2"]
    assert cli.main(command) == 2
    assert "Add --engine ray" in capsys.readouterr().err


def test_nodes_get_absolute_paths():
    job = absolute(Job((Path("in"),), Path("b"), Path("out"), (Path("w.pt"),), earlier=Path("old")))
    paths = [*job.inputs, job.bundle, job.output, *job.checkpoints, job.earlier]
    assert all(path is not None and path.is_absolute() for path in paths)
