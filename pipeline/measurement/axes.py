"""The longest diameter of a lesion in a slice of a volume, and the longest one perpendicular to it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage
from scipy.spatial import ConvexHull
from scipy.spatial.distance import pdist
from skimage.measure import find_contours

from pyraseg.pipeline.measurement.lengths import outermost_points
from pyraseg.transforms.geometry.components import foreground_box

__all__ = ["in_plane_axes"]

TIE = 1e-9  # relative difference below which lengths are equal
DECIMALS = 9  # to which positions in mm along the long axis are compared
Points = NDArray[np.float64]


def in_plane_axes(mask: np.ndarray, steps_mm: np.ndarray) -> tuple[float, float]:
    """The long and the short axis in mm of a mask (x, y, z) that is not empty.

    The long axis is the largest distance between two points on the outline of one component (diagonal
    neighbours count) in one slice, a cut at one z. The short axis is the largest distance between two points
    of that outline on a line perpendicular to the long axis; of equal long axes, the one with the longest
    short axis counts. The outline runs through the middles of the pixels' outer faces, as in
    `pyraseg.pipeline.measurement.lengths.feret_diameter`: ten pixels in a row are ten pixels long and one
    wide. Both lines may cross a gap in a bent lesion, as a reader's callipers do. The values are exact.

    Args:
        steps_mm: (3, 3), whose columns are the steps in mm along x, y and z.

    Returns:
        The long axis and the short axis, which is not longer.
    """
    # from indices to mm in the plane
    plane: Points = np.asarray(np.linalg.qr(steps_mm[:, :2], mode="r"))
    best, longest = 0.0, dict[tuple[bytes, tuple[int, ...]], _Diameters]()
    for bound, cut in _slices(mask, plane):
        if bound < best * (1 - TIE):
            break  # most slices are not even divided into components
        for component in _components(cut):
            if _diagonal(component.shape, plane) < best * (1 - TIE):
                continue
            diameters = _diameters(component, plane)
            if diameters.length > best * (1 + TIE):
                longest = {}
            if diameters.length >= best * (1 - TIE):
                longest[component.tobytes(), component.shape] = diameters  # equal ones are measured once
            best = max(best, diameters.length)
    return best, max(width for each in longest.values() for width in each.widths(plane))


@dataclass(frozen=True)
class _Diameters:
    """The longest diameters of a component (h, w): length in mm and unit directions (N, 2)."""

    component: np.ndarray
    length: float
    directions: Points

    def widths(self, plane: Points) -> Iterator[float]:
        contours = find_contours(np.pad(self.component, 1).astype(np.float32), 0.5, fully_connected="high")
        outlines = [contour @ plane.T for contour in contours]
        for direction in self.directions:
            yield _width(outlines, direction)


def _slices(mask: np.ndarray, plane: Points) -> list[tuple[float, np.ndarray]]:
    """The filled slices, cut to their box, each with an upper bound in mm of the lengths in it, falling."""
    cuts = [each[box] for each in np.moveaxis(mask, 2, 0) if (box := foreground_box(each)) is not None]
    bounds = [_diagonal(cut.shape, plane) for cut in cuts]
    return sorted(zip(bounds, cuts, strict=True), key=lambda each: -each[0])


def _components(cut: np.ndarray) -> Iterator[np.ndarray]:
    """Of a slice; diagonal neighbours belong together."""
    labels, _ = ndimage.label(cut, np.ones((3, 3)))
    for number, box in enumerate(ndimage.find_objects(labels), start=1):
        yield labels[box] == number


def _diagonal(sides: tuple[int, ...], plane: Points) -> float:
    """The longer one in mm of a box of pixels."""
    return max(float(np.linalg.norm(plane @ (np.array(sides) * sign))) for sign in ((1, 1), (1, -1)))


def _diameters(component: np.ndarray, plane: Points) -> _Diameters:
    points = outermost_points(component) @ plane.T
    corners = points[ConvexHull(points).vertices]
    distances = pdist(corners)
    one, other = np.triu_indices(len(corners), 1)  # the order of pdist
    length = float(distances.max())
    ties = distances >= length * (1 - TIE)
    return _Diameters(component, length, (corners[other[ties]] - corners[one[ties]]) / length)


def _width(outlines: list[Points], direction: Points) -> float:
    """The largest extent of closed polygons (N, 2) along lines perpendicular to a direction.

    Edges are straight between two corners, so the maximum is at the position of a corner.
    """
    turn = np.array([direction, [-direction[1], direction[0]]]).T
    turned = [outline @ turn for outline in outlines]
    starts = np.concatenate([points[:-1] for points in turned])
    ends = np.concatenate([points[1:] for points in turned])
    along = np.unique(np.round(starts[:, 0], DECIMALS))
    first, last = (np.searchsorted(along, np.round(points[:, 0], DECIMALS)) for points in (starts, ends))
    low, number = np.minimum(first, last), np.abs(last - first) + 1
    edge = np.repeat(np.arange(len(starts)), number)
    position = np.arange(len(edge)) - np.repeat(np.cumsum(number) - number, number) + low[edge]
    run = ends[edge, 0] - starts[edge, 0]
    part = np.divide(along[position] - starts[edge, 0], run, out=np.zeros(len(edge)), where=number[edge] > 1)
    across = starts[edge, 1] + part.clip(0, 1) * (ends[edge, 1] - starts[edge, 1])
    upper, lower = np.full(len(along), -np.inf), np.full(len(along), np.inf)
    np.maximum.at(upper, position, across)
    np.minimum.at(lower, position, across)
    return float((upper - lower).max())
