"""Grey of more than 8 bits is as bright as its file's window shows it (PS3.3 C.11.2)."""

from __future__ import annotations

import warnings

import numpy as np
import pydicom
import pytest
from pydicom import Dataset, Sequence, uid
from pydicom.pixels import apply_voi_lut

from pyraseg.transforms import LoadFrame, ScaleDisplay
from pyraseg.transforms.dicom.pixels.decode import CineReader
from pyraseg.transforms.errors import InputError


def linear(values: np.ndarray, center: float, width: float) -> np.ndarray:
    """The standard's own formula, from 0 to 1 (C.11.2.1.2.1)."""
    return ((values - (center - 0.5)) / (width - 1) + 0.5).clip(0, 1)


def shown(path) -> np.ndarray:
    """From 0 to 1."""
    cine = CineReader(path)
    return cine.frame(0)[0] / cine.display_max


@pytest.fixture
def deep(grey) -> np.ndarray:
    """12 bits, of which the lowest are used."""
    return grey.astype(np.uint16) * 4 + 100


@pytest.mark.parametrize("syntax", [uid.ExplicitVRLittleEndian, uid.RLELossless, uid.JPEG2000Lossless])
@pytest.mark.parametrize("window", [(512, 1024), (300, 400), (300, 1), (100.5, 50.25)])
def test_the_window_is_linear_as_the_standard_says(write_dicom, deep, syntax, window):
    center, width = window
    more = {"WindowCenter": center, "WindowWidth": width, "BitsStored": 12, "HighBit": 11}
    expected = linear(deep, center, width) if width > 1 else (deep > center - 0.5) * 1.0
    assert np.abs(shown(write_dicom(deep, syntax=syntax, **more)) - expected).max() <= 1 / 65535


def test_the_first_of_several_windows_counts_and_monochrome1_is_inverted_behind_it(write_dicom, deep):
    more = {"WindowCenter": [300, 2000], "WindowWidth": [400, 4000], "photometric": "MONOCHROME1"}
    assert np.abs(shown(write_dicom(deep, **more)) - (1 - linear(deep, 300, 400))).max() <= 1 / 65535


@pytest.mark.parametrize(
    ("function", "formula"),
    [
        ("LINEAR_EXACT", lambda x: ((x - 300) / 400 + 0.5).clip(0, 1)),
        ("SIGMOID", lambda x: 1 / (1 + np.exp(-4 * (x - 300) / 400))),
    ],
)
def test_another_function_is_followed(write_dicom, deep, function, formula):
    path = write_dicom(deep, WindowCenter=300, WindowWidth=400, VOILUTFunction=function)
    assert np.abs(shown(path) - formula(deep.astype(float))).max() <= 1 / 65535


def test_the_window_is_in_units_of_the_rescaled_values(write_dicom, deep):
    more = {"WindowCenter": -400, "WindowWidth": 800, "RescaleSlope": 2, "RescaleIntercept": -1000}
    assert np.abs(shown(write_dicom(deep, **more)) - linear(deep * 2.0 - 1000, -400, 800)).max() <= 1 / 65535


def test_signed_grey_is_shown_by_its_window_and_refused_without_one(write_dicom, grey):
    frame = grey.astype(np.int16) - 100
    more = {"PixelRepresentation": 1, "WindowCenter": 0, "WindowWidth": 200}
    path = write_dicom(frame.view(np.uint16), **more)
    assert np.abs(shown(path) - linear(frame, 0, 200)).max() <= 1 / 65535
    dataset = pydicom.dcmread(path)
    dataset.WindowWidth = 0
    dataset.save_as(path)
    with pytest.raises(InputError, match="signed ones whose window cannot be applied"):
        CineReader(path).frame(0)
    del dataset.WindowWidth
    dataset.save_as(path)
    with pytest.raises(InputError, match="signed ones with a window"):
        CineReader(path)


@pytest.mark.parametrize("bits", [8, 12, 16])
def test_a_voi_lut_goes_before_a_window(write_dicom, deep, bits):
    table = Dataset()
    table.LUTDescriptor = [900, 150, bits]
    table.LUTData = np.linspace(0, 2**bits - 1, 900).astype(np.uint16).tobytes()
    table["LUTData"].VR = "OW"
    path = write_dicom(deep, VOILUTSequence=Sequence([table]), WindowCenter=1, WindowWidth=2)
    expected = apply_voi_lut(deep, pydicom.dcmread(path)) / (2**bits - 1)
    assert np.abs(shown(path) - expected).max() <= 1 / 65535


