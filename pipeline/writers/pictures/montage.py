"""Pictures of a volume with its labels, as radiologists view it: axial slices, and a projection."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np
from nibabel.orientations import apply_orientation, axcodes2ornt, io_orientation, ornt_transform
from numpy.typing import NDArray
from PIL import Image
from scipy.ndimage import maximum_filter

from pyraseg.pipeline.writers.pictures.drawing import (
    box_with_margin,
    checked_labels,
    draw_dashed,
    paint,
    to_bytes,
    to_picture,
)
from pyraseg.transforms.errors import ConfigError, GeometryError
from pyraseg.transforms.records import Segment

__all__ = ["chosen_slices", "display_spacing", "draw_projection", "draw_volume", "to_display"]

TILE, PROJECTION = 320, 640  # pixels of a picture's longer side
GAP = 4  # pixels between the slices
ALPHA = 0.35
DARK = 0.03  # darker surroundings of the body are cropped
SHOWN = ("L", "P", "S")  # x to the patient's left, y to the back, z to the head


def to_display(array: np.ndarray, affine: np.ndarray) -> np.ndarray:
    """A volume (X, Y, Z) with axes swapped and flipped to radiologists' view; a view, not resampled.

    The new x runs to the patient's left, y to the back and z to the head, or nearly, in oblique volumes. So
    ``out[:, :, k].T`` is an axial picture with the front at the top and the patient's left on the right, and
    k counts from the feet.

    Args:
        affine: (4, 4), from index to RAS+ mm.
    """
    return np.asarray(apply_orientation(array, _orientation(affine)))


def display_spacing(affine: np.ndarray) -> tuple[float, float, float]:
    """The distances in mm between voxels along the axes of ``to_display``."""
    stored = np.linalg.norm(np.asarray(affine, np.float64)[:3, :3], axis=0)
    if not all(0 < value < np.inf for value in stored):
        remedy = "Read the volume with its geometry."
        raise GeometryError("a spacing in mm for x, y and z", found="one that is not above 0", remedy=remedy)
    shown = [0.0, 0.0, 0.0]
    for spacing, axis in zip(stored, _orientation(affine)[:, 0], strict=True):
        shown[int(axis)] = float(spacing)
    return shown[0], shown[1], shown[2]


def _orientation(affine: np.ndarray) -> np.ndarray:
    """(3, 2), nibabel's: the new axis and the direction of each stored one."""
    stored = io_orientation(np.asarray(affine, np.float64))
    return np.asarray(ornt_transform(stored, axcodes2ornt(SHOWN)))


