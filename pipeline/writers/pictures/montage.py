"""Pictures of a volume with its labels, as radiologists look at it: axial slices, and a maximum projection."""

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

__all__ = [
    "chosen_slices",
    "display_spacing",
    "draw_montage",
    "draw_projection",
    "draw_volume",
    "to_display",
]

TILE, PROJECTION = 320, 640  # pixels of a picture's longer side
GAP = 4  # pixels between the slices
ALPHA = 0.35
DARK = 0.03  # what is not brighter than this is cut away around the body
AXES = {"sagittal": 0, "coronal": 1, "axial": 2}
SHOWN = ("L", "P", "S")  # x to the patient's left, y to the back, z to the head


def to_display(array: np.ndarray, affine: np.ndarray) -> np.ndarray:
    """A volume (X, Y, Z) with its axes swapped and turned as radiologists look at it; nothing is resampled or
    copied.

    The new x runs to the patient's left, y to the back and z to the head, as far as the stored axes do. So
    ``out[:, :, k].T`` is an axial picture with the front above and the patient's left on the right, and k
    counts from the feet. An oblique volume is shown along the axes that are nearest.

    Args:
        affine: (4, 4), from index to RAS+ mm.
    """
    return np.asarray(apply_orientation(array, _orientation(affine)))


def display_spacing(affine: np.ndarray) -> tuple[float, float, float]:
    """The distances in mm between voxels along the axes of ``to_display``."""
    stored = np.linalg.norm(np.asarray(affine, np.float64)[:3, :3], axis=0)
    shown = [0.0, 0.0, 0.0]
    for spacing, axis in zip(stored, _orientation(affine)[:, 0], strict=True):
        shown[int(axis)] = float(spacing)
    return shown[0], shown[1], shown[2]


def _orientation(affine: np.ndarray) -> np.ndarray:
    """(3, 2), nibabel's: the new axis and the direction of each stored one."""
    stored = io_orientation(np.asarray(affine, np.float64))
    return np.asarray(ornt_transform(stored, axcodes2ornt(SHOWN)))


def draw_montage(
    view: np.ndarray,
    labels: np.ndarray,
    segments: Iterable[Segment],
    *,
    spacing_mm: Sequence[float],
    reference: np.ndarray | None = None,
    slices: int = 9,
    columns: int = 3,
) -> np.ndarray:
    """Draw the axial slices that show most of the labels, row by row from the feet to the head.

    All slices are cut to one box, the body and all labels in them, and have one scale with square pixels.
    Which ones are shown says ``chosen_slices``.

    Args:
        view: (X, Y, Z) in the order of ``to_display``, bytes or values from 0 to 1; may be a memory map.
        labels: (X, Y, Z), class values; drawn as fill and contour.
        segments: the classes; the one with value 0 is not drawn.
        spacing_mm: along x, y and z.
        reference: (X, Y, Z), class values; drawn as dashed lines.
        slices: how many at most. columns: slices in a row.

    Returns:
        RGB, uint8 (height, width, 3), each slice up to 320 pixels a side.

    Raises:
        ConfigError: ``slices`` or ``columns`` below 1.
        GeometryError: arrays that are no volumes of one shape, or a spacing that is not three positive
            numbers.
        LabelError: a value that no segment has.
    """
    if slices < 1 or columns < 1:
        remedy = "Give at least one of each."
        raise ConfigError("slices and columns", found=f"{slices} slices, {columns} columns", remedy=remedy)
    drawn = [segment for segment in segments if segment.value]
    maps = _checked(view, labels, reference, spacing_mm, drawn)
    chosen = chosen_slices(maps, slices)
    planes = [to_bytes(np.asarray(view[:, :, k]).T) for k in chosen]
    lit = np.max(planes, axis=0) > 255 * DARK
    for each in maps:
        lit |= each[:, :, chosen].any(axis=2).T
    box = box_with_margin(lit)
    tiles = [
        _picture(plane[box], [each[:, :, k].T[box] for each in maps], drawn, spacing_mm[1::-1], side=TILE)
        for plane, k in zip(planes, chosen, strict=True)
    ]
    return _joined(tiles, min(columns, len(tiles)))


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
    """``draw_montage`` of arrays (X, Y, Z) in any stored order; ``affine`` leads from index to RAS+ mm."""
    return draw_montage(
        to_display(view, affine),
        to_display(labels, affine),
        segments,
        spacing_mm=display_spacing(affine),
        reference=None if reference is None else to_display(reference, affine),
        slices=slices,
        columns=columns,
    )


