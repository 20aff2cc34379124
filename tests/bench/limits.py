"""What the machine could do at best, and which share of it reading and the networks reach."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import torch
from pydicom import uid
from torch.utils.flop_counter import FlopCounterMode

from pyraseg.pipeline.inference.inferer import mixed_precision
from pyraseg.pipeline.networks import build_network
from pyraseg.transforms.dicom.series.find import find_series, the_series
from pyraseg.transforms.dicom.series.volume import read_series
from tests.bench.cost import NETWORK
from tests.bench.series import write_series

__all__ = ["table"]

MATRIX, SLICES, ROUNDS = 4096, 200, 5
NETWORKS: dict[str, tuple[dict[str, int], tuple[int, ...]]] = {
    "default for frames, one of 224 x 224": ({"in_channels": 3}, (1, 3, 224, 224)),
    "eight of these frames": ({"in_channels": 3}, (8, 3, 224, 224)),
    "default for volumes, a window of 48 x 48 x 48": ({"in_channels": 1, "spatial_dims": 3}, (1, 1, 48, 48, 48)),
    "eight of these windows": ({"in_channels": 1, "spatial_dims": 3}, (8, 1, 48, 48, 48)),
}  # fmt: skip


def table() -> str:
    """Shares of a matrix product's FLOPs and of what `read` gives, best of the rounds, all cores."""
    dtype = mixed_precision(torch.device("cpu")) or torch.float32
    peak = _product(dtype)
    lines = [
        f"A product of {MATRIX} x {MATRIX} matrices in {dtype}: {peak / 1e9:,.0f} GFLOP a second.\n",
        "| forward | GFLOP | GFLOP a second | share of the product's |",
        "| --- | --- | --- | --- |",
    ]
    for name, (options, shape) in NETWORKS.items():
        work, rate = _forward(options, shape, dtype)
        lines.append(f"| {name} | {work / 1e9:.1f} | {rate / 1e9:,.0f} | {rate / peak:.0%} |")
    lines += ["", "| raw CT series, in the system's cache | MB a second | share |", "| --- | --- | --- |"]
    rates = dict(_reading())
    best = rates["read, nothing more"]
    lines += [f"| {name} | {rate / 1e6:,.0f} | {rate / best:.0%} |" for name, rate in rates.items()]
    return "\n".join(lines)


def _product(dtype: torch.dtype) -> float:
    left, right = (torch.rand(MATRIX, MATRIX).to(dtype) for _ in range(2))
    return 2 * MATRIX**3 / _seconds(lambda: torch.mm(left, right))


def _forward(options: dict[str, int], shape: tuple[int, ...], dtype: torch.dtype) -> tuple[float, float]:
    """Operations of a forward pass, and those a second."""
    network = build_network(out_channels=2, **NETWORK, **options).eval()
    layout = torch.channels_last if len(shape) == 4 else torch.channels_last_3d
    network, images = network.to(memory_format=layout), torch.rand(shape).to(memory_format=layout)
    with torch.inference_mode(), torch.autocast("cpu", dtype=dtype, enabled=dtype is not torch.float32):
        with FlopCounterMode(display=False) as counter:
            network(images)
        return counter.get_total_flops(), counter.get_total_flops() / _seconds(lambda: network(images))


def _reading() -> Iterator[tuple[str, float]]:
    """Bytes a second: of the files alone, and of the volume that is made of them."""
    with tempfile.TemporaryDirectory() as name:
        folder = write_series(Path(name) / "series", uid.ExplicitVRLittleEndian, SLICES)
        files = sorted(folder.iterdir())
        size = sum(file.stat().st_size for file in files)
        yield "read, nothing more", size / _seconds(lambda: [file.read_bytes() for file in files])
        yield (
            "found and read as a volume",
            size / _seconds(lambda: read_series(the_series(find_series(folder)))),
        )


def _seconds(call: Callable[[], object]) -> float:
    call()
    taken = []
    for _ in range(ROUNDS):
        start = time.perf_counter()
        call()
        taken.append(time.perf_counter() - start)
    return min(taken)
