"""One image loads alike from every kind of file; what is no single finite 2D frame is refused with a
remedy."""

from __future__ import annotations

import ast
import re
import struct
import zlib
from pathlib import Path

import nibabel
import numpy as np
import pytest
import torch
from monai.data import DataLoader, Dataset, MetaTensor
from monai.transforms import LoadImage
from PIL import Image
from pydicom.dataset import FileDataset, FileMetaDataset
from pydicom.uid import ExplicitVRLittleEndian, UltrasoundImageStorage, generate_uid

from pyraseg.transforms.errors import ConfigError, InputError
from pyraseg.transforms.frame.display import ScaleDisplay
from pyraseg.transforms.io.frames import FrameReader, LoadFrame, LoadFramed
from pyraseg.transforms.privacy import case_name

ROWS, COLUMNS = 30, 50
SPACING = (0.25, 0.5)


@pytest.fixture
def grey() -> np.ndarray:
    rows, columns = np.mgrid[:ROWS, :COLUMNS]
    return (rows * 3 + columns * 2).astype(np.uint8)


@pytest.fixture
def colour(grey) -> np.ndarray:
    return np.stack([grey, grey[::-1], grey[:, ::-1]], axis=-1)


def write_dicom(path: Path, frame: np.ndarray) -> Path:
    meta = FileMetaDataset()
    meta.MediaStorageSOPClassUID, meta.MediaStorageSOPInstanceUID = UltrasoundImageStorage, generate_uid()
    meta.TransferSyntaxUID = ExplicitVRLittleEndian
    dataset = FileDataset("", {}, file_meta=meta, preamble=b"\0" * 128)
    dataset.SOPClassUID, dataset.SOPInstanceUID = (
        meta.MediaStorageSOPClassUID,
        meta.MediaStorageSOPInstanceUID,
    )
    dataset.Modality, dataset.PixelSpacing = "US", list(SPACING)
    dataset.Rows, dataset.Columns = frame.shape[:2]
    dataset.SamplesPerPixel = 1 if frame.ndim == 2 else 3
    dataset.PhotometricInterpretation = "MONOCHROME2" if frame.ndim == 2 else "RGB"
    if frame.ndim == 3:
        dataset.PlanarConfiguration = 0
    bits = frame.dtype.itemsize * 8
    dataset.BitsAllocated, dataset.BitsStored, dataset.HighBit, dataset.PixelRepresentation = (
        bits,
        bits,
        bits - 1,
        0,
    )
    dataset.PixelData = np.ascontiguousarray(frame).tobytes()
    dataset["PixelData"].VR = "OB" if bits == 8 else "OW"
    dataset.save_as(path, enforce_file_format=True)
    return path


def write_nifti(path: Path, stored: np.ndarray, spacing=SPACING[::-1]) -> Path:
    """``stored`` as (W, H, ...), spacing (x, y)."""
    image = nibabel.Nifti1Image(stored, np.diag([-spacing[0], -spacing[1], 1, 1]))
    image.header.set_xyzt_units("mm")
    nibabel.save(image, path)
    return path


def rgb24(frame: np.ndarray) -> np.ndarray:
    voxels = np.zeros((frame.shape[1], frame.shape[0], 1), dtype=[("R", "u1"), ("G", "u1"), ("B", "u1")])
    for channel, name in enumerate("RGB"):
        voxels[name][..., 0] = frame[..., channel].T
    return voxels


def write_png(path: Path, frame: np.ndarray, **options) -> Path:
    Image.fromarray(frame).save(path, **options)
    return path


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
def test_a_grey_image_loads_identically_from_dicom_png_and_nifti(tmp_path, grey, dtype):
    frame = grey.astype(dtype) * (1 if dtype == np.uint8 else 250)
    dicom = LoadFrame()(write_dicom(tmp_path / "a.dcm", frame))
    png = LoadFrame()(write_png(tmp_path / "a.png", frame))
    load = LoadFrame(reading={"value_range": [0, 65535]})  # NIfTI does not state it
    plane = load(write_nifti(tmp_path / "a.nii", frame.T))
    slab = load(write_nifti(tmp_path / "a.nii.gz", frame.T[..., None]))
    for image in (dicom, png, plane, slab):
        assert image.shape == (1, ROWS, COLUMNS)
        assert image.dtype == (torch.uint8 if dtype == np.uint8 else torch.int32)
        np.testing.assert_array_equal(image[0].numpy(), frame)
        np.testing.assert_array_equal(image.meta["spatial_shape"], [ROWS, COLUMNS])
    for image in (dicom, plane, slab):
        assert image.meta["spacing_mm"] == pytest.approx(SPACING)
        np.testing.assert_allclose(image.affine, np.diag([*SPACING, 1, 1]))
    assert png.meta["spacing_source"] == "none"
    assert "spacing_mm" not in png.meta
    np.testing.assert_array_equal(png.affine, np.eye(4))


