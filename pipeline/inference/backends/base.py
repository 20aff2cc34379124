"""What a backend is: torch, or a library that runs an exported network in its place."""

from __future__ import annotations

import importlib.util
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from pyraseg.pipeline.inference.inferer import SegmentationInferer
from pyraseg.transforms.errors import ConfigError

__all__ = ["BACKENDS", "Backend", "ExportedNetwork", "Runtime", "Setting", "place_for_torch", "precision"]

BACKENDS = ("auto", "torch", "openvino", "onnxruntime")


@dataclass(frozen=True)
class Backend:
    """Scores of images: ``backend(batch)``, (B, C, H, W) -> (B, K, H, W), both float32 on the CPU.

    B may differ from call to call, and several threads may call at once.

    Attributes:
        name: what computes, and in which type: "openvino bf16".
        reason: a sentence for the log, why it is this one.
        network: what ``inferer`` runs: the torch network, or modules that stand for it or for its members.
        inferer: windows, flips, members and precision.
    """

    name: str
    reason: str
    network: nn.Module
    inferer: SegmentationInferer

    def __call__(self, batch: Tensor) -> Tensor:
        with torch.inference_mode():
            scores = self.inferer(batch.to(self.inferer.device, non_blocking=True), self.network)
        return scores.to("cpu", copy=True)  # outside: a tensor that may be changed in place


@dataclass(frozen=True)
class Setting:
    """What a network is exported and run for.

    Attributes:
        shape: of one image, (C, H, W[, D]).
        weights_hash: of the checkpoint or checkpoints; names the entry of the cache.
        dtype: torch.bfloat16, or None for float32.
        threads: to compute with, over all network threads.
        network_threads: callers at a time; each has its share of the threads.
        batch_size: images in a call, for the choice of the fastest.
    """

    shape: tuple[int, ...]
    weights_hash: str
    dtype: torch.dtype | None
    threads: int
    network_threads: int = 1
    batch_size: int = 1


@dataclass(frozen=True)
class Runtime:
    """A library that runs ONNX files on the CPU.

    Attributes:
        name: of the backend, and of the library's package.
        requirement: what pip installs.
        has_bfloat16: it computes in bfloat16 where it is told to.
        load: (file, setting) -> (B, C, H, W) -> (B, K, H, W), arrays of float32; safe to call from several
            threads. It raises ConfigError for a file that the library does not take.
    """

    name: str
    requirement: str
    has_bfloat16: bool
    load: Callable[[Path, Setting], Callable[[np.ndarray], np.ndarray]]

    @property
    def installed(self) -> bool:
        return importlib.util.find_spec(self.name) is not None

    @property
    def version(self) -> str:
        return version(self.name)

    def dtype(self, setting: Setting) -> torch.dtype | None:
        return setting.dtype if self.has_bfloat16 else None

    def label(self, setting: Setting) -> str:
        return f"{self.name} {precision(self.dtype(setting))}"


class ExportedNetwork(nn.Module):
    """A module in the place of the exported network: (B, C, H, W[, D]) -> (B, K, H, W[, D]), on the CPU.

    Raises:
        ConfigError: when called, images of another size than it was exported for.
    """

    def __init__(self, run: Callable[[np.ndarray], np.ndarray], shape: Sequence[int]) -> None:
        super().__init__()
        self.run = run
        self.shape = tuple(shape)

    def forward(self, x: Any) -> Tensor:
        if tuple(x.shape[1:]) != self.shape:
            wanted, found = (" x ".join(map(str, shape)) for shape in (self.shape, x.shape[1:]))
            remedy = "Build the backend for the images' size, or use --backend torch."
            raise ConfigError(f"images of {wanted}, channels first", found=found, remedy=remedy)
        return torch.from_numpy(self.run(x.contiguous().numpy()))


def precision(dtype: torch.dtype | None) -> str:
    """The short name of what the convolutions compute in."""
    return "fp32" if dtype is None else "bf16"


def place_for_torch(network: nn.Module, device: torch.device) -> nn.Module:
    """Bring the network itself to its device, in evaluation mode and channels last.

    Batch norms are not folded into the convolutions: ``torch.fx``, which does it, does not trace every
    network. The other backends fold them.
    """
    volumes = any(parameter.ndim == 5 for parameter in network.parameters())
    layout = torch.channels_last_3d if volumes else torch.channels_last
    network.to(memory_format=layout)  # type: ignore[call-overload]  # missing in torch's annotations
    return network.to(device).eval()
