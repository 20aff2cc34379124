"""Inference backends in turns: milliseconds an image by batch size and type, and agreement with torch in
float32."""

from __future__ import annotations

import statistics
import tempfile
import time
from collections.abc import Callable, Mapping
from pathlib import Path

import torch
from torch import Tensor, nn

from pyraseg.pipeline.inference.backends.agreement import class_agreement, smooth_images
from pyraseg.pipeline.inference.backends.base import ExportedNetwork, Setting, place_for_torch
from pyraseg.pipeline.inference.backends.choose import RUNTIMES
from pyraseg.pipeline.inference.backends.export import export_network
from pyraseg.pipeline.inference.inferer import SegmentationInferer, mixed_precision
from pyraseg.pipeline.networks import CBAMResNetPSPNet

__all__ = ["table"]

NETWORKS = {
    "ResNet-50, stride 16": ({"depth": 50, "output_stride": 16}, 473),  # the patent's
    "ResNet-18, stride 16, skips [2, 1]": (
        {"depth": 18, "output_stride": 16, "skips": [2, 1]},
        224,
    ),  # the default
}
BATCHES = (1, 4)
ROUNDS = 3
CPU = torch.device("cpu")
Forward = Callable[[Tensor], Tensor]


def table() -> str:
    """Median milliseconds an image over rounds in which the backends take turns; the CPU with torch's
    threads."""
    native = mixed_precision(CPU)
    words = "in hardware" if native else "emulated"
    lines = [
        f"CPU, {torch.get_num_threads()} threads, median of {ROUNDS} rounds in turns, bfloat16 is {words}; agreement:",
        "share of the pixels of three smooth images with the class of torch in float32 (weights not trained).",
        "",
        f"| network | input | backend | {' | '.join(f'batch {n}, ms an image' for n in BATCHES)} | agreement |",
        "| --- | --- | --- |" + " --- |" * (len(BATCHES) + 1),
    ]
    for name, (options, size) in NETWORKS.items():
        network = _network(**options)
        with tempfile.TemporaryDirectory() as folder:
            forwards = _forwards(network, (3, size, size), Path(folder) / "network.onnx")
        rows = {batch: _milliseconds(forwards, torch.rand(batch, 3, size, size)) for batch in BATCHES}
        images = smooth_images((3, size, size))
        scores = {label: forward(images) for label, forward in forwards.items()}
        for label in forwards:
            times = " | ".join(f"{rows[batch][label]:.0f}" for batch in BATCHES)
            share = class_agreement(scores[label], scores["torch fp32"])
            lines.append(f"| {name} | {size} x {size} | {label} | {times} | {share:.3%} |")
    return "\n".join(lines)


def _network(**options: object) -> nn.Module:
    """Batch norms as after a training: at the start they let everything pass, and classes lie close
    together."""
    torch.manual_seed(0)
    network = CBAMResNetPSPNet(out_channels=2, **options).eval()
    for module in network.modules():
        if isinstance(module, nn.BatchNorm2d):
            nn.init.normal_(module.running_mean, std=0.1)
            nn.init.uniform_(module.running_var, 0.5, 1.5)
    return network


def _forwards(network: nn.Module, shape: tuple[int, ...], path: Path) -> dict[str, Forward]:
    export_network(network, path, shape=shape)
    types = {"fp32": None, "bf16": torch.bfloat16}
    forwards = {
        f"torch {name}": _forward(place_for_torch(network, CPU), amp=dtype is not None)
        for name, dtype in types.items()
    }
    for runtime in RUNTIMES.values():
        for name, dtype in types.items():
            if runtime.installed and (dtype is None or runtime.has_bfloat16):
                setting = Setting(shape, "", dtype, threads=torch.get_num_threads())
                forwards[f"{runtime.name} {name}"] = _forward(
                    ExportedNetwork(runtime.load(path, setting), shape)
                )
    return forwards


def _forward(network: nn.Module, *, amp: bool = False) -> Forward:
    inferer = SegmentationInferer("whole", device=CPU, amp=amp)

    def call(images: Tensor) -> Tensor:
        with torch.inference_mode():
            return inferer(images, network)

    return call


def _milliseconds(forwards: Mapping[str, Forward], images: Tensor) -> dict[str, float]:
    seconds: dict[str, list[float]] = {label: [] for label in forwards}
    for number in range(ROUNDS + 1):
        for label, forward in forwards.items():
            begin = time.perf_counter()
            forward(images)
            if number:  # the first warms up
                seconds[label].append(time.perf_counter() - begin)
    return {label: 1000 * statistics.median(values) / len(images) for label, values in seconds.items()}
