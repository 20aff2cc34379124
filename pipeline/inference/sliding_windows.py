"""Where the windows of a sliding-window inference lie in a volume, and what the network sees of each."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import product
from typing import TypeAlias

import numpy as np
import torch
from monai.data import MetaTensor
from monai.utils import fall_back_tuple

from pyraseg.transforms.errors import ConfigError, GeometryError

__all__ = ["Corner", "Volume", "WindowPlan", "as_channels_first", "crop", "plan_windows"]

Volume: TypeAlias = torch.Tensor | np.ndarray
Corner: TypeAlias = tuple[int, ...]


@dataclass(frozen=True)
class WindowPlan:
    """Windows of one size that cover a volume: the positions of MONAI's ``sliding_window_inference``.

    Attributes:
        size: (X, Y, Z) of the volume.
        roi_size: of a window; along an axis where the volume is smaller, the window reaches beyond both its
            ends.
        starts: for each axis the windows' first indices, ascending; below 0 where the window is the larger.
    """

    size: tuple[int, ...]
    roi_size: tuple[int, ...]
    starts: tuple[tuple[int, ...], ...]

    @property
    def number(self) -> int:
        """Windows in all."""
        return int(np.prod([len(starts) for starts in self.starts]))

    def span(self, axis: int, start: int) -> slice:
        """What a window that begins at ``start`` covers of the volume along an axis."""
        return slice(max(start, 0), min(start + self.roi_size[axis], self.size[axis]))

    def within(self, corner: Corner) -> tuple[slice, ...]:
        """The part of the window at ``corner`` that lies in the volume, in the window's own indices."""
        spans = (self.span(axis, start) for axis, start in enumerate(corner))
        return tuple(
            slice(span.start - start, span.stop - start) for span, start in zip(spans, corner, strict=True)
        )

    def thinnest(self) -> int:
        """The axis along which a row of windows holds the least of the volume; the last of several."""
        return min(reversed(range(len(self.size))), key=lambda axis: self.roi_size[axis] / self.size[axis])

    def corners(self, axis: int, start: int) -> Iterator[Corner]:
        """All windows that begin at ``start`` along one axis."""
        return product(*((start,) if other == axis else starts for other, starts in enumerate(self.starts)))


def plan_windows(size: Sequence[int], roi_size: Sequence[int], *, overlap: float) -> WindowPlan:
    """Plan the windows of a volume (X, Y, Z).

    Args:
        size: the volume's.
        roi_size: the windows'; an axis of -1 takes the volume's own size, as in MONAI.
        overlap: the fraction of a window that its neighbour covers, from 0 to below 1.

    Raises:
        ConfigError: another overlap, or a ``roi_size`` with another number of axes.
    """
    if not 0 <= overlap < 1:
        raise ConfigError("an overlap from 0 to below 1", found=f"{overlap}", remedy="Correct --overlap.")
    if len(roi_size) != len(size):
        raise ConfigError(
            f"{len(size)} sides of a window", found=f"{len(roi_size)}", remedy="Correct --roi_size."
        )
    roi = tuple(int(side) for side in fall_back_tuple(roi_size, size))
    starts = tuple(_starts(whole, side, overlap) for whole, side in zip(size, roi, strict=True))
    return WindowPlan(tuple(size), roi, starts)


def _starts(size: int, side: int, overlap: float) -> tuple[int, ...]:
    if size <= side:
        return (-((side - size) // 2),)
    step = max(1, int(side * (1 - overlap)))
    return tuple(min(start, size - side) for start in range(0, size - side + step, step))


def as_channels_first(volume: Volume) -> Volume:
    """A view (C, X, Y, Z) of a volume (1, C, X, Y, Z) or (C, X, Y, Z), without metadata.

    Raises:
        GeometryError: another shape, several volumes or an empty one.
    """
    shape = tuple(volume.shape)
    if len(shape) not in (4, 5) or (len(shape) == 5 and shape[0] != 1) or 0 in shape:
        wanted = "a volume (C, X, Y, Z) or (1, C, X, Y, Z)"
        raise GeometryError(
            wanted, found=f"{shape}", remedy="Infer volumes one by one, with their channels first."
        )
    plain = volume.as_tensor() if isinstance(volume, MetaTensor) else volume
    return plain[0] if len(shape) == 5 else plain


def crop(volume: Volume, corner: Corner, plan: WindowPlan, *, padding_value: float) -> torch.Tensor:
    """Copy one window of a volume (C, X, Y, Z), (C, *roi_size) float32, ``padding_value`` beyond the volume.

    Of a memory-mapped array only the window is read.
    """
    spans = tuple(plan.span(axis, start) for axis, start in enumerate(corner))
    part = volume[(slice(None), *spans)]
    values = part if isinstance(part, torch.Tensor) else torch.from_numpy(np.array(part, np.float32))
    window = torch.full(
        (len(values), *plan.roi_size), padding_value, dtype=torch.float32, device=values.device
    )
    window[(slice(None), *plan.within(corner))] = values
    return window
