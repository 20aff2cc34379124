"""How sure the network was, and whether a frame looks like the greyscale that it learned from."""

from __future__ import annotations

import numpy as np
import torch

__all__ = ["colour_fraction", "confidence"]

CHROMA = 0.2  # the difference between a pixel's largest and smallest channel from which it counts as coloured


def confidence(scores: np.ndarray) -> float | None:
    """The mean probability of the winning class over the foreground of the network's own grid.

    Args:
        scores: (K, h, w), before the softmax.

    Returns:
        from 1 / K to 1; None where background wins everywhere.
    """
    values = torch.from_numpy(scores).flatten(1)
    best, winner = values.max(dim=0)
    inside = winner > 0
    if not bool(inside.any()):
        return None
    return float((1 / (values[:, inside] - best[inside]).exp().sum(dim=0)).mean())


def colour_fraction(image: torch.Tensor) -> float:
    """The fraction of a frame (C, h, w) in [0, 1] that is coloured, as colour Doppler is; 0 of a grey one."""
    if image.shape[0] != 3:
        return 0.0
    sample = image[:, ::2, ::2]
    return float((sample.amax(0) - sample.amin(0) > CHROMA).float().mean())
