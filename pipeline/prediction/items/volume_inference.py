"""What the network makes of a volume: windows go to where it runs, probabilities to the disk, labels to the
source. All calls into `pyraseg.pipeline.inference` that ``predict`` makes for volumes are here."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from pyraseg.pipeline.inference import SegmentationInferer
from pyraseg.pipeline.inference.source_grid import source_labels, source_probabilities
from pyraseg.pipeline.prediction.items.outputs import scratch_array
from pyraseg.pipeline.prediction.processes.network_client import NetworkClient

__all__ = ["VolumeScores", "distant_network", "infer"]


@dataclass(frozen=True, eq=False)
class VolumeScores:
    """What the network says of a volume, on its own grid.

    Attributes:
        values: probabilities (K, x, y, z) float32; may lie on the disk.
        affine: (4, 4), from their index to RAS+ mm.
        confidence: the mean probability of the winning class over the foreground; None without foreground.
    """

    values: np.ndarray
    affine: np.ndarray
    confidence: float | None

    def labels(self, affine: np.ndarray, out: np.ndarray) -> Iterator[slice]:
        """Fill a label map (X, Y, Z) on the source grid; yields the slices that are done."""
        options: dict[str, Any] = {"source_affine": affine, "source_shape": out.shape}
        for slices, labels in source_labels(self.values, self.affine, **options):
            out[:, :, slices] = labels
            yield slices

    def probabilities(self, affine: np.ndarray, out: np.ndarray) -> Iterator[slice]:
        """The same of the probabilities themselves, (K, X, Y, Z)."""
        options: dict[str, Any] = {"source_affine": affine, "source_shape": out.shape[1:]}
        for slices, values in source_probabilities(self.values, self.affine, **options):
            out[..., slices] = values
            yield slices


def distant_network(client: NetworkClient) -> Callable[..., torch.Tensor]:
    """The network at the other end of ``client``: windows (B, C, x, y, z) to scores (B, K, x, y, z).

    They are sent in as many parts as the client has slots, so that every thread of the network has one.
    """

    def network(windows: torch.Tensor, *_: Any, **__: Any) -> torch.Tensor:
        parts = windows.split(client.shapes.frames)
        for part in parts:
            client.send([*part.numpy()])
        return torch.cat([torch.from_numpy(client.receive().copy()) for _ in parts])

    return network


def infer(
    image: torch.Tensor, affine: np.ndarray, *, network: NetworkClient, overlap: float, folder: Path
) -> VolumeScores:
    """Score a volume (C, x, y, z) by windows with Gaussian weights; memory holds one row of them.

    Args:
        affine: (4, 4), from index to RAS+ mm.
        network: its shapes are the window's.
        folder: for what is too large for the memory.

    Raises:
        PyrasegError: a window cannot be scored, or there is no room.
    """
    shapes = network.shapes
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
    certainty, voxels = 0.0, 0
    for slab in inferer.slabs(image, distant_network(network), axis=2):
        values[(slice(None), *slab.slices)] = slab.probabilities
        inside = slab.labels > 0
        certainty += float(slab.probabilities.max(axis=0)[inside].sum(dtype=np.float64))
        voxels += int(np.count_nonzero(inside))
    return VolumeScores(values, affine, certainty / voxels if voxels else None)
