"""What belongs to a series is one rule for readers, datalists and batches; what does not says why."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from pydicom import Dataset, dcmread, uid
from pydicom.dataset import FileMetaDataset

from pyraseg.pipeline.prediction.discovery.acceptance_rules import read_rules
from pyraseg.transforms.dicom.files.header import parse_file
from pyraseg.transforms.dicom.files.objects import DIRECTORY_CLASS, passed_over, read_object
from pyraseg.transforms.dicom.series.find import find_series, is_slice, the_series
from pyraseg.transforms.dicom.series.planes import VOLUME_TAGS
from pyraseg.transforms.dicom.series.volume import read_series
from pyraseg.transforms.errors import GeometryError, InputError
from pyraseg.transforms.io.dicom_reader import DicomReader
from tests.pipeline.prediction.volume_runs import BUNDLES
from tests.transforms.dicom.series_cases import stored_values, write_enhanced, write_series

RULES = {
    modality: read_rules(json.loads((BUNDLES[name] / "configs/metadata.json").read_text(encoding="utf-8")))
    for modality, name in (("CT", "ct"), ("MR", "mr"), ("PT", "pet"))
}
CONVERTED = {
    "CT": uid.LegacyConvertedEnhancedCTImageStorage,
    "MR": uid.LegacyConvertedEnhancedMRImageStorage,
    "PT": uid.LegacyConvertedEnhancedPETImageStorage,
}
GREY_CAPTURE = uid.MultiFrameGrayscaleWordSecondaryCaptureImageStorage


def read(source, **options):
    return read_series(the_series(find_series(source)), **options)


def edited(folder: Path, **values) -> Path:
    """The files of a folder with other attributes; None removes one."""
    for path in folder.iterdir():
        dataset = dcmread(path)
        for name, value in values.items():
            if value is None:
                delattr(dataset, name)
            else:
                setattr(dataset, name, value)
        dataset.file_meta.MediaStorageSOPClassUID = dataset.SOPClassUID
        dataset.save_as(path)
    return folder


def write_object(path: Path, sop_class: str, **values) -> Path:
    """An object without pixels, under the Series Instance UID of `write_series`."""
    dataset = Dataset()
    dataset.SOPClassUID, dataset.SOPInstanceUID, dataset.SeriesInstanceUID = sop_class, "1.2.9.1", "1.2.2"
    for name, value in values.items():
        setattr(dataset, name, value)
    dataset.file_meta = FileMetaDataset()
    dataset.file_meta.TransferSyntaxUID = uid.ExplicitVRLittleEndian
    dataset.save_as(path, enforce_file_format=True)
    return path


def answers(path: Path, modality: str = "CT") -> tuple[bool, bool, bool]:
    """Whether readers, datalists and batches take a file."""
    return (
        bool(find_series([path])),
        is_slice(parse_file(path, tags=VOLUME_TAGS)),
        RULES[modality].reason(read_object(path)) is None,
    )


OTHERS = {
    "an index file": (DIRECTORY_CLASS, {}, "a DICOMDIR, which is an index"),
    "a presentation state": (uid.GrayscaleSoftcopyPresentationStateStorage, {"Modality": "PR"}, "Softcopy"),
    "a report": (uid.ComprehensiveSRStorage, {"Modality": "SR"}, "Comprehensive SR"),
    "a structure set": (uid.RTStructureSetStorage, {"Modality": "RTSTRUCT"}, "RT Structure Set"),
    "a segmentation": (uid.SegmentationStorage, {"Modality": "SEG"}, "Segmentation"),
    "vendor's data": ("1.3.12.2.1107.5.9.1", {"Modality": "MR"}, "a private or unknown SOP class without"),
}


@pytest.mark.parametrize("kind", OTHERS)
def test_other_objects_among_slices_are_passed_over_by_all_and_named_where_nothing_else_is(tmp_path, kind):
    sop_class, values, words = OTHERS[kind]
    path = write_object(tmp_path / "other", sop_class, **values)
    assert answers(path) == (False, False, False)
    assert words in passed_over(parse_file(path, tags=VOLUME_TAGS))
    with pytest.raises(InputError, match=rf"none among 1 files: 1 x .*{words}"):
        read(tmp_path)
    write_series(tmp_path)
    assert read(tmp_path).grid.shape == (8, 6, 5)
    listed = [str(path), *(str(each) for each in sorted(tmp_path.glob("*.dcm")))]
    reader = DicomReader()
    assert reader.get_data(reader.read(listed))[0].shape == (1, 8, 6, 5)


@pytest.mark.parametrize("modality", ["CT", "MR", "PT"])
def test_images_converted_to_enhanced_are_images_of_their_modality(tmp_path, modality):
    def convert(dataset):
        dataset.SOPClassUID = dataset.file_meta.MediaStorageSOPClassUID = CONVERTED[modality]

    path = write_enhanced(tmp_path / "image.dcm", modality=modality, edit=convert)
    assert answers(path, modality) == (True, True, True)
    assert the_series(find_series(path)).modality == modality


def test_an_image_without_modality_is_taken_for_its_sop_class(tmp_path):
    expected = read(write_series(tmp_path / "stated")).array
    volume = read(edited(write_series(tmp_path / "none"), Modality=None))
    np.testing.assert_array_equal(volume.array, expected)
    assert volume.modality == "CT"
    assert answers(next((tmp_path / "none").iterdir())) == (True, True, True)


def test_secondary_captures_that_state_their_place_are_slices(tmp_path):
    expected = read(write_series(tmp_path / "ct")).array
    folder = edited(write_series(tmp_path / "sc"), SOPClassUID=uid.SecondaryCaptureImageStorage)
    np.testing.assert_array_equal(read(folder).array, expected)
    assert answers(next(folder.iterdir())) == (True, True, True)

    def capture(dataset):
        dataset.SOPClassUID = dataset.file_meta.MediaStorageSOPClassUID = GREY_CAPTURE

    path = write_enhanced(tmp_path / "frames.dcm", edit=capture)
    np.testing.assert_array_equal(read(path).array, expected)
    assert answers(path) == (True, True, True)


def test_secondary_captures_without_a_place_are_named_by_what_they_lack(tmp_path):
    capture = uid.SecondaryCaptureImageStorage
    edited(write_series(tmp_path / "a"), SOPClassUID=capture, ImagePositionPatient=None)
    edited(write_series(tmp_path / "b", stored_values(2)), SOPClassUID=capture, Modality="OT")
    words = r"none among 7 files: 5 x a secondary capture without position; 2 x a secondary capture\."
    with pytest.raises(InputError, match=words):
        read(tmp_path)
    assert answers(next((tmp_path / "a").iterdir())) == (False, False, False)


def test_a_capture_among_the_slices_of_a_series_is_no_slice(tmp_path):
    write_series(tmp_path)
    edited(
        write_series(tmp_path / "a", stored_values(1), first_uid=900),
        SOPClassUID=uid.SecondaryCaptureImageStorage,
    )
    found = find_series(tmp_path)
    assert [len(series.planes) for series in found] == [5]
    assert found.passed["a secondary capture among slices"] == 1


def test_links_out_of_a_folder_are_named_where_nothing_is_found_and_warned_of_elsewhere(tmp_path):
    outside = write_series(tmp_path / "outside")
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / "link").symlink_to(outside)
    with pytest.raises(InputError, match="1 x a link that leads out of the folder") as caught:
        read(tmp_path / "in")
    assert "Name the file or folder that it points to" in caught.value.remedy
    write_series(tmp_path / "in")
    with pytest.warns(UserWarning, match="not followed"):
        assert read(tmp_path / "in").grid.shape == (8, 6, 5)


def test_a_mosaic_is_refused_by_its_name_with_or_without_a_repair(tmp_path):
    def mosaic(index, dataset):
        dataset.ImageType = ["ORIGINAL", "PRIMARY", "M", "ND", "MOSAIC"]

    def by_number(index, dataset):
        dataset.private_block(0x0019, "SIEMENS MR HEADER", create=True).add_new(0x0A, "US", 16)

    for name, edit in (("word", mosaic), ("number", by_number)):
        folder = write_series(tmp_path / name, stored_values(1), modality="MR", edit=edit)
        for repair in ([], ["single_slice"]):
            with pytest.raises(GeometryError, match=r"mosaic.*dcm2niix"):
                read(folder, repair=repair)
