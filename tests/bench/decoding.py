"""Cine decoding in frames per second: ours against pydicom's own decoding and MONAI's PydicomReader."""

from __future__ import annotations

import statistics
import tempfile
import time
import warnings
from collections.abc import Callable
from io import BytesIO
from pathlib import Path

import numpy as np
import pydicom
from monai.data import PydicomReader
from PIL import Image
from pydicom import uid
from pydicom.dataset import FileDataset, FileMetaDataset
from pydicom.encaps import encapsulate
from pydicom.pixels import get_encoder
from scipy.ndimage import gaussian_filter

from pyraseg.transforms.dicom.pixels.decode import CineReader

__all__ = ["table"]

FRAMES, ROWS, COLUMNS = 30, 480, 640
ROUNDS = 5
SYNTAXES = {
    "raw RGB": (uid.ExplicitVRLittleEndian, "RGB"),
    "JPEG baseline": (uid.JPEGBaseline8Bit, "YBR_FULL_422"),
    "RLE": (uid.RLELossless, "RGB"),
}


def table() -> str:
    """A Markdown table: medians over rounds in which the ways take turns, and our ratio to each of the
    others."""
    lines = [
        f"Frames per second, cine of {FRAMES} x {ROWS} x {COLUMNS} RGB, one process, median of {ROUNDS} rounds.",
        "",
        "| cine | pyraseg | one frame of it, alone | pydicom iter_pixels | pydicom pixel_array | MONAI PydicomReader "
        "| to iter_pixels | to pixel_array | to PydicomReader |",
        "| --- | --- | --- | --- | --- | --- | --- | --- | --- |",
    ]
    with tempfile.TemporaryDirectory() as folder:
        for name, (syntax, photometric) in SYNTAXES.items():
            rates = _rates(_write_cine(Path(folder) / "cine.dcm", syntax, photometric))
            ours, single, *others = (rates[way] for way in WAYS)
            cells = [f"{rate:.0f}" for rate in (ours, single, *others)] + [
                f"{ours / other:.2f}" for other in others
            ]
            lines.append(f"| {name} | {' | '.join(cells)} |")
    return "\n".join(lines)


def _ours(path: Path) -> int:
    return sum(1 for _ in CineReader(path))


def _one_frame(path: Path) -> int:
    """The price of a random frame: the header is parsed and the frames are located for it."""
    CineReader(path).frame(FRAMES // 2)
    return 1


def _pydicom_frames(path: Path) -> int:
    return sum(1 for _ in pydicom.pixels.iter_pixels(path))


def _pydicom_array(path: Path) -> int:
    return len(pydicom.dcmread(path).pixel_array)


def _monai(path: Path) -> int:
    reader = PydicomReader()
    reader.get_data(reader.read(str(path)))
    return FRAMES


WAYS: dict[str, Callable[[Path], int]] = {
    "ours": _ours,
    "one frame": _one_frame,
    "pydicom frames": _pydicom_frames,
    "pydicom array": _pydicom_array,
    "monai": _monai,
}


def _rates(path: Path) -> dict[str, float]:
    """Frames per second of each way; they take turns, so that a busy machine slows all of them."""
    rates: dict[str, list[float]] = {way: [] for way in WAYS}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # MONAI's reader on what it finds odd in a cine
        for turn in range(ROUNDS + 1):
            for way, read in WAYS.items():
                start = time.perf_counter()
                frames = read(path)
                if turn:  # the first turn warms the caches
                    rates[way].append(frames / (time.perf_counter() - start))
    return {way: statistics.median(values) for way, values in rates.items()}


def _write_cine(path: Path, syntax: uid.UID, photometric: str) -> Path:
    frames = _speckle()
    meta = FileMetaDataset()
    meta.MediaStorageSOPClassUID, meta.TransferSyntaxUID = uid.UltrasoundMultiFrameImageStorage, syntax
    meta.MediaStorageSOPInstanceUID = uid.generate_uid()
    cine = FileDataset("", {}, file_meta=meta, preamble=b"\0" * 128)
    cine.SOPClassUID, cine.SOPInstanceUID = meta.MediaStorageSOPClassUID, meta.MediaStorageSOPInstanceUID
    cine.Modality, cine.NumberOfFrames, cine.Rows, cine.Columns = "US", FRAMES, ROWS, COLUMNS
    cine.PixelSpacing, cine.ImageOrientationPatient = [0.3, 0.3], [1, 0, 0, 0, 1, 0]
    cine.SamplesPerPixel, cine.PhotometricInterpretation, cine.PlanarConfiguration = 3, photometric, 0
    cine.BitsAllocated, cine.BitsStored, cine.HighBit, cine.PixelRepresentation = 8, 8, 7, 0
    if syntax.is_encapsulated:
        cine.PixelData = encapsulate([_encode(frame, syntax) for frame in frames])
    else:
        cine.PixelData = frames.tobytes()
    cine["PixelData"].VR = "OB"
    cine["PixelData"].is_undefined_length = syntax.is_encapsulated
    cine.save_as(path, enforce_file_format=True)
    return path


def _speckle() -> np.ndarray:
    """(frames, H, W, 3), speckle on black with a coloured edge, as compressible as ultrasound is."""
    noise = gaussian_filter(np.random.default_rng(0).normal(size=(FRAMES, ROWS, COLUMNS)), (0, 1, 2))
    grey = np.clip(noise / noise.std() * 40 + 90, 0, 255)
    grey[:, :, : COLUMNS // 4] = 0
    frames = np.repeat(grey[..., None], 3, axis=-1).astype(np.uint8)
    frames[:, :20, :, 0] = 200
    return frames


def _encode(frame: np.ndarray, syntax: uid.UID) -> bytes:
    if syntax == uid.JPEGBaseline8Bit:
        buffer = BytesIO()
        Image.fromarray(frame).save(buffer, "JPEG", quality=90, subsampling=1)
        data = buffer.getvalue()
    else:
        described = {"rows": ROWS, "columns": COLUMNS, "number_of_frames": 1, "samples_per_pixel": 3}
        bits = {"bits_allocated": 8, "bits_stored": 8, "pixel_representation": 0}
        colour = {"photometric_interpretation": "RGB", "planar_configuration": 0}
        data = get_encoder(syntax).encode(frame, **described, **bits, **colour)
    return data + b"\0" * (len(data) % 2)
