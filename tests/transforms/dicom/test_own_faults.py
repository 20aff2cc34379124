"""A fault of ours comes out as itself: only what a library makes of the file's bytes is the file's fault."""

from __future__ import annotations

import os

import pytest
from PIL import Image
from pydicom import uid

from pyraseg.transforms.dicom import calibration
from pyraseg.transforms.dicom.files import header
from pyraseg.transforms.dicom.files.values import BrokenFile, foreign, readable
from pyraseg.transforms.dicom.labels import rtstruct
from pyraseg.transforms.dicom.pixels import codecs, decode, encapsulated
from pyraseg.transforms.dicom.series import planes, volume
from pyraseg.transforms.dicom.series.find import find_series, the_series
from pyraseg.transforms.dicom.series.volume import read_series
from pyraseg.transforms.errors import InputError
from pyraseg.transforms.io import frames
from pyraseg.transforms.io.frames import LoadFrame
from tests.transforms.dicom.label_cases import contour, write_structures
from tests.transforms.dicom.series_cases import write_series

FAULTS = [AttributeError, TypeError, KeyError]


def failing(fault):
    def helper(*args, **kwargs):
        raise fault("a fault of ours")

    return helper


@pytest.mark.parametrize("fault", FAULTS)
@pytest.mark.parametrize(
    ("module", "helper"),
    [
        (header, "_pixel_element"),
        (header, "_check_image"),
        (decode, "decode_native"),
        (decode, "check_shape"),
        (decode, "apply_palette"),
        (codecs, "_read_samples"),
        (codecs, "_entries"),
        (calibration, "_region"),
    ],
)
def test_in_reading_a_frame(write_dicom, region, grey, monkeypatch, module, helper, fault):
    palette = {
        f"{name}PaletteColorLookupTable{part}": value
        for name in ("Red", "Green", "Blue")
        for part, value in (("Descriptor", [256, 0, 8]), ("Data", bytes(range(256))))
    }
    regions = [region((2, 2, 30, 50), (0.1, 0.1))]
    path = write_dicom(grey, photometric="PALETTE COLOR", SequenceOfUltrasoundRegions=regions, **palette)
    assert LoadFrame()(str(path)).shape == (3, 40, 64)
    os.utime(path, (1, 1))  # read anew: the reader keeps the headers of the last files
    monkeypatch.setattr(module, helper, failing(fault))
    with pytest.raises(fault, match="a fault of ours"):
        LoadFrame()(str(path))


@pytest.mark.parametrize("fault", FAULTS)
@pytest.mark.parametrize(
    ("module", "helper"),
    [
        (decode, "locate_frames"),
        (encapsulated, "_by_basic_table"),
        (decode, "parse_jpeg"),
        (decode, "check_codestream"),
        (decode, "decode_jpeg"),
        (decode, "decode_rle"),
        (codecs, "_rle_bytes"),
        (decode, "check_rle_length"),
    ],
)
def test_in_decoding_compressed_frames(write_dicom, grey, monkeypatch, module, helper, fault):
    rle = helper in ("decode_rle", "_rle_bytes", "check_rle_length")
    path = write_dicom(grey, syntax=uid.RLELossless if rle else uid.JPEGBaseline8Bit)
    monkeypatch.setattr(module, helper, failing(fault))
    with pytest.raises(fault, match="a fault of ours"):
        decode.CineReader(path).frame(0)


@pytest.mark.parametrize("fault", FAULTS)
@pytest.mark.parametrize(
    ("module", "helper"), [(planes, "_frame_values"), (planes, "_padding"), (volume, "decode_grey")]
)
def test_in_reading_a_series(tmp_path, monkeypatch, module, helper, fault):
    folder = write_series(tmp_path)
    monkeypatch.setattr(module, helper, failing(fault))
    with pytest.raises(fault, match="a fault of ours"):
        read_series(the_series(find_series(folder)))


def test_in_reading_a_structure_set(tmp_path, grid, monkeypatch):
    triangle = contour(grid, [(1, 1), (3, 1), (2, 3)], at=0)
    path = write_structures(tmp_path / "rs.dcm", {1: ("a", [triangle])})
    monkeypatch.setattr(rtstruct, "_points", failing(AttributeError))
    with pytest.raises(AttributeError, match="a fault of ours"):
        rtstruct.read_rtstruct(path)


def test_in_reading_a_picture(tmp_path, grey, monkeypatch):
    Image.fromarray(grey).save(tmp_path / "a.png")
    monkeypatch.setattr(frames, "_check_size", failing(AttributeError))
    with pytest.raises(AttributeError, match="a fault of ours"):
        frames.read_picture(tmp_path / "a.png")


def test_what_a_library_raises_on_the_file_is_the_files_fault_and_quotes_nothing(tmp_path):
    named = readable("an image", path=tmp_path / "DOE^JANE.dcm")
    found = r"found one that is cut off or broken \(AttributeError\)"
    with pytest.raises(InputError, match=found) as raised, named, foreign():
        raise AttributeError("DOE^JANE")
    assert "DOE" not in str(raised.value)


@pytest.mark.parametrize("passed", [MemoryError, BrokenFile, KeyboardInterrupt])
def test_what_is_no_fault_of_the_file_passes(passed):
    with pytest.raises(passed), foreign():
        raise passed
