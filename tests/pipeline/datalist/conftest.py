"""A small data set on disk: groups of very different sizes, PNG images, masks with the values 0 and 255."""

from __future__ import annotations

import csv
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from pydicom.dataset import FileDataset, FileMetaDataset
from pydicom.uid import (
    ExplicitVRLittleEndian,
    UltrasoundImageStorage,
    UltrasoundMultiFrameImageStorage,
    generate_uid,
)

SIZES = (17, 9, 6, 5, 3, 2, 2, 1, 1, 1, 1, 1, 1)


def write_image(
    path: Path, *, rows: int = 6, columns: int = 9, values: tuple[int, ...] = (0,), seed: int = 0
) -> None:
    """Noise where one value is given, else a mask that holds each of them."""
    path.parent.mkdir(parents=True, exist_ok=True)
    if len(values) == 1 and seed:
        pixels = np.random.default_rng(seed).integers(0, 255, (rows, columns))
    else:
        pixels = np.resize(np.asarray(values), (rows, columns))
    Image.fromarray(pixels.astype(np.uint8)).save(path)


@pytest.fixture
def table(tmp_path: Path) -> Path:
    """``frames.csv`` beside ``images`` and ``masks``: every second frame holds fluid."""
    rows = []
    for group, size in enumerate(SIZES):
        for frame in range(size):
            name = f"p{group:02d}_{frame:03d}"
            fluid = (group + frame) % 2 == 0
            write_image(tmp_path / "images" / f"{name}.png", seed=1 + 1000 * group + frame)
            write_image(tmp_path / "masks" / f"{name}.png", values=(0, 255) if fluid else (0,))
            kind = "abnormal" if fluid else "normal"
            rows.append([f"images/{name}.png", f"masks/{name}.png", f"p{group:02d}", kind])
    with (tmp_path / "frames.csv").open("w", newline="") as file:
        csv.writer(file).writerows([["image", "mask", "patient", "kind"], *rows])
    return tmp_path / "frames.csv"


@pytest.fixture
def make_image() -> Callable[..., None]:
    return write_image


def write_dicom(
    path: Path,
    *,
    frames: int = 1,
    rows: int = 6,
    columns: int = 9,
    patient: str = "",
    seed: int = 0,
    pixels: np.ndarray | None = None,
) -> None:
    """A native greyscale ultrasound image, or a cine of several frames."""
    meta = FileMetaDataset()
    meta.MediaStorageSOPClassUID = UltrasoundMultiFrameImageStorage if frames > 1 else UltrasoundImageStorage
    meta.MediaStorageSOPInstanceUID = generate_uid()
    meta.TransferSyntaxUID = ExplicitVRLittleEndian
    image = FileDataset(str(path), {}, file_meta=meta, preamble=b"\0" * 128)
    image.SOPClassUID, image.SOPInstanceUID = meta.MediaStorageSOPClassUID, meta.MediaStorageSOPInstanceUID
    image.Modality, image.PatientID = "US", patient
    image.Rows, image.Columns, image.SamplesPerPixel = rows, columns, 1
    image.PhotometricInterpretation, image.PixelRepresentation = "MONOCHROME2", 0
    image.BitsAllocated, image.BitsStored, image.HighBit = 8, 8, 7
    if frames > 1:
        image.NumberOfFrames = frames
    if pixels is None:
        pixels = np.random.default_rng(seed).integers(0, 255, (frames, rows, columns), dtype=np.uint8)
    image.PixelData = pixels.tobytes()
    path.parent.mkdir(parents=True, exist_ok=True)
    image.save_as(path, enforce_file_format=True)


@pytest.fixture
def make_dicom() -> Callable[..., None]:
    return write_dicom
