"""Seconds to write what is delivered of a CT: SEG by kind, SR, RTSTRUCT and NIfTI of 300 slices with two segments."""

from __future__ import annotations

import statistics
import tempfile
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np

from pyraseg.pipeline.writers.dicom.rtstruct import write_rtstruct
from pyraseg.pipeline.writers.dicom.seg import write_seg
from pyraseg.pipeline.writers.dicom.sr import write_sr
from pyraseg.pipeline.writers.nifti import write_labels
from pyraseg.pipeline.writers.prediction import Prediction
from pyraseg.transforms.dicom.series.source_series import SourceSeries
from tests.pipeline.writers.volume_cases import predict_volume, read
from tests.transforms.dicom.series_cases import write_series

__all__ = ["cylinders", "table"]

SHAPE = (300, 512, 512)
ROUNDS = 3


def table(*, shape: tuple[int, int, int] = SHAPE, rounds: int = ROUNDS) -> str:
    """A Markdown table: the median of some rounds."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        prediction = _prediction(folder, shape)
        seg = write_seg(folder / "seg.dcm", prediction)
        series = prediction.series
        if series is None:
            raise ValueError("a prediction of a volume has a series")
        ways: dict[str, Callable[[], object]] = {
            "SEG, binary": lambda: write_seg(folder / "seg.dcm", prediction),
            "SEG, labelmap": lambda: write_seg(folder / "map.dcm", prediction, kind="labelmap"),
            "RTSTRUCT": lambda: write_rtstruct(
                folder / "rtstruct.dcm", prediction.labels.T, series, segments=prediction.segments,
                algorithm=prediction.algorithm,
            ),
            "SR": lambda: write_sr(folder / "sr.dcm", prediction, seg=seg),
            "NIfTI": lambda: write_labels(
                folder / "labels.nii.gz", prediction.labels, affine=series.grid.affine
            ),
        }  # fmt: skip
        frames = sum(map(len, seg.frame_numbers.values()))
        lines = [
            f"{shape[0]} slices of {shape[1]} x {shape[2]}, {frames} frames of two segments, median of {rounds}."
        ]
        lines += ["", "| | seconds |", "| --- | ---: |"]
        lines += [f"| {what} | {_median(way, rounds):.2f} |" for what, way in ways.items()]
    return "\n".join(lines)


def _prediction(folder: Path, shape: tuple[int, int, int]) -> Prediction:
    """`cylinders` through all slices of a series of which one slice is there, for its header."""
    volume = read(write_series(folder / "series"))
    slices, rows, columns = shape
    first = replace(volume.source.slices[0], rows=rows, columns=columns)
    refs = tuple(replace(first, sop_instance_uid=f"1.2.4.{index + 1}") for index in range(slices))
    series = SourceSeries(replace(volume.grid, shape=shape[::-1]), volume.source.frame_of_reference_uid, refs)
    return predict_volume(volume, labels=cylinders(shape), series=series)


def cylinders(shape: tuple[int, int, int]) -> np.ndarray:
    """Two segments, one in the other, through all slices: (slices, rows, columns)."""
    slices, rows, columns = shape
    y, x = np.ogrid[:rows, :columns]
    distance = np.hypot(y - rows / 2, x - columns / 2) / rows
    plane = np.where(distance < 0.12, 1, np.where(distance < 0.24, 2, 0)).astype(np.uint8)
    return np.repeat(plane[None], slices, axis=0)


def _median(way: Callable[[], object], rounds: int) -> float:
    seconds = []
    for _ in range(rounds):
        begin = time.perf_counter()
        way()
        seconds.append(time.perf_counter() - begin)
    return statistics.median(seconds)
