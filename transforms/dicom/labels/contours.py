"""Closed planar contours and masks: fill contours to masks, trace masks to contours."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np

from pyraseg.transforms.errors import GeometryError
from pyraseg.transforms.io.limits import CROSSINGS

__all__ = ["fill_contours", "on_lattice", "trace_mask"]

LATTICE = 1024  # steps of a pixel: coarser than the loss of decimal strings, finer than any drawing
INWARDS = 0.02  # of a pixel: readers that round vertices to pixels round half pixels away from the mask
FARTHEST = 2**20  # pixels from the origin; all products below fit into 64 bits


def on_lattice(points: np.ndarray) -> np.ndarray:
    """Index coordinates (N, 2) in whole steps of 1/1024 pixel, int64; repeated vertices become one.

    Raises:
        GeometryError: a coordinate is not finite, or a million pixels away.
    """
    points = np.asarray(points, np.float64).reshape(-1, 2)
    if not (np.abs(points) < FARTHEST).all():  # NaN is less than nothing
        remedy = "Check that the contours were drawn on this series."
        raise GeometryError("contours near the image", found="points without a place in it", remedy=remedy)
    steps = np.rint(points * LATTICE).astype(np.int64)
    new = (steps != np.roll(steps, 1, axis=0)).any(axis=1)
    return steps[new] if new.any() else steps[:1]


def fill_contours(contours: Iterable[np.ndarray], shape: tuple[int, int]) -> np.ndarray:
    """The mask of closed contours that lie in one plane.

    A pixel belongs to the mask if its centre lies inside an odd number of the contours (the exclusive or that
    makes holes), or on the path of any of them (PS3.3 C.8.8.6.3: points along the path belong to the ROI).
    Within one contour the even-odd rule holds, so a keyhole's channel vanishes. Coordinates are rounded to
    1/1024 pixel, after which every decision is exact, in whole numbers; `skimage.draw.polygon` decides such
    points by floating-point noise.

    Args:
        contours: closed, of index coordinates (N, 2), x (column) first, pixel centres at whole numbers.
        shape: (columns, rows).

    Returns:
        (columns, rows) bool.

    Raises:
        GeometryError: as `on_lattice`; more than `CROSSINGS`.

    >>> fill_contours([np.array([[1, 1], [3, 1], [3, 3], [1, 3]])], (5, 5)).sum()
    np.int64(9)
    """
    loops = [on_lattice(points) for points in contours]
    mask = np.zeros(shape, bool)
    if not any(len(loop) for loop in loops):
        return mask
    start = np.concatenate(loops)
    end = np.concatenate([np.roll(loop, -1, axis=0) for loop in loops])
    first = np.clip(-(-start.min(axis=0) // LATTICE), 0, shape)
    last = np.clip(start.max(axis=0) // LATTICE, first - 1, np.array(shape) - 1)
    window = mask[first[0] : last[0] + 1, first[1] : last[1] + 1]
    if window.size:
        _fill(window, start - first * LATTICE, end - first * LATTICE)
        _mark_horizontal(window, start - first * LATTICE, end - first * LATTICE)
    return mask


def _fill(mask: np.ndarray, start: np.ndarray, end: np.ndarray) -> None:
    """Cross every row of pixel centres with every edge that is not horizontal."""
    columns, rows = mask.shape
    up = (start[:, 1] < end[:, 1])[:, None]
    (x, low), (other_x, high) = np.where(up, start, end).T, np.where(up, end, start).T
    first, last = np.maximum(-(-low // LATTICE), 0), np.minimum(high // LATTICE, rows - 1)
    last = np.where(low < high, last, -1)
    if (crossings := int((last - first + 1).clip(0).sum())) > CROSSINGS:
        found, remedy = f"ones that cross them {crossings} times", "Export the structure set again."
        wanted = f"contours that cross the rows of a slice at most {CROSSINGS} times"
        raise GeometryError(wanted, found=found, remedy=remedy)
    edge, row = _runs(first, last)
    rise = (high - low)[edge]
    crossing = x[edge] * rise + (row * LATTICE - low[edge]) * (other_x - x)[edge]
    column, beyond = np.divmod(crossing, rise * LATTICE)
    exact = (beyond == 0) & (column >= 0) & (column < columns)
    column += beyond > 0  # the first centre at the crossing or right of it
    # Half-open in y, so that a vertex between two edges counts once
    toggles = (row * LATTICE < high[edge]) & (column < columns)
    at = np.maximum(column, 0)[toggles] * rows + row[toggles]
    odd = (np.bincount(at, minlength=columns * rows) & 1).astype(bool).reshape(columns, rows)
    np.logical_xor.accumulate(odd, axis=0, out=mask)
    mask[column[exact], row[exact]] = True


def _mark_horizontal(mask: np.ndarray, start: np.ndarray, end: np.ndarray) -> None:
    """Set the pixels with centres on horizontal edges, which no row crosses, or on a single point."""
    columns, rows = mask.shape
    y = start[:, 1]
    flat = (y == end[:, 1]) & (y % LATTICE == 0) & (y >= 0) & (y < rows * LATTICE)
    first = np.maximum(-(-np.minimum(start, end)[flat, 0] // LATTICE), 0)
    last = np.minimum(np.maximum(start, end)[flat, 0] // LATTICE, columns - 1)
    edge, column = _runs(first, last)
    mask[column, y[flat][edge] // LATTICE] = True


def _runs(first: np.ndarray, last: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """All whole numbers from first to last of each run, in one array: the run's index, the number."""
    count = (last - first + 1).clip(0)
    run = np.repeat(np.arange(len(first)), count)
    return run, np.arange(len(run)) - np.repeat(np.cumsum(count) - count, count) + first[run]


