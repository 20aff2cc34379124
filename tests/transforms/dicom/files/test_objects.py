"""What a file is told by: localizers, DICOMDIR and secondary captures, by one rule for whoever asks."""

from __future__ import annotations

import pytest
from pydicom import dcmread, uid

from pyraseg.transforms.dicom.files.header import parse_file
from pyraseg.transforms.dicom.files.objects import DIRECTORY_CLASS, is_dicomdir, is_localizer, read_object
from pyraseg.transforms.dicom.pixels.checks import is_secondary_capture
from pyraseg.transforms.dicom.series.find import find_series, is_slice
from pyraseg.transforms.dicom.series.planes import VOLUME_TAGS
from tests.transforms.dicom.series_cases import write_series


@pytest.mark.parametrize(
    ("values", "localizer"),
    [
        (("ORIGINAL", "PRIMARY", "LOCALIZER"), True),  # PS3.3 C.8.2.1.1.1
        (("ORIGINAL", "PRIMARY", "LOCALIZER", "CT_SOM5 TOP"), True),
        (("ORIGINAL", "PRIMARY", "SCOUT"), True),
        (("DERIVED", "SECONDARY", "OTHER", "TOPOGRAM"), True),
        (("ORIGINAL", "PRIMARY", "localizer "), True),
        (("ORIGINAL", "PRIMARY", "AXIAL"), False),
        (("LOCALIZER", "PRIMARY", "AXIAL"), False),  # values 1 and 2 say something else
        (("ORIGINAL", "PRIMARY"), False),
        ((), False),
    ],
)
def test_a_localizer_is_told_by_value_3_of_image_type_or_one_behind_it(values, localizer):
    assert is_localizer(values) == localizer


@pytest.mark.parametrize("word", ["LOCALIZER", "SCOUT", "AXIAL"])
def test_datalists_batches_and_readers_agree_on_what_a_localizer_is(tmp_path, word):
    write_series(tmp_path)
    for path in tmp_path.iterdir():
        dataset = dcmread(path)
        dataset.ImageType = ["ORIGINAL", "PRIMARY", word]
        dataset.save_as(path)
    path = next(tmp_path.iterdir())
    localizer = word != "AXIAL"
    assert is_slice(parse_file(path, tags=VOLUME_TAGS)) != localizer  # what a datalist asks
    assert is_localizer(read_object(path).image_type) == localizer  # what the rules of a batch ask
    assert [series.localizer for series in find_series(tmp_path)] == [localizer]


def test_a_dicomdir_is_told_by_its_name_or_its_class(write_dicom, grey, tmp_path):
    image = write_dicom(grey)
    assert not is_dicomdir(image)
    index = dcmread(image)
    index.file_meta.MediaStorageSOPClassUID = DIRECTORY_CLASS
    index.save_as(tmp_path / "index")
    assert is_dicomdir(tmp_path / "index")
    (tmp_path / "dicomdir").write_bytes(b"")
    assert is_dicomdir(tmp_path / "dicomdir")
    (tmp_path / "torn").write_bytes(image.read_bytes()[:150])
    assert not is_dicomdir(tmp_path / "torn")


@pytest.mark.parametrize(
    ("sop_class", "captured"),
    [
        (uid.SecondaryCaptureImageStorage, True),
        (uid.MultiFrameTrueColorSecondaryCaptureImageStorage, True),
        (uid.CTImageStorage, False),
        (uid.VLEndoscopicImageStorage, False),  # whose UID begins with the same digits
    ],
)
def test_secondary_captures_are_told_by_their_class(sop_class, captured):
    assert is_secondary_capture(sop_class) == captured