def test_a_window_reaches_the_network(write_dicom, deep):
    path = write_dicom(deep, WindowCenter=512, WindowWidth=1024)
    image = ScaleDisplay()(LoadFrame()(str(path)))
    assert float(image.max()) == pytest.approx(float(linear(deep, 512, 1024).max()), abs=1e-4)


@pytest.mark.parametrize("photometric", ["MONOCHROME1", "MONOCHROME2"])
def test_a_mask_keeps_its_values_whatever_shows_them(write_dicom, grey, recwarn, photometric):
    mask = (grey // 100).astype(np.uint16)
    path = write_dicom(mask, photometric=photometric, WindowCenter=1, WindowWidth=2)
    np.testing.assert_array_equal(LoadFrame(as_labels=True)(str(path))[0].numpy(), mask)
    assert list(recwarn) == []


def test_8_bits_colour_and_palettes_keep_their_values(write_dicom, grey, colour):
    window = {"WindowCenter": 10, "WindowWidth": 5}
    np.testing.assert_array_equal(CineReader(write_dicom(grey, **window)).frame(0)[0], grey)
    wide = colour.astype(np.uint16) * 257
    path = write_dicom(wide, photometric="RGB", **window)
    np.testing.assert_array_equal(CineReader(path).frame(0), wide.transpose(2, 0, 1))


def test_a_window_that_cannot_be_applied_leaves_the_stored_values_with_a_note(write_dicom, deep):
    for window in ({"WindowWidth": 0}, {"WindowWidth": -5}, {"WindowWidth": 10, "VOILUTFunction": "CURVE"}):
        cine = CineReader(write_dicom(deep, BitsStored=12, HighBit=11, WindowCenter=3, **window))
        with pytest.warns(UserWarning, match="a window that cannot be applied"):
            np.testing.assert_array_equal(cine.frame(0)[0], deep)


@pytest.mark.parametrize(("brightest", "noted"), [(1000, True), (4095, True), (40000, False), (0, False)])
def test_grey_that_is_shown_nearly_black_is_noted(write_dicom, grey, brightest, noted):
    frame = (grey.astype(float) * brightest / grey.max()).astype(np.uint16)
    with warnings.catch_warnings(record=True) as notes:
        warnings.simplefilter("always")
        np.testing.assert_array_equal(CineReader(write_dicom(frame)).frame(0)[0], frame)
    assert [("shown dark" in str(note.message)) for note in notes] == [True] * noted


@pytest.mark.parametrize("photometric", ["MONOCHROME1", "MONOCHROME2"])
def test_a_declared_range_shows_grey_without_a_window_and_nothing_else(write_dicom, deep, grey, photometric):
    load = LoadFrame(reading={"value_range": [100, 1123]})
    expected = np.clip((deep.astype(float) - 100) / 1023, 0, 1)
    with warnings.catch_warnings():
        warnings.simplefilter("error")  # it is not shown dark
        image = ScaleDisplay()(load(str(write_dicom(deep, photometric=photometric))))
    inverted = 1 - expected if photometric == "MONOCHROME1" else expected
    np.testing.assert_allclose(image[0].numpy(), inverted, atol=1e-4)
    windowed = write_dicom(deep, photometric=photometric, WindowCenter=512, WindowWidth=1024)
    np.testing.assert_array_equal(load(str(windowed)).numpy(), LoadFrame()(str(windowed)).numpy())
    assert load(str(write_dicom(grey))).meta["display_max"] == 255
    with pytest.raises(InputError, match="% beyond"):
        LoadFrame(reading={"value_range": [0, 10]})(str(write_dicom(deep, photometric=photometric)))


def test_a_file_is_not_shown_by_the_range_that_another_reader_declared(write_dicom, deep):
    path = str(write_dicom(deep))
    assert LoadFrame(reading={"value_range": [0, 1023]})(path).meta["display_max"] == 65535
    stored = LoadFrame(reading={"value_range": [0, 4095]})(path)
    np.testing.assert_allclose(stored[0].numpy() / 65535, deep / 4095, atol=1e-4)
