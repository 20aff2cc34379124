"""Steps of training from the cache with soft labels against hard ones, and what filling the cache takes."""

from __future__ import annotations

import os
import statistics
import tempfile
import time
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch

ROUNDS = 8
SETTINGS = {"depth": 18, "output_stride": 16, "batch_size": 8, "num_workers": 0, "track": False, "val_interval": 10_000}
WAYS = {"hard": [], "superpixel": ["soft_labels"]}
SIZES = (224,)
SLIC_SIZES = (224, 473)


def table() -> str:
    """One thread, no loading processes, processor time: epochs that read the cache, taken in turns step by step."""
    warnings.simplefilter("ignore")
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        parts = [_training(size) for size in SIZES] + [_libraries()]
    finally:
        torch.set_num_threads(threads)
    return "\n\n".join(parts)


def _training(size: int) -> str:
    with tempfile.TemporaryDirectory() as folder:
        trainers = _trainers(Path(folder), size)
        first = {name: _fill(trainer) for name, trainer in trainers.items()}
        seconds = _in_turns(trainers)
        disk = {name: _cache_bytes(trainer) for name, trainer in trainers.items()}
    base = statistics.median(seconds["hard"])
    pairs = list(zip(seconds["superpixel"], seconds["hard"], strict=True))
    ratio = statistics.median(soft / hard for soft, hard in pairs)
    lines = [
        f"ResNet-18, stride 16, {size} x {size}, batch 8, augmentation on; milliseconds of processor time a frame, "
        f"median of {len(pairs)} steps.",
        "",
        "| labels | filling the cache | a step from the cache | ratio of medians | cache, kB a frame |",
        "| --- | --- | --- | --- | --- |",
    ]
    for name, values in seconds.items():
        median = statistics.median(values)
        cells = f"{1e3 * first[name]:.1f} | {1e3 * median / 8:.1f} | {median / base:.3f} | {disk[name] / 1e3:.0f}"
        lines.append(f"| {name} | {cells} |")
    return "\n".join([*lines, "", f"Median of the steps' ratios: {ratio:.3f}."])


def _trainers(folder: Path, size: int) -> dict[str, Any]:
    from monai.bundle import ConfigWorkflow

    from pipeline.phantom import generate

    generate(folder / "phantom", cases=16, seed=0)
    bundle = Path(__file__).resolve().parents[2] / "bundles" / "us_hydronephrosis"
    trainers = {}
    for name, overlays in WAYS.items():
        flow = ConfigWorkflow(
            config_file=[str(bundle / "configs" / f"{config}.yaml") for config in ("train", *overlays)],
            logging_file=False,
            bundle_root=str(bundle),
            dataset_dir=str(folder / "phantom"),
            output_dir=str(folder / name),
            cache_dir=str(folder / f"cache_{name}"),
            input_size=[size, size],
            **SETTINGS,
        )
        flow.initialize()
        trainers[name] = flow.parser.get_parsed_content("train::trainer")
    return trainers


def _fill(trainer: Any) -> float:
    """Seconds a frame to read and preprocess everything once."""
    dataset = trainer.data_loader.dataset
    start = time.process_time()
    for index in range(len(dataset)):
        dataset[index]
    return (time.process_time() - start) / len(dataset)


def _in_turns(trainers: dict[str, Any]) -> dict[str, list[float]]:
    """Processor seconds of each step, loading included: a step of one, a step of the other, for ROUNDS epochs."""
    seconds: dict[str, list[float]] = {name: [] for name in trainers}
    for number in range(ROUNDS + 1):
        loaders = {name: iter(trainer.data_loader) for name, trainer in trainers.items()}
        for turn in range(len(next(iter(trainers.values())).data_loader)):
            for name in sorted(trainers, reverse=bool(turn % 2)):
                start = time.process_time()
                trainers[name]._iteration(trainers[name], next(loaders[name]))
                if number:  # the first epoch warms up
                    seconds[name].append(time.process_time() - start)
    return seconds


def _cache_bytes(trainer: Any) -> float:
    files = list(Path(trainer.data_loader.dataset.cache_dir).iterdir())
    return sum(file.stat().st_size for file in files) / len(files)


def _libraries() -> str:
    """SLIC of SimpleITK, as the project calls it, and of scikit-image, on one speckled frame."""
    lines = ["| SLIC, ms, best of 5 | " + " | ".join(f"{n} x {n}" for n in SLIC_SIZES) + " |", "| --- | --- | --- |"]
    for name, way in _slic_ways().items():
        cells = [f"{1e3 * _best(lambda: way(_speckle(n))):.0f}" for n in SLIC_SIZES]  # noqa: B023
        lines.append(f"| {name} | {' | '.join(cells)} |")
    return "\n".join(lines)


def _slic_ways() -> dict[str, Callable[[np.ndarray], np.ndarray]]:
    from skimage.segmentation import slic

    from transforms.superpixels import superpixels

    def skimage(image: np.ndarray, *, masked: bool = False) -> np.ndarray:
        mask = np.ones(image.shape, bool) if masked else None
        if mask is not None:
            mask[: len(mask) // 8] = False
        return slic(image, n_segments=image.size // 225, compactness=0.5, channel_axis=None, mask=mask)

    return {
        "SimpleITK": lambda image: superpixels(image, compactness=0.5),
        "scikit-image": skimage,
        "scikit-image, an eighth masked": lambda image: skimage(image, masked=True),
    }


def _speckle(size: int) -> np.ndarray:
    return np.random.default_rng(0).rayleigh(0.3, (size, size)).clip(0, 1).astype(np.float32)


def _best(way: Callable[[], object]) -> float:
    seconds = []
    for _ in range(5):
        start = time.process_time()
        way()
        seconds.append(time.process_time() - start)
    return min(seconds)


if __name__ == "__main__":
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    print(table())
