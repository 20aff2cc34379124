"""Case names: stable under one key, unrelated under two, and the key is kept safely or asked for."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from pyraseg.transforms import privacy
from pyraseg.transforms.errors import OutputError
from pyraseg.transforms.privacy import case_name, key_file

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture
def home(tmp_path, monkeypatch):
    """A user without a key."""
    monkeypatch.delenv("PYRASEG_HASH_KEY", raising=False)
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    return tmp_path


def test_a_name_is_twelve_hexadecimal_digits_that_do_not_show_the_path(monkeypatch):
    monkeypatch.setenv("PYRASEG_HASH_KEY", "a key")
    name = case_name("SENTINEL_ZYXWV/1.dcm")
    assert re.fullmatch("c[0-9a-f]{12}", name)
    assert case_name("SENTINEL_ZYXWV/1.dcm") == name
    assert case_name("SENTINEL_ZYXWV/2.dcm") != name


def test_another_key_gives_other_names(monkeypatch):
    monkeypatch.setenv("PYRASEG_HASH_KEY", "a key")
    name = case_name("1.dcm")
    monkeypatch.setenv("PYRASEG_HASH_KEY", "another key")
    assert case_name("1.dcm") != name


def test_a_path_that_is_no_unicode_has_a_name(home):
    assert case_name(b"\xff.dcm".decode("utf-8", "surrogateescape")).startswith("c")


def test_the_key_in_the_environment_needs_no_file(home, monkeypatch):
    monkeypatch.setenv("PYRASEG_HASH_KEY", "a key")
    case_name("1.dcm")
    assert not key_file().exists()


def test_the_first_use_stores_a_key_that_its_owner_alone_reads(home):
    name = case_name("1.dcm")
    assert key_file() == home / "config" / "pyraseg" / "hash.key"
    assert key_file().stat().st_mode & 0o777 == 0o600
    assert len(key_file().read_bytes()) == 64
    assert case_name("1.dcm") == name
    assert [file.name for file in key_file().parent.iterdir()] == ["hash.key"]


def test_two_machines_give_a_case_two_names(home, monkeypatch):
    name = case_name("1.dcm")
    monkeypatch.setenv("XDG_CONFIG_HOME", str(home / "elsewhere"))
    assert case_name("1.dcm") != name


def test_without_a_configuration_folder_the_home_has_it(home, monkeypatch):
    monkeypatch.delenv("XDG_CONFIG_HOME")
    monkeypatch.setenv("HOME", str(home))
    assert key_file() == home / ".config" / "pyraseg" / "hash.key"


def test_threads_that_come_first_together_agree_on_one_key(home):
    with ThreadPoolExecutor(16) as pool:
        assert len(set(pool.map(case_name, ["1.dcm"] * 64))) == 1
    assert [file.name for file in key_file().parent.iterdir()] == ["hash.key"]


def test_processes_that_come_first_together_agree_on_one_key(home):
    code = "from pyraseg.transforms.privacy import case_name; print(case_name('1.dcm'))"
    command = [sys.executable, "-c", code]
    started = [subprocess.Popen(command, stdout=subprocess.PIPE, text=True, cwd=ROOT) for _ in range(4)]
    assert len({process.communicate(timeout=60)[0] for process in started}) == 1
    assert all(process.returncode == 0 for process in started)


def test_who_comes_second_takes_the_key_that_is_there(home):
    """The race itself: the file appears between looking for it and storing one's own."""
    key_file().parent.mkdir(parents=True)
    key_file().write_bytes(b"the first one's key")
    assert privacy._new_key(key_file()) == b"the first one's key"
    assert [file.name for file in key_file().parent.iterdir()] == ["hash.key"]


def test_an_empty_key_file_is_not_taken_for_a_key(home):
    key_file().parent.mkdir(parents=True)
    key_file().touch()
    with pytest.raises(OutputError, match="an empty key file"):
        case_name("1.dcm")


def test_a_disk_that_is_full_leaves_no_half_a_key(home, monkeypatch):
    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "link", full)
    with pytest.raises(OutputError, match="No space left"):
        case_name("1.dcm")
    assert list(key_file().parent.iterdir()) == []


def test_a_place_that_cannot_be_written_is_an_error_with_a_remedy_and_without_a_path(home):
    (home / "config").touch()  # a file where the folder should be: nobody can write there, root neither
    with pytest.raises(OutputError, match="PYRASEG_HASH_KEY") as refusal:
        case_name("1.dcm")
    assert str(home) not in str(refusal.value)
    assert refusal.value.path == str(key_file())
