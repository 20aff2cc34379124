"""The files of one item, by format, into its draft folder."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from pipeline.files import atomic_write
from pipeline.prediction.stages import Stages
from pipeline.writers.cine import write_cine, write_contact_sheet
from pipeline.writers.dicom_seg import write_seg
from pipeline.writers.dicom_sr import write_sr
from pipeline.writers.nifti import write_labels, write_probabilities
from pipeline.writers.overlay import draw_overlay
from pipeline.writers.png import write_png
from pipeline.writers.prediction import Prediction
from pipeline.writers.thumbnail import draw_thumbnail

__all__ = ["FORMATS", "THUMBNAIL", "Pictures", "Written", "write_outputs"]

FORMATS = ("seg", "sr", "nifti", "overlay")
THUMBNAIL = "thumbnail.jpg"
NO_PICTURE = "no picture: text beside the tissue could not be told from it"


@dataclass(frozen=True)
class Pictures:
    """What pictures are drawn from.

    Attributes:
        key: the key frame's view (C, H, W) uint8, black outside the tissue; None where the bundle has no views, all
            black where none may be shown.
        frames: the view of a frame by its index, for the pictures of a cine.
        frame_time_ms: from frame to frame; None where it is not known.
    """

    key: np.ndarray | None
    frames: Callable[[int], np.ndarray]
    frame_time_ms: float | None = None


@dataclass(frozen=True)
class Written:
    """Names of the files, and what was repaired on the way, in words."""

    outputs: tuple[str, ...]
    notes: tuple[str, ...]


def write_outputs(
    folder: Path,
    prediction: Prediction,
    *,
    pictures: Pictures,
    formats: tuple[str, ...],
    seg_type: str,
    probabilities: bool,
    stages: Stages,
) -> Written:
    """Write one item's results.

    Args:
        folder: the draft.
        formats: of ``FORMATS``.
        seg_type: "binary", "labelmap" or "fractional".
        probabilities: write them as NIfTI, too, whatever the formats.

    Raises:
        PyrasegError: what the writers refuse; a full disk among it.
    """
    outputs: list[str] = []
    notes: tuple[str, ...] = ()
    seg = None
    if "seg" in formats:
        with stages("seg"):
            seg = write_seg(folder / "seg.dcm", prediction, kind=seg_type)
        outputs, notes = [*outputs, "seg.dcm"], (*notes, *seg.notes)
    if "sr" in formats:
        with stages("sr"):
            sr = write_sr(folder / "sr.dcm", prediction, seg=seg)
        outputs, notes = [*outputs, "sr.dcm"], (*notes, *sr.notes)
    with stages("nifti"):
        outputs += _nifti(folder, prediction, pictures, labels="nifti" in formats, probabilities=probabilities)
    if pictures.key is not None and not pictures.key.any():
        return Written(tuple(outputs), tuple(dict.fromkeys((*notes, NO_PICTURE))))
    with stages("pictures"):
        outputs += _pictures(folder, prediction, pictures, overlay="overlay" in formats)
    return Written(tuple(outputs), tuple(dict.fromkeys(notes)))


def _nifti(
    folder: Path, prediction: Prediction, pictures: Pictures, *, labels: bool, probabilities: bool
) -> Iterator[str]:
    spacing, frame_time_ms = prediction.spacing_mm, pictures.frame_time_ms
    if labels:
        path = folder / "labels.nii.gz"
        yield write_labels(path, prediction.labels, spacing_mm=spacing, frame_time_ms=frame_time_ms).name
    if probabilities and prediction.probabilities is not None:
        path = folder / "probabilities.nii.gz"
        values = prediction.probabilities
        yield write_probabilities(path, values, spacing_mm=spacing, frame_time_ms=frame_time_ms).name


def _pictures(folder: Path, prediction: Prediction, pictures: Pictures, *, overlay: bool) -> Iterator[str]:
    key, labels = pictures.key, prediction.labels
    if key is None:
        return
    drawn = draw_overlay(key, labels[prediction.key_frame], prediction.segments)
    with atomic_write(folder / THUMBNAIL) as file:
        file.write(draw_thumbnail(drawn))
    yield THUMBNAIL
    if not overlay:
        return
    yield write_png(folder / "overlay.png", drawn).name
    if len(labels) == 1:
        return
    frames, segments = pictures.frames, prediction.segments
    yield write_cine(folder / "cine.webp", frames, labels, segments, frame_time_ms=pictures.frame_time_ms).name
    yield write_contact_sheet(folder / "sheet.png", frames, labels, segments, key_frame=prediction.key_frame).name
