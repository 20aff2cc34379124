"""The class of the greatest score."""

from __future__ import annotations

import torch

__all__ = ["greatest_class"]


def greatest_class(values: torch.Tensor) -> torch.Tensor:
    """The first greatest channel of (K, ...) as (...) uint8, int32 with more than 256 classes.

    Far faster than torch's argmax over the first axis, which strides through memory.
    """
    best = values[0].clone()
    index = torch.zeros(
        best.shape, dtype=torch.uint8 if len(values) <= 256 else torch.int32, device=best.device
    )
    for channel, plane in enumerate(values[1:], start=1):
        index.masked_fill_(plane > best, channel)
        torch.maximum(best, plane, out=best)
    return index
