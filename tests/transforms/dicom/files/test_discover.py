"""Discovery finds every DICOM image once, in one order, and reports what it leaves out."""

from __future__ import annotations

import os
import shutil

import pydicom
import pytest
from pydicom import DataElement, Dataset

from pyraseg.transforms.dicom.files.discover import discover, normalise_character_set, source_ref
from pyraseg.transforms.errors import InputError
from pyraseg.transforms.io.paths import frame_paths


def test_a_reference_says_what_the_header_says(write_dicom, grey):
    path = write_dicom([grey, grey])
    dataset, ref = pydicom.dcmread(path), source_ref(path)
    assert (ref.sop_instance_uid, ref.sop_class_uid) == (dataset.SOPInstanceUID, dataset.SOPClassUID)
    assert (ref.series_instance_uid, ref.modality) == (dataset.SeriesInstanceUID, "US")
    assert (ref.number_of_frames, ref.rows, ref.columns) == (2, 40, 64)
    assert ref.transfer_syntax_uid == dataset.file_meta.TransferSyntaxUID
    assert [*map(str, frame_paths(ref))] == [f"{path}#frame_index=0", f"{path}#frame_index=1"]


def test_a_single_frame_is_named_by_its_file(write_dicom, grey):
    path = write_dicom(grey)
    assert frame_paths(source_ref(path)) == [str(path)]


def test_empty_uids_come_from_the_file_meta_group(write_dicom, grey):
    path = write_dicom(grey)
    dataset = pydicom.dcmread(path)
    uid, dataset.SOPInstanceUID, dataset.SOPClassUID = dataset.SOPInstanceUID, "", ""
    dataset.SeriesInstanceUID = ""
    pydicom.dcmwrite(path, dataset)
    ref = source_ref(path)
    assert (ref.sop_instance_uid, ref.series_instance_uid) == (uid, "")
    assert ref.sop_class_uid == dataset.file_meta.MediaStorageSOPClassUID


def test_folders_are_searched_to_any_depth_whatever_the_suffix_and_sorted(write_dicom, grey, tmp_path):
    for name in ("c.dcm", "a/b/IM1", "a/1.2.840.1", "a/z.DCM"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        write_dicom(grey, name=name)
    for name in ("notes.txt", "a/mask.png", ".hidden", "DICOMDIR"):
        (tmp_path / name).write_bytes(b"no image")
    refs, errors = discover(tmp_path)
    assert [os.path.relpath(ref.path, tmp_path) for ref in refs] == [
        "a/1.2.840.1",
        "a/b/IM1",
        "a/z.DCM",
        "c.dcm",
    ]
    assert errors == []
    assert discover([tmp_path / "a", tmp_path, tmp_path / "c.dcm"])[1] == []
    assert len(discover([tmp_path / "a", tmp_path, tmp_path / "c.dcm"])[0]) == 4


def test_what_is_no_image_is_reported_and_the_rest_goes_on(write_dicom, grey, tmp_path):
    write_dicom(grey, name="good.dcm")
    (tmp_path / "empty.dcm").touch()
    (tmp_path / "text").write_text("no DICOM at all")
    path = write_dicom(grey, name="report.dcm")
    dataset = pydicom.dcmread(path)
    del dataset.PixelData
    dataset.save_as(path)
    refs, errors = discover([tmp_path, tmp_path / "missing.dcm"])
    assert len(refs) == 1
    assert [os.path.basename(error.path) for error in errors] == [
        "empty.dcm",
        "missing.dcm",
        "report.dcm",
        "text",
    ]
    assert not any(str(tmp_path) in str(error) for error in errors)


def test_a_second_file_of_one_instance_is_reported(write_dicom, grey, tmp_path):
    first = write_dicom(grey, name="a.dcm")
    shutil.copy(first, tmp_path / "b.dcm")
    refs, errors = discover(tmp_path)
    assert [ref.path for ref in refs] == [str(first)]
    assert [error.path for error in errors] == [str(tmp_path / "b.dcm")]


def test_links_are_not_followed_out_of_the_input(write_dicom, grey, tmp_path):
    (tmp_path / "in").mkdir()
    (tmp_path / "out").mkdir()
    write_dicom(grey, name="in/a.dcm")
    write_dicom(grey, name="out/b.dcm")
    (tmp_path / "in" / "file.dcm").symlink_to(tmp_path / "out" / "b.dcm")
    (tmp_path / "in" / "folder").symlink_to(tmp_path / "out")
    (tmp_path / "in" / "same.dcm").symlink_to(tmp_path / "in" / "a.dcm")
    refs, errors = discover(tmp_path / "in")
    assert [os.path.basename(ref.path) for ref in refs] == ["a.dcm"]
    assert [os.path.basename(error.path) for error in errors] == ["file.dcm", "folder"]


def test_circles_of_links_hidden_folders_and_pipes_stop_nothing(write_dicom, grey, tmp_path):
    write_dicom(grey, name="a.dcm")
    (tmp_path / "x").symlink_to(tmp_path / "y")
    (tmp_path / "y").symlink_to(tmp_path / "x")
    (tmp_path / "again").symlink_to(tmp_path)
    (tmp_path / ".hidden").mkdir()
    write_dicom(grey, name=".hidden/b.dcm")
    os.mkfifo(tmp_path / "pipe.dcm")
    refs, errors = discover(tmp_path)
    assert [os.path.basename(ref.path) for ref in refs] == ["a.dcm"]
    assert errors == []


def test_reading_a_header_warns_of_nothing_that_it_quotes(write_dicom, grey, recwarn):
    path = write_dicom(grey, PatientName="Doe^Jane")
    data = path.read_bytes()
    path.write_bytes(data.replace(b"\x60\x00CS\x02\x00US", b"\x60\x00CS\x02\x00u~"))
    assert source_ref(path).modality == "u~"
    assert list(recwarn) == []


def test_an_absurd_number_of_frames_is_refused_before_a_list_is_made(write_dicom, grey):
    path = write_dicom(grey, NumberOfFrames=2**31 - 1)
    with pytest.raises(InputError, match="frames announced"):
        source_ref(path)


@pytest.mark.parametrize(
    ("written", "meant"),
    [("ISO-IR 100", "ISO_IR 100"), ("iso_ir_192", "ISO_IR 192"), ("ISO 2022 IR 6", "ISO 2022 IR 6")],
)
def test_misspelt_character_sets_are_normalised(written, meant):
    dataset = Dataset()
    element = DataElement("SpecificCharacterSet", "CS", written, validation_mode=pydicom.config.IGNORE)
    dataset[element.tag] = element
    normalise_character_set(dataset)
    assert dataset.SpecificCharacterSet == meant
