"""From the network's scores to labels on the source grid, for validation, evaluation and inference."""

from __future__ import annotations

import copy
from collections.abc import Hashable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from monai.config import KeysCollection
from monai.data import MetaTensor
from monai.transforms import Compose, MapTransform
from monai.utils import TraceKeys
from torch import Tensor

from pyraseg.pipeline.inference.clean_up import keep_strong
from pyraseg.pipeline.inference.decision import PLAINLY, WEAK, Decision
from pyraseg.transforms.errors import GeometryError
from pyraseg.transforms.frame.source_view import restoration
from pyraseg.transforms.frame.tissue import CropToTissue
from pyraseg.transforms.geometry.letterbox import Letterbox, resample

__all__ = [
    "SourceGridLabelsd",
    "argmax_channels",
    "decided",
    "labels_of",
    "source_labels",
    "source_probabilities",
]

VOLUME_META = ("original_affine", "spatial_shape", "spacing_mm", "spacing_source", "space", "case")
SLAB = 16  # slices
STRAIGHT = 1e-4  # how far an axis may lean, in voxels of the network's grid over the whole source
REACH = 1.0  # voxels beyond the last centre of the network's grid that still take its value


def argmax_channels(values: Tensor) -> Tensor:
    """The first highest channel of (K, ...) as (...) uint8, int32 with more than 256 channels.

    It is far faster than torch's argmax over the first axis, which strides through memory.
    """
    best = values[0].clone()
    dtype = torch.uint8 if len(values) <= 256 else torch.int32
    index = torch.zeros(best.shape, dtype=dtype, device=best.device)
    for channel, plane in enumerate(values[1:], start=1):
        index.masked_fill_(plane > best, channel)
        torch.maximum(best, plane, out=best)
    return index


def decided(probabilities: Tensor, weights: Tensor | None) -> Tensor:
    """The class of each pixel, (...) of probabilities (K, ...): the argmax, after the weights (K,) if any."""
    if weights is None:
        return argmax_channels(probabilities)
    factors = weights.to(probabilities.device).reshape(-1, *[1] * (probabilities.ndim - 1))
    return argmax_channels(probabilities * factors)


def labels_of(probabilities: Tensor, decision: Decision) -> Tensor:
    """The label map, (...) of all of an image's probabilities (K, ...), by the operating points."""
    labels = _marked(probabilities, decision)
    if decision.seeds is None:
        return labels
    kept = labels.cpu().numpy()
    keep_strong(kept)
    return torch.from_numpy(kept).to(labels.device)


def _marked(probabilities: Tensor, decision: Decision) -> Tensor:
    """The masks of the classes, plus `WEAK` where one does not reach its threshold; see `keep_strong`."""
    labels = decided(probabilities, decision.weights)
    if decision.seeds is not None:
        labels[decided(probabilities, decision.seeds) != labels] += WEAK
    return labels


