"""A frame with its mask drawn over it: fill and contour for each class, a dashed line for the reference."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import ArrayLike
from scipy import ndimage

from pipeline.writers.grid import draw_grid
from pipeline.writers.png import write_png
from transforms.errors import ConfigError, GeometryError, LabelError
from transforms.records import Segment

__all__ = ["draw_grid", "draw_overlay", "write_overlay"]

LEGIBLE = 400  # pixels of the longer side below which a frame is enlarged
MARGIN = 0.02  # around the tissue, as a fraction of its longer side
CONTOUR, LINE = 400, 600  # one pixel of contour, and of dashed line, for so many pixels of the longer side
DASH = 7.0  # pixels of a dash and of a gap
PALE = 0.55  # how far the reference's colour goes to white


def draw_overlay(
    image: ArrayLike,
    mask: ArrayLike,
    segments: Iterable[Segment],
    *,
    reference: ArrayLike | None = None,
    alpha: float = 0.35,
) -> np.ndarray:
    """Draw a mask, and a reference if there is one, over its frame.

    The picture is the frame's tissue: the box of what is not black, or in a mask, and a small margin. A small one is
    enlarged by a whole factor. What stands outside the tissue must have been blanked before, as preprocessing does.

    Args:
        image: (C, H, W), grey (C = 1) or RGB (C = 3), values from 0 to 1.
        mask: (H, W), class values; drawn as fill and contour in the segments' colours.
        segments: the classes; the one with value 0 is not drawn.
        reference: (H, W), class values; drawn as a thin dashed line in a paler tone of the same colours.
        alpha: opacity of the fill, from 0 to 1.

    Returns:
        RGB, uint8 (height, width, 3).

    Raises:
        ConfigError: ``alpha`` is out of its range.
        GeometryError: the image is not (C, H, W) with one or three channels, or a mask has another size.
        LabelError: a mask holds a value that no segment has.
    """
    if not 0 <= alpha <= 1:
        raise ConfigError("an alpha from 0 to 1", found=f"{alpha}", remedy="Give the fill's opacity, such as 0.35.")
    frame = _rgb(image)
    drawn = [segment for segment in segments if segment.value]
    labels = [_labels(each, frame, drawn) for each in (mask, reference) if each is not None]
    box = _tissue(frame, labels)
    factor = max(1, -(-LEGIBLE // max(side.stop - side.start for side in box)))
    picture = _enlarge(frame[box], factor)
    labels = [each[box].repeat(factor, axis=0).repeat(factor, axis=1) for each in labels]
    for segment in drawn:
        _paint(picture, labels[0] == segment.value, colour=segment.colour, alpha=alpha)
    out = np.round(255 * picture).astype(np.uint8)
    return out if reference is None else _dashed(out, labels[1], drawn)


def write_overlay(
    path: str | Path,
    image: ArrayLike,
    mask: ArrayLike,
    segments: Iterable[Segment],
    *,
    reference: ArrayLike | None = None,
    alpha: float = 0.35,
) -> Path:
    """Write ``draw_overlay`` of the same arguments as a PNG without metadata.

    Raises:
        ConfigError, GeometryError, LabelError: as ``draw_overlay``.
        OutputError: the file cannot be written.
    """
    return write_png(path, draw_overlay(image, mask, segments, reference=reference, alpha=alpha))


def _rgb(image: ArrayLike) -> np.ndarray:
    """(C, H, W) to (H, W, 3), float32 from 0 to 1; what is no number becomes black."""
    source = np.asarray(image)
    if source.ndim != 3 or source.shape[0] not in (1, 3) or not source.size:
        remedy = "Give one frame, grey or RGB, channel first."
        raise GeometryError("an image (C, H, W) with 1 or 3 channels", found=f"{source.shape}", remedy=remedy)
    frame = np.nan_to_num(source.astype(np.float32), nan=0.0).clip(0, 1)
    return np.broadcast_to(frame.transpose(1, 2, 0), (*frame.shape[1:], 3))


def _labels(mask: ArrayLike, frame: np.ndarray, segments: Sequence[Segment]) -> np.ndarray:
    labels = np.asarray(mask)
    if labels.shape != frame.shape[:2]:
        remedy = "Restore the mask to the frame's grid first."
        raise GeometryError(f"a mask of the frame's size {frame.shape[:2]}", found=f"{labels.shape}", remedy=remedy)
    if not np.isin(np.unique(labels), [0, *(segment.value for segment in segments)]).all():
        remedy = "Give the segments of the label set that the mask was made with."
        raise LabelError("a mask whose values are all segments", found="others", remedy=remedy)
    return labels


def _tissue(frame: np.ndarray, labels: Sequence[np.ndarray]) -> tuple[slice, slice]:
    """The box of what is not black or in a mask: a false positive on black is to be seen, too."""
    shown = frame.any(axis=2)
    for each in labels:
        shown = shown | (each > 0)
    box = ndimage.find_objects(shown.view(np.uint8), max_label=1)[0] or tuple(slice(0, side) for side in shown.shape)
    margin = round(MARGIN * max(side.stop - side.start for side in box))
    rows, columns = (
        slice(max(0, side.start - margin), min(size, side.stop + margin))
        for side, size in zip(box, shown.shape, strict=True)
    )
    return rows, columns


def _enlarge(frame: np.ndarray, factor: int) -> np.ndarray:
    """Resize bilinearly: pixel (r, c) lands on the block of factor x factor pixels that its label covers."""
    if factor == 1:
        return frame.copy()
    from PIL import Image

    picture = Image.fromarray(np.round(255 * frame).astype(np.uint8))
    size = (picture.width * factor, picture.height * factor)
    return np.asarray(picture.resize(size, Image.Resampling.BILINEAR), np.float32) / 255


def _paint(picture: np.ndarray, region: np.ndarray, *, colour: Sequence[int], alpha: float) -> None:
    """Blend the colour into the region and lay its contour inside it; the frame's edge is no contour."""
    width = max(2, round(max(region.shape) / CONTOUR))
    tone = np.asarray(colour, np.float32) / 255
    contour = region & ~ndimage.binary_erosion(region, iterations=width, border_value=1)
    picture[region] = (1 - alpha) * picture[region] + alpha * tone
    picture[contour] = tone


def _dashed(picture: np.ndarray, labels: np.ndarray, segments: Iterable[Segment]) -> np.ndarray:
    from PIL import Image, ImageDraw
    from skimage.measure import find_contours

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
