"""Sliding-window inference in bounded memory: labels leave slab by slab, once no further window reaches
them."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

import numpy as np
import torch
from monai.data.utils import compute_importance_map
from monai.inferers import Inferer

from pyraseg.pipeline.inference.argmax import greatest_class
from pyraseg.pipeline.inference.inferer import make_inferer
from pyraseg.pipeline.inference.sliding_files import probability_file
from pyraseg.pipeline.inference.sliding_windows import (
    Corner,
    Volume,
    WindowPlan,
    as_channels_first,
    crop,
    plan_windows,
)
from pyraseg.transforms.errors import ConfigError, GeometryError

__all__ = ["Network", "Progress", "Slab", "SlidingLabels", "make_sliding_labels"]

Network = Callable[..., torch.Tensor]
Progress = Callable[[int, int], None]

THICKNESS = 16  # voxels of a slab: 64 bytes of float32, what one access to memory brings
SIGMA = 0.125  # of the Gaussian weights, in window sides: MONAI's default


@dataclass(frozen=True)
class Slab:
    """What is final of a volume: all of it between two indices of one axis.

    Attributes:
        place: its indices in a volume (X, Y, Z).
        labels: (x, y, z) uint8, or uint16 with more than 256 classes: the class of the greatest score.
        probabilities: (K, x, y, z) float32 where they are asked for.
    """

    place: tuple[slice, ...]
    labels: np.ndarray
    probabilities: np.ndarray | None = None


@dataclass(frozen=True)
class SlidingLabels:
    """Label a volume by windows with Gaussian weights, as MONAI's ``SlidingWindowInferer`` does, in less
    memory.

    MONAI keeps the scores of all classes and the sum of weights of the whole volume, with its
    ``buffer_steps`` too (MONAI issues 6427 and 9071). Here the windows go along one axis row by row and only
    the scores that a window to come can still change are kept: of one window's depth. The labels are the
    same, but for rounding.

    Args:
        roi_size: the window (x, y, z) in voxels; -1 is the volume's own size. A smaller volume is padded.
        inferer: runs the network on a batch of windows (B, C, x, y, z), as ``make_inferer("whole", ...)``
            does. What it averages, flips and members of an ensemble, it averages within each window, so it
            costs no more memory.
        device: where windows are scored and scores are kept.
        overlap: the fraction of a window that its neighbour covers.
        batch_size: windows in one forward pass. More of them only pay on a GPU.
        padding_value: what lies beyond the volume.

    Raises:
        ConfigError: a batch size below 1; when called, an overlap or a window that cannot be.
        GeometryError: when called, a volume of another shape, or scores that are not on the windows' grid.
    """

    roi_size: Sequence[int]
    inferer: Inferer
    device: torch.device
    overlap: float = 0.5
    batch_size: int = 1
    padding_value: float = 0.0

    def __post_init__(self) -> None:
        if self.batch_size < 1:
            raise ConfigError(
                "a batch of 1 window or more", found=f"{self.batch_size}", remedy="Correct --batch_size."
            )

    def __call__(
        self,
        volume: Volume,
        network: Network,
        *,
        out: np.ndarray | None = None,
        probabilities: str | Path | None = None,
        progress: Progress | None = None,
    ) -> np.ndarray:
        """Label a volume; interrupted, it leaves no file.

        Args:
            volume: (1, C, X, Y, Z) or (C, X, Y, Z), a tensor or an array, memory-mapped or not.
            network: (B, C, x, y, z) -> scores (B, K, x, y, z).
            out: where the labels go, (X, Y, Z), for example a memory-mapped array; None makes an array.
            probabilities: a ``.npy`` file to write, float32 (K, X, Y, Z), whole or not at all. Read it with
                ``np.load(path, mmap_mode="r")``; it lies slice after slice.
            progress: called with the windows scored so far and their number.

        Returns:
            (X, Y, Z) labels, ``out`` if given; uint8, or uint16 with more than 256 classes.

        Raises:
            OutputError: the file cannot be written, or the disk is full.
        """
        size = tuple(as_channels_first(volume).shape[1:])
        if out is not None and out.shape != size:
            raise GeometryError(
                f"labels of the volume's shape {size}", found=f"{out.shape}", remedy="Make them so."
            )
        axis = None if probabilities is None else len(size) - 1  # so the slabs follow each other in the file
        with nullcontext() if probabilities is None else probability_file(probabilities, size) as append:
            for slab in self.slabs(
                volume, network, axis=axis, probabilities=append is not None, progress=progress
            ):
                out = np.empty(size, slab.labels.dtype) if out is None else out
                out[slab.place] = slab.labels
                if append is not None and slab.probabilities is not None:
                    append(slab.probabilities)
        if out is None:  # as_channels_first has refused a volume without voxels
            raise GeometryError("a volume with voxels", found="none", remedy="Give another volume.")
        return out

    def slabs(
        self,
        volume: Volume,
        network: Network,
        *,
        axis: int | None = None,
        probabilities: bool = False,
        progress: Progress | None = None,
    ) -> Iterator[Slab]:
        """Yield what is final, in order along an axis; the caller may let go of each slab before the next.

        Args:
            volume, network, progress: as above.
            axis: 0, 1 or 2; None takes the one that keeps least in memory.
            probabilities: whether slabs have them.
        """
        channels_first = as_channels_first(volume)
        plan = plan_windows(tuple(channels_first.shape[1:]), self.roi_size, overlap=self.overlap)
        axis = plan.thinnest() if axis is None else axis
        rows = _Rows(plan, axis, self.device, weighed=probabilities)
        done = 0
        for start in plan.starts[axis]:
            for corners in _batches(plan.corners(axis, start), self.batch_size):
                rows.add(corners, self._scores(channels_first, network, corners, plan))
                done += len(corners)
                if progress is not None:
                    progress(done, plan.number)
            yield from rows.finished()

    @torch.no_grad()
    def _scores(
        self, volume: Volume, network: Network, corners: Sequence[Corner], plan: WindowPlan
    ) -> torch.Tensor:
        """(B, K, x, y, z) float32."""
        windows = [crop(volume, corner, plan, padding_value=self.padding_value) for corner in corners]
        scores = self.inferer(torch.stack(windows).to(self.device), network)
        if not isinstance(scores, torch.Tensor) or tuple(scores.shape[2:]) != plan.roi_size:
            found = f"{tuple(scores.shape)}" if isinstance(scores, torch.Tensor) else type(scores).__name__
            wanted = f"scores (B, K, {', '.join(map(str, plan.roi_size))}) of a window"
            raise GeometryError(
                wanted, found=found, remedy="Choose a network whose output has its input's size."
            )
        return scores.float()


class _Rows:
    """The weighted sums of scores (K, X, Y, Z) of one window's depth along an axis, at the windows' front."""

    def __init__(self, plan: WindowPlan, axis: int, device: torch.device, *, weighed: bool) -> None:
        self.plan = plan
        self.axis = axis
        self.weights = compute_importance_map(plan.roi_size, mode="gaussian", sigma_scale=SIGMA).to(device)
        self.weighed = weighed  # labels need no division by the sum of weights
        self.row = 0
        self.scores = torch.empty(0)
        self.total = torch.empty(0)

    @torch.no_grad()
    def add(self, corners: Sequence[Corner], scores: torch.Tensor) -> None:
        if not self.scores.numel():
            shape = list(self.plan.size)
            shape[self.axis] = min(self.plan.roi_size[self.axis], shape[self.axis])
            self.scores = torch.zeros(scores.shape[1], *shape, device=scores.device)
            self.total = torch.zeros(shape if self.weighed else 0, device=scores.device)
        for corner, window in zip(corners, scores, strict=True):
            here, inner = self._place(corner), self.plan.within(corner)
            self.scores[(slice(None), *here)].addcmul_(window[(slice(None), *inner)], self.weights[inner])
            if self.weighed:
                self.total[here] += self.weights[inner]

    def _place(self, corner: Corner) -> tuple[slice, ...]:
        """A window's place in what is kept."""
        spans = [self.plan.span(axis, start) for axis, start in enumerate(corner)]
        spans[self.axis] = slice(0, spans[self.axis].stop - spans[self.axis].start)
        return tuple(spans)

    def finished(self) -> Iterator[Slab]:
        """What no further row reaches; then the rest is moved to the front."""
        starts = [max(start, 0) for start in self.plan.starts[self.axis]] + [self.plan.size[self.axis]]
        first, stop = starts[self.row], starts[self.row + 1]
        for begin in range(first, stop, THICKNESS):
            yield self._slab(first, begin, min(begin + THICKNESS, stop))
        self.row += 1
        for kept in (self.scores, self.total) if self.weighed else (self.scores,):
            _advance(kept, stop - first, axis=self.axis - len(self.plan.size))

    def _slab(self, first: int, begin: int, end: int) -> Slab:
        axis = self.axis - len(self.plan.size)
        place = [slice(0, size) for size in self.plan.size]
        place[self.axis] = slice(begin, end)
        scores = self.scores.narrow(axis, begin - first, end - begin)
        labels = _as_labels(greatest_class(scores))
        if not self.weighed:
            return Slab(tuple(place), labels)
        mean = scores / self.total.narrow(axis, begin - first, end - begin)
        return Slab(tuple(place), labels, mean.softmax(dim=0).cpu().numpy())


