"""Score a volume: windows go to the network, probabilities to disk, labels to the source grid.

Here are all calls of ``predict`` into `pyraseg.pipeline.inference` for volumes.
"""

from __future__ import annotations

import functools
import operator
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from pyraseg.pipeline.inference import SegmentationInferer
from pyraseg.pipeline.inference.clean_up import keep_strong
from pyraseg.pipeline.inference.decision import PLAINLY, Decision
from pyraseg.pipeline.inference.source_grid import decided, source_labels, source_probabilities
from pyraseg.pipeline.prediction.items.outputs import scratch_array
from pyraseg.pipeline.prediction.processes.network_client import NetworkClient
from pyraseg.pipeline.trust.quality import MapSums

__all__ = ["VolumeScores", "distant_network", "infer"]


@dataclass(frozen=True, eq=False)
class VolumeScores:
    """The network's result for a volume, on the network's grid.

    Attributes:
        values: probabilities (K, x, y, z) float32; may lie on disk.
        affine: (4, 4), from their index to RAS+ mm.
        confidence: the mean probability of the winning class over the foreground; None without foreground.
        sums: of the probabilities; ``features``: (F,), the mean over the windows.
    """

    values: np.ndarray
    affine: np.ndarray
    confidence: float | None
    sums: MapSums
    features: np.ndarray

    def labels(self, affine: np.ndarray, out: np.ndarray, *, decision: Decision = PLAINLY) -> Iterator[slice]:
        """Fill a label map (X, Y, Z) on the source grid; yields its slices, then sees to the components."""
        options: dict[str, Any] = {"source_affine": affine, "source_shape": out.shape, "decision": decision}
        for slices, labels in source_labels(self.values, self.affine, **options):
            out[:, :, slices] = labels
            yield slices
        if decision.seeds is not None:
            keep_strong(out)

    def probabilities(self, affine: np.ndarray, out: np.ndarray) -> Iterator[slice]:
        """Fill probabilities (K, X, Y, Z) on the source grid in the same manner."""
        options: dict[str, Any] = {"source_affine": affine, "source_shape": out.shape[1:]}
        for slices, values in source_probabilities(self.values, self.affine, **options):
            out[..., slices] = values
            yield slices


def distant_network(client: NetworkClient, features: list[np.ndarray]) -> Callable[..., torch.Tensor]:
    """The network in another process, behind ``client``: windows (B, C, x, y, z) to scores (B, K, x, y, z).

    The windows' features (n, F) join the list.

    Windows are sent in one part for each slot of the client, so that every network thread has work.
    """

    def network(windows: torch.Tensor, *_: Any, **__: Any) -> torch.Tensor:
        parts = windows.split(client.shapes.frames)
        for part in parts:
            client.send([*part.numpy()])
        return torch.cat([received() for _ in parts])

    def received() -> torch.Tensor:
        scores = torch.from_numpy(client.receive().copy())
        features.append(client.features.copy())
        return scores

    return network


def infer(
    image: torch.Tensor,
    affine: np.ndarray,
    *,
    network: NetworkClient,
    overlap: float,
    folder: Path,
    weights: torch.Tensor | None = None,
) -> VolumeScores:
    """Score a volume (C, x, y, z) by windows with Gaussian weights; memory holds one row of windows.

    Args:
        affine: (4, 4), from index to RAS+ mm.
        network: its shapes are the window's.
        folder: for arrays too large for memory.
        weights: of the classes, see `class_weights`.

    Raises:
        PyrasegError: a window cannot be scored, or the disk is full.
    """
    shapes = network.shapes
    inferer = SegmentationInferer(
        "sliding",
        roi_size=shapes.inputs[1:],
        overlap=overlap,
        device="cpu",
        amp=False,  # the network process sets its precision
        batch_size=shapes.frames * shapes.slots,
    )
    x, y, z = image.shape[1:]
    values = scratch_array(folder / ".scores", (z, shapes.scores[0], y, x), np.float32).transpose(1, 3, 2, 0)
    certainty, voxels = 0.0, 0
    sums, features = list[MapSums](), list[np.ndarray]()
    for slab in inferer.slabs(image, distant_network(network, features), axis=2):
        values[(slice(None), *slab.slices)] = slab.probabilities
        sums.append(MapSums.of(torch.from_numpy(slab.probabilities), weights))
        labels = slab.labels
        if weights is not None:
            labels = decided(torch.from_numpy(slab.probabilities), weights).numpy()
        inside = labels > 0
        winning = np.take_along_axis(slab.probabilities, labels[None].astype(np.intp), axis=0)[0]
        certainty += float(winning[inside].sum(dtype=np.float64))
        voxels += int(np.count_nonzero(inside))
    pooled = np.concatenate(features).mean(axis=0)
    total = functools.reduce(operator.add, sums)
    return VolumeScores(values, affine, certainty / voxels if voxels else None, total, pooled)
