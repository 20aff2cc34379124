"""A batch of tiny images: how to make it, to run ``predict`` on it and to read what that leaves."""

from __future__ import annotations

import csv
import io
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pydicom
from pydicom.dataset import FileDataset, FileMetaDataset
from pydicom.uid import ExplicitVRLittleEndian, generate_uid

__all__ = [
    "Batch",
    "Result",
    "ended",
    "files_of",
    "published",
    "result_of",
    "wait_for",
    "write_image",
]

ROOT = Path(__file__).resolve().parents[3]
BUNDLE = ROOT / "bundles" / "us_hydronephrosis"
SIDE = 64
SINGLE, CINE = "1.2.840.10008.5.1.4.1.1.6.1", "1.2.840.10008.5.1.4.1.1.3.1"


def write_image(path: Path, seed: int, *, frames: int = 1) -> Path:
    """An ultrasound image of noise in a bright disc, 64 x 64, whose UIDs are the seed's."""
    uid = SINGLE if frames == 1 else CINE
    meta = FileMetaDataset()
    meta.TransferSyntaxUID, meta.MediaStorageSOPClassUID = ExplicitVRLittleEndian, uid
    meta.MediaStorageSOPInstanceUID = generate_uid(entropy_srcs=["image", str(seed)])
    image = FileDataset(path, {}, preamble=b"\0" * 128, file_meta=meta)
    image.SOPClassUID, image.SOPInstanceUID = uid, meta.MediaStorageSOPInstanceUID
    image.StudyInstanceUID = generate_uid(entropy_srcs=["study", str(seed)])
    image.SeriesInstanceUID = generate_uid(entropy_srcs=["series", str(seed)])
    image.Modality, image.PatientName, image.PatientID = "US", "Nobody", str(seed)
    image.PatientBirthDate = image.PatientSex = image.StudyDate = image.StudyTime = ""
    image.StudyID = image.AccessionNumber = image.ReferringPhysicianName = ""
    image.SeriesNumber, image.InstanceNumber = 1, 1
    image.Rows = image.Columns = SIDE
    image.SamplesPerPixel, image.PhotometricInterpretation = 1, "MONOCHROME2"
    image.BitsAllocated = image.BitsStored = 8
    image.HighBit, image.PixelRepresentation = 7, 0
    if frames > 1:
        image.NumberOfFrames, image.FrameTime = frames, "40"
        image.FrameIncrementPointer = pydicom.tag.Tag("FrameTime")
    noise = np.random.default_rng(seed).integers(30, 255, (frames, SIDE, SIDE), np.uint8)
    rows, columns = np.mgrid[:SIDE, :SIDE] - (SIDE - 1) / 2
    image.PixelData = (noise * (np.hypot(rows, columns) < SIDE / 2 - 2)).astype(np.uint8).tobytes()
    path.parent.mkdir(parents=True, exist_ok=True)
    image.save_as(path, enforce_file_format=True)
    return path


@dataclass(frozen=True)
class Batch:
    """A command line but for its output folder; one frame in a pass, so that results do not depend on the
    others'."""

    inputs: tuple[Path, ...]
    weights: Path
    options: tuple[str, ...] = (
        "--formats",
        "seg,nifti",
        "--batch-size",
        "1",
        "--device",
        "cpu",
        "--backend",
        "torch",
    )

    def arguments(self, output: Path, *more: str) -> list[str]:
        """What follows ``pyraseg``."""
        words = ["predict", *map(str, self.inputs), "--bundle", str(BUNDLE), "--output", str(output)]
        return [*words, "--checkpoint", str(self.weights), *self.options, *more]

    @contextmanager
    def started(self, output: Path, *more: str) -> Iterator[subprocess.Popen[str]]:
        """The command as a process with a group of its own, ended with all of it where it is still there."""
        environment = {**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
        process = subprocess.Popen(
            [sys.executable, "-m", "pyraseg.pipeline", *self.arguments(output, *more)],
            stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environment,
            start_new_session=True,
        )  # fmt: skip
        try:
            yield process
        finally:
            if process.poll() is None:
                os.killpg(process.pid, signal.SIGKILL)
            process.communicate()


def ended(process: subprocess.Popen[str], seconds: float = 300) -> tuple[int, str, str]:
    """Exit status, standard output and standard error."""
    out, errors = process.communicate(timeout=seconds)
    return process.returncode, out, errors


def published(output: Path) -> dict[str, tuple[int, int]]:
    """The finished items: inode and time of each one's record."""
    found = {}
    for path in output.glob("items/*/item.json"):
        status = path.stat()
        found[path.parent.name] = (status.st_ino, status.st_mtime_ns)
    return found


def wait_for(output: Path, number: int, process: subprocess.Popen[str], *, seconds: float = 120) -> None:
    """Until so many items are published; 0 for the claim on the folder."""
    deadline = time.monotonic() + seconds
    while len(published(output)) < number or not (output / ".pyraseg" / "job.json").exists():
        if process.poll() is not None or time.monotonic() > deadline:
            raise AssertionError(f"the run ended or hung before {number} items: {process.poll()}")
        time.sleep(0.002)


@dataclass(frozen=True)
class Result:
    """All that a batch leaves but times: the tables' rows, and each item's pixels and UIDs."""

    results: list[dict[str, str]]
    frames: list[dict[str, str]]
    failures: list[dict[str, str]]
    left_out: list[dict[str, str]]
    items: dict[str, tuple[str, bytes, bytes]]


def result_of(output: Path) -> Result:
    """Read an output folder."""
    tables = [_rows(output / f"{name}.csv") for name in ("results", "frames", "failures", "left_out")]
    items = {}
    for path in output.glob("items/*"):
        seg = pydicom.dcmread(path / "seg.dcm")
        items[path.name] = (seg.SOPInstanceUID, seg.PixelData, (path / "labels.nii.gz").read_bytes())
    return Result(*tables, items)


def _rows(path: Path) -> list[dict[str, str]]:
    rows = list(csv.DictReader(io.StringIO(path.read_text(encoding="utf-8"))))
    return [{name: value for name, value in row.items() if name != "seconds"} for row in rows]


def files_of(rows: Sequence[dict[str, str]]) -> list[str]:
    """The files that a table tells of."""
    return [row["file"] for row in rows]
