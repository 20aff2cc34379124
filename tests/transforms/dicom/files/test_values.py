"""Numbers are read whatever VR they have; what is none is refused by the attribute's name."""

from __future__ import annotations

import struct

import pytest
from pydicom import DataElement, Dataset, config, dcmread
from pydicom.datadict import tag_for_keyword

from pyraseg.transforms.dicom.calibration import calibrate
from pyraseg.transforms.dicom.files.values import BrokenFile, number, numbers, whole
from pyraseg.transforms.dicom.series.find import find_series, the_series
from pyraseg.transforms.dicom.series.volume import read_series
from pyraseg.transforms.errors import InputError
from tests.transforms.dicom.series_cases import SPACING, write_series


def with_value(name: str, vr: str, value: object) -> Dataset:
    dataset = Dataset()
    tag = tag_for_keyword(name)
    dataset[tag] = DataElement(tag, vr, value, validation_mode=config.IGNORE)
    return dataset


def rewritten(path, tag: tuple[int, int], vr: bytes, change=lambda value: value) -> None:
    """The file with the attribute of explicit VR DS under another VR."""
    data = path.read_bytes()
    place = data.index(struct.pack("<HH", *tag) + b"DS")
    (length,) = struct.unpack_from("<H", data, place + 6)
    value = change(data[place + 8 : place + 8 + length])
    long = vr in (b"UT", b"UN", b"UC", b"OB")
    head = vr + (struct.pack("<2xL", len(value)) if long else struct.pack("<H", len(value)))
    path.write_bytes(data[: place + 4] + head + value + data[place + 8 + length :])


@pytest.mark.parametrize("vr", ["DS", "UT", "LO", "SH", "ST", "LT", "UC", "CS", "UN", "OB"])
def test_two_numbers_are_two_under_any_vr(vr):
    text = "0.5\\1.25"
    value = text.encode() if vr in ("UN", "OB") else text
    assert numbers(with_value("PixelSpacing", vr, value), "PixelSpacing", 2) == (0.5, 1.25)


@pytest.mark.parametrize("vr", [b"UT", b"LO", b"SH", b"ST", b"UC", b"UN", b"OB"])
def test_a_series_whose_spacing_has_another_vr_is_read(tmp_path, vr):
    for path in write_series(tmp_path).iterdir():
        rewritten(path, (0x28, 0x30), vr)
        rewritten(path, (0x20, 0x32), vr)
        rewritten(path, (0x28, 0x1052), vr)
    volume = read_series(the_series(find_series(tmp_path)))
    assert volume.grid.spacing[:2] == pytest.approx(SPACING[::-1])


@pytest.mark.parametrize(
    ("tag", "name"),
    [
        ((0x28, 0x30), r"Pixel Spacing \(0028,0030\)"),
        ((0x20, 0x32), r"Image Position \(Patient\) \(0020,0032\)"),
        ((0x28, 0x1052), r"Rescale Intercept \(0028,1052\)"),
        ((0x18, 0x50), r"Slice Thickness \(0018,0050\)"),
    ],
)
def test_a_decimal_comma_is_named_with_its_attribute_and_a_remedy(tmp_path, tag, name):
    def comma(value: bytes) -> bytes:
        return value.replace(b".", b",") if b"." in value else b"1,5 "

    for path in write_series(tmp_path).iterdir():
        rewritten(path, tag, b"DS", comma)
    with pytest.raises(
        InputError, match=rf"{name} with a decimal comma\). Write {name} with a decimal point"
    ):
        the_series(find_series(tmp_path))


def test_a_decimal_comma_in_the_spacing_of_ultrasound_is_no_missing_spacing(write_dicom, grey):
    path = write_dicom(grey, PixelSpacing=[0.25, 0.25])
    rewritten(path, (0x28, 0x30), b"DS", lambda value: value.replace(b".", b","))
    with pytest.raises(BrokenFile, match="decimal comma"):
        calibrate(dcmread(path), 40, 64)


@pytest.mark.parametrize(
    ("read", "value", "found"),
    [
        (number, "a", "Rows .0028,0010. that is no number"),
        (number, ["1", "2"], "Rows .0028,0010. with 2 values"),
        (whole, "1.5", "Rows .0028,0010. that is no whole number"),
        (whole, "nan", "Rows .0028,0010. that is no whole number"),
    ],
)
def test_what_is_no_number_is_named_and_not_quoted(read, value, found):
    with pytest.raises(BrokenFile, match=found):
        read({"Rows": value}, "Rows")


@pytest.mark.parametrize("value", ["512", "512.0", " 512 ", b"512\0", 512, 512.0, ["512"]])
def test_a_whole_number_is_whole_however_it_is_written(value):
    assert whole({"Rows": value}, "Rows") == 512


@pytest.mark.parametrize("value", [None, "", b"", []])
def test_an_empty_value_is_none(value):
    source = {"Rows": value}
    assert (number(source, "Rows"), numbers(source, "Rows", 2), whole(source, "Rows")) == (None, None, 0)
