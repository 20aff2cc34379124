"""Laws of writing whole or not at all."""

from __future__ import annotations

import os
import resource
import stat
from pathlib import Path

import pytest

from pyraseg.pipeline.utils.files import atomic_path, atomic_write, private_files, private_folder
from pyraseg.transforms.errors import OutputError


def names(folder):
    return sorted(path.name for path in folder.rglob("*"))


def test_the_file_appears_only_at_the_end_of_the_block(tmp_path):
    target = tmp_path / "a" / "b.bin"
    with atomic_write(target) as file:
        file.write(b"\x00\x01")
        assert not target.exists()
    assert target.read_bytes() == b"\x00\x01"
    assert names(tmp_path) == ["a", "b.bin"]


def test_text_is_utf_8_with_plain_line_ends(tmp_path):
    with atomic_write(tmp_path / "t.txt", "w") as file:
        file.write("é\n")
    assert (tmp_path / "t.txt").read_bytes() == b"\xc3\xa9\n"


@pytest.mark.parametrize("error", [RuntimeError, KeyboardInterrupt])
def test_a_failure_leaves_the_old_file_and_nothing_else(tmp_path, error):
    target = tmp_path / "t.txt"
    target.write_text("old")

    def fail_midway():
        with atomic_write(target, "w") as file:
            file.write("new")
            raise error

    with pytest.raises(error):
        fail_midway()
    assert target.read_text() == "old"
    assert names(tmp_path) == ["t.txt"]


def test_the_draft_has_the_extension_that_libraries_go_by(tmp_path):
    with atomic_path(tmp_path / "mask.nii.gz") as draft:
        assert draft.name.endswith(".nii.gz")
        assert draft.parent == tmp_path
        draft.write_bytes(b"1")
    assert names(tmp_path) == ["mask.nii.gz"]


def test_the_longest_name_that_the_file_system_takes_can_be_written(tmp_path):
    with atomic_write(tmp_path / ("n" * 255)) as file:
        file.write(b"1")
    assert names(tmp_path) == ["n" * 255]


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def test_a_file_is_its_owner_s_alone(tmp_path):
    with atomic_write(tmp_path / "t") as file:
        assert mode(Path(file.name)) == 0o600
    assert mode(tmp_path / "t") == 0o600


def test_what_a_library_makes_among_private_files_is_the_owner_s_alone_and_the_umask_is_given_back(tmp_path):
    before = os.umask(0o022)
    try:
        with private_files():
            (tmp_path / "a" / "b").mkdir(parents=True)
            (tmp_path / "a" / "file").write_bytes(b"")
        assert [mode(tmp_path / name) for name in ("a", "a/b", "a/file")] == [0o700, 0o700, 0o600]
        assert os.umask(0o022) == 0o022
    finally:
        os.umask(before)


class TestPrivateFolder:
    """What is read back from a cache is trusted, so nobody else may write there."""

    def test_it_is_made_and_closed(self, tmp_path):
        assert mode(private_folder(tmp_path / "new" / "cache")) == mode(tmp_path / "new") == 0o700

    def test_an_open_one_is_closed_and_keeps_what_it_holds(self, tmp_path):
        tmp_path.chmod(0o777)
        (tmp_path / "entry").write_bytes(b"1")
        assert mode(private_folder(tmp_path)) == 0o700
        assert names(tmp_path) == ["entry"]

    def test_another_user_s_is_refused(self, tmp_path, monkeypatch):
        monkeypatch.setattr(os, "geteuid", lambda: tmp_path.stat().st_uid + 1)
        tmp_path.chmod(0o755)
        with pytest.raises(OutputError, match="another user's"):
            private_folder(tmp_path)
        assert mode(tmp_path) == 0o755

    def test_one_for_all_users_is_refused_and_left_as_it_is(self, tmp_path):
        tmp_path.chmod(0o1777)  # as /tmp: who may close it would close it to everyone
        with pytest.raises(OutputError, match="all users share"):
            private_folder(tmp_path)
        assert stat.S_IMODE(tmp_path.stat().st_mode) == 0o1777

    def test_a_link_is_as_good_as_the_folder_that_it_leads_to(self, tmp_path):
        (tmp_path / "far").mkdir(mode=0o755)
        (tmp_path / "link").symlink_to(tmp_path / "far")
        private_folder(tmp_path / "link")
        assert mode(tmp_path / "far") == 0o700

    def test_a_file_in_its_place_is_an_output_error(self, tmp_path):
        (tmp_path / "file").write_bytes(b"")
        for path in (tmp_path / "file", tmp_path / "file" / "cache"):
            with pytest.raises(OutputError):
                private_folder(path)


def test_a_folder_that_is_a_file_is_an_output_error_with_the_path_as_data(tmp_path):
    (tmp_path / "file").write_bytes(b"")
    target = tmp_path / "file" / "secret.png"
    with pytest.raises(OutputError) as caught, atomic_write(target):
        pytest.fail("the block must not run")
    assert caught.value.path == str(target)
    assert "secret" not in str(caught.value)
    assert "file" not in str(caught.value).replace("output file", "")


def test_a_target_that_is_a_folder_is_an_output_error(tmp_path):
    (tmp_path / "folder" / "inside").mkdir(parents=True)
    with pytest.raises(OutputError), atomic_write(tmp_path / "folder") as file:
        file.write(b"1")
    assert (tmp_path / "folder" / "inside").is_dir()


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
def test_a_folder_without_write_permission_is_an_output_error(tmp_path):
    tmp_path.chmod(0o500)
    with pytest.raises(OutputError, match="write access"), atomic_write(tmp_path / "t"):
        pytest.fail("the block must not run")
    tmp_path.chmod(0o700)


def test_a_write_that_finds_no_room_is_an_output_error_and_leaves_nothing(tmp_path):
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (4096, before[1]))
    try:
        with pytest.raises(OutputError, match="no room"), atomic_write(tmp_path / "t") as file:
            file.write(bytes(100_000))  # more than the file's buffer: written at once
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert names(tmp_path) == []


def test_the_error_of_another_file_in_the_block_passes_unchanged(tmp_path):
    with pytest.raises(FileNotFoundError), atomic_write(tmp_path / "t"):
        (tmp_path / "absent").read_bytes()
    assert names(tmp_path) == []
