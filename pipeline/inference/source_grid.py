"""Class probabilities of a volume from the network's grid to the source grid, slab by slab."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch

from pyraseg.pipeline.inference.argmax import greatest_class
from pyraseg.transforms.errors import GeometryError

__all__ = ["source_labels", "source_probabilities"]

SLAB = 16  # slices
STRAIGHT = 1e-4  # how far an axis may lean, in voxels of the network's grid over the whole source
REACH = 1.0  # voxels beyond the last centre of the network's grid whose values are still the last one's

Labels = np.ndarray


@dataclass(frozen=True)
class _Axis:
    """One axis of the source grid on the network's: index ``i`` lies at ``scale * i + shift`` of
    ``along``."""

    along: int
    scale: float
    shift: float

    def positions(self, begin: int, end: int) -> np.ndarray:
        return self.scale * np.arange(begin, end) + self.shift


def source_labels(
    probabilities: np.ndarray,
    affine: np.ndarray,
    *,
    source_affine: np.ndarray,
    source_shape: Sequence[int],
    slab: int = SLAB,
) -> Iterator[tuple[slice, Labels]]:
    """Yield the source grid's labels, so many slices at once, in memory that does not grow with the volume.

    Probabilities are interpolated (trilinear) and the greatest counts, the first of equals. Where the
    network's grid does not reach, there is background.

    Args:
        probabilities: (K, x, y, z) on the network's grid, an array or a memory map.
        affine: (4, 4), from its indices to RAS+ mm; source_affine: from the source grid's.
        source_shape: (X, Y, Z).
        slab: slices along Z at once.

    Yields:
        The slices' place along Z, and their labels (X, Y, n) uint8.

    Raises:
        GeometryError: the grids' axes are not parallel.
    """
    shape = tuple(int(side) for side in source_shape)
    axes = _axes(np.asarray(affine), np.asarray(source_affine), shape)
    ordered = _ordered(probabilities, axes)
    for begin in range(0, shape[2], slab):
        end = min(begin + slab, shape[2])
        labels = np.zeros((*shape[:2], end - begin), np.uint8)
        near = _within(axes[2].positions(begin, end), ordered.shape[3])
        part = _read(ordered, near)
        window = None if part is None else _window(part, axes, shape)
        if part is not None and window is not None:
            spans = (*window, slice(begin, end))
            values, inside = _interpolated(part, axes, spans, ordered.shape[1:], first=near.start)
            labels[window] = np.where(inside, greatest_class(values).numpy(), 0)
        yield slice(begin, end), labels


def source_probabilities(
    probabilities: np.ndarray,
    affine: np.ndarray,
    *,
    source_affine: np.ndarray,
    source_shape: Sequence[int],
    slab: int = SLAB,
) -> Iterator[tuple[slice, np.ndarray]]:
    """As `source_labels`, the probabilities (K, X, Y, n) float32 themselves; all 0 where the grid does not
    reach."""
    shape = tuple(int(side) for side in source_shape)
    axes = _axes(np.asarray(affine), np.asarray(source_affine), shape)
    ordered = _ordered(probabilities, axes)
    for begin in range(0, shape[2], slab):
        end = min(begin + slab, shape[2])
        near = _within(axes[2].positions(begin, end), ordered.shape[3])
        part = _read(ordered, near)
        if part is None:
            yield slice(begin, end), np.zeros((len(ordered), *shape[:2], end - begin), np.float32)
            continue
        spans = (slice(0, shape[0]), slice(0, shape[1]), slice(begin, end))
        values, inside = _interpolated(part, axes, spans, ordered.shape[1:], first=near.start)
        yield slice(begin, end), values.numpy() * inside


def _axes(affine: np.ndarray, source_affine: np.ndarray, shape: tuple[int, ...]) -> tuple[_Axis, ...]:
    moves = np.linalg.solve(affine, source_affine)  # from the source's indices to the network's
    along = np.abs(moves[:3, :3]).argmax(axis=0)
    straight = np.zeros((3, 3))
    straight[along, range(3)] = moves[along, range(3)]
    if sorted(along) != [0, 1, 2] or (np.abs(moves[:3, :3] - straight) * shape).max() > STRAIGHT:
        found, remedy = "others", "Resample without rotation: orient, space and pad only."
        raise GeometryError("grids whose axes are parallel", found=found, remedy=remedy)
    return tuple(_Axis(int(a), float(moves[a, i]), float(moves[a, 3])) for i, a in enumerate(along))


def _ordered(probabilities: np.ndarray, axes: Sequence[_Axis]) -> np.ndarray:
    """A view with the axes of the network's grid in the source's order."""
    return probabilities.transpose(0, *(1 + axis.along for axis in axes))


def _within(positions: np.ndarray, size: int) -> slice:
    """The network's indices that slices at ``positions`` are interpolated from."""
    low, high = float(positions.min()), float(positions.max())
    if high < -REACH or low > size - 1 + REACH:
        return slice(0, 0)
    return slice(max(0, min(size - 1, int(np.floor(low)))), max(1, min(size, int(np.ceil(high)) + 1)))


def _read(ordered: np.ndarray, near: slice) -> torch.Tensor | None:
    if near.stop <= near.start:
        return None
    return torch.from_numpy(np.ascontiguousarray(ordered[..., near], dtype=np.float32))


def _window(part: torch.Tensor, axes: Sequence[_Axis], shape: tuple[int, ...]) -> tuple[slice, slice] | None:
    """The source's columns and rows that can be foreground: between voxels of background there is only
    background."""
    found = (
        (part[1:] > part[:1]).any(dim=0).any(dim=2) if len(part) > 1 else torch.zeros(part.shape[1:3]).bool()
    )
    spans = []
    for place in (0, 1):
        (at,) = torch.nonzero(found.any(dim=1 - place), as_tuple=True)
        if not len(at):
            return None
        ends = [
            (index - axes[place].shift) / axes[place].scale for index in (int(at[0]) - 1, int(at[-1]) + 1)
        ]
        spans.append(slice(max(0, int(np.floor(min(ends)))), min(shape[place], int(np.ceil(max(ends))) + 1)))
    return None if any(span.stop <= span.start for span in spans) else (spans[0], spans[1])


def _interpolated(
    part: torch.Tensor, axes: Sequence[_Axis], spans: Sequence[slice], sizes: Sequence[int], *, first: int
) -> tuple[torch.Tensor, np.ndarray]:
    """Values (K, a, b, c) of what ``spans`` names of the source, and where the network's grid reaches (a, b,
    c).

    Args:
        part: (K, x, y, z), of the network's grid what begins at ``first`` of its third axis.
        sizes: of the whole grid, in the source's order of axes.
    """
    inside = []
    for place in (2, 1, 0):  # the fewest values first
        positions = axes[place].positions(spans[place].start, spans[place].stop)
        last = sizes[place] - 1
        inside.append((positions >= -REACH) & (positions <= last + REACH))
        at = torch.from_numpy(np.clip(positions, 0, last) - (first if place == 2 else 0))
        part = _along(part, at.float(), axis=place + 1)
    z, y, x = inside
    return part, x[:, None, None] & y[None, :, None] & z[None, None, :]


def _along(values: torch.Tensor, positions: torch.Tensor, *, axis: int) -> torch.Tensor:
    """Linear interpolation along one axis."""
    low = positions.floor().long().clamp_(0, values.shape[axis] - 1)
    high = (low + 1).clamp_(max=values.shape[axis] - 1)
    shape = [1] * values.ndim
    shape[axis] = -1
    weight = (positions - low).reshape(shape)
    return torch.lerp(values.index_select(axis, low), values.index_select(axis, high), weight)
