"""Memory of sliding-window inference of a volume above the loaded input: MONAI's inferer, buffered or not,
and ours.

``python -m tests.bench.sliding 512 512 600`` takes another volume, an ordinary CT for example.
"""

from __future__ import annotations

import json
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import psutil
import torch
from monai.inferers import SlidingWindowInferer

from pyraseg.pipeline.inference import SegmentationInferer

__all__ = ["table"]

SIZE, CLASSES, OVERLAP = (256, 256, 300), 3, 0.5
LEAD = 1e-4  # two classes whose probabilities are nearer than this may change places
Way = Callable[[torch.Tensor, torch.nn.Module, int, Path], object]


def table(size: tuple[int, ...] = SIZE) -> str:
    """Each way in a process of its own: its peak above what was resident once volume and network were there.

    MONAI's ways end with scores; what labels made of them would take on top is not counted.
    """
    lines = [
        f"Volume {' x '.join(map(str, size))}, float32; windows of {_side(size)} voxels a side, overlap {OVERLAP}, one "
        f"at a time; a network of two convolutions at stride 4, {CLASSES} classes, float32, {torch.get_num_threads()} "
        "threads.",
        "",
        "| way | peak above the loaded input, MiB | to MONAI's | s | labels other than MONAI's, not counting ties |",
        "| --- | --- | --- | --- | --- |",
    ]
    with tempfile.TemporaryDirectory() as folder:
        results = {name: _child(name, size, Path(folder)) for name in WAYS}
    plain = next(iter(results.values()))["mib"]
    for name, found in results.items():
        others = "-" if found["others"] is None else f"{found['others']:,}"
        lines.append(
            f"| {name} | {found['mib']:.0f} | {found['mib'] / plain:.2f} | {found['s']:.0f} | {others} |"
        )
    return "\n".join(lines)


def _side(size: tuple[int, ...]) -> int:
    return 96 if min(size) > 300 else 64


def _child(name: str, size: tuple[int, ...], folder: Path) -> dict[str, float]:
    command = [
        sys.executable,
        "-m",
        __spec__.name if __spec__ else "tests.bench.sliding",
        "--way",
        name,
        str(folder),
    ]
    done = subprocess.run([*command, *map(str, size)], check=True, capture_output=True, text=True)
    result: dict[str, float] = json.loads(done.stdout.splitlines()[-1])
    return result


def _monai(
    volume: torch.Tensor, network: torch.nn.Module, side: int, folder: Path, **buffer: int
) -> torch.Tensor:
    inferer = SlidingWindowInferer((side,) * 3, overlap=OVERLAP, mode="gaussian", **buffer)
    with torch.no_grad():
        scores: torch.Tensor = inferer(volume, network)
    return scores


def _buffered(volume: torch.Tensor, network: torch.nn.Module, side: int, folder: Path) -> None:
    _monai(volume, network, side, folder, buffer_steps=1, buffer_dim=-1)


def _whole(volume: torch.Tensor, network: torch.nn.Module, side: int, folder: Path) -> torch.Tensor:
    return _inferer(side)(volume, network)


def _slabs(
    volume: torch.Tensor, network: torch.nn.Module, side: int, folder: Path, **options: Any
) -> np.ndarray:
    labels = np.empty(volume.shape[2:], np.uint8)
    for slab in _inferer(side, **options).slabs(volume, network):
        labels[slab.slices] = slab.labels
    return labels


def _flipped(volume: torch.Tensor, network: torch.nn.Module, side: int, folder: Path) -> None:
    _slabs(volume, network, side, folder, tta_flips=["h"])


def _inferer(side: int, **options: Any) -> SegmentationInferer:
    windows = {"roi_size": (side,) * 3, "overlap": OVERLAP, "batch_size": 1}
    return SegmentationInferer("sliding", device="cpu", amp=False, **windows, **options)


WAYS: dict[str, Way] = {
    "MONAI SlidingWindowInferer": _monai,
    "the same, buffer_steps 1": _buffered,
    "pyraseg, scores of the whole volume": _whole,
    "pyraseg, labels and probabilities by slabs": _slabs,
    "pyraseg, the same, 2 flips": _flipped,
}


def _measure(name: str, size: tuple[int, ...], folder: Path) -> dict[str, float | None]:
    """Load, run and report; MONAI's labels are left in the folder for the others to be compared with."""
    torch.manual_seed(0)
    layers = (
        torch.nn.Conv3d(1, 16, 5, stride=4, padding=2),
        torch.nn.ReLU(),
        torch.nn.Conv3d(16, CLASSES, 1),
    )
    network = torch.nn.Sequential(*layers, torch.nn.Upsample(scale_factor=4, mode="trilinear")).eval()
    WAYS[name](torch.zeros(1, 1, 24, 24, 24), network, 16, folder)  # what is loaded and allocated once
    volume = torch.empty(1, 1, *size).uniform_(-1, 1)
    loaded = psutil.Process().memory_info().rss
    start = time.perf_counter()
    result = WAYS[name](volume, network, _side(size), folder)
    seconds = time.perf_counter() - start
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024  # its unit is KiB on Linux
    return {"mib": (peak - loaded) / 2**20, "s": seconds, "others": _others(result, folder / "monai.npy")}


def _others(result: object, path: Path) -> int | None:
    if isinstance(result, torch.Tensor) and path.exists():
        result = result[0].argmax(0).to(torch.uint8).numpy()
    elif isinstance(result, torch.Tensor):
        best, second = result[0].softmax(0).topk(2, dim=0).values
        labels = result[0].argmax(0).to(torch.uint8)
        np.save(path, labels.masked_fill(best - second < LEAD, 255).numpy())
    if not isinstance(result, np.ndarray):
        return None
    wanted = np.load(path)
    return int(((wanted != 255) & (wanted != result)).sum())


if __name__ == "__main__":
    if sys.argv[1:2] == ["--way"]:
        print(json.dumps(_measure(sys.argv[2], tuple(map(int, sys.argv[4:])), Path(sys.argv[3]))))
    else:
        print(table(tuple(map(int, sys.argv[1:])) or SIZE))