def test_a_colour_image_loads_identically_from_dicom_png_and_nifti(tmp_path, colour):
    vector = colour.transpose(1, 0, 2)[:, :, None, None]
    paths = [
        write_dicom(tmp_path / "a.dcm", colour),
        write_png(tmp_path / "a.png", colour),
        write_png(tmp_path / "alpha.png", np.concatenate([colour, colour[..., :1]], axis=-1)),
        write_nifti(tmp_path / "rgb24.nii", rgb24(colour)),
        write_nifti(tmp_path / "vector.nii.gz", vector),
    ]
    for path in paths:
        image = LoadFrame()(path)
        assert image.shape == (3, ROWS, COLUMNS)
        np.testing.assert_array_equal(image.numpy(), colour.transpose(2, 0, 1))
        assert image.meta["display_max"] == 255


def test_a_jpeg_is_read_row_first(tmp_path, grey):
    image = LoadFrame()(write_png(tmp_path / "a.jpg", grey, quality=100))
    assert np.abs(image[0].numpy().astype(int) - grey).max() <= 3


def test_a_palette_png_is_colour_as_an_image_and_indices_as_a_label(tmp_path):
    labels = (np.mgrid[:ROWS, :COLUMNS][1] // 20).astype(np.uint8)
    picture = Image.fromarray(labels, mode="P")
    picture.putpalette([0, 0, 0, 255, 0, 0, 0, 255, 0])
    picture.save(tmp_path / "mask.png")
    item = LoadFramed(["image", "label"])({"image": tmp_path / "mask.png", "label": tmp_path / "mask.png"})
    assert item["image"].shape == (3, ROWS, COLUMNS)
    np.testing.assert_array_equal(item["image"][:, 0, 45].numpy(), [0, 255, 0])
    np.testing.assert_array_equal(item["label"][0].numpy(), labels)


def test_a_one_bit_png_is_black_and_white_as_an_image_and_0_and_1_as_a_label(tmp_path, grey):
    Image.fromarray(grey > 100).save(tmp_path / "mask.png")
    assert set(np.unique(LoadFrame()(tmp_path / "mask.png").numpy())) == {0, 255}
    assert set(np.unique(LoadFrame(as_labels=True)(tmp_path / "mask.png").numpy())) == {0, 1}


def open_frames_of_all_kinds(tmp_path, grey) -> list[Path]:
    """Grey up to 185 of 255, in files that do not say what is white."""
    twelve = (grey.astype(np.uint16) << 4) + 3
    return [
        write_png(tmp_path / "twelve.png", twelve),
        write_nifti(tmp_path / "twelve.nii", twelve.T.astype(np.int16)),
        write_nifti(tmp_path / "fractions.nii", grey.T / np.float32(255)),
        write_nifti(tmp_path / "more.nii.gz", (grey.T / 185 * 1.0000002).astype(np.float32)),
        write_nifti(tmp_path / "signed.nii", grey.T / np.float64(127.5) - 1),
        write_nifti(tmp_path / "bytes.nii", grey.T.astype(np.float32)),
    ]


def test_a_frame_that_does_not_say_what_is_white_is_refused_and_read_by_the_option_of_the_error(
    tmp_path, grey
):
    brightest = []
    for path in open_frames_of_all_kinds(tmp_path, grey):
        with pytest.raises(InputError, match="which of its values are black and white") as refused:
            LoadFramed("image")({"image": str(path)})
        offered = ast.literal_eval(re.search(r"reading=(\{.*?\}) \(", refused.value.remedy)[1])
        image = ScaleDisplay()(LoadFramed("image", reading=offered)({"image": str(path)})["image"])
        brightest.append(float(image.max()))
        assert float(image.min()) == pytest.approx(0, abs=0.001)
    assert brightest == pytest.approx([grey.max() / 255] * 3 + [1] + [grey.max() / 255] * 2, abs=0.003)


@pytest.mark.parametrize("scale", [1, 1 + 1e-9, 1.0000002, 0.3])
def test_a_declared_range_counts_whatever_the_brightest_value_is(tmp_path, grey, scale):
    path = write_nifti(tmp_path / "a.nii", grey.T / 185 * scale)
    image = ScaleDisplay()(LoadFrame(reading={"value_range": [0, 1]})(path))
    np.testing.assert_allclose(image[0].numpy(), np.clip(grey / 185 * scale, 0, 1), atol=1e-6)


def test_a_declared_range_is_for_files_that_state_none(tmp_path, grey):
    load = LoadFrame(reading={"value_range": [0, 4095]})
    for path in (write_png(tmp_path / "a.png", grey), write_nifti(tmp_path / "a.nii", grey.T)):
        assert load(path).meta["display_max"] == 255
    assert load(write_png(tmp_path / "b.png", grey.astype(np.uint16) * 16)).meta["display_max"] == 4095


def test_a_declared_range_that_does_not_hold_the_values_is_refused(tmp_path, grey):
    for path in open_frames_of_all_kinds(tmp_path, grey)[-2:]:
        with pytest.raises(InputError, match=r"% beyond.*Correct value_range"):
            LoadFrame(reading={"value_range": [0, 1]})(path)


def test_cal_min_and_cal_max_of_a_nifti_are_black_and_white(tmp_path, grey):
    image = nibabel.Nifti1Image(grey.T.astype(np.int16) - 1000, np.diag([-1, -1, 1, 1]))
    image.header["cal_min"], image.header["cal_max"] = -1000, -900
    nibabel.save(image, tmp_path / "a.nii")
    shown = ScaleDisplay()(LoadFrame()(tmp_path / "a.nii"))
    np.testing.assert_allclose(shown[0].numpy(), np.clip(grey / 100, 0, 1), atol=1e-6)


def test_16_bit_png_is_white_at_its_highest_value_unless_it_is_dark(tmp_path, grey):
    bright = LoadFrame()(write_png(tmp_path / "a.png", grey.astype(np.uint16) * 257))
    assert bright.meta["display_max"] == 65535
    black = LoadFrame()(write_png(tmp_path / "b.png", np.zeros((8, 9), np.uint16)))
    assert ScaleDisplay()(black).meta["contrast"] == "constant"


def test_dark_16_bit_colour_png_is_refused(tmp_path, colour):
    """Pillow writes none: a PNG by hand."""
    for shift, name in ((8, "bright"), (4, "dark")):
        rows = (colour.astype(">u2") << shift).astype(">u2")
        raw = b"".join(b"\0" + row.tobytes() for row in rows)
        head = struct.pack(">LLBBBBB", COLUMNS, ROWS, 16, 2, 0, 0, 0)
        chunks = [(b"IHDR", head), (b"IDAT", zlib.compress(raw)), (b"IEND", b"")]
        parts = [struct.pack(">L", len(d)) + k + d + struct.pack(">L", zlib.crc32(k + d)) for k, d in chunks]
        (tmp_path / f"{name}.png").write_bytes(b"\x89PNG\r\n\x1a\n" + b"".join(parts))
    np.testing.assert_array_equal(LoadFrame()(tmp_path / "bright.png").numpy(), colour.transpose(2, 0, 1))
    with pytest.raises(InputError, match="Save it with 8 bits a colour"):
        LoadFrame()(tmp_path / "dark.png")
    assert LoadFrame(as_labels=True)(tmp_path / "dark.png").shape == (3, ROWS, COLUMNS)


@pytest.mark.parametrize("wrong", [[1, 0], [0], [0, 1, 2], "0,1", [0, float("nan")], 4095])
def test_a_range_that_is_none_is_refused(wrong):
    with pytest.raises(ConfigError, match=r"\[black, white\]"):
        LoadFrame(reading={"value_range": wrong})


def test_a_nifti_of_unit_voxels_counts_as_uncalibrated(tmp_path, grey):
    image = LoadFrame()(write_nifti(tmp_path / "a.nii", grey.T, spacing=(1, 1)))
    assert image.meta["spacing_source"] == "none"
    assert "spacing_mm" not in image.meta


def test_the_metadata_names_the_case_and_keeps_the_path_out(tmp_path, grey):
    path = write_png(tmp_path / "SENTINEL^NAME.png", grey)
    image = LoadFrame()(path)
    assert image.meta["case"] == case_name(str(path))
    named = LoadFramed("image")({"image": str(path), "case": "case 7"})["image"]
    assert named.meta["case"] == "case 7"
    for meta in (image.meta, named.meta):
        assert "filename_or_obj" not in meta
        assert "SENTINEL" not in str(meta)


def test_an_error_names_the_case_and_keeps_the_path_as_data(tmp_path):
    path = tmp_path / "SENTINEL^NAME.png"
    path.write_bytes(b"no picture")
    with pytest.raises(InputError, match="in case case 7") as caught:
        LoadFrame()(path, "case 7")
    assert "SENTINEL" not in str(caught.value)
    assert caught.value.path == str(path)


def test_load_image_reads_through_the_frame_reader_and_falls_back_to_no_other(tmp_path, grey):
    path = write_png(tmp_path / "a.png", grey)
    np.testing.assert_array_equal(LoadImage(reader=FrameReader)(path)[0].numpy(), grey)
    volume = write_nifti(tmp_path / "volume.nii", np.zeros((6, 5, 4), np.uint8))
    with pytest.raises(InputError):
        LoadImage(reader=FrameReader)(volume)


@pytest.mark.parametrize("shape", [(6, 5, 4), (6, 5, 3), (6, 5, 1, 3), (6,), (6, 5, 2, 1, 3)])
def test_a_nifti_of_more_or_less_than_one_frame_is_refused(tmp_path, shape):
    with pytest.raises(InputError, match="Write each frame"):
        LoadFrame()(write_nifti(tmp_path / "a.nii", np.ones(shape, np.uint8)))


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_nan_and_infinite_values_are_refused(tmp_path, grey, value):
    frame = grey.astype(np.float32)
    frame[3, 4] = value
    with pytest.raises(InputError, match="NaN or infinite"):
        LoadFrame()(write_nifti(tmp_path / "a.nii", frame.T))


@pytest.mark.parametrize("suffix", [".png", ".jpg", ".nii", ".nii.gz", ".dcm"])
@pytest.mark.parametrize("size", [0, 60, 0.6])
def test_a_truncated_file_is_refused(tmp_path, suffix, size):
    path = tmp_path / f"a{suffix}"
    noise = np.random.default_rng(0).integers(0, 256, (ROWS, COLUMNS), dtype=np.uint8)
    {".dcm": write_dicom, ".png": write_png, ".jpg": write_png}.get(suffix, write_nifti)(path, noise)
    data = path.read_bytes()
    path.write_bytes(data[: size if size != 0.6 else int(len(data) * size)])
    with pytest.raises(InputError) as caught:
        LoadFrame()(path)
    assert caught.value.remedy
    assert str(tmp_path) not in str(caught.value)


def test_a_missing_file_and_a_frame_of_a_picture_are_refused(tmp_path, grey):
    path = write_png(tmp_path / "a.png", grey)
    for wrong in (
        tmp_path / "b.png",
        tmp_path / "b.nii.gz",
        tmp_path / "b",
        tmp_path,
        f"{path}#frame_index=0",
    ):
        with pytest.raises(InputError):
            LoadFrame()(wrong)


def test_an_absurd_size_is_refused_before_memory_is_taken(tmp_path):
    header = struct.pack(">LLBBBBB", 60_000, 60_000, 8, 2, 0, 0, 0)
    chunk = b"IHDR" + header
    png = b"\x89PNG\r\n\x1a\n" + struct.pack(">L", len(header)) + chunk + struct.pack(">L", zlib.crc32(chunk))
    (tmp_path / "a.png").write_bytes(png + b"\0\0\0\0IDAT\x35\xaf\x06\x1e")
    small = write_nifti(tmp_path / "a.nii", np.zeros((4, 4), np.uint8))
    data = bytearray(small.read_bytes())
    data[42:46] = struct.pack("<2h", 30_000, 30_000)  # dim[1], dim[2]
    small.write_bytes(data)
    for path in (tmp_path / "a.png", small):
        with pytest.raises(InputError, match=r"larger|holds what"):
            LoadFrame()(path)


def test_frames_pass_through_worker_processes_and_collate(tmp_path, grey, colour):
    items = [{"image": str(write_png(tmp_path / f"{i}.png", colour)), "case": f"case {i}"} for i in range(4)]
    loader = DataLoader(Dataset(items, LoadFramed("image")), batch_size=2, num_workers=1)
    batches = [batch["image"] for batch in loader]
    assert [tuple(batch.shape) for batch in batches] == [(2, 3, ROWS, COLUMNS)] * 2
    assert isinstance(batches[0], MetaTensor)
    assert batches[1].meta["case"] == ["case 2", "case 3"]
