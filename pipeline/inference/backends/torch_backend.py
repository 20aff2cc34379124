"""torch itself: the network in evaluation mode, channels last, in the type that the hardware has."""

from __future__ import annotations

import torch
from torch import nn

from pyraseg.pipeline.inference.backends.base import precision

__all__ = ["label", "place"]


def place(network: nn.Module, device: torch.device) -> nn.Module:
    """Bring the network itself to its device, in evaluation mode and channels last.

    Batch norms are not folded into the convolutions: ``torch.fx``, which does it, does not trace every
    network. The other backends fold them.
    """
    volumes = any(parameter.ndim == 5 for parameter in network.parameters())
    layout = torch.channels_last_3d if volumes else torch.channels_last
    network.to(memory_format=layout)  # type: ignore[call-overload]  # missing in torch's annotations
    return network.to(device).eval()


def label(dtype: torch.dtype | None) -> str:
    """The backend's name."""
    return f"torch {precision(dtype)} channels_last"