def trace_mask(mask: np.ndarray) -> list[np.ndarray]:
    """The contours of a mask: one polygon for each part, whose holes are joined to it by keyholes.

    Vertices lie between a pixel of the mask and a neighbour outside it, 0.48 pixel from the former's centre,
    and no edge comes nearer to a centre than a third of a pixel. So `fill_contours` gives the mask back, and
    so does any filling by pixel centres, or from vertices rounded to pixels, as rt-utils and platipy do it.
    Pixels that only touch at a corner are two parts. A channel without width, inside the part, joins
    a hole to the edge above its topmost pixel (smaller y) (PS3.3 C.8.8.6.3).

    Args:
        mask: (columns, rows) bool.

    Returns:
        Polygons (N, 2) of index coordinates, x first, the first vertex not repeated.

    >>> mask = np.zeros((5, 5), bool)
    >>> mask[1:4, 2] = True
    >>> bool((fill_contours(trace_mask(mask), mask.shape) == mask).all())
    True
    """
    from skimage.measure import find_contours  # takes half a second, which reading can do without

    if not mask.any():
        return []
    corner = np.array([np.flatnonzero(mask.any(axis=axis))[[0, -1]] for axis in (1, 0)])
    within = np.pad(mask[tuple(slice(low, high + 1) for low, high in corner)], 1)
    # Twice the index coordinates, which are whole numbers
    loops = [
        np.rint(2 * loop[:-1]).astype(np.int64)
        for loop in find_contours(within.astype(np.float32), 0.5, fully_connected="low")
    ]
    # By the shoelace formula; negative where the mask is inside the loop, by the order of `find_contours`
    ends = [(loop, np.roll(loop, -1, axis=0)) for loop in loops]
    holes = np.array([(one[:, 0] * two[:, 1] - one[:, 1] * two[:, 0]).sum() > 0 for one, two in ends])
    polygons = _joined(loops, holes, within) if holes.any() else loops
    return [_inwards(_without_straight(polygon) / 2, within) - 1 + corner[:, 0] for polygon in polygons]


def _joined(loops: list[np.ndarray], holes: np.ndarray, mask: np.ndarray) -> list[np.ndarray]:
    """One polygon for each loop that is no hole, with its holes."""
    points = np.concatenate(loops)
    starts = np.cumsum([0, *(len(loop) for loop in loops)])
    rings = _Rings(points, starts)
    vertical = np.flatnonzero(points[:, 0] % 2 == 0)  # between a pixel and the one below
    at = np.zeros(mask.shape, np.int64)
    at[points[vertical, 0] // 2, points[vertical, 1] // 2] = vertical
    for index in np.flatnonzero(holes):
        top = int(loops[index][:, 1].argmin())
        column, row = loops[index][top] // 2
        above = np.flatnonzero(~mask[column, :row])[-1]
        rings.bridge(int(at[column, above]), int(starts[index]) + top)
    return [rings.polygon(int(starts[index])) for index in np.flatnonzero(~holes)]


class _Rings:
    """Closed polygons as rings of vertices, which are cut and joined without moving the others."""

    def __init__(self, points: np.ndarray, starts: np.ndarray) -> None:
        self.points: list[list[int]] = points.tolist()
        after, before = np.arange(1, len(points) + 1), np.arange(-1, len(points) - 1)
        after[starts[1:] - 1], before[starts[:-1]] = starts[:-1], starts[1:] - 1
        self.after: list[int] = after.tolist()
        self.before: list[int] = before.tolist()

    def bridge(self, one: int, other: int) -> None:
        """Go from vertex ``one`` to ``other``, once round the other's ring, and back to a copy of ``one``."""
        back, out = len(self.points), len(self.points) + 1
        self.points += [self.points[other], self.points[one]]
        self.after += [out, self.after[one]]
        self.before += [self.before[other], back]
        self.after[self.before[other]], self.before[self.after[one]] = back, out
        self.after[one], self.before[other] = other, one

    def polygon(self, first: int) -> np.ndarray:
        """The ring that a vertex belongs to, (N, 2)."""
        ring, vertex = [self.points[first]], self.after[first]
        while vertex != first:
            ring.append(self.points[vertex])
            vertex = self.after[vertex]
        return np.array(ring)


def _without_straight(polygon: np.ndarray) -> np.ndarray:
    """The polygon without vertices within a straight line."""
    come, go = polygon - np.roll(polygon, 1, axis=0), np.roll(polygon, -1, axis=0) - polygon
    straight = (come[:, 0] * go[:, 1] == come[:, 1] * go[:, 0]) & ((come * go).sum(axis=1) > 0)
    return polygon[~straight]


def _inwards(polygon: np.ndarray, mask: np.ndarray) -> np.ndarray:
    """The polygon with its vertices, each midway between two pixels, nearer to the pixel of the mask."""
    low, high = np.floor(polygon), np.ceil(polygon)
    towards_high = mask[tuple(high.astype(np.int64).T)][:, None]
    return polygon + np.where(towards_high, high - low, low - high) * INWARDS