def _advance(kept: torch.Tensor, step: int, *, axis: int) -> None:
    """Move ``kept`` by ``step`` towards its front and fill up with zeros, in place: no copy of it is made."""
    depth = kept.shape[axis]
    for begin in range(0, depth - step, step):  # pieces of one step, so that none overlaps where it goes
        length = min(step, depth - step - begin)
        kept.narrow(axis, begin, length).copy_(kept.narrow(axis, begin + step, length))
    kept.narrow(axis, max(0, depth - step), min(step, depth)).zero_()


def _as_labels(index: torch.Tensor) -> np.ndarray:
    labels: np.ndarray = index.cpu().numpy()
    return labels if labels.dtype == np.uint8 else labels.astype(np.uint16)


def _batches(corners: Iterable[Corner], size: int) -> Iterator[list[Corner]]:
    waiting = iter(corners)
    while batch := list(islice(waiting, size)):
        yield batch


def make_sliding_labels(
    roi_size: Sequence[int],
    *,
    device: torch.device,
    amp: bool | str = "auto",
    overlap: float = 0.5,
    batch_size: int = 1,
    padding_value: float = 0.0,
    tta_flips: Sequence[str] | None = None,
) -> SlidingLabels:
    """`SlidingLabels` in the precision that ``amp`` asks for, with the flips and ensembles of
    ``make_inferer``.

    ``tta_flips``: axes among "h", "w" and "d", which are x, y and z of a volume.

    Raises:
        ConfigError: another ``amp``, an unknown axis, a batch size below 1.
    """
    inferer = make_inferer("whole", device=device, amp=amp, tta_flips=tta_flips)
    return SlidingLabels(roi_size, inferer, device, overlap, batch_size, padding_value)
