"""Ultrasound augmentation: milliseconds on one thread, against MONAI's own transforms where it has the
same."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Mapping
from typing import Any

import torch
from monai.transforms import RandAffined, RandFlipd, RandGaussianNoised

from pyraseg import transforms as augmentation
from tests.chains import frame_augmentation

__all__ = ["table"]

SIZES = (224, 473)
ROUNDS = 60
KEYS = ("image", "label")
Item = dict[str, torch.Tensor]


def table() -> str:
    """A Markdown table: medians over rounds in which the transforms take turns; each acts in every round."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        timings = {size: _medians(_ways(size), _item(size)) for size in SIZES}
    finally:
        torch.set_num_threads(threads)
    lines = [
        f"Milliseconds for one frame of 3 channels and its label map, plain tensors, one thread, median (minimum) of "
        f"{ROUNDS} rounds.",
        "",
        f"| transform | {' | '.join(f'{size} x {size}' for size in SIZES)} |",
        f"| --- |{' --- |' * len(SIZES)}",
    ]
    for name in timings[SIZES[0]]:
        cells = [f"{timings[size][name][0]:.2f} ({timings[size][name][1]:.2f})" for size in SIZES]
        lines.append(f"| {name} | {' | '.join(cells)} |")
    return "\n".join(lines)


def _ways(size: int) -> dict[str, Callable[[Item], Mapping[Any, Any]]]:
    """Everything at probability 1, except the line that shows the default."""
    small = {"rotate_range": 0.26, "scale_range": (-0.15, 0.2), "translate_range": 0.08 * size}
    modes = {"mode": ("bilinear", "nearest"), "padding_mode": ("border", "zeros")}
    return {
        "gain and gamma": augmentation.RandGaind("image", 1.0),
        "depth attenuation": augmentation.RandDepthAttenuationd("image", 1.0),
        "speckle": augmentation.RandSpeckled("image", 1.0),
        "MONAI RandGaussianNoised (uncorrelated)": RandGaussianNoised("image", prob=1.0),
        "acoustic shadow": augmentation.RandAcousticShadowd("image", 1.0),
        "horizontal flip": augmentation.RandHorizontalFlipd(KEYS, 1.0),
        "MONAI RandFlipd": RandFlipd(KEYS, prob=1.0, spatial_axis=1),
        "affine": augmentation.RandFrameAffined(KEYS, 1.0),
        "MONAI RandAffined": RandAffined(KEYS, prob=1.0, **small, **modes),
        "all of ours, probability 1": frame_augmentation(KEYS, probability=1.0),
        "all of ours, probability 0.5": frame_augmentation(KEYS),
    }


def _item(size: int) -> Item:
    """Noise between letterbox bars: the slow path, in which the bars are looked for."""
    generator = torch.Generator().manual_seed(0)
    image = torch.full((3, size, size), 128 / 255)
    bar = size // 8
    image[:, bar:-bar] = torch.rand(3, size - 2 * bar, size, generator=generator)
    return {"image": image, "label": (image[:1] > 0.7).float()}


def _medians(ways: Mapping[str, Callable[[Item], Any]], item: Item) -> dict[str, tuple[float, float]]:
    seconds: dict[str, list[float]] = {name: [] for name in ways}
    for _ in range(ROUNDS):
        for name, way in ways.items():
            start = time.perf_counter()
            way(item)
            seconds[name].append(time.perf_counter() - start)
    return {name: (1e3 * statistics.median(values), 1e3 * min(values)) for name, values in seconds.items()}