class SourceGridLabelsd(MapTransform):
    """Scores on the network's grid to a label map on the source grid: softmax, inverse transforms, argmax.

    Probabilities are resampled, not labels. Scores (K, h, w) of a frame become a uint8 label map (1, H, W),
    scores (K, x, y, z) of a volume one (1, X, Y, Z). Regions outside the network's image are background.
    Without ``probabilities`` only the part of a frame that can hold foreground is inverted; the label map has
    the same bits either way.

    Args:
        keys: the entries with scores; they get the trace of the item's ``image``.
        preprocessing: the transforms of ``image``, to be inverted.
        probabilities: an entry for the class probabilities, (K, H, W) or (K, X, Y, Z) on the source grid, 0
            for all classes outside the network's image; None keeps none.
        decision: the operating points of classes; None for the plain argmax. Probabilities stay as they are.

    >>> from pyraseg.transforms.geometry.letterbox import Letterboxd
    >>> preprocessing = Compose([Letterboxd("image", (64, 64))])
    >>> item = preprocessing({"image": MetaTensor(torch.rand(1, 30, 50))})
    >>> item["pred"] = torch.rand(3, 64, 64)
    >>> SourceGridLabelsd("pred", preprocessing)(item)["pred"].shape
    torch.Size([1, 30, 50])
    """

    def __init__(
        self,
        keys: KeysCollection,
        preprocessing: Compose,
        probabilities: str | None = None,
        *,
        decision: Decision | None = None,
    ) -> None:
        super().__init__(keys)
        self.decision = PLAINLY if decision is None else decision
        self.restore = restoration(preprocessing, keys="restored")
        self.probabilities = probabilities

    @property
    def weights(self) -> Tensor | None:
        """Of the classes' probabilities, for their masks; see `class_weights`."""
        return self.decision.weights

    def at(self, decision: Decision) -> SourceGridLabelsd:
        """The same with other operating points."""
        other = copy.copy(self)
        other.decision = decision
        return other

    def __call__(self, data: Mapping[Hashable, Any]) -> dict[Hashable, Any]:
        item = dict(data)
        for key in self.key_iterator(item):
            soft = torch.softmax(torch.as_tensor(item[key]).detach().float(), dim=0)
            to_source = self._volume if soft.ndim == 4 else self._frame
            item[key], probabilities = to_source(item["image"], soft)
            if self.probabilities:
                item[self.probabilities] = probabilities
        return item

    def _frame(self, image: Any, soft: Tensor) -> tuple[MetaTensor, MetaTensor | None]:
        """Labels (1, H, W), and probabilities (K, H, W) on request, from probabilities (K, h, w)."""
        letterbox = None if self.probabilities else _placed_letterbox(image)
        # without a channel the shape and the header come back alone
        whole: MetaTensor = self.restore(
            {"image": image, "restored": MetaTensor(soft if letterbox is None else soft[:0])}
        )["restored"]
        if letterbox is None:
            labels = labels_of(whole.as_tensor(), self.decision)
        else:
            labels = _windowed_argmax(soft, tuple(whole.shape[1:]), *letterbox, decision=self.decision)
        traced = MetaTensor(labels[None], meta=whole.meta, applied_operations=whole.applied_operations)
        return traced, whole if self.probabilities else None

    def _volume(self, image: Any, soft: Tensor) -> tuple[MetaTensor, Tensor | None]:
        """The same for probabilities (K, x, y, z) of a volume, positioned by its affine."""
        meta, values, affine = image.meta, soft.cpu().numpy(), np.asarray(image.affine)
        grid = {
            "source_affine": np.asarray(meta["original_affine"]),
            "source_shape": meta["spatial_shape"].tolist(),
        }
        slabs = source_labels(values, affine, **grid, decision=self.decision)
        labels = np.concatenate([part for _, part in slabs], axis=-1)
        if self.decision.seeds is not None:
            keep_strong(labels)
        kept = {key: meta[key] for key in VOLUME_META if key in meta} | {"affine": meta["original_affine"]}
        traced = MetaTensor(torch.from_numpy(labels)[None], meta=kept)
        if not self.probabilities:
            return traced, None
        parts = [part for _, part in source_probabilities(values, affine, **grid)]
        return traced, torch.from_numpy(np.concatenate(parts, axis=-1))


def _placed_letterbox(image: Any) -> tuple[tuple[int, int], Mapping[str, Any]] | None:
    """The first row and column of the letterbox's picture on the source grid, and the letterbox's record.

    None for a chain other than an optional crop before the letterbox, and for a letterbox that has not
    enlarged: its inverse filters, so a pixel has more than four neighbours.
    """
    *crops, boxed = getattr(image, "applied_operations", None) or [{}]
    if boxed.get(TraceKeys.CLASS_NAME) != Letterbox.__name__ or len(crops) > 1:
        return None
    top, left = 0, 0
    if crops:
        if crops[0][TraceKeys.CLASS_NAME] != CropToTissue.__name__:
            return None
        top, _, left, _ = (int(side) for side in crops[0][TraceKeys.EXTRA_INFO]["cropped"])
    sizes = zip(boxed[TraceKeys.ORIG_SIZE], boxed[TraceKeys.EXTRA_INFO]["scaled"], strict=True)
    return None if any(int(source) < int(scaled) for source, scaled in sizes) else ((top, left), boxed)