def draw_volume(
    view: np.ndarray,
    labels: np.ndarray,
    segments: Iterable[Segment],
    *,
    affine: np.ndarray,
    reference: np.ndarray | None = None,
    slices: int = 9,
    columns: int = 3,
) -> np.ndarray:
    """Draw the axial slices with the most labels, row by row from the feet to the head.

    All are cropped to one box around body and labels, at one scale with square pixels.

    Args:
        view: (X, Y, Z) in any stored order, bytes or values from 0 to 1; may be a memory map.
        labels: (X, Y, Z), class values; drawn as fill and contour.
        segments: the classes; the one with value 0 is not drawn.
        affine: (4, 4), from index to RAS+ mm.
        reference: (X, Y, Z), class values; drawn as dashed lines.
        slices: how many at most; columns: slices in a row.

    Returns:
        RGB, uint8 (height, width, 3), each slice up to 320 pixels a side.

    Raises:
        ConfigError: ``slices`` or ``columns`` below 1.
        GeometryError: arrays that are no volumes of one shape, or an affine without three spacings.
        LabelError: a value that no segment has.
    """
    if slices < 1 or columns < 1:
        remedy = "Give at least one of each."
        raise ConfigError("slices and columns", found=f"{slices} slices, {columns} columns", remedy=remedy)
    drawn = [segment for segment in segments if segment.value]
    shown, maps, spacing = _displayed(view, [labels, reference], drawn, affine)
    chosen = chosen_slices(maps, slices)
    planes = [to_bytes(np.asarray(shown[:, :, k]).T) for k in chosen]
    lit = np.max(planes, axis=0) > 255 * DARK
    for each in maps:
        lit |= each[:, :, chosen].any(axis=2).T
    box = box_with_margin(lit)
    tiles = [
        _picture(plane[box], [each[:, :, k].T[box] for each in maps], drawn, spacing[1::-1], side=TILE)
        for plane, k in zip(planes, chosen, strict=True)
    ]
    columns = min(columns, len(tiles))
    (height, width, _), rows = tiles[0].shape, -(-len(tiles) // columns)
    sheet = np.zeros((rows * (height + GAP) - GAP, columns * (width + GAP) - GAP, 3), np.uint8)
    for index, tile in enumerate(tiles):
        top, left = index // columns * (height + GAP), index % columns * (width + GAP)
        sheet[top : top + height, left : left + width] = tile
    return sheet


def draw_projection(
    view: np.ndarray, labels: np.ndarray, segments: Iterable[Segment], *, affine: np.ndarray
) -> np.ndarray:
    """Draw the coronal maximum of a volume with all labels; head up, the patient's left on the right.

    Where classes lie behind each other, the highest value is drawn.

    Args:
        view, labels, segments, affine: as in ``draw_volume``.

    Returns:
        RGB, uint8 (height, width, 3), up to 640 pixels a side.

    Raises:
        GeometryError, LabelError: as ``draw_volume``.
    """
    drawn = [segment for segment in segments if segment.value]
    shown, maps, spacing = _displayed(view, [labels], drawn, affine)
    plane, *flat = (each.max(axis=1).T[::-1] for each in (shown, *maps))
    return _picture(to_bytes(plane), flat, drawn, spacing[::-2], side=PROJECTION)


def chosen_slices(maps: Sequence[np.ndarray], count: int) -> NDArray[np.intp]:
    """The indices of at most ``count`` axial slices of label maps (X, Y, Z), ascending.

    They divide the labelled volume into equal shares, each map with the same weight. So most slices lie where
    most is labelled, every larger lesion has some, and a missed reference is shown beside false positives.
    Without labels they are spread over the volume.
    """
    shares = [(each != 0).sum(axis=(0, 1), dtype=np.float64) for each in maps]
    labelled = [share / share.sum() for share in shares if share.any()]
    weight = np.sum(labelled or [np.ones(maps[0].shape[2])], axis=0)
    (filled,) = np.nonzero(weight)
    if len(filled) <= count:
        return filled
    middle = (np.cumsum(weight) - weight / 2) / weight.sum()
    wanted = (np.arange(count) + 0.5) / count
    chosen = {int(np.abs(middle[filled] - share).argmin()) for share in wanted}
    spare = [n for n in np.argsort(-weight[filled], kind="stable") if int(n) not in chosen]
    return filled[sorted(chosen | set(spare[: count - len(chosen)]))]


def _displayed(
    view: np.ndarray, maps: Sequence[np.ndarray | None], segments: Sequence[Segment], affine: np.ndarray
) -> tuple[np.ndarray, list[np.ndarray], tuple[float, float, float]]:
    """The view, the label maps as bytes, and the spacing, in radiologists' orientation."""
    if view.ndim != 3 or not view.size:
        remedy = "Take one without its channel."
        raise GeometryError("a volume (X, Y, Z)", found=f"{view.shape}", remedy=remedy)
    spacing = display_spacing(affine)
    checked = [checked_labels(each, view.shape, segments) for each in maps if each is not None]
    return to_display(view, affine), [to_display(each, affine) for each in checked], spacing


def _picture(
    plane: np.ndarray,
    maps: Sequence[np.ndarray],
    segments: Sequence[Segment],
    spacing: Sequence[float],
    *,
    side: int,
) -> np.ndarray:
    """One slice (rows, columns) as RGB with square pixels; ``spacing`` of rows and columns."""
    extent = np.asarray(plane.shape) * np.asarray(spacing)
    rows, columns = (max(1, round(side * length / extent.max())) for length in extent)
    grey = np.asarray(Image.fromarray(plane).resize((columns, rows), Image.Resampling.BILINEAR))
    scaled = [_scaled_labels(each, rows, columns) for each in maps]
    picture = to_picture(grey[None])
    paint(picture, scaled[0], segments, alpha=ALPHA)
    return draw_dashed(picture, scaled[1], segments) if len(scaled) > 1 else picture


def _scaled_labels(labels: np.ndarray, rows: int, columns: int) -> np.ndarray:
    """Labels on another grid; on a coarser one, none is lost."""
    reach = [-(-have // want) for have, want in zip(labels.shape, (rows, columns), strict=True)]
    dense = np.ascontiguousarray(maximum_filter(labels, reach) if max(reach) > 1 else labels)
    return np.asarray(Image.fromarray(dense).resize((columns, rows), Image.Resampling.NEAREST))
