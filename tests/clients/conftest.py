"""What the programs of others are given, and where `make clients` has put them."""

from __future__ import annotations

import subprocess
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import numpy as np
import pytest
from pydicom import dcmread

from pyraseg.pipeline.writers.dicom.seg import write_seg
from pyraseg.pipeline.writers.dicom.sr import write_sr
from pyraseg.pipeline.writers.prediction import Prediction
from pyraseg.transforms.dicom.calibration import calibrate
from tests.pipeline.writers.dicom_cases import predict, write_source
from tests.pipeline.writers.volume_cases import predict_volume, read
from tests.transforms.dicom.series_cases import write_enhanced

CLIENTS = Path(__file__).resolve().parents[2] / "clients"
SHAPE = (56, 61)  # columns that are no whole bytes in frames that are: what cornerstone's adapters 5.14 read
SYNTHETIC = {"cine": (5, (0.2, 0.3)), "uncalibrated cine": (3, None), "still": (1, (0.2, 0.3))}
REAL = {"real cine": "IM00001.implicit_little_endian.dcm", "uncalibrated real still": "US1_UNCI.dcm"}
CASES = (*SYNTHETIC, *REAL)
VOLUME = "volume"


@dataclass(frozen=True)
class Case:
    """A source and the files of its results."""

    source: Path
    seg: Path
    report: Path
    prediction: Prediction


def client(*parts: str) -> Path:
    """What `make clients` has installed; skips the test where it could not be had."""
    path = CLIENTS.joinpath(*parts)
    if not path.exists():
        pytest.skip(f"needs clients/{'/'.join(parts)}, which `make clients` did not get")
    return path


def run(*command: object) -> subprocess.CompletedProcess[bytes]:
    return subprocess.run(list(map(str, command)), capture_output=True, check=False, timeout=400)


@pytest.fixture(scope="session")
def case(tmp_path_factory: pytest.TempPathFactory, request: pytest.FixtureRequest) -> Callable[[str], Case]:
    """The case of a name."""

    @cache
    def make(name: str) -> Case:
        folder = tmp_path_factory.mktemp("case")
        if name == VOLUME:
            return _of_volume(folder)
        if name in REAL:
            source = request.getfixturevalue("shared_data") / "dicom" / "us" / REAL[name]
            header = dcmread(source, stop_before_pixels=True)
            spacing = calibrate(header, header.Rows, header.Columns).spacing_mm
        else:
            frames, spacing = SYNTHETIC[name]
            source = _synthetic(folder / "source.dcm", frames)
        prediction = predict(source, spacing_mm=spacing)
        labels = _moving(prediction.labels.shape)
        prediction = predict(source, spacing_mm=spacing, labels=labels, key_frame=len(labels) // 2)
        seg = write_seg(folder / "seg.dcm", prediction)
        report = write_sr(folder / "sr.dcm", prediction, seg=seg)
        return Case(source, seg.path, report.path, prediction)

    return make


def _of_volume(folder: Path) -> Case:
    """CT, its slices in one file."""
    values = np.random.default_rng(5).integers(900, 1100, (4, *SHAPE), np.uint16)
    volume = read(write_enhanced(folder / "source.dcm", values))
    prediction = predict_volume(volume, labels=_moving(values.shape))
    seg = write_seg(folder / "seg.dcm", prediction)
    report = write_sr(folder / "sr.dcm", prediction, seg=seg)
    return Case(folder / "source.dcm", seg.path, report.path, prediction)


def _moving(shape: tuple[int, ...]) -> np.ndarray:
    """(F, H, W): a kidney with fluid in it, elsewhere on every frame."""
    labels = np.zeros(shape, np.uint8)
    frames, rows, columns = shape
    for frame, label in enumerate(labels):
        down, right = frame * rows // (4 * frames), frame * columns // (4 * frames)
        label[rows // 4 + down : rows // 2 + down, columns // 5 : columns // 2 + right] = 1
        label[rows // 3 + down : 2 * rows // 5 + down, columns // 4 + right : columns // 3 + right] = 2
    return labels


def _synthetic(path: Path, frames: int) -> Path:
    """A grey source with a study of its own."""
    uids = {f"{of}InstanceUID": f"1.2.826.0.1.3680043.8.498.{frames}.{len(of)}" for of in ("Study", "Series")}
    write_source(path, frames=frames, shape=SHAPE, PixelSpacing=None, FrameTime=40, **uids)
    dataset = dcmread(path)
    grey = np.random.default_rng(5).integers(60, 120, len(dataset.PixelData), np.uint8)
    dataset.SOPInstanceUID = dataset.file_meta.MediaStorageSOPInstanceUID = f"{dataset.SeriesInstanceUID}.1"
    dataset.PixelData = grey.tobytes()
    dataset.save_as(path)
    return path
