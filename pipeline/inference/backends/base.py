"""A backend: torch, or a library that runs an exported network instead."""

from __future__ import annotations

import importlib.util
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from importlib.metadata import version
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
import torch
from torch import Tensor, nn

from pyraseg.pipeline.inference.features import FeatureTap
from pyraseg.pipeline.inference.inferer import SegmentationInferer
from pyraseg.transforms.errors import ConfigError

__all__ = ["BACKENDS", "Backend", "ExportedNetwork", "Runtime", "Setting", "place_for_torch", "precision"]

Run: TypeAlias = Callable[[np.ndarray], Sequence[np.ndarray]]

BACKENDS = ("auto", "torch", "openvino", "onnxruntime")


@dataclass(frozen=True)
class Backend:
    """Scores of images: ``backend(batch)``, (B, C, H, W) -> (B, K, H, W), both float32 on the CPU.

    B may differ from call to call, and several threads may call at once.

    Attributes:
        name: the library and the type, such as "openvino bf16".
        reason: a sentence for the log on why this backend was chosen.
        network: for ``inferer``: the torch network, or modules in place of it or of its members.
        inferer: windows, flips, members and precision.
    """

    name: str
    reason: str
    network: nn.Module
    inferer: SegmentationInferer

    @cached_property
    def _tap(self) -> FeatureTap:
        return FeatureTap(self.network)

    def __call__(self, batch: Tensor) -> Tensor:
        self._tap.start()
        with torch.inference_mode():
            scores = self.inferer(batch.to(self.inferer.device, non_blocking=True), self.network)
        return scores.to("cpu", copy=True)  # after inference_mode: the caller may change it in place

    def features(self, images: int) -> np.ndarray:
        """The encoders' pooled features (images, F), of all members, in this thread's last call."""
        taken = self._tap.take(images, by_image=self.inferer.mode == "sliding")
        return np.concatenate(taken, axis=1)


@dataclass(frozen=True)
class Setting:
    """The setting that a network is exported and run for.

    Attributes:
        shape: of one image, (C, H, W[, D]).
        weights_hash: of the checkpoint or checkpoints; names the cache entry.
        dtype: torch.bfloat16, or None for float32.
        threads: for computing, over all network threads.
        network_threads: concurrent callers; each has its share of the threads.
        batch_size: images in a call, for the choice of the fastest backend.
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
        requirement: for pip.
        has_bfloat16: it can compute in bfloat16.
        load: (file, setting) -> (B, C, H, W) -> the file's outputs, the scores (B, K, H, W) and, if it has
            them, features (B, F), arrays of float32; safe to call from several threads. It raises ConfigError
            for a file that the library does not take.
    """

    name: str
    requirement: str
    has_bfloat16: bool
    load: Callable[[Path, Setting], Run]

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
    """A module that replaces an exported network: (B, C, H, W[, D]) -> (B, K, H, W[, D]), on the CPU.

    The features that come with the scores pass through a module of their own, where a `FeatureTap` sees them.

    Raises:
        ConfigError: when called with images of another size than it was exported for.
    """

    encoder_end = "encoder"

    def __init__(self, run: Run, shape: Sequence[int]) -> None:
        super().__init__()
        self.encoder = nn.Identity()
        self.run = run
        self.shape = tuple(shape)

    def forward(self, x: Any) -> Tensor:
        if tuple(x.shape[1:]) != self.shape:
            wanted, found = (" x ".join(map(str, shape)) for shape in (self.shape, x.shape[1:]))
            remedy = "Build the backend for the images' size, or use --backend torch."
            raise ConfigError(f"images of {wanted}, channels first", found=found, remedy=remedy)
        scores, *features = map(torch.from_numpy, self.run(x.contiguous().numpy()))
        for pooled in features:
            self.encoder(pooled)
        return scores


def precision(dtype: torch.dtype | None) -> str:
    """The short name of the type that convolutions compute in."""
    return "fp32" if dtype is None else "bf16"


def place_for_torch(network: nn.Module, device: torch.device) -> nn.Module:
    """Move the torch network to its device, in evaluation mode and channels last.

    Batch norms are not folded into the convolutions: ``torch.fx``, which does it, cannot trace every network.
    The other backends fold them.
    """
    volumes = any(parameter.ndim == 5 for parameter in network.parameters())
    layout = torch.channels_last_3d if volumes else torch.channels_last
    network.to(memory_format=layout)  # type: ignore[call-overload]  # missing in torch's annotations
    return network.to(device).eval()
