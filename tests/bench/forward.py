"""Forward time of the network with and without attention, in fp32 and bf16: a Markdown table."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable
from contextlib import nullcontext

import torch
from torch.utils.flop_counter import FlopCounterMode

from pyraseg.pipeline.networks import CBAMResNetPSPNet

__all__ = ["table"]

SETTINGS = ((50, 473), (18, 224))  # depth, input size in pixels
ATTENTIONS = ("none", "cbam")
REPEATS = 5
Case = tuple[str, torch.dtype]


def table(*, repeats: int = REPEATS) -> str:
    """Median milliseconds per forward of one image, channels last, in evaluation; the variants take turns.

    Taking turns spreads a busy neighbour over all variants alike. bf16 is ``torch.autocast``.
    """
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    lines = [
        _machine(device),
        "",
        "| network | input | attention | parameters | GFLOP | fp32, ms | bf16, ms |",
        "| --- | --- | --- | --- | --- | --- | --- |",
    ]
    for depth, size in SETTINGS:
        networks = {name: _network(depth, attention=name, device=device) for name in ATTENTIONS}
        image = torch.rand(1, 3, size, size, device=device).to(memory_format=torch.channels_last)
        cases = {
            (name, kind): _forward(networks[name], image, kind=kind)
            for name in ATTENTIONS
            for kind in (torch.float32, torch.bfloat16)
        }
        medians = _interleaved(cases, repeats=repeats)
        for name, network in networks.items():
            count = sum(parameter.numel() for parameter in network.parameters())
            full, half = (1000 * medians[name, kind] for kind in (torch.float32, torch.bfloat16))
            row = f"| ResNet-{depth} | {size} x {size} | {name} | {count:,} | {_gigaflop(depth, name, size=size):.1f} "
            lines.append(f"{row}| {full:.0f} | {half:.0f} |")
    return "\n".join(lines)


def _network(depth: int, *, attention: str, device: torch.device) -> torch.nn.Module:
    network = CBAMResNetPSPNet(depth=depth, attention=attention).eval()
    return network.to(device=device, memory_format=torch.channels_last)


def _forward(network: torch.nn.Module, image: torch.Tensor, *, kind: torch.dtype) -> Callable[[], None]:
    def call() -> None:
        autocast = nullcontext() if kind is torch.float32 else torch.autocast(image.device.type, dtype=kind)
        with torch.inference_mode(), autocast:
            network(image)
        if image.is_cuda:
            torch.cuda.synchronize()

    return call


def _interleaved(cases: dict[Case, Callable[[], None]], *, repeats: int) -> dict[Case, float]:
    """Median seconds of each case over ``repeats`` rounds, after one round of warming up."""
    seconds: dict[Case, list[float]] = {key: [] for key in cases}
    for _ in range(repeats + 1):
        for key, call in cases.items():
            start = time.perf_counter()
            call()
            seconds[key].append(time.perf_counter() - start)
    return {key: statistics.median(values[1:]) for key, values in seconds.items()}


def _gigaflop(depth: int, attention: str, *, size: int) -> float:
    """Multiplications and additions counted separately."""
    with torch.device("meta"):
        network = CBAMResNetPSPNet(depth=depth, attention=attention).eval()
    with FlopCounterMode(display=False) as counter:
        network(torch.empty(1, 3, size, size, device="meta"))
    return counter.get_total_flops() / 1e9


def _machine(device: torch.device) -> str:
    if device.type == "cuda":
        return f"{torch.cuda.get_device_name(device)}, torch {torch.__version__}."
    units = {"AMX": torch.cpu._is_amx_tile_supported(), "AVX512-BF16": torch.cpu._is_avx512_bf16_supported()}
    native = ", ".join(name for name, present in units.items() if present) or "none, bf16 is emulated"
    name, threads = torch.cpu.get_capabilities()["cpu_name"], torch.get_num_threads()
    return f"CPU: {name}, {threads} threads, torch {torch.__version__}; native bf16 units: {native}."