def _windowed_argmax(
    soft: Tensor,
    shape: tuple[int, ...],
    corner: tuple[int, int],
    boxed: Mapping[str, Any],
    *,
    decision: Decision,
) -> Tensor:
    """The label map (H, W) on the source grid of probabilities (K, h, w) on the network's.

    Only the rows and columns that have a pixel of foreground among their neighbours are interpolated.
    """
    picture = [int(side) for side in boxed[TraceKeys.ORIG_SIZE]]
    info = boxed[TraceKeys.EXTRA_INFO]
    (high, wide), (top, left) = ([int(v) for v in info[key]] for key in ("scaled", "offset"))
    inner = soft[:, top : top + high, left : left + wide]
    labels = torch.zeros(shape, dtype=torch.uint8, device=soft.device)
    spans = _spans(decided(inner, decision.weights) > 0)
    if spans is None:
        return labels
    window, target = [], []
    for (first, last), size, network_size, offset in zip(spans, picture, (high, wide), corner, strict=True):
        scale = size / network_size  # a pixel is at less than one pixel's distance of what it reaches
        begin, end = int((first - 0.5) * scale) - 1, int((last + 1.5) * scale) + 2
        side = slice(max(0, begin), min(size, end))
        window.append(side)
        target.append(slice(side.start + offset, side.stop + offset))
    # a pixel of background is around all foreground, so the window is as good as the frame
    labels[tuple(target)] = labels_of(resample(inner, picture, window=(window[0], window[1])), decision)
    return labels


def _spans(mask: Tensor) -> list[tuple[int, int]] | None:
    """The first and last row, and column, of a mask (h, w) with a pixel in it; None if it is empty."""
    if not mask.any():
        return None
    indices = [torch.nonzero(mask.any(dim=1 - axis))[:, 0] for axis in (0, 1)]
    return [(int(index[0]), int(index[-1])) for index in indices]


@dataclass(frozen=True)
class _Axis:
    """An axis of the source grid on the network's: index ``i`` is at ``scale * i + shift`` of ``along``."""

    along: int
    scale: float
    shift: float

    def positions(self, span: slice) -> np.ndarray:
        return self.scale * np.arange(span.start, span.stop) + self.shift


def source_labels(
    probabilities: np.ndarray,
    affine: np.ndarray,
    *,
    source_affine: np.ndarray,
    source_shape: Sequence[int],
    slab: int = SLAB,
    decision: Decision = PLAINLY,
) -> Iterator[tuple[slice, np.ndarray]]:
    """Yield the source grid's labels, a few slices at a time, in memory independent of the volume.

    Components are not known before all slices are: `keep_strong` finishes the whole label map.

    Probabilities are interpolated (trilinear); the highest wins, the first of equals. Beyond the network's
    grid there is background.

    Args:
        probabilities: (K, x, y, z) on the network's grid, an array or a memory map.
        affine: (4, 4), from its indices to RAS+ mm.
        source_affine: the same for the source grid.
        source_shape: (X, Y, Z).
        slab: slices along Z at once.
        decision: the operating points of classes.

    Yields:
        The slices along Z, and their labels (X, Y, n) uint8.

    Raises:
        GeometryError: the grids' axes are not parallel.
    """
    grid = _Grids(probabilities, affine, source_affine, source_shape)
    for slices in grid.slabs(slab):
        labels = np.zeros((*grid.shape[:2], slices.stop - slices.start), np.uint8)
        part, first = grid.read(slices)
        window = None if part is None else grid.foreground(part, decision.weights)
        if part is not None and window is not None:
            values, inside = grid.interpolated(part, (*window, slices), first=first)
            labels[window] = np.where(inside, _marked(values, decision).numpy(), 0)
        yield slices, labels


def source_probabilities(
    probabilities: np.ndarray,
    affine: np.ndarray,
    *,
    source_affine: np.ndarray,
    source_shape: Sequence[int],
    slab: int = SLAB,
) -> Iterator[tuple[slice, np.ndarray]]:
    """As `source_labels`, but probabilities (K, X, Y, n) float32; 0 beyond the network's grid."""
    grid = _Grids(probabilities, affine, source_affine, source_shape)
    whole = slice(0, grid.shape[0]), slice(0, grid.shape[1])
    for slices in grid.slabs(slab):
        part, first = grid.read(slices)
        if part is None:
            size = (*grid.shape[:2], slices.stop - slices.start)
            yield slices, np.zeros((len(probabilities), *size), np.float32)
        else:
            values, inside = grid.interpolated(part, (*whole, slices), first=first)
            yield slices, values.numpy() * inside


