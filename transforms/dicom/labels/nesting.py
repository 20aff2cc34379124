"""What the contours of one region enclose in one plane, as viewers draw them: holes, islands and unions."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from pyraseg.transforms.dicom.labels.contours import fill_contours

__all__ = ["draw_contours"]

FINER = 8  # steps of a pixel in which it is decided whether a contour lies in another
LARGEST = 1024  # steps along a side


def draw_contours(contours: Sequence[np.ndarray], shape: tuple[int, int]) -> tuple[np.ndarray, int, bool]:
    """The mask of the CLOSED_PLANAR contours that a region has in one plane.

    A contour that lies entirely inside another is a hole in it, one that lies in a hole is an island, and so
    on; what reaches out of it by less than a quarter of a pixel (a whole one if it is large) is rounding.
    Contours that overlap in part are united, and one that comes twice counts once. Which pixels a contour
    holds, and that those on its path belong to the region: as `fill_contours`, which combines contours by
    exclusive or (CLOSEDPLANAR_XOR) instead.

    Args:
        contours: as `fill_contours`.
        shape: (columns, rows).

    Returns:
        (columns, rows) bool; how many contours repeat another; whether some overlap in part.

    Raises:
        GeometryError: as `fill_contours`.

    >>> outer, inner = (np.array([[a, a], [b, a], [b, b], [a, b]]) for a, b in ((0, 6), (2, 4)))
    >>> mask, repeated, overlap = draw_contours([outer, inner], (9, 7))
    >>> int(mask.sum()), repeated, overlap
    (48, 0, False)
    >>> mask, repeated, overlap = draw_contours([outer, outer, outer + 2], (9, 7))
    >>> int(mask.sum()), repeated, overlap
    (59, 1, True)
    """
    count = np.zeros(shape, np.uint32)
    for loop in contours:
        count += fill_contours([loop], shape)
    mask, shared = count > 0, count > 1
    if not shared.any():
        return mask, 0, False
    loops = [loop for loop in contours if fill_contours([loop], shape)[shared].any()]
    mask[shared], repeated, overlap = _settled(sorted(loops, key=_area, reverse=True), shape, shared)
    return mask, repeated, overlap


def _settled(
    loops: Sequence[np.ndarray], shape: tuple[int, int], shared: np.ndarray
) -> tuple[np.ndarray, int, bool]:
    """Which of the shared pixels belong to the region, by contours from the largest to the smallest."""
    filled = np.array([fill_contours([loop], shape)[shared] for loop in loops])
    path = np.array([fill_contours([loop, loop], shape)[shared] for loop in loops])  # the insides cancel
    inside = filled & ~path
    area = [_area(loop) for loop in loops]
    meet, cross = (np.matmul(each, each.T, dtype=np.float32) > 0 for each in (filled, inside))
    around: dict[int, set[int]] = {}  # the contours that a contour lies in
    depth: dict[int, int] = {}
    overlap = False
    for index, loop in enumerate(loops):
        outer = {other for other in around if meet[index, other] and _within(loop, loops[other], shape)}
        alike = (other for other in outer if area[index] > area[other] / 2)
        if any(_within(loops[other], loop, shape) for other in alike):
            continue
        overlap |= any(cross[index, other] for other in around.keys() - outer)
        around[index], depth[index] = outer, 1 + max((depth[other] for other in outer), default=-1)
    belongs = np.zeros(filled.shape[1], bool)
    for index in (index for index in depth if depth[index] % 2 == 0):
        holes = [hole for hole in depth if depth[hole] % 2 and index in around[hole]]
        belongs |= filled[index] & ~inside[holes].any(axis=0)
    return belongs, len(loops) - len(depth), overlap


def _within(inner: np.ndarray, outer: np.ndarray, shape: tuple[int, int]) -> bool:
    """Whether a contour lies in another, as far as the image shows them."""
    low = np.maximum(np.floor(inner.min(axis=0)), -1)
    sides = np.minimum(np.ceil(inner.max(axis=0)), shape) - low + 1
    finer = max(1, min(FINER, int(LARGEST // sides.max())))
    one, other = (
        fill_contours([(loop - low) * finer], (int(sides[0] * finer), int(sides[1] * finer)))
        for loop in (inner, outer)
    )
    beyond = one & ~other
    # What is thinner than two steps is rounding
    return not (beyond[1:, 1:] & beyond[1:, :-1] & beyond[:-1, 1:] & beyond[:-1, :-1]).any()


def _area(loop: np.ndarray) -> float:
    """By the shoelace formula, pixels."""
    (x, y), (next_x, next_y) = loop.T, np.roll(loop, -1, axis=0).T
    return abs(float((x * next_y - y * next_x).sum()))
