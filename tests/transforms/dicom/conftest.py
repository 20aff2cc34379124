"""Synthetic DICOM ultrasound: a writer of any transfer syntax, and pictures that no transposition leaves
alone."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from pydicom.dataset import Dataset, FileDataset, FileMetaDataset
from pydicom.encaps import encapsulate
from pydicom.pixels import get_encoder
from pydicom.uid import (
    UID,
    ExplicitVRBigEndian,
    ExplicitVRLittleEndian,
    JPEGBaseline8Bit,
    UltrasoundImageStorage,
    UltrasoundMultiFrameImageStorage,
    generate_uid,
)

from tests.transforms.dicom.label_cases import oblique_grid, source_series

Writer = Callable[..., Path]


def jpeg_bytes(
    frame: np.ndarray, *, photometric: str = "YBR_FULL_422", subsampling: int = 0, bare: bool = False
) -> bytes:
    """Pillow's JPEG; for "RGB" the samples go in as they are. ``bare`` removes the JFIF marker."""
    buffer = BytesIO()
    options: dict[str, Any] = {"quality": 95}
    if frame.ndim == 3:
        options |= {"keep_rgb": True} if photometric == "RGB" else {"subsampling": subsampling}
    Image.fromarray(frame).save(buffer, "JPEG", **options)
    data = buffer.getvalue()
    if bare and data[2:4] == b"\xff\xe0":
        data = data[:2] + data[4 + int.from_bytes(data[4:6], "big") :]
    return data + b"\0" * (len(data) % 2)


def image_dataset(frames: Sequence[np.ndarray], *, photometric: str, syntax: UID, **more: Any) -> FileDataset:
    """An ultrasound data set of ``frames``, (H, W) or (H, W, 3), without pixel data."""
    meta = FileMetaDataset()
    multi = len(frames) > 1
    meta.MediaStorageSOPClassUID = UltrasoundMultiFrameImageStorage if multi else UltrasoundImageStorage
    meta.MediaStorageSOPInstanceUID = generate_uid()
    meta.TransferSyntaxUID = syntax
    encoding = {"is_implicit_VR": syntax.is_implicit_VR, "is_little_endian": syntax.is_little_endian}
    dataset = FileDataset("", {}, file_meta=meta, preamble=b"\0" * 128, **encoding)
    dataset.SOPClassUID, dataset.SOPInstanceUID = (
        meta.MediaStorageSOPClassUID,
        meta.MediaStorageSOPInstanceUID,
    )
    dataset.SeriesInstanceUID, dataset.Modality, dataset.PatientName = generate_uid(), "US", "SENTINEL^NAME"
    dataset.Rows, dataset.Columns = frames[0].shape[:2]
    dataset.SamplesPerPixel = 3 if frames[0].ndim == 3 else 1
    dataset.PhotometricInterpretation = photometric
    if dataset.SamplesPerPixel == 3:
        dataset.PlanarConfiguration = 0
    if multi:
        dataset.NumberOfFrames = len(frames)
    bits = 8 * frames[0].dtype.itemsize
    dataset.BitsAllocated, dataset.BitsStored, dataset.HighBit, dataset.PixelRepresentation = (
        bits,
        bits,
        bits - 1,
        0,
    )
    for name, value in more.items():
        setattr(dataset, name, value)
    return dataset


def set_native(dataset: FileDataset, frames: Sequence[np.ndarray]) -> None:
    """Uncompressed pixel data in the data set's planar configuration, byte order and subsampling."""
    if dataset.PhotometricInterpretation == "YBR_FULL_422":
        stored = [
            np.stack([f[:, ::2, 0], f[:, 1::2, 0], f[:, ::2, 1], f[:, ::2, 2]], axis=-1) for f in frames
        ]
    elif dataset.get("PlanarConfiguration") == 1:
        stored = [frame.transpose(2, 0, 1) for frame in frames]
    else:
        stored = list(frames)
    big = dataset.file_meta.TransferSyntaxUID == ExplicitVRBigEndian
    data = np.stack(stored).astype(stored[0].dtype.newbyteorder(">" if big else "<")).tobytes()
    dataset.PixelData = data + b"\0" * (len(data) % 2)
    dataset["PixelData"].VR = "OW" if dataset.BitsAllocated == 16 else "OB"


