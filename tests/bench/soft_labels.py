"""Steps of training from the cache with soft labels against hard ones, and what filling the cache takes."""

from __future__ import annotations

import statistics
import tempfile
import time
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch

from pyraseg.pipeline.training.sampling import Draw

BATCH, LOADS, LOSSES, STEPS = 8, 60, 40, 32
SETTINGS = {
    "depth": 18,
    "output_stride": 16,
    "batch_size": BATCH,
    "num_workers": 0,
    "track": False,
    "val_interval": 10_000,
}
WAYS = {"hard": [], "superpixel": ["soft_labels"]}
SIZES = (224,)
SLIC_SIZES = (224, 473)


def table() -> str:
    """One thread, no loading processes, processor time: epochs that read the cache, taken in turns step by
    step."""
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
        filling = {name: _fill(trainer) for name, trainer in trainers.items()}
        disk = {name: _cache_bytes(trainer) for name, trainer in trainers.items()}
        parts = {"loading": _in_turns({name: _loading(trainer) for name, trainer in trainers.items()}, LOADS)}
        parts["loss, forward and backward"] = _in_turns(
            {n: _loss(trainer, size) for n, trainer in trainers.items()}, LOSSES
        )
        parts["a step, loading and all"] = _in_turns(
            {n: _step(trainer) for n, trainer in trainers.items()}, STEPS
        )
    lines = [
        f"ResNet-18, stride 16, {size} x {size}, batch {BATCH}, augmentation on; ms of processor time a frame.",
        "",
        "| | hard | superpixel | difference | of a step |",
        "| --- | --- | --- | --- | --- |",
    ]
    whole = parts["a step, loading and all"]["hard"]
    for name, (hard, soft) in {"filling the cache, once": filling.values(), **_values(parts)}.items():
        share = "" if name.startswith("filling") else f"{100 * (soft - hard) / whole:.1f} %"
        lines.append(
            f"| {name} | {1e3 * hard:.2f} | {1e3 * soft:.2f} | {1e3 * (soft - hard):.2f} | {share} |"
        )
    return "\n".join(
        [*lines, "", "Cache, kB a frame: " + ", ".join(f"{n} {v / 1e3:.0f}" for n, v in disk.items())]
    )


def _values(parts: dict[str, dict[str, float]]) -> dict[str, Any]:
    return {name: (part["hard"], part["superpixel"]) for name, part in parts.items()}


def _trainers(folder: Path, size: int) -> dict[str, Any]:
    from monai.bundle import ConfigWorkflow

    from pyraseg.pipeline.phantom import generate

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


def _loading(trainer: Any) -> Callable[[int], None]:
    """A batch from the cache, augmented and collated, with the same random numbers for both."""
    from monai.data import list_data_collate

    dataset = trainer.data_loader.dataset

    def load(number: int) -> None:
        list_data_collate(
            [dataset[Draw((number * BATCH + k) % len(dataset), number * BATCH + k)] for k in range(BATCH)]
        )

    return load


def _loss(trainer: Any, size: int) -> Callable[[int], None]:
    batch = next(iter(trainer.data_loader))
    output = torch.randn(BATCH, 2, 3, size, size, requires_grad=True)

    def loss(number: int) -> None:
        output.grad = None
        _, targets = trainer.prepare_batch(batch, torch.device("cpu"), False)
        trainer.loss_function(output, targets).backward()

    return loss


def _step(trainer: Any) -> Callable[[int], None]:
    def batches() -> Iterator[Any]:
        while True:
            yield from trainer.data_loader

    stream = batches()
    return lambda number: trainer._iteration(trainer, next(stream))


def _in_turns(ways: dict[str, Callable[[int], None]], rounds: int) -> dict[str, float]:
    """Processor seconds a frame, medians, one way after the other in changing order."""
    seconds: dict[str, list[float]] = {name: [] for name in ways}
    for number in range(-1, rounds):
        for name in sorted(ways, reverse=bool(number % 2)):
            start = time.process_time()
            ways[name](number + 1)
            if number >= 0:  # the first warms up
                seconds[name].append((time.process_time() - start) / BATCH)
    return {name: statistics.median(values) for name, values in seconds.items()}


def _cache_bytes(trainer: Any) -> float:
    files = list(Path(trainer.data_loader.dataset.cache_dir).iterdir())
    return sum(file.stat().st_size for file in files) / len(files)


def _libraries() -> str:
    """SLIC of SimpleITK, as the project calls it, and of scikit-image, on one speckled frame."""
    lines = [
        "| SLIC, ms, best of 5 | " + " | ".join(f"{n} x {n}" for n in SLIC_SIZES) + " |",
        "| --- | --- | --- |",
    ]
    for name, way in _slic_ways().items():
        cells = [f"{1e3 * _best(lambda: way(_speckle(n))):.0f}" for n in SLIC_SIZES]  # noqa: B023
        lines.append(f"| {name} | {' | '.join(cells)} |")
    return "\n".join(lines)


def _slic_ways() -> dict[str, Callable[[np.ndarray], np.ndarray]]:
    from skimage.segmentation import slic

    from pyraseg.transforms.labels.superpixels import superpixels

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
