"""Slices per second from a folder to a volume: ours against MONAI's PydicomReader and SimpleITK's series
reader."""

from __future__ import annotations

import os
import statistics
import tempfile
import time
import warnings
from collections.abc import Callable
from pathlib import Path

import numpy as np
import SimpleITK
from monai.data import PydicomReader
from pydicom import uid
from pydicom.dataset import FileDataset, FileMetaDataset
from pydicom.encaps import encapsulate
from pydicom.pixels import get_encoder
from scipy.ndimage import gaussian_filter

from pyraseg.transforms.dicom.series.find import find_series, the_series
from pyraseg.transforms.dicom.series.volume import read_series

__all__ = ["SYNTAXES", "WAYS", "rates", "table", "write_series"]

SLICES, ROWS, COLUMNS = 120, 512, 512
ROUNDS = 3
CORES = 2
SYNTAXES = {
    "raw": uid.ExplicitVRLittleEndian,
    "JPEG 2000": uid.JPEG2000Lossless,
}


def table(*, slices: int = SLICES, rounds: int = ROUNDS) -> str:
    """A Markdown table: medians over rounds in which the ways take turns on the same cores, and our
    ratios."""
    lines = [
        f"Slices per second, CT of {slices} x {ROWS} x {COLUMNS}, {CORES} cores, median of {rounds} rounds.",
        "",
        "| series | pyraseg | MONAI PydicomReader | SimpleITK ImageSeriesReader | to MONAI | to SimpleITK |",
        "| --- | --- | --- | --- | --- | --- |",
    ]
    cores = os.sched_getaffinity(0)
    os.sched_setaffinity(0, sorted(cores)[:CORES])
    try:
        with tempfile.TemporaryDirectory() as folder:
            for name, syntax in SYNTAXES.items():
                found = rates(write_series(Path(folder) / name, syntax, slices), slices, rounds)
                ours, *others = (found[way] for way in WAYS)
                cells = [f"{rate:.0f}" for rate in (ours, *others)] + [
                    f"{ours / other:.2f}" for other in others
                ]
                lines.append(f"| {name} | {' | '.join(cells)} |")
    finally:
        os.sched_setaffinity(0, cores)
    return "\n".join(lines)


def _ours(folder: Path) -> np.ndarray:
    return read_series(the_series(find_series(folder))).array


def _monai(folder: Path) -> np.ndarray:
    reader = PydicomReader()
    return reader.get_data(reader.read(str(folder)))[0]


def _simpleitk(folder: Path) -> np.ndarray:
    reader = SimpleITK.ImageSeriesReader()
    reader.SetFileNames(reader.GetGDCMSeriesFileNames(str(folder)))
    return SimpleITK.GetArrayFromImage(reader.Execute())


WAYS: dict[str, Callable[[Path], np.ndarray]] = {"ours": _ours, "monai": _monai, "simpleitk": _simpleitk}


def rates(folder: Path, slices: int, rounds: int) -> dict[str, float]:
    """Slices per second of each way; they take turns, so that a busy machine slows all of them."""
    rates: dict[str, list[float]] = {way: [] for way in WAYS}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for _ in range(rounds):
            for way, read in WAYS.items():
                start = time.perf_counter()
                read(folder)
                rates[way].append(slices / (time.perf_counter() - start))
    return {way: statistics.median(values) for way, values in rates.items()}


def write_series(folder: Path, syntax: uid.UID, slices: int) -> Path:
    """Slices whose headers have as many attributes as those of scanners."""
    folder.mkdir()
    volume = _tissue()
    for index in range(slices):
        meta = FileMetaDataset()
        meta.MediaStorageSOPClassUID, meta.TransferSyntaxUID = uid.CTImageStorage, syntax
        meta.MediaStorageSOPInstanceUID = f"1.2.3.{index + 1}"
        dataset = FileDataset("", {}, file_meta=meta, preamble=b"\0" * 128)
        dataset.SOPClassUID, dataset.SOPInstanceUID = (
            meta.MediaStorageSOPClassUID,
            meta.MediaStorageSOPInstanceUID,
        )
        dataset.StudyInstanceUID, dataset.SeriesInstanceUID, dataset.Modality = "1.2.4", "1.2.5", "CT"
        dataset.FrameOfReferenceUID, dataset.InstanceNumber = "1.2.6", index + 1
        dataset.ImagePositionPatient, dataset.ImageOrientationPatient = (
            [-200, -200, 1.25 * index],
            [1, 0, 0, 0, 1, 0],
        )
        dataset.PixelSpacing, dataset.SliceThickness = [0.78125, 0.78125], 1.25
        dataset.RescaleSlope, dataset.RescaleIntercept, dataset.RescaleType = 1, -1024, "HU"
        block = dataset.private_block(0x0009, "BENCH", create=True)
        for element in range(70):
            block.add_new(element, "LO", f"a value such as scanners write, {element}")
        dataset.Rows, dataset.Columns, dataset.SamplesPerPixel = ROWS, COLUMNS, 1
        dataset.PhotometricInterpretation, dataset.PixelRepresentation = "MONOCHROME2", 0
        dataset.BitsAllocated, dataset.BitsStored, dataset.HighBit = 16, 12, 11
        _set_pixels(dataset, np.roll(volume, 3 * index, axis=1), syntax)
        dataset.save_as(folder / f"{index:04}.dcm", enforce_file_format=True)
    return folder


def _tissue() -> np.ndarray:
    """(rows, columns), noisy tissue in air, about as compressible as a CT."""
    noise = gaussian_filter(np.random.default_rng(0).normal(size=(ROWS, COLUMNS)), 0.7)
    rows, columns = np.mgrid[:ROWS, :COLUMNS]
    body = (rows / ROWS - 0.5) ** 2 + (columns / COLUMNS - 0.5) ** 2 < 0.16
    return np.clip(1064 * body + 40 * noise, 0, 4095).astype(np.uint16)


def _set_pixels(dataset: FileDataset, frame: np.ndarray, syntax: uid.UID) -> None:
    if not syntax.is_encapsulated:
        dataset.PixelData = frame.tobytes()
    else:
        size = {"rows": ROWS, "columns": COLUMNS, "number_of_frames": 1, "samples_per_pixel": 1}
        bits = {"bits_allocated": 16, "bits_stored": 12, "pixel_representation": 0}
        data = get_encoder(syntax).encode(frame, photometric_interpretation="MONOCHROME2", **size, **bits)
        dataset.PixelData = encapsulate([data + b"\0" * (len(data) % 2)])
    dataset["PixelData"].VR = "OB" if syntax.is_encapsulated else "OW"
    dataset["PixelData"].is_undefined_length = syntax.is_encapsulated
