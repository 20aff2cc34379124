"""The content of an item's draft folder: large working arrays, then result files by format."""

from __future__ import annotations

import math
import os
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from pyraseg.pipeline.prediction.progress import Stages
from pyraseg.pipeline.utils.files import atomic_write, output_error
from pyraseg.pipeline.writers.dicom.rtstruct import write_rtstruct
from pyraseg.pipeline.writers.dicom.seg import write_seg
from pyraseg.pipeline.writers.dicom.source import SourceHeader
from pyraseg.pipeline.writers.dicom.sr import write_sr
from pyraseg.pipeline.writers.nifti import write_labels, write_probabilities
from pyraseg.pipeline.writers.pictures.cine import write_cine, write_contact_sheet
from pyraseg.pipeline.writers.pictures.montage import draw_projection, draw_volume
from pyraseg.pipeline.writers.pictures.overlay import draw_overlay
from pyraseg.pipeline.writers.pictures.picture_files import draw_thumbnail, write_png
from pyraseg.pipeline.writers.prediction import Prediction

__all__ = [
    "DEFAULT_FORMATS",
    "DICOM_FORMATS",
    "FORMATS",
    "THUMBNAIL",
    "Pictures",
    "VolumePictures",
    "Written",
    "scratch_array",
    "write_outputs",
]

DEFAULT_FORMATS = ("seg", "sr", "nifti", "overlay")
FORMATS = (*DEFAULT_FORMATS, "rtstruct")
DICOM_FORMATS = frozenset({"seg", "sr", "rtstruct"})
THUMBNAIL = "thumbnail.jpg"
NO_PICTURE = "no picture: text beside the tissue could not be told from it"
IN_MEMORY = 2**26  # bytes of the largest array that is kept in memory


def scratch_array(path: Path, shape: Sequence[int], dtype: Any) -> np.ndarray:
    """An array of zeros, in memory or, if large, in an unnamed file.

    Raises:
        OutputError: no room for the file. It is reserved first, as a full disk would kill the process.
    """
    size = math.prod(shape) * np.dtype(dtype).itemsize
    if size <= IN_MEMORY:
        return np.zeros(shape, dtype)
    try:
        with path.open("w+b") as file:
            path.unlink()
            os.posix_fallocate(file.fileno(), 0, size)
            return np.memmap(file, dtype, "r+", shape=tuple(shape))
    except OSError as error:
        raise output_error(error, path) from error


@dataclass(frozen=True)
class Pictures:
    """The data for the pictures of a frame or a cine.

    Attributes:
        key: the key frame's view (C, H, W) uint8, black outside the tissue; None where the bundle has no
            views, all black where none may be shown.
        frames: returns the view of a frame by index, for the pictures of a cine.
        frame_time_ms: between frames; None where unknown.
    """

    key: np.ndarray | None
    frames: Callable[[int], np.ndarray]
    frame_time_ms: float | None = None

    @property
    def blank(self) -> bool:
        """Whether nothing may be shown."""
        return self.key is not None and not self.key.any()

    def write(self, folder: Path, prediction: Prediction, *, overlay: bool) -> Iterator[str]:
        """Write the thumbnail; with ``overlay`` also the key frame, and the animation and sheet of a cine."""
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
        path, time = folder / "cine.webp", self.frame_time_ms
        yield write_cine(path, self.frames, labels, segments, frame_time_ms=time).name
        path, number = folder / "sheet.png", prediction.key_frame
        yield write_contact_sheet(path, self.frames, labels, segments, key_frame=number).name


@dataclass(frozen=True, eq=False)
class VolumePictures:
    """The data for the pictures of a volume. Series of CT, MR and PET have no text in their pixels.

    Attributes:
        view: returns (X, Y, Z) uint8 on the source grid, scaled as for the network.
        affine: (4, 4), from index to RAS+ mm.
        projected: whether the thumbnail is the projection (as for PET) or the slice with the most labels.
    """

    view: Callable[[], np.ndarray]
    affine: np.ndarray
    projected: bool

    blank = False

    def write(self, folder: Path, prediction: Prediction, *, overlay: bool) -> Iterator[str]:
        """Write the thumbnail and, with ``overlay``, a montage and a coronal maximum intensity projection."""
        labels, segments, affine = prediction.labels.T, prediction.segments, self.affine
        view = self.view()
        projection = draw_projection(view, labels, segments, affine=affine)
        small = projection
        if not self.projected:
            small = draw_volume(view, labels, segments, affine=affine, slices=1)
        with atomic_write(folder / THUMBNAIL) as file:
            file.write(draw_thumbnail(small))
        yield THUMBNAIL
        if overlay:
            montage = draw_volume(view, labels, segments, affine=affine)
            yield write_png(folder / "overlay.png", montage).name
            yield write_png(folder / "projection.png", projection).name


@dataclass(frozen=True)
class Written:
    """The names of the files, and notes on repairs."""

    outputs: tuple[str, ...]
    notes: tuple[str, ...]


def write_outputs(
    folder: Path,
    prediction: Prediction,
    *,
    pictures: Pictures | VolumePictures,
    formats: tuple[str, ...],
    seg_type: str,
    probabilities: bool,
    stages: Stages,
    header: SourceHeader | None = None,
    frame_time_ms: float | None = None,
    affine: np.ndarray | None = None,
) -> Written:
    """Write one item's results.

    Args:
        folder: the draft.
        formats: of ``FORMATS``; "rtstruct" only for a series.
        seg_type: "binary", "labelmap" or "fractional".
        probabilities: also write them as NIfTI, whatever the formats.
        header: what DICOM objects copy from the source; read where not given.
        frame_time_ms: of a cine.
        affine: of a volume, (4, 4), from index to RAS+ mm.

    Raises:
        PyrasegError: a writer refuses the item, or the disk is full.
    """
    outputs, notes = _dicom(folder, prediction, formats, seg_type, header, stages)
    grid: dict[str, Any] = {"spacing_mm": prediction.spacing_mm, "frame_time_ms": frame_time_ms}
    grid["affine"] = affine
    with stages("nifti"):
        if "nifti" in formats:
            outputs.append(write_labels(folder / "labels.nii.gz", prediction.labels, **grid).name)
        if probabilities and (values := prediction.probabilities) is not None:
            outputs.append(write_probabilities(folder / "probabilities.nii.gz", values, **grid).name)
    if pictures.blank:
        notes.append(NO_PICTURE)
    else:
        with stages("pictures"):
            outputs += pictures.write(folder, prediction, overlay="overlay" in formats)
    return Written(tuple(outputs), tuple(dict.fromkeys(notes)))


def _dicom(
    folder: Path,
    prediction: Prediction,
    formats: tuple[str, ...],
    seg_type: str,
    header: SourceHeader | None,
    stages: Stages,
) -> tuple[list[str], list[str]]:
    """The names and notes of the DICOM objects."""
    outputs: list[str] = []
    notes: list[str] = []
    seg = None
    if "seg" in formats:
        with stages("seg"):
            seg = write_seg(folder / "seg.dcm", prediction, kind=seg_type, header=header)
        outputs.append("seg.dcm")
        notes += seg.notes
    if "sr" in formats:
        with stages("sr"):
            notes += write_sr(folder / "sr.dcm", prediction, seg=seg, header=header).notes
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
                header=header,
                replaced=prediction.replaced,
            ).notes
        outputs.append("rtstruct.dcm")
    return outputs, notes
