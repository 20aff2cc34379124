"""Windows over an image, and the weighted mean of their scores, slab by slab in bounded memory."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice, pairwise, product
from typing import TypeAlias

import numpy as np
import torch
from monai.data.utils import compute_importance_map
from monai.utils import fall_back_tuple
from torch import Tensor

from pyraseg.transforms.errors import ConfigError, GeometryError

__all__ = ["Corner", "Slab", "WindowPlan", "blended_slabs", "plan_windows"]

Corner: TypeAlias = tuple[int, ...]

THICKNESS = 16  # voxels of a slab: 64 bytes of float32, what one access to memory brings
SIGMA = 0.125  # of the Gaussian weights, in window sides: MONAI's default


@dataclass(frozen=True)
class Slab:
    """A finished part of a volume: all of it between two indices of one axis.

    Attributes:
        slices: its indices in the volume (X, Y, Z).
        labels: (x, y, z) uint8, or uint16 with more than 256 classes: the class of the highest score.
        probabilities: (K, x, y, z) float32.

    Example:
        >>> slab = Slab((slice(0, 8), slice(0, 8), slice(0, 4)), np.zeros((8, 8, 4), np.uint8), None)
        >>> slab.labels.shape
        (8, 8, 4)
    """

    slices: tuple[slice, ...]
    labels: np.ndarray
    probabilities: np.ndarray


@dataclass(frozen=True)
class WindowPlan:
    """Windows of one size that cover an image: the positions of MONAI's ``sliding_window_inference``.

    Attributes:
        size: of the image, (H, W) or (X, Y, Z).
        roi_size: of a window; where the image is smaller, the window reaches beyond both ends.
        starts: for each axis the windows' first indices, ascending; below 0 where the image is smaller.
    """

    size: tuple[int, ...]
    roi_size: tuple[int, ...]
    starts: tuple[tuple[int, ...], ...]

    def spans(self, corner: Corner) -> tuple[slice, ...]:
        """The part of the image that the window at ``corner`` covers."""
        sides = zip(corner, self.roi_size, self.size, strict=True)
        return tuple(slice(max(start, 0), min(start + side, size)) for start, side, size in sides)

    def within(self, corner: Corner) -> tuple[slice, ...]:
        """The same part in the window's indices."""
        spans = zip(self.spans(corner), corner, strict=True)
        return tuple(slice(span.start - start, span.stop - start) for span, start in spans)

    def thinnest(self) -> int:
        """The axis along which a row of windows covers the least of the image; the last of equals."""
        return min(reversed(range(len(self.size))), key=lambda axis: self.roi_size[axis] / self.size[axis])

    def row(self, axis: int, start: int) -> Iterator[Corner]:
        """All windows that begin at ``start`` along one axis."""
        return product(*((start,) if other == axis else starts for other, starts in enumerate(self.starts)))


def plan_windows(size: Sequence[int], roi_size: Sequence[int], *, overlap: float) -> WindowPlan:
    """Plan the windows of an image.

    Args:
        size: (H, W) or (X, Y, Z).
        roi_size: of a window; -1 takes the image's size along an axis, as in MONAI.
        overlap: the fraction of a window that its neighbour covers, from 0 to below 1.

    Raises:
        ConfigError: an overlap out of range, or a ``roi_size`` with another number of axes.
    """
    if not 0 <= overlap < 1:
        raise ConfigError("an overlap from 0 to below 1", found=f"{overlap}", remedy="Correct --overlap.")
    if len(roi_size) != len(size):
        wanted = f"{len(size)} sides of a window"
        raise ConfigError(wanted, found=f"{len(roi_size)}", remedy="Correct --roi_size.")
    roi = tuple(int(side) for side in fall_back_tuple(roi_size, size))
    starts = tuple(_starts(whole, side, overlap) for whole, side in zip(size, roi, strict=True))
    return WindowPlan(tuple(size), roi, starts)


