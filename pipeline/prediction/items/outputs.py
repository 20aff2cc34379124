"""The files of one item, by format, into its draft folder."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from pyraseg.pipeline.prediction.stages import Stages
from pyraseg.pipeline.utils.files import atomic_write
from pyraseg.pipeline.writers.dicom.rtstruct import write_rtstruct
from pyraseg.pipeline.writers.dicom.seg import write_seg
from pyraseg.pipeline.writers.dicom.sr import write_sr
from pyraseg.pipeline.writers.nifti import write_labels, write_probabilities
from pyraseg.pipeline.writers.pictures.cine import write_cine, write_contact_sheet
from pyraseg.pipeline.writers.pictures.overlay import draw_overlay
from pyraseg.pipeline.writers.pictures.picture_files import draw_thumbnail, write_png
from pyraseg.pipeline.writers.prediction import Prediction

__all__ = ["DEFAULT_FORMATS", "FORMATS", "THUMBNAIL", "Drawing", "Pictures", "Written", "write_outputs"]

DEFAULT_FORMATS = ("seg", "sr", "nifti", "overlay")
FORMATS = (*DEFAULT_FORMATS, "rtstruct")
THUMBNAIL = "thumbnail.jpg"
NO_PICTURE = "no picture: text beside the tissue could not be told from it"


class Drawing(Protocol):
    """What pictures of an item are drawn from."""

    @property
    def blank(self) -> bool:
        """Whether nothing of it may be shown."""

    def write(self, folder: Path, prediction: Prediction, *, overlay: bool) -> Iterator[str]:
        """Write the thumbnail and, with ``overlay``, the other pictures; yields their names."""


@dataclass(frozen=True)
class Pictures:
    """What pictures of a frame or a cine are drawn from.

    Attributes:
        key: the key frame's view (C, H, W) uint8, black outside the tissue; None where the bundle has no
            views, all black where none may be shown.
        frames: the view of a frame by its index, for the pictures of a cine.
        frame_time_ms: from frame to frame; None where it is not known.
    """

    key: np.ndarray | None
    frames: Callable[[int], np.ndarray]
    frame_time_ms: float | None = None

    @property
    def blank(self) -> bool:
        """Whether nothing of it may be shown."""
        return self.key is not None and not self.key.any()

    def write(self, folder: Path, prediction: Prediction, *, overlay: bool) -> Iterator[str]:
        """Write the thumbnail and, with ``overlay``, the key frame; of a cine also a moving picture and a
        sheet."""
        key, labels, segments = self.key, prediction.labels, prediction.segments
        if key is None:
            return
        drawn = draw_overlay(key, labels[prediction.key_frame], segments)
        with atomic_write(folder / THUMBNAIL) as file:
            file.write(draw_thumbnail(drawn))
        yield THUMBNAIL
        if not overlay:
            return
        yield write_png(folder / "overlay.png", drawn).name
        if len(labels) == 1:
            return
        yield write_cine(
            folder / "cine.webp", self.frames, labels, segments, frame_time_ms=self.frame_time_ms
        ).name
        number = prediction.key_frame
        yield write_contact_sheet(folder / "sheet.png", self.frames, labels, segments, key_frame=number).name


@dataclass(frozen=True)
class Written:
    """Names of the files, and what was repaired on the way, in words."""

    outputs: tuple[str, ...]
    notes: tuple[str, ...]


def write_outputs(
    folder: Path,
    prediction: Prediction,
    *,
    pictures: Drawing,
    formats: tuple[str, ...],
    seg_type: str,
    probabilities: bool,
    stages: Stages,
    frame_time_ms: float | None = None,
    affine: np.ndarray | None = None,
) -> Written:
    """Write one item's results.

    Args:
        folder: the draft.
        formats: of ``FORMATS``; "rtstruct" of a series alone.
        seg_type: "binary", "labelmap" or "fractional".
        probabilities: write them as NIfTI, too, whatever the formats.
        frame_time_ms: of a cine.
        affine: of a volume, (4, 4), from index to RAS+ mm.

    Raises:
        PyrasegError: what the writers refuse; a full disk among it.
    """
    outputs, notes = _dicom(folder, prediction, formats, seg_type, stages)
    place = {"spacing_mm": prediction.spacing_mm, "frame_time_ms": frame_time_ms, "affine": affine}
    with stages("nifti"):
        outputs += _nifti(folder, prediction, place, labels="nifti" in formats, probabilities=probabilities)
    if pictures.blank:
        return Written(tuple(outputs), tuple(dict.fromkeys((*notes, NO_PICTURE))))
    with stages("pictures"):
        outputs += pictures.write(folder, prediction, overlay="overlay" in formats)
    return Written(tuple(outputs), tuple(dict.fromkeys(notes)))


def _dicom(
    folder: Path, prediction: Prediction, formats: tuple[str, ...], seg_type: str, stages: Stages
) -> tuple[list[str], list[str]]:
    """Names and notes of the objects."""
    outputs: list[str] = []
    notes: list[str] = []
    seg = None
    if "seg" in formats:
        with stages("seg"):
            seg = write_seg(folder / "seg.dcm", prediction, kind=seg_type)
        outputs.append("seg.dcm")
        notes += seg.notes
    if "sr" in formats:
        with stages("sr"):
            notes += write_sr(folder / "sr.dcm", prediction, seg=seg).notes
        outputs.append("sr.dcm")
    if "rtstruct" in formats and prediction.series is not None:
        with stages("rtstruct"):
            notes += write_rtstruct(
                folder / "rtstruct.dcm",
                prediction.labels.T,
                prediction.series,
                segments=prediction.segments,
                algorithm=prediction.algorithm,
                salt=prediction.salt,
            ).notes
        outputs.append("rtstruct.dcm")
    return outputs, notes


def _nifti(
    folder: Path, prediction: Prediction, place: Mapping[str, Any], *, labels: bool, probabilities: bool
) -> Iterator[str]:
    if labels:
        yield write_labels(folder / "labels.nii.gz", prediction.labels, **place).name
    if probabilities and prediction.probabilities is not None:
        yield write_probabilities(folder / "probabilities.nii.gz", prediction.probabilities, **place).name
