"""The parts of overlays, cines and montages: regions, contours, dashed outlines, boxes."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np
from numpy.typing import ArrayLike
from PIL import Image, ImageDraw
from skimage.measure import find_contours

from pyraseg.transforms.errors import GeometryError, LabelError
from pyraseg.transforms.geometry.components import foreground_box
from pyraseg.transforms.records import Segment

__all__ = [
    "Box",
    "box_with_margin",
    "checked_image",
    "checked_labels",
    "draw_dashed",
    "paint",
    "tissue_box",
    "to_bytes",
    "to_picture",
]

Box = tuple[slice, slice]

CONTOUR, LINE = 400, 600  # pixels of the longer side for each pixel of contour or dashed line
DASH = 7.0  # pixels of a dash and of a gap
PALE = 0.55  # how far the reference's colour is mixed with white
MARGIN = 0.02  # around the tissue, as a fraction of its longer side


def checked_image(image: ArrayLike) -> np.ndarray:
    """The image, unchanged; GeometryError unless (C, H, W) with one or three channels."""
    source = np.asarray(image)
    if source.ndim != 3 or source.shape[0] not in (1, 3) or not source.size:
        remedy = "Give one frame, grey or RGB, channel first."
        raise GeometryError("an image (C, H, W) with 1 or 3 channels", found=f"{source.shape}", remedy=remedy)
    return source


def checked_labels(mask: ArrayLike, shape: tuple[int, ...], segments: Iterable[Segment]) -> np.ndarray:
    """The mask as bytes; GeometryError unless of ``shape``, LabelError for a value that no segment has."""
    labels = np.asarray(mask)
    if labels.shape != shape:
        remedy = "Restore the mask to the frame's grid first."
        raise GeometryError(f"a mask of the frame's size {shape}", found=f"{labels.shape}", remedy=remedy)
    known = np.zeros(256, bool)
    known[[0, *(segment.value for segment in segments)]] = True
    small = labels.astype(np.uint8, copy=False)
    if not known[small].all() or (small is not labels and not np.array_equal(small, labels)):
        remedy = "Give the segments of the label set that the mask was made with."
        raise LabelError("a mask whose values are all segments", found="others", remedy=remedy)
    return small


def to_bytes(image: np.ndarray) -> np.ndarray:
    """(C, H, W), bytes or values from 0 to 1, as bytes; NaN becomes black."""
    if image.dtype == np.uint8:
        return image
    return np.rint(255 * np.fmin(np.fmax(image, 0), 1).astype(np.float32, copy=False)).astype(np.uint8)


def to_picture(image: np.ndarray) -> np.ndarray:
    """Bytes (C, H, W) as a new RGB picture (H, W, 3)."""
    picture = np.empty((*image.shape[1:], 3), np.uint8)
    for channel in range(3):  # many times faster than one assignment to a last axis of three
        picture[..., channel] = image[channel % len(image)]
    return picture


def tissue_box(image: np.ndarray, labels: Sequence[np.ndarray]) -> Box:
    """The box, with a margin, of what is not black or in a mask; it shows false positives on black."""
    lit = image[0] > 0
    for each in (*image[1:], *labels):
        lit |= each > 0
    return box_with_margin(lit)


def box_with_margin(lit: np.ndarray) -> Box:
    """The box of nonzero values in (H, W) with a small margin; the whole where all are 0."""
    box = foreground_box(lit) or (slice(0, lit.shape[0]), slice(0, lit.shape[1]))
    return _widened(box, round(MARGIN * max(side.stop - side.start for side in box)), lit.shape)


def _widened(box: Sequence[slice], margin: int, shape: Sequence[int]) -> Box:
    """The box with a margin, within the frame."""
    rows, columns = (
        slice(max(0, side.start - margin), min(size, side.stop + margin))
        for side, size in zip(box, shape, strict=True)
    )
    return rows, columns


def paint(picture: np.ndarray, labels: np.ndarray, segments: Iterable[Segment], *, alpha: float) -> None:
    """Blend each segment's colour into its region, with a contour inside, except at the frame's edge."""
    width = max(2, round(max(labels.shape) / CONTOUR))
    levels = np.arange(256, dtype=np.float32)[:, None] / 255
    for segment in segments:
        box = foreground_box(labels == segment.value) if segment.value else None
        if box is None:
            continue
        box = _widened(box, 1, labels.shape)
        part, region = picture[box], labels[box] == segment.value
        tone = np.asarray(segment.colour, np.float32) / 255
        blended = np.rint(255 * ((1 - alpha) * levels + alpha * tone)).astype(np.uint8)
        for channel in range(3):
            plane = part[..., channel]
            plane[region] = blended[plane[region], channel]
        part[region & ~_eroded(region, width)] = segment.colour


def draw_dashed(picture: np.ndarray, labels: np.ndarray, segments: Iterable[Segment]) -> np.ndarray:
    """Outline label values (H, W) on a copy of a picture (H, W, 3), in paler segment colours."""
    width = max(1, round(max(labels.shape) / LINE))
    canvas = Image.fromarray(picture)
    pen = ImageDraw.Draw(canvas)
    for segment in segments:
        pale = tuple(round(part + PALE * (255 - part)) for part in segment.colour)
        for line in find_contours(np.pad(labels == segment.value, 1).astype(np.uint8), 0.5):
            points = (line - 1)[:, ::-1]
            length = np.cumsum(np.hypot(*np.diff(points, axis=0).T))
            for begin, end, at in zip(points[:-1], points[1:], length, strict=True):
                if at // DASH % 2 == 0:
                    pen.line([*begin, *end], fill=pale, width=width)
    return np.asarray(canvas)


def _eroded(region: np.ndarray, width: int) -> np.ndarray:
    """Erode ``width`` times by face neighbours; beyond the array all is region."""
    for _ in range(width):
        inner = region.copy()
        inner[1:] &= region[:-1]
        inner[:-1] &= region[1:]
        inner[:, 1:] &= region[:, :-1]
        inner[:, :-1] &= region[:, 1:]
        region = inner
    return region
