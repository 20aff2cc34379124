"""What is delivered of a CT of 300 slices with two segments: our SEG beside highdicom's, our RTSTRUCT beside
rt-utils'."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

from pyraseg.pipeline.writers.dicom.rtstruct import write_rtstruct
from pyraseg.pipeline.writers.dicom.seg import write_seg
from pyraseg.pipeline.writers.prediction import Prediction
from tests.bench.peers.environments import in_environment
from tests.bench.peers.rows import Row, in_turns
from tests.bench.volume_objects import cylinders
from tests.pipeline.writers.volume_cases import predict_volume, read
from tests.transforms.dicom.series_cases import write_series

__all__ = ["measure_highdicom", "measure_rt_utils"]

SHAPE, ROUNDS = (300, 512, 512), 3
Write = Callable[[Path, Prediction], Any]


def measure_highdicom() -> tuple[list[Row], str]:
    """Binary, a frame for each segment and slice; the headers of the series are read before."""
    return _measure("highdicom", "SEG", "seg_write.py", write_seg), ""


def measure_rt_utils() -> tuple[list[Row], str]:
    """The series is read before."""

    def write(path: Path, prediction: Prediction) -> Any:
        series = prediction.series
        assert series is not None  # of a volume
        named = {"segments": prediction.segments, "algorithm": prediction.algorithm}
        return write_rtstruct(path, prediction.labels.T, series, **named)

    note = "ours goes round the pixels, holes by keyholes; rt-utils through their centres, without points on straight lines."
    return _measure("rt-utils", "RTSTRUCT", "rtstruct_write.py", write), note


def _measure(peer: str, kind: str, script: str, write: Write) -> list[Row]:
    with _case() as (folder, prediction):
        paths, versions = {who: folder / f"{who}.dcm" for who in ("ours", "theirs")}, []

        def ours() -> float:
            began = time.perf_counter()
            write(paths["ours"], prediction)
            return time.perf_counter() - began

        def theirs() -> float:
            words = (folder / "series", folder / "labels.npy", paths["theirs"])
            found = in_environment("dicom", script, *words)
            versions.append(found["version"])
            return found["seconds"]

        seconds = in_turns({"ours": ours, "theirs": theirs}, ROUNDS)
        sizes = {who: path.stat().st_size / 1e6 for who, path in paths.items()}
    what = f"{kind} of {SHAPE[0]} x {SHAPE[1]} x {SHAPE[2]}, two segments"
    name = f"{peer} {versions[0]}"
    return [Row(name, what, **seconds), Row(name, f"{kind}, size on the disk", **sizes, unit="MB")]


@contextmanager
def _case() -> Iterator[tuple[Path, Prediction]]:
    """A folder with the series and the labels, and what our writers take of them."""

    def square(_: int, dataset: Any) -> None:  # rt-utils 1.2.7 takes rows for columns
        dataset.PixelSpacing = [0.75, 0.75]
        dataset.StudyDate = dataset.StudyTime = dataset.AccessionNumber = dataset.StudyID = ""
        dataset.PatientBirthDate = dataset.PatientSex = dataset.ReferringPhysicianName = ""
        dataset.SeriesNumber = dataset.InstanceNumber = 1

    with tempfile.TemporaryDirectory() as name:
        folder, labels = Path(name), cylinders(SHAPE)
        np.save(folder / "labels.npy", labels)
        write_series(folder / "series", np.zeros(SHAPE, np.int16), edit=square)
        yield folder, predict_volume(read(folder / "series"), labels=labels)