def draw_projection(
    view: np.ndarray,
    labels: np.ndarray,
    segments: Iterable[Segment],
    *,
    spacing_mm: Sequence[float],
    axis: str = "coronal",
    reference: np.ndarray | None = None,
) -> np.ndarray:
    """Draw the maximum of a volume along one axis, with all that any label covers; the head is above.

    A coronal projection has the patient's left on the right, a sagittal one the front on the left.

    Args:
        axis: "coronal" (from the front), "sagittal" (from the side) or "axial" (from the feet).
        view, labels, segments, spacing_mm, reference: as in ``draw_montage``. Where several classes lie
            behind each other, the one of the highest value is drawn.

    Returns:
        RGB, uint8 (height, width, 3), up to 640 pixels a side.

    Raises:
        ConfigError: another axis.
        GeometryError, LabelError: as ``draw_montage``.
    """
    if axis not in AXES:
        raise ConfigError(f"an axis among {', '.join(AXES)}", found=repr(axis), remedy="Name one of them.")
    drawn, along = [segment for segment in segments if segment.value], AXES[axis]
    maps = _checked(view, labels, reference, spacing_mm, drawn)
    flat = [each.max(axis=along).T for each in (view, *maps)]
    if axis != "axial":  # the head above
        flat = [plane[::-1] for plane in flat]
    across = [spacing for other, spacing in enumerate(spacing_mm) if other != along]
    return _picture(to_bytes(flat[0]), flat[1:], drawn, across[::-1], side=PROJECTION)


def chosen_slices(maps: Sequence[np.ndarray], count: int) -> NDArray[np.intp]:
    """The indices of at most ``count`` axial slices of label maps (X, Y, Z), ascending.

    They lie where equal shares of the labelled volume do, each map weighing the same: most where most is
    labelled, some in every larger lesion, and a reference that was missed is shown beside what was found
    elsewhere. Without any label they are spread over the whole volume.
    """
    shares = [(each != 0).sum(axis=(0, 1), dtype=np.float64) for each in maps]
    weight = np.sum(
        [share / share.sum() for share in shares if share.any()] or [np.ones(maps[0].shape[2])], axis=0
    )
    (filled,) = np.nonzero(weight)
    if len(filled) <= count:
        return filled
    middle = (np.cumsum(weight) - weight / 2) / weight.sum()
    wanted = (np.arange(count) + 0.5) / count
    chosen = {int(np.abs(middle[filled] - share).argmin()) for share in wanted}
    spare = [n for n in np.argsort(-weight[filled], kind="stable") if int(n) not in chosen]
    return filled[sorted(chosen | set(spare[: count - len(chosen)]))]


def _checked(
    view: np.ndarray,
    labels: np.ndarray,
    reference: np.ndarray | None,
    spacing_mm: Sequence[float],
    segments: Sequence[Segment],
) -> list[np.ndarray]:
    """The label maps, as bytes."""
    if view.ndim != 3 or not view.size:
        remedy = "Take one without its channel."
        raise GeometryError("a volume (X, Y, Z)", found=f"{view.shape}", remedy=remedy)
    if len(spacing_mm) != 3 or not all(0 < value < np.inf for value in spacing_mm):
        found = f"{len(spacing_mm)} numbers" if len(spacing_mm) != 3 else "one that is not above 0"
        remedy = "Read the volume with its geometry."
        raise GeometryError("a spacing in mm for x, y and z", found=found, remedy=remedy)
    return [checked_labels(each, view.shape, segments) for each in (labels, reference) if each is not None]


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
    """Labels on another grid; where that is coarser, none is lost."""
    reach = [-(-have // want) for have, want in zip(labels.shape, (rows, columns), strict=True)]
    dense = maximum_filter(labels, reach) if max(reach) > 1 else labels
    nearest = Image.Resampling.NEAREST
    return np.asarray(Image.fromarray(np.ascontiguousarray(dense)).resize((columns, rows), nearest))


def _joined(tiles: Sequence[np.ndarray], columns: int) -> np.ndarray:
    height, width, _ = tiles[0].shape
    rows = -(-len(tiles) // columns)
    sheet = np.zeros((rows * (height + GAP) - GAP, columns * (width + GAP) - GAP, 3), np.uint8)
    for index, tile in enumerate(tiles):
        top, left = index // columns * (height + GAP), index % columns * (width + GAP)
        sheet[top : top + height, left : left + width] = tile
    return sheet
