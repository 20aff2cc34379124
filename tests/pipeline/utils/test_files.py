"""Laws of writing whole or not at all."""

from __future__ import annotations

import os
import resource

import pytest

from pyraseg.pipeline.utils.files import atomic_path, atomic_write
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


def test_the_file_has_the_permissions_of_any_new_file(tmp_path):
    (tmp_path / "plain").write_bytes(b"")
    with atomic_write(tmp_path / "atomic") as file:
        file.write(b"")
    assert (tmp_path / "atomic").stat().st_mode == (tmp_path / "plain").stat().st_mode


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