def _starts(size: int, side: int, overlap: float) -> tuple[int, ...]:
    if size <= side:
        return (-((side - size) // 2),)
    step = max(1, int(side * (1 - overlap)))
    return tuple(min(start, size - side) for start in range(0, size - side + step, step))


@torch.no_grad()
def blended_slabs(
    image: Tensor | np.ndarray,
    score: Callable[[Tensor], Tensor],
    plan: WindowPlan,
    *,
    axis: int,
    batch_size: int,
    device: torch.device,
) -> Iterator[tuple[tuple[slice, ...], Tensor, Tensor]]:
    """Score an image by windows and yield parts that no further window reaches, in order along an axis.

    MONAI keeps the scores of all classes and the sum of weights of the whole volume, even with
    ``buffer_steps`` (MONAI issues 6427 and 9071). Here the windows go row by row along one axis, and only
    scores that a later window can still change are kept: as deep as one window.

    Args:
        image: (C, *size), a tensor or an array, memory-mapped or not; no gradient flows to it.
        score: windows (B, C, *roi_size) on ``device`` to scores (B, K, *roi_size).
        batch_size: windows in one call of ``score``.
        device: of the windows and the sums.

    Yields:
        A slab's indices, the weighted sums of its scores (K, ...) and the sums of the weights (...): views,
        valid until the next slab.

    Raises:
        GeometryError: scores that are not on the windows' grid.
    """
    weights = compute_importance_map(plan.roi_size, mode="gaussian", sigma_scale=SIGMA).to(device)
    kept = [min(side, size) if i == axis else size
            for i, (side, size) in enumerate(zip(plan.roi_size, plan.size, strict=True))]  # fmt: skip
    sums, totals, from_end = torch.empty(0), torch.zeros(kept, device=device), axis - len(kept)
    for start, following in pairwise([*plan.starts[axis], plan.size[axis]]):
        for corners in _batches(plan.row(axis, start), batch_size):
            windows = torch.stack([_crop(image, corner, plan) for corner in corners]).to(device)
            scores = _checked(score(windows), plan)
            if not sums.numel():
                sums = torch.zeros(scores.shape[1], *kept, device=scores.device)
            for corner, window in zip(corners, scores, strict=True):
                inner, here = plan.within(corner), list(plan.spans(corner))
                here[axis] = slice(0, here[axis].stop - here[axis].start)
                sums[(slice(None), *here)].addcmul_(window[(slice(None), *inner)], weights[inner])
                totals[tuple(here)] += weights[inner]
        first = max(start, 0)
        for begin in range(first, following, THICKNESS):
            length = min(THICKNESS, following - begin)
            slices = [slice(0, size) for size in plan.size]
            slices[axis] = slice(begin, begin + length)
            final = [kept_sums.narrow(from_end, begin - first, length) for kept_sums in (sums, totals)]
            yield tuple(slices), final[0], final[1]
        for kept_sums in (sums, totals):
            _advance(kept_sums, following - first, axis=from_end)


def _crop(image: Tensor | np.ndarray, corner: Corner, plan: WindowPlan) -> Tensor:
    """Copy one window (C, *roi_size) float32, 0 beyond the image; a memory map is read in the window only."""
    part = image[(slice(None), *plan.spans(corner))]
    values = part if isinstance(part, Tensor) else torch.from_numpy(np.array(part, np.float32))
    window = torch.zeros(len(values), *plan.roi_size, device=values.device)
    window[(slice(None), *plan.within(corner))] = values
    return window


def _checked(scores: object, plan: WindowPlan) -> Tensor:
    if not isinstance(scores, Tensor) or tuple(scores.shape[2:]) != plan.roi_size:
        found = f"{tuple(scores.shape)}" if isinstance(scores, Tensor) else type(scores).__name__
        wanted = f"scores (B, K, {', '.join(map(str, plan.roi_size))}) of a window"
        remedy = "Choose a network whose output has its input's size."
        raise GeometryError(wanted, found=found, remedy=remedy)
    return scores.float()


def _advance(kept: Tensor, step: int, *, axis: int) -> None:
    """Move ``kept`` by ``step`` towards its front and fill up with zeros, in place, without a copy."""
    depth = kept.shape[axis]
    for begin in range(0, depth - step, step):  # pieces of one step, so that none overlaps its target
        length = min(step, depth - step - begin)
        kept.narrow(axis, begin, length).copy_(kept.narrow(axis, begin + step, length))
    kept.narrow(axis, max(0, depth - step), min(step, depth)).zero_()


def _batches(corners: Iterable[Corner], size: int) -> Iterator[list[Corner]]:
    waiting = iter(corners)
    while batch := list(islice(waiting, size)):
        yield batch
