"""One image loads alike from every kind of file; what is no single finite 2D frame is refused with a
remedy."""

from __future__ import annotations

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

from pyraseg.transforms.errors import InputError
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
    plane = LoadFrame()(write_nifti(tmp_path / "a.nii", frame.T))
    slab = LoadFrame()(write_nifti(tmp_path / "a.nii.gz", frame.T[..., None]))
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


@pytest.mark.parametrize(
    ("dtype", "scale", "white"),
    [
        (np.uint8, 1, 255),
        (np.int16, 1, 255),
        (np.float32, 1, 255),
        (np.float32, 1 / 300, 1),
        (np.int16, 10, 2430),
    ],
)
def test_white_of_a_nifti_is_told_by_its_values(tmp_path, grey, dtype, scale, white):
    frame = np.clip(grey * scale, None, 2430).astype(dtype)
    frame[0, 0] = white if scale == 10 else frame[0, 0]
    assert LoadFrame()(write_nifti(tmp_path / "a.nii", frame.T)).meta["display_max"] == white


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
