"""MONAI's LoadImage reads DICOM frames through DicomReader, and never through another reader what that
refuses."""

from __future__ import annotations

import shutil

import numpy as np
import pydicom
import pytest
import SimpleITK
import torch
from monai.data import DataLoader, Dataset, MetaTensor
from monai.transforms import LoadImage, LoadImaged
from pydicom import uid
from pydicom.data import get_testdata_file

from pyraseg.transforms.errors import InputError
from pyraseg.transforms.io import dicom_reader
from pyraseg.transforms.io.dicom_reader import DicomReader
from pyraseg.transforms.io.paths import frame_path, split_frame_path

READER = "pyraseg.transforms.io.dicom_reader.DicomReader"


def loaders():
    registered = LoadImage()
    registered.register(DicomReader())
    by_name = LoadImaged(["image"], reader=READER)
    return [LoadImage(reader=DicomReader), registered, lambda path: by_name({"image": path})["image"]]


@pytest.mark.parametrize("load", loaders(), ids=["class", "registered", "name"])
def test_load_image_gives_channel_row_column(write_dicom, colour, load):
    image = load(str(write_dicom(colour, photometric="RGB")))
    assert isinstance(image, MetaTensor)
    assert tuple(image.shape) == (3, 40, 64)
    np.testing.assert_array_equal(image.numpy(), colour.transpose(2, 0, 1))


@pytest.mark.parametrize("load", loaders(), ids=["class", "registered", "name"])
def test_what_our_reader_refuses_is_read_by_no_other(write_dicom, grey, load):
    cine = str(write_dicom([grey, grey]))
    with pytest.raises(InputError, match="#frame_index=0"):
        load(cine)
    with pytest.raises(InputError, match="0 to 1"):
        load(frame_path(cine, 2))
    ct = str(write_dicom(grey, Modality="CT", SOPClassUID=uid.CTImageStorage, name="ct.dcm"))
    with pytest.raises(InputError, match="modality CT"):
        load(ct)


def test_every_frame_of_a_cine_is_an_item_of_its_own(write_dicom, grey):
    frames = [np.roll(grey, shift, axis=1) for shift in range(3)]
    path = write_dicom(frames, syntax=uid.RLELossless)
    load = LoadImage(reader=DicomReader, dtype=None)
    for index, frame in enumerate(frames):
        image = load(frame_path(path, index))
        np.testing.assert_array_equal(image[0].numpy(), frame)
        assert (image.meta["frame_index"], image.meta["number_of_frames"]) == (index, 3)


def test_affine_and_metadata_follow_the_calibration(write_dicom, grey):
    path = write_dicom(grey, photometric="MONOCHROME1", PixelSpacing=[0.25, 0.5])
    array, meta = DicomReader().get_data(DicomReader().read(path))
    assert array.dtype == np.uint8
    np.testing.assert_array_equal(meta["affine"], np.diag([0.25, 0.5, 1, 1]))
    np.testing.assert_array_equal(meta["original_affine"], meta["affine"])
    np.testing.assert_array_equal(meta["spatial_shape"], [40, 64])
    assert meta["spacing_mm"] == [0.25, 0.5]
    assert (meta["spacing_source"], meta["space"], meta["original_channel_dim"]) == (
        "pixel_spacing",
        "RAS",
        0,
    )
    assert (meta["modality"], meta["photometric_interpretation"], meta["display_max"]) == (
        "US",
        "MONOCHROME1",
        255,
    )
    assert "tissue_box" not in meta


def test_an_uncalibrated_image_has_the_identity_and_no_spacing(write_dicom, grey):
    _, meta = DicomReader().get_data(DicomReader().read(write_dicom(grey)))
    np.testing.assert_array_equal(meta["affine"], np.eye(4))
    assert meta["spacing_source"] == "none"
    assert "spacing_mm" not in meta


def test_the_metadata_holds_no_identity(write_dicom, grey):
    path = write_dicom(grey, PatientID="SENTINEL-ID", PatientBirthDate="19700101")
    _, meta = DicomReader().get_data(DicomReader().read(path))
    text = str(meta)
    dataset = pydicom.dcmread(path)
    for secret in ("SENTINEL", "19700101", dataset.SOPInstanceUID, dataset.SeriesInstanceUID, str(path)):
        assert secret not in text


def test_items_with_and_without_calibration_make_one_batch(write_dicom, grey):
    plain = write_dicom(grey, name="plain.dcm")
    spaced = write_dicom(grey, name="spaced.dcm", PixelSpacing=[0.25, 0.5])
    items = [{"image": str(plain)}, {"image": str(spaced)}]
    loader = DataLoader(Dataset(items, LoadImaged(["image"], reader=READER)), batch_size=2)
    batch = next(iter(loader))["image"]
    assert batch.shape == (2, 1, 40, 64)
    assert batch.meta["affine"].dtype == torch.float64


def test_the_header_of_a_cine_is_parsed_once_and_again_after_a_change(write_dicom, grey, monkeypatch):
    path = write_dicom([grey, grey, grey])
    parsed = []
    read_header = dicom_reader.read_header
    monkeypatch.setattr(dicom_reader, "read_header", lambda file: parsed.append(file) or read_header(file))
    reader = DicomReader()
    for index in range(3):
        reader.get_data(reader.read(frame_path(path, index)))
    assert len(parsed) == 1
    write_dicom([255 - grey, grey])
    changed, _ = reader.get_data(reader.read(frame_path(path, 0)))
    np.testing.assert_array_equal(changed[0], 255 - grey)
    assert len(parsed) == 2