class _Grids:
    """Values (K, x, y, z) on the network's grid, and the source grid (X, Y, Z) as the target."""

    def __init__(
        self, values: np.ndarray, affine: np.ndarray, source_affine: np.ndarray, shape: Sequence[int]
    ) -> None:
        self.shape = tuple(int(side) for side in shape)
        moves = np.linalg.solve(np.asarray(affine), np.asarray(source_affine))  # from the source's indices
        along = np.abs(moves[:3, :3]).argmax(axis=0)
        straight = np.zeros((3, 3))
        straight[along, range(3)] = moves[along, range(3)]
        if sorted(along) != [0, 1, 2] or (np.abs(moves[:3, :3] - straight) * self.shape).max() > STRAIGHT:
            remedy = "Resample without rotation: orient, space and pad only."
            raise GeometryError("grids whose axes are parallel", found="others", remedy=remedy)
        self.axes = [_Axis(int(a), float(moves[a, i]), float(moves[a, 3])) for i, a in enumerate(along)]
        self.values = values.transpose(0, *(1 + axis.along for axis in self.axes))  # in the source's order

    def slabs(self, thickness: int) -> Iterator[slice]:
        """Slices of the source along Z."""
        for begin in range(0, self.shape[2], thickness):
            yield slice(begin, min(begin + thickness, self.shape[2]))

    def read(self, slices: slice) -> tuple[Tensor | None, int]:
        """The network's values for interpolating slices of the source, and the first one's index.

        None beyond the network's grid.
        """
        size = self.values.shape[3]
        positions = self.axes[2].positions(slices)
        low, high = float(positions.min()), float(positions.max())
        if high < -REACH or low > size - 1 + REACH:
            return None, 0
        first = max(0, min(size - 1, int(np.floor(low))))
        part = self.values[..., first : max(1, min(size, int(np.ceil(high)) + 1))]
        return torch.from_numpy(np.ascontiguousarray(part, dtype=np.float32)), first

    def foreground(self, part: Tensor, weights: Tensor | None) -> tuple[slice, slice] | None:
        """The source's X and Y that can be foreground: between background voxels there is only background."""
        if len(part) < 2:
            return None
        spans = _spans((decided(part, weights) > 0).any(dim=2))
        if spans is None:
            return None
        window = []
        for (first, last), axis, size in zip(spans, self.axes[:2], self.shape[:2], strict=True):
            ends = [(index - axis.shift) / axis.scale for index in (first - 1, last + 1)]
            window.append(slice(max(0, int(np.floor(min(ends)))), min(size, int(np.ceil(max(ends))) + 1)))
        return None if any(side.stop <= side.start for side in window) else (window[0], window[1])

    def interpolated(self, part: Tensor, spans: Sequence[slice], *, first: int) -> tuple[Tensor, np.ndarray]:
        """Values (K, a, b, c) on ``spans`` of the source, and a mask (a, b, c) of the network's grid.

        Args:
            part: (K, x, y, z) of the network's grid, from ``first`` on its third axis.
        """
        inside = []
        for axis in (2, 1, 0):  # the fewest values first
            positions = self.axes[axis].positions(spans[axis])
            last = self.values.shape[1 + axis] - 1
            inside.append((positions >= -REACH) & (positions <= last + REACH))
            at = torch.from_numpy(np.clip(positions, 0, last) - (first if axis == 2 else 0)).float()
            part = _interpolated_along(part, at, axis=axis + 1)
        z, y, x = inside
        return part, x[:, None, None] & y[None, :, None] & z[None, None, :]


def _interpolated_along(values: Tensor, positions: Tensor, *, axis: int) -> Tensor:
    low = positions.floor().long().clamp_(0, values.shape[axis] - 1)
    high = (low + 1).clamp_(max=values.shape[axis] - 1)
    shape = [1] * values.ndim
    shape[axis] = -1
    weight = (positions - low).reshape(shape)
    return torch.lerp(values.index_select(axis, low), values.index_select(axis, high), weight)
