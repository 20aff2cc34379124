"""A box in the patient that limits the search."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import product

import numpy as np

from pyraseg.pipeline.writers.tables.csv_tables import searched_box
from pyraseg.transforms.errors import GeometryError, UsageError
from pyraseg.transforms.geometry.grid import VolumeGrid

__all__ = ["SearchBox", "parse_search_box"]

NUMBER = r"\s*(-?\d+(?:\.\d*)?)\s*"
FORM = re.compile(",".join([NUMBER] * 6))
SLAB = 16  # slices at a time
Box = tuple[slice, slice, slice]


@dataclass(frozen=True)
class SearchBox:
    """All points from ``low`` to ``high``: x, y, z in mm, LPS (left, back, head; PS3.3 C.7.6.2.1.1)."""

    low: tuple[float, float, float]
    high: tuple[float, float, float]

    @property
    def bounds(self) -> tuple[float, ...]:
        """The bounds in the form that `parse_search_box` reads."""
        return tuple(bound for pair in zip(self.low, self.high, strict=True) for bound in pair)

    @property
    def remark(self) -> str:
        """A sentence for the reader of results."""
        return f"Only this box was searched, in mm of patient coordinates (LPS): {searched_box(self.bounds)}."

    def check_meets(self, grid: VolumeGrid) -> None:
        """Refuse a box that contains no voxel centre.

        Raises:
            GeometryError: the remedy says where the volume lies.
        """
        slices = grid.shape[2]
        slabs = (slice(begin, min(begin + SLAB, slices)) for begin in range(0, slices, SLAB))
        if any(self.inside(grid, slab).any() for slab in slabs):
            return
        indices = np.array([*product(*((0, side - 1) for side in grid.shape))], float)
        corners = indices @ grid.affine_lps[:3, :3].T + grid.origin
        reach = ",".join(f"{np.floor(low):g},{np.ceil(high):g}" for low, high in zip(
            corners.min(0), corners.max(0), strict=True
        ))  # fmt: skip
        raise GeometryError(
            "a region that holds a part of the volume",
            found="one beside it",
            remedy=f"Give a box within --roi={reach}, which is where the volume lies.",
        )

    def inside(self, grid: VolumeGrid, slices: slice) -> np.ndarray:
        """Which voxel centres lie in the box, (columns, rows, n) bool."""
        affine, (columns, rows, _) = grid.affine_lps, grid.shape
        x, y, z = np.ogrid[:columns, :rows, slices.start : slices.stop]
        inside = np.ones((columns, rows, slices.stop - slices.start), bool)
        for axis, (low, high) in enumerate(zip(self.low, self.high, strict=True)):
            position = affine[axis, 0] * x + affine[axis, 1] * y + affine[axis, 2] * z + affine[axis, 3]
            inside &= (position >= low) & (position <= high)
        return inside

    def window(self, grid: VolumeGrid, affine: np.ndarray, shape: Sequence[int], least: Sequence[int]) -> Box:
        """The part of the network's grid to predict: the box, grown to at least one window of the network.

        Args:
            grid: of the source.
            affine: (4, 4), from the network's indices to RAS+ mm.
            shape: of the network's grid.
            least: (x, y, z) of a window.
        """
        to_lps = grid.affine_lps @ np.linalg.inv(grid.affine) @ affine
        ends = np.array([*product(*zip(self.low, self.high, strict=True))])
        indices = (ends - to_lps[:3, 3]) @ np.linalg.inv(to_lps[:3, :3]).T
        low, high = np.floor(indices.min(0)).astype(int) - 1, np.ceil(indices.max(0)).astype(int) + 2
        spans = [_grown(*ends) for ends in zip(low, high, shape, least, strict=True)]
        return spans[0], spans[1], spans[2]


def parse_search_box(text: str) -> SearchBox:
    """Parse ``"X0,X1,Y0,Y1,Z0,Z1"``.

    Raises:
        UsageError: another form, or bounds that do not ascend.
    """
    match = FORM.fullmatch(text)
    if match is not None:
        x0, x1, y0, y1, z0, z1 = map(float, match.groups())
        if x0 < x1 and y0 < y1 and z0 < z1:
            return SearchBox((x0, y0, z0), (x1, y1, z1))
    remedy = "Write for example --roi=-60,80,-40,100,-900,-750, in mm of patient coordinates."
    raise UsageError("a region X0,X1,Y0,Y1,Z0,Z1 of ascending bounds", found=repr(text), remedy=remedy)


def _grown(low: int, high: int, size: int, least: int) -> slice:
    """The range within ``size``, grown to ``least`` where there is room."""
    low, high = min(max(low, 0), size - 1), max(min(high, size), 1)
    missing = max(0, least - (high - low))
    low = max(0, low - missing // 2)
    high = min(size, max(high, low + least))
    return slice(max(0, min(low, high - least)), high)
