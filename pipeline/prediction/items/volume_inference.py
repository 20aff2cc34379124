"""What the network makes of a volume: windows go to where it runs, probabilities to the disk, labels to the
source."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from pyraseg.pipeline.inference import SegmentationInferer
from pyraseg.pipeline.inference.source_grid import source_labels, source_probabilities
from pyraseg.pipeline.prediction.items.scratch import scratch_array
from pyraseg.pipeline.prediction.processes.network_client import Exchange

__all__ = ["Probabilities", "distant_network", "infer"]


@dataclass(frozen=True, eq=False)
class Probabilities:
    """What the network says of a volume, on its own grid.

    Attributes:
        values: (K, x, y, z) float32; may lie on the disk.
        affine: (4, 4), from their index to RAS+ mm.
        confidence: the mean probability of the winning class over the foreground; None without foreground.
    """

    values: np.ndarray
    affine: np.ndarray
    confidence: float | None

    def labels(self, affine: np.ndarray, out: np.ndarray) -> Iterator[slice]:
        """Fill a label map (X, Y, Z) on the source grid; yields the slices that are done."""
        for place, labels in source_labels(
            self.values, self.affine, source_affine=affine, source_shape=out.shape
        ):
            out[:, :, place] = labels
            yield place

    def shares(self, affine: np.ndarray, out: np.ndarray) -> Iterator[slice]:
        """The same of the probabilities themselves, (K, X, Y, Z)."""
        size = out.shape[1:]
        for place, values in source_probabilities(
            self.values, self.affine, source_affine=affine, source_shape=size
        ):
            out[..., place] = values
            yield place


def distant_network(exchange: Exchange) -> Callable[..., torch.Tensor]:
    """The network at the other end of ``exchange``: windows (B, C, x, y, z) to scores (B, K, x, y, z).

    They are sent in as many parts as the exchange has slots, so that all lanes of the network have one.
    """

    def network(windows: torch.Tensor, *_: Any, **__: Any) -> torch.Tensor:
        parts = windows.split(exchange.shapes.frames)
        for part in parts:
            exchange.send([*part.numpy()])
        return torch.cat([torch.from_numpy(exchange.receive().copy()) for _ in parts])

    return network


def infer(
    image: torch.Tensor, affine: np.ndarray, *, exchange: Exchange, overlap: float, folder: Path
) -> Probabilities:
    """Score a volume (C, x, y, z) by windows with Gaussian weights; memory holds one row of them.

    Args:
        affine: (4, 4), from index to RAS+ mm.
        exchange: to the network; its shapes are the window's.
        folder: for what is too large for the memory.

    Raises:
        PyrasegError: a window cannot be scored, or there is no room.
    """
    shapes = exchange.shapes
    inferer = SegmentationInferer(
        "sliding",
        roi_size=shapes.inputs[1:],
        overlap=overlap,
        device="cpu",
        amp=False,  # the network computes where it is, in its own precision
        batch_size=shapes.frames * shapes.slots,
    )
    x, y, z = image.shape[1:]
    values = scratch_array(folder / ".scores", (z, shapes.scores[0], y, x), np.float32).transpose(1, 3, 2, 0)
    sure, voxels = 0.0, 0
    for slab in inferer.slabs(image, distant_network(exchange), axis=2):
        values[(slice(None), *slab.slices)] = slab.probabilities
        inside = slab.labels > 0
        sure += float(slab.probabilities.max(axis=0)[inside].sum(dtype=np.float64))
        voxels += int(np.count_nonzero(inside))
    return Probabilities(values, affine, sure / voxels if voxels else None)
