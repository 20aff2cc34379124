"""Pooled features of a network's encoder, taken while it runs: what an image looks like to the network."""

from __future__ import annotations

import threading
from functools import partial
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from pyraseg.pipeline.inference.ensemble import Ensemble

__all__ = ["FeatureTap", "encoder_of"]


def encoder_of(network: nn.Module) -> nn.Module | None:
    """The module whose output is a network's deepest features: what its ``encoder_end`` names; or None."""
    name = getattr(network, "encoder_end", None)
    return None if name is None else network.get_submodule(name)


class FeatureTap:
    """Keeps the mean over space of the encoders' output for all that runs through a network between calls.

    Each thread has its own. The network's output does not change; `close` takes the hooks away.

    Args:
        network: one, or an `Ensemble`; a network without ``encoder_end`` has no features.

    >>> from pyraseg.pipeline.networks import build_network
    >>> network = build_network("unet", 2, in_channels=1, out_channels=2).eval()
    >>> tap = FeatureTap(network)
    >>> tap.start()
    >>> network(torch.zeros(3, 1, 32, 32)).shape
    torch.Size([3, 2, 32, 32])
    >>> [member.shape for member in tap.take(3)]
    [(3, 512)]
    """

    def __init__(self, network: nn.Module) -> None:
        members = list(network.members) if isinstance(network, Ensemble) else [network]
        encoders = [encoder_of(member) for member in members]
        self._own = threading.local()
        self._members = len(members)
        self._handles = [
            encoder.register_forward_hook(partial(self._keep, number))
            for number, encoder in enumerate(encoders)
            if encoder is not None
        ]

    def start(self) -> None:
        """Forget what this thread has run, and keep what it will."""
        self._own.rows = [[] for _ in range(self._members)]

    def take(self, images: int, *, by_image: bool = False) -> list[np.ndarray]:
        """The features (images, C) of each member since `start`: the mean over flips, or over windows.

        A member without features has (images, 0).

        Args:
            by_image: the images ran one after another, each by its windows, instead of all in each pass.
        """
        found = []
        for passes in self.passes():
            if not passes.numel():
                found.append(np.zeros((images, 0), np.float32))
                continue
            shape = (images, -1) if by_image else (-1, images)
            found.append(passes.reshape(*shape, passes.shape[1]).mean(1 if by_image else 0).cpu().numpy())
        return found

    def passes(self) -> list[Tensor]:
        """What `take` averages, of each member: the images or windows of all passes, (N, C)."""
        rows, self._own.rows = self._own.rows, None
        return [torch.cat(member) if member else torch.zeros(0, 0) for member in rows]

    def close(self) -> None:
        """Take the hooks away."""
        for handle in self._handles:
            handle.remove()

    def _keep(self, member: int, _: nn.Module, __: Any, output: Tensor) -> None:
        rows = getattr(self._own, "rows", None)
        if rows is not None:
            pooled = output.detach().float()
            rows[member].append(pooled.flatten(2).mean(2) if pooled.ndim > 2 else pooled)
