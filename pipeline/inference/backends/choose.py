"""One way to build any backend; ``auto`` measures which of those that are installed is the fastest here."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import nn

from pyraseg.pipeline.inference.backends import torch_backend
from pyraseg.pipeline.inference.backends.base import BACKENDS, Backend, Setting
from pyraseg.pipeline.inference.backends.load import load_exported
from pyraseg.pipeline.inference.backends.onnxruntime_backend import ONNXRUNTIME
from pyraseg.pipeline.inference.backends.openvino_backend import OPENVINO
from pyraseg.pipeline.inference.backends.timing import Timing, measure_ms, read_timing, write_timing
from pyraseg.pipeline.inference.inferer import SegmentationInferer, mixed_precision
from pyraseg.transforms.errors import ConfigError

__all__ = ["RUNTIMES", "build_backend"]

logger = logging.getLogger(__name__)

MANY = 200  # images from which exports and measurements, some ten seconds each, pay
RUNTIMES = {runtime.name: runtime for runtime in (OPENVINO, ONNXRUNTIME)}


def build_backend(
    name: str = "auto",
    *,
    network: nn.Module,
    device: torch.device,
    amp: bool | str = "auto",
    input_size: Sequence[int],
    in_channels: int,
    weights_hash: str,
    threads: int | None = None,
    lanes: int = 1,
    batch_size: int = 1,
    mode: str = "whole",
    overlap: float = 0.5,
    tta_flips: Sequence[str] | None = None,
    images: int | None = None,
) -> Backend:
    """Load a network or an ``Ensemble`` once, to score batches of any size.

    Args:
        name: "torch", "openvino", "onnxruntime", or "auto": torch on a GPU, on a CPU the fastest that is
            installed.
        network: with its weights. It is set to its evaluation mode and, for torch, moved to ``device``.
        device: "openvino" and "onnxruntime" compute on the CPU only.
        amp: as ``mixed_precision``; "onnxruntime" computes in float32 whatever it says.
        input_size: (H, W[, D]) of the images that the network sees; of the windows, if ``mode`` is "sliding".
        weights_hash: the SHA-256 of the checkpoint (of all, for an ensemble); exports are kept under it.
        threads: of the CPU; None for as many as torch uses. torch's own number is set to it.
        lanes: threads that will call the backend at a time.
        batch_size: images in a call, which "auto" measures with.
        mode, overlap, tta_flips: as `SegmentationInferer`.
        images: how many there are to score, if it is known: for few, "auto" measures nothing that it has not
            before.

    Raises:
        ConfigError: an unknown name, a library that is not installed, one that gives other classes than
            torch, or one that cannot compute on ``device``.
    """
    if name not in BACKENDS:
        wanted = f"a backend of {', '.join(BACKENDS)}"
        raise ConfigError(wanted, found=repr(name), remedy="Correct --backend.")
    if name in RUNTIMES and device.type != "cpu":
        remedy = "Use --device cpu, or --backend torch."
        raise ConfigError(f"the device cpu for {name}", found=device.type, remedy=remedy)
    if threads is not None:
        torch.set_num_threads(threads)
    setting = Setting(
        shape=(in_channels, *input_size),
        weights_hash=weights_hash,
        dtype=mixed_precision(device, amp),
        threads=torch.get_num_threads(),
        lanes=lanes,
        batch_size=batch_size,
    )
    options = {"mode": mode, "overlap": overlap, "tta_flips": tta_flips, "roi_size": tuple(input_size)}
    loader = _Loader(network.eval().to(device), device, setting)
    if name != "auto":
        return loader.backend(name, options, reason="as it was asked for")
    if device.type != "cpu":
        return loader.backend("torch", options, reason="the one for a GPU")
    return _fastest(loader, options, worth_measuring=images is None or images >= MANY)


@dataclass
class _Loader:
    """One network, loaded at most once into each of the libraries."""

    network: nn.Module
    device: torch.device
    setting: Setting
    loaded: dict[str, nn.Module] = field(default_factory=dict)

    def backend(self, name: str, options: Mapping[str, Any], *, reason: str = "") -> Backend:
        """``options`` are those of `SegmentationInferer`."""
        if name not in self.loaded:
            self.loaded[name] = self._load(name)
        # An exported network computes in its own type, so there is nothing to cast.
        amp = name == "torch" and self.setting.dtype is not None
        inferer = SegmentationInferer(device=self.device, amp=amp, **options)
        label = self.label(name)
        return Backend(label, f"{label}, {reason}", self.loaded[name], inferer, self.device)

    def label(self, name: str) -> str:
        return (
            RUNTIMES[name].label(self.setting)
            if name in RUNTIMES
            else torch_backend.label(self.setting.dtype)
        )

    def _load(self, name: str) -> nn.Module:
        if name == "torch":
            return torch_backend.place(self.network, self.device)
        return load_exported(self.network, RUNTIMES[name], self.setting)


def _fastest(loader: _Loader, options: Mapping[str, Any], *, worth_measuring: bool) -> Backend:
    """What was the fastest when it was measured for this checkpoint, machine and setting, or is now."""
    runtimes = [runtime for runtime in RUNTIMES.values() if runtime.installed]
    if not runtimes:
        reason = f"the only one that is installed ({' or '.join(RUNTIMES)} may be faster)"
        return loader.backend("torch", options, reason=reason)
    timing = read_timing(loader.network, runtimes, loader.setting)
    if timing is None and not worth_measuring:
        return loader.backend("torch", options, reason=f"below {MANY} frames not worth measuring others")
    if timing is None:
        logger.info("measuring which backend is the fastest, once for each checkpoint and machine")
        timing = _measure(loader)
        write_timing(timing, loader.network, runtimes, loader.setting)
    try:
        return loader.backend(timing.fastest, options, reason=_sentence(timing, loader))
    except ConfigError as error:  # it was measured once, and something has changed since
        logger.warning("%s is left out: %s", timing.fastest, error)
        return loader.backend("torch", options, reason=f"because {timing.fastest} fails: {error.found}")


def _measure(loader: _Loader) -> Timing:
    forwards, refused = {"torch": loader.backend("torch", {"mode": "whole"})}, {}
    for runtime in RUNTIMES.values():
        try:
            if runtime.installed:
                forwards[runtime.name] = loader.backend(runtime.name, {"mode": "whole"})
        except ConfigError as error:
            logger.warning("%s is left out: %s", runtime.name, error)
            refused[runtime.name] = error.found
    return Timing(measure_ms(forwards, loader.setting), refused)


def _sentence(timing: Timing, loader: _Loader) -> str:
    best, *others = sorted(timing.milliseconds, key=lambda name: timing.milliseconds[name])
    words = f"{timing.milliseconds[best]:.0f} ms an image"
    if others:
        words += " against " + ", ".join(
            f"{loader.label(name)} {timing.milliseconds[name]:.0f} ms" for name in others
        )
    return words + "".join(f"; {name} is left out: {found}" for name, found in timing.refused.items())
