"""Build a backend; ``auto`` measures which of the installed ones is the fastest here."""

from __future__ import annotations

import logging
import platform
import statistics
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from pyraseg.pipeline.inference.backends.agreement import load_exported, smooth_images
from pyraseg.pipeline.inference.backends.base import BACKENDS, Backend, Setting, place_for_torch, precision
from pyraseg.pipeline.inference.backends.export import cache_path, describe, read_facts, write_facts
from pyraseg.pipeline.inference.backends.runtimes import ONNXRUNTIME, OPENVINO
from pyraseg.pipeline.inference.inferer import SegmentationInferer, mixed_precision
from pyraseg.transforms.errors import ConfigError

__all__ = ["RUNTIMES", "build_backend"]

logger = logging.getLogger(__name__)

ROUNDS = 3  # of a measurement
MANY = 200  # images from which exports and measurements, some ten seconds each, pay off
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
    network_threads: int = 1,
    batch_size: int = 1,
    mode: str = "whole",
    overlap: float = 0.5,
    tta_flips: Sequence[str] | None = None,
    images: int | None = None,
) -> Backend:
    """Load a network or an `Ensemble` once, to score batches of any size.

    Args:
        name: "torch", "openvino", "onnxruntime", or "auto": torch on a GPU, the fastest one on a CPU.
        network: with its weights; it is set to evaluation mode and, for torch, moved to ``device``.
        device: "openvino" and "onnxruntime" compute on the CPU only.
        amp: as `mixed_precision`; "onnxruntime" always computes in float32.
        input_size: (H, W[, D]) of the network's images, or of the windows if ``mode`` is "sliding".
        weights_hash: the SHA-256 of the checkpoint (of all, for an ensemble), the key of kept exports.
        threads: of the CPU; None for as many as torch uses. torch's number is set to it.
        network_threads: number of concurrent callers.
        batch_size: images in a call, for the measurement of "auto".
        mode, overlap, tta_flips: as `SegmentationInferer`.
        images: number of images to score, if known: for few, "auto" does not measure.

    Raises:
        ConfigError: an unknown name, or a library that is not installed, gives other classes than torch or
            cannot compute on ``device``.
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
        network_threads=network_threads,
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
    """One network, loaded at most once into each library."""

    network: nn.Module
    device: torch.device
    setting: Setting
    loaded: dict[str, nn.Module] = field(default_factory=dict)

    def backend(self, name: str, options: Mapping[str, Any], *, reason: str = "") -> Backend:
        """``options`` are those of `SegmentationInferer`."""
        if name not in self.loaded and name in RUNTIMES:
            self.loaded[name] = load_exported(self.network, RUNTIMES[name], self.setting)
        elif name not in self.loaded:
            self.loaded[name] = place_for_torch(self.network, self.device)
        # An exported network has a fixed type, so there is nothing to cast.
        amp = name == "torch" and self.setting.dtype is not None
        inferer = SegmentationInferer(device=self.device, amp=amp, **options)
        label = self.label(name)
        return Backend(label, f"{label}, {reason}", self.loaded[name], inferer)

    def label(self, name: str) -> str:
        """The backend's name with its type."""
        if name in RUNTIMES:
            return RUNTIMES[name].label(self.setting)
        return f"torch {precision(self.setting.dtype)} channels_last"


def _fastest(loader: _Loader, options: Mapping[str, Any], *, worth_measuring: bool) -> Backend:
    """The fastest backend for this checkpoint, machine and setting, measured now or earlier."""
    runtimes = [runtime for runtime in RUNTIMES.values() if runtime.installed]
    if not runtimes:
        reason = f"the only one that is installed ({' or '.join(RUNTIMES)} may be faster)"
        return loader.backend("torch", options, reason=reason)
    versions = {"torch": torch.__version__} | {runtime.name: runtime.version for runtime in runtimes}
    known = {"network": describe(loader.network), "versions": versions, "processor": _processor()}
    folder = cache_path(asdict(loader.setting) | known, "timings")
    note = None if folder is None else folder.with_suffix(".json")
    facts = read_facts(note)
    times, timing = facts.get("milliseconds", {}), None
    if {"torch"} <= set(times) <= set(versions):  # and not of libraries that are not installed any more
        timing = _Timing(times, facts["refused"])
    if timing is None and not worth_measuring:
        return loader.backend("torch", options, reason=f"below {MANY} frames not worth measuring others")
    if timing is None:
        logger.info("measuring which backend is the fastest, once for each checkpoint and machine")
        timing = _measure(loader)
        write_facts(note, asdict(timing))
    try:
        return loader.backend(timing.fastest, options, reason=timing.sentence(loader))
    except ConfigError as error:  # something has changed since the measurement
        logger.warning("%s is left out: %s", timing.fastest, error)
        return loader.backend("torch", options, reason=f"because {timing.fastest} fails: {error.found}")


@dataclass(frozen=True)
class _Timing:
    """A measurement: milliseconds per image by backend, and the reasons for those not measured."""

    milliseconds: Mapping[str, float]
    refused: Mapping[str, str]

    @property
    def fastest(self) -> str:
        return min(self.milliseconds, key=lambda name: self.milliseconds[name])

    def sentence(self, loader: _Loader) -> str:
        best, *others = sorted(self.milliseconds, key=lambda name: self.milliseconds[name])
        slower = ", ".join(f"{loader.label(name)} {self.milliseconds[name]:.0f} ms" for name in others)
        words = f"{self.milliseconds[best]:.0f} ms an image" + (f" against {slower}" if others else "")
        return words + "".join(f"; {name} is left out: {found}" for name, found in self.refused.items())


def _measure(loader: _Loader) -> _Timing:
    forwards, refused = {"torch": loader.backend("torch", {"mode": "whole"})}, {}
    for runtime in RUNTIMES.values():
        try:
            if runtime.installed:
                forwards[runtime.name] = loader.backend(runtime.name, {"mode": "whole"})
        except ConfigError as error:
            logger.warning("%s is left out: %s", runtime.name, error)
            refused[runtime.name] = error.found
    return _Timing(measure_ms(forwards, loader.setting), refused)


def measure_ms(forwards: Mapping[str, Callable[[Tensor], Tensor]], setting: Setting) -> dict[str, float]:
    """Median milliseconds per image, after a warm-up, with the setting's number of callers.

    The backends take turns, so a busy neighbour slows down all of them.
    """
    images, size = smooth_images(setting.shape), setting.batch_size
    batch = images.repeat(-(-size // len(images)), *[1] * len(setting.shape))[:size]
    seconds: dict[str, list[float]] = {name: [] for name in forwards}
    callers, share = setting.network_threads, max(1, setting.threads // setting.network_threads)
    with ThreadPoolExecutor(callers, initializer=torch.set_num_threads, initargs=(share,)) as pool:
        for _ in range(ROUNDS + 1):
            for name, forward in forwards.items():
                begin = time.perf_counter()
                list(pool.map(forward, [batch] * callers))
                seconds[name].append(time.perf_counter() - begin)
    return {name: 1000 * statistics.median(times[1:]) / (size * callers) for name, times in seconds.items()}


def _processor() -> str:
    """The processor's name, for measurements."""
    try:
        rows = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        return platform.processor() or platform.machine()
    named = [row.partition(":")[2].strip() for row in rows if row.startswith(("model name", "flags"))]
    return " ".join(named[:2]) or platform.machine()