def test_files_are_known_by_their_content(write_dicom, grey, tmp_path):
    reader = DicomReader()
    path = write_dicom([grey, grey], name="IM0001")
    assert reader.verify_suffix(frame_path(path, 1))
    assert reader.verify_suffix([path, str(path)])
    (tmp_path / "text.dcm").write_text("not DICOM")
    assert not reader.verify_suffix(tmp_path / "text.dcm")
    assert not reader.verify_suffix(tmp_path / "missing.dcm")


def test_several_files_are_not_stacked_as_channels(write_dicom, grey):
    path = str(write_dicom(grey))
    with pytest.raises(InputError, match="2 paths"):
        LoadImage(reader=DicomReader)([path, path])


@pytest.mark.parametrize("text", ["a/b.dcm", "odd #name#frame_index=x.dcm", "C:\\x.dcm"])
def test_a_frame_path_is_taken_apart_as_it_was_made(text):
    assert split_frame_path(text) == split_frame_path(str(split_frame_path(text)[0]))
    path, index = split_frame_path(frame_path(text, 7))
    assert (str(path), index) == (str(split_frame_path(text)[0]), 7)


def test_an_existing_file_of_the_very_name_is_that_file_and_beside_the_cine_it_is_refused(write_dicom, grey):
    cine, other = write_dicom([grey, 255 - grey]), write_dicom(grey // 2, name="other.dcm")
    twin = other.rename(frame_path(cine, 1))
    read = LoadImage(reader=DicomReader)
    with pytest.raises(InputError, match="beside it one that has such a frame"):
        read(str(twin))
    cine.unlink()
    np.testing.assert_array_equal(read(str(twin))[0], grey // 2)


@pytest.mark.parametrize(
    "name", ["examples_rgb_color.dcm", "examples_palette.dcm", "examples_jpeg2k.dcm", "ExplVR_BigEnd.dcm"]
)
def test_pydicom_examples_are_read_as_pydicom_reads_them(name):
    path = get_testdata_file(name, download=False)
    if path is None:
        pytest.skip("this example is not part of the installed pydicom")
    _agrees_with_pydicom(path, 0)


def test_pydicom_example_cine_is_read_as_pydicom_reads_it_and_its_misplaced_region_ignored(tmp_path):
    path = get_testdata_file("examples_ybr_color.dcm", download=False)
    if path is None:
        pytest.skip("this example is not part of the installed pydicom")
    unread = shutil.copy(path, tmp_path)  # a header is parsed once, and warns once
    with pytest.warns(UserWarning, match="not inside the image"):
        _agrees_with_pydicom(unread, 17)


US_FILES = [
    ("IM00001.fragmented_no_bot_jpeg_baseline.50.dcm", 2.29375),
    ("IM00001.implicit_little_endian.dcm", 2.29375),
    ("JPEGLosslessP14SV1_3s_2f_u_08_08.dcm", 0.0277428),
    ("JPGLosslessP14SV1_1s_1f_8b.dcm", 0.254767),
    ("OBXXXX1A.dcm", 0.262288),
    ("OBXXXX1A_2frame.dcm", 0.262288),
    ("OBXXXX1A_rle_2frame.dcm", 0.262288),
    ("US-YBR_FULL_422-EVRLE.dcm", 0.0616),
    ("US1_J2KR.dcm", None),
    ("US1_UNCI.dcm", None),
    ("color-pl.dcm", None),
    ("color-px.dcm", None),
    ("gdcm-US-ALOKA-16.dcm", 0.382653),
    ("no-pixel-spacing.dcm", 0.330542),
]


@pytest.mark.filterwarnings("ignore:Incorrect value for Specific Character Set")
@pytest.mark.parametrize(("name", "spacing"), US_FILES)
def test_real_files_are_read_as_pydicom_reads_them_with_their_spacing(shared_data, name, spacing):
    path = shared_data / "dicom" / "us" / name
    for index in range(int(pydicom.dcmread(path, stop_before_pixels=True).get("NumberOfFrames", 1))):
        meta = _agrees_with_pydicom(path, index)
    assert meta.get("spacing_mm") == (None if spacing is None else pytest.approx([spacing] * 2, rel=1e-5))


def _agrees_with_pydicom(path, index: int) -> dict:
    reader = DicomReader()
    array, meta = reader.get_data(reader.read(frame_path(path, index)))
    dataset = pydicom.dcmread(path)
    if dataset.file_meta.TransferSyntaxUID == uid.JPEGLosslessSV1:  # for which pydicom has no free decoder
        expected = SimpleITK.GetArrayFromImage(SimpleITK.ReadImage(str(path)))[index]
    else:
        plugin = "pillow" if dataset.file_meta.TransferSyntaxUID == uid.JPEGBaseline8Bit else ""
        expected = pydicom.pixels.pixel_array(dataset, index=index, decoding_plugin=plugin)
    if dataset.PhotometricInterpretation == "PALETTE COLOR":
        expected = pydicom.pixels.apply_color_lut(expected, dataset)
    expected = expected[None] if expected.ndim == 2 else expected.transpose(2, 0, 1)
    assert array.dtype == expected.dtype
    # the fixed-point colour conversions of pillow and libjpeg round otherwise than pydicom's
    tolerance = 1 if dataset.PhotometricInterpretation.startswith("YBR_FULL") else 0
    assert np.abs(array.astype(int) - expected).max() <= tolerance
    return meta