def set_encoded(dataset: FileDataset, frames: Sequence[np.ndarray], **jpeg: Any) -> None:
    """Compressed pixel data: JPEG by pillow, anything else by pydicom's encoder for the syntax."""
    syntax, photometric = dataset.file_meta.TransferSyntaxUID, dataset.PhotometricInterpretation
    if syntax == JPEGBaseline8Bit:
        parts = [jpeg_bytes(frame, **({"photometric": photometric} | jpeg)) for frame in frames]
    else:
        dataset.NumberOfFrames, frames_before = 1, dataset.get("NumberOfFrames")
        stated = {"photometric_interpretation": photometric, "samples_per_pixel": dataset.SamplesPerPixel}
        options = stated | {
            "rows": dataset.Rows,
            "columns": dataset.Columns,
            "number_of_frames": 1,
            "bits_allocated": dataset.BitsAllocated,
            "bits_stored": dataset.BitsStored,
            "pixel_representation": 0,
            "planar_configuration": 0,
        }
        parts = [get_encoder(syntax).encode(np.ascontiguousarray(frame), **options) for frame in frames]
        if frames_before is None:
            del dataset.NumberOfFrames
        else:
            dataset.NumberOfFrames = frames_before
    dataset.PixelData = encapsulate([part + b"\0" * (len(part) % 2) for part in parts])
    dataset["PixelData"].VR = "OB"
    dataset["PixelData"].is_undefined_length = True


def ultrasound_region(
    box: tuple[int, int, int, int], delta: tuple[float, float], *, data_type: int = 1, units: int = 3
) -> Dataset:
    """An ultrasound region of ``box`` (row0, col0, row1, col1), inclusive, with ``delta`` (row, column) in
    cm."""
    item = Dataset()
    item.RegionSpatialFormat, item.RegionDataType, item.RegionFlags = 1, data_type, 0
    item.RegionLocationMinY0, item.RegionLocationMinX0, item.RegionLocationMaxY1, item.RegionLocationMaxX1 = (
        box
    )
    item.PhysicalUnitsXDirection = item.PhysicalUnitsYDirection = units
    item.PhysicalDeltaY, item.PhysicalDeltaX = delta
    return item


@pytest.fixture
def region() -> Callable[..., Dataset]:
    return ultrasound_region


@pytest.fixture
def write_dicom(tmp_path: Path) -> Writer:
    """``write_dicom(frames, photometric=..., syntax=..., name=..., jpeg={...}, **attributes) -> Path``."""

    def write(
        frames: np.ndarray | Sequence[np.ndarray],
        *,
        photometric: str = "MONOCHROME2",
        syntax: UID = ExplicitVRLittleEndian,
        name: str = "image.dcm",
        jpeg: dict[str, Any] | None = None,
        **more: Any,
    ) -> Path:
        frames = [frames] if isinstance(frames, np.ndarray) else list(frames)
        dataset = image_dataset(frames, photometric=photometric, syntax=syntax, **more)
        if syntax.is_encapsulated:
            set_encoded(dataset, frames, **(jpeg or {}))
        else:
            set_native(dataset, frames)
        dataset.save_as(tmp_path / name, enforce_file_format=True)
        return tmp_path / name

    return write


@pytest.fixture
def grey() -> np.ndarray:
    """(40, 64), every value of its own place: no transposition or flip leaves it as it is."""
    rows, columns = np.mgrid[:40, :64]
    return (rows * 3 + columns * 2).astype(np.uint8)


@pytest.fixture
def colour() -> np.ndarray:
    """(40, 64, 3): smooth, with red, green and blue that differ, so that JPEG changes it little."""
    rows, columns = np.mgrid[:40, :64]
    return np.stack([rows * 6, columns * 4, 255 - rows * 3 - columns * 2], axis=-1).astype(np.uint8)


@pytest.fixture
def grid():
    """An oblique one, for labels."""
    return oblique_grid()


@pytest.fixture
def series(grid):
    """What labels on the grid belong to."""
    return source_series(grid)
