"""A DICOMDIR gives the files that it lists, none outside its folder, and a sentence where it cannot."""

from __future__ import annotations

from pathlib import Path

import pytest
from pydicom import config
from pydicom.data import get_testdata_file
from pydicom.dataset import Dataset, FileDataset, FileMetaDataset
from pydicom.uid import ExplicitVRLittleEndian, MediaStorageDirectoryStorage, generate_uid

from pyraseg.pipeline.prediction.discovery.dicomdir import listed_files
from pyraseg.transforms.dicom.files.objects import is_dicomdir
from pyraseg.transforms.errors import InputError


def write_dicomdir(path: Path, ids: list[list[str] | str], *, inactive: tuple[int, ...] = ()) -> Path:
    meta = FileMetaDataset()
    meta.MediaStorageSOPClassUID, meta.MediaStorageSOPInstanceUID = (
        MediaStorageDirectoryStorage,
        generate_uid(),
    )
    meta.TransferSyntaxUID = ExplicitVRLittleEndian
    dataset = FileDataset("", {}, file_meta=meta, preamble=b"\0" * 128)
    records = [Dataset()]
    records[0].DirectoryRecordType = "PATIENT"
    for number, file_id in enumerate(ids):
        record = Dataset()
        record.RecordInUseFlag = 0 if number in inactive else 0xFFFF
        record.DirectoryRecordType, record.ReferencedFileID = "IMAGE", file_id
        records.append(record)
    dataset.DirectoryRecordSequence = records
    dataset.save_as(path, enforce_file_format=True)
    return path


def touch(path: Path) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(b"x")
    return path


def test_files_are_found_as_they_are_and_as_discs_spell_them(tmp_path):
    found = [touch(tmp_path / name) for name in ("IM1", "dicom/im0002", "DICOM2/IM3.;1")]
    path = write_dicomdir(tmp_path / "DICOMDIR", ["IM1", ["DICOM", "IM0002"], ["DICOM2", "IM3"], "IM1"])
    listed = listed_files(path)
    assert listed.files == found
    assert listed.missing == []


def test_a_missing_file_and_a_record_out_of_use_are_told_apart(tmp_path):
    touch(tmp_path / "IM1")
    listed = listed_files(write_dicomdir(tmp_path / "DICOMDIR", ["IM1", ["A", "GONE"], "OLD"], inactive=(2,)))
    assert [path.name for path in listed.files] == ["IM1"]
    assert listed.missing == [("A/GONE", "a reference to a file that is not there")]


@pytest.mark.filterwarnings("ignore:Invalid value for VR CS", "ignore:The value length")
def test_no_reference_leads_out_of_the_folder(tmp_path, monkeypatch):
    touch(tmp_path / "SECRET")
    root = tmp_path / "disc"
    root.mkdir()
    (root / "LINK").symlink_to(tmp_path)
    (root / "FILE").symlink_to(tmp_path / "SECRET")
    ids = [["..", "SECRET"], ["LINK", "SECRET"], "FILE", [".", "SECRET"], [str(tmp_path), "SECRET"]]
    monkeypatch.setattr(config.settings, "writing_validation_mode", config.IGNORE)
    listed = listed_files(write_dicomdir(root / "DICOMDIR", ids))
    assert listed.files == []
    assert [reason for _, reason in listed.missing] == [
        "a reference that leads out of the DICOMDIR's folder"
    ] * 5


def test_a_circle_of_links_is_a_reference_to_nothing(tmp_path):
    (tmp_path / "A").symlink_to(tmp_path / "B")
    (tmp_path / "B").symlink_to(tmp_path / "A")
    assert len(listed_files(write_dicomdir(tmp_path / "DICOMDIR", ["A"])).missing) == 1


@pytest.mark.parametrize(
    "content", [b"", b"garbage", b"\0" * 128 + b"DICM", b"\0" * 128 + b"DICM" + b"\xff" * 500]
)
def test_a_broken_one_is_refused_with_a_way_out(tmp_path, content):
    path = tmp_path / "DICOMDIR"
    path.write_bytes(content)
    with pytest.raises(InputError, match="folder as INPUT") as caught:
        listed_files(path)
    assert str(tmp_path) not in str(caught.value)


def test_a_cut_one_is_refused_or_gives_only_files_that_are_there(tmp_path):
    touch(tmp_path / "IM1")
    path = write_dicomdir(tmp_path / "DICOMDIR", ["IM1", "IM2"])
    whole = path.read_bytes()
    for length in range(0, len(whole), 7):
        path.write_bytes(whole[:length])
        try:
            assert {file.name for file in listed_files(path).files} <= {"IM1"}
        except InputError:
            continue


def test_one_without_files_is_refused(tmp_path):
    with pytest.raises(InputError, match="lists no file"):
        listed_files(write_dicomdir(tmp_path / "DICOMDIR", []))


def test_it_is_known_by_name_or_class(tmp_path):
    assert is_dicomdir(tmp_path / "dicomdir")
    assert is_dicomdir(write_dicomdir(tmp_path / "INDEX", ["A"]))
    assert not is_dicomdir(touch(tmp_path / "IM1"))


@pytest.mark.parametrize("name", ["DICOMDIR", "DICOMDIR-bigEnd", "DICOMDIR-implicit", "DICOMDIR-nooffset"])
def test_pydicoms_own_are_read(name):
    path = get_testdata_file(f"dicomdirtests/{name}", download=False) or get_testdata_file(
        name, download=False
    )
    if path is None:
        pytest.skip("this example is not part of the installed pydicom")
    listed = listed_files(Path(path))
    assert (len(listed.files), listed.missing) == (31, [])
