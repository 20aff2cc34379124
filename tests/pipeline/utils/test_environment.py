"""A run says on what code, libraries and machine it was made, and that only where it knows."""

import platform
import shutil
import subprocess

import pytest
import torch

from pyraseg.pipeline.utils import environment
from pyraseg.pipeline.utils.environment import code_state, describe_environment

needs_git = pytest.mark.skipif(shutil.which("git") is None, reason="needs git")


@pytest.fixture
def checkout(tmp_path, monkeypatch):
    """A repository with one commit of a file that stands for ours."""
    file = tmp_path / "here.py"
    file.write_text("1")
    identity = ["-c", "user.name=t", "-c", "user.email=t@example.org"]
    for arguments in (["init", "-q"], ["add", "."], [*identity, "commit", "-qm", "one"]):
        subprocess.run(["git", "-C", str(tmp_path), *arguments], check=True)
    monkeypatch.setattr(environment, "HERE", file)
    return file


@needs_git
def test_a_checkout_says_its_commit_and_whether_it_was_changed(checkout):
    clean = code_state()
    assert (len(clean["commit"]), clean["dirty"]) == (40, False)
    checkout.write_text("2")
    assert code_state() == {"commit": clean["commit"], "dirty": True}


@needs_git
def test_an_installation_inside_somebody_s_repository_is_no_checkout_of_ours(checkout, monkeypatch):
    installed = checkout.parent / "installed.py"
    installed.touch()
    monkeypatch.setattr(environment, "HERE", installed)
    assert code_state() == {}


def test_without_git_or_a_repository_nothing_fails(tmp_path, monkeypatch):
    monkeypatch.setattr(environment, "HERE", tmp_path / "here.py")
    assert code_state() == {}
    monkeypatch.setenv("PATH", str(tmp_path))
    assert code_state() == {}


def test_libraries_and_machine_are_named_and_the_host_is_not():
    found = describe_environment()
    assert found["version"]["torch"].split("+")[0] == torch.__version__.split("+")[0]
    assert {"monai", "mlflow", "numpy", "pydicom", "pytorch-ignite", "python"} <= set(found["version"])
    assert found["hardware"]["memory_gb"] > 0
    assert found["hardware"]["cpu"]
    assert platform.node() not in found["hardware"].values()
