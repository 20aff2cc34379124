"""Training throughput of the bundle against a bare forward-backward loop on tensors in memory, taken in
turns, and where the rest goes, by processor time.

``python -m tests.bench.training [SIZE [STEPS [ROUNDS]]]``; processor time tells the same while other programs run.
"""

from __future__ import annotations

import copy
import resource
import statistics
import sys
import tempfile
import time
import warnings
from collections import defaultdict
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch

BATCH = 8
CASES = 24  # as often as an epoch needs
MATRIX = 2048  # side of the product that stands for the processor's practical peak


def table(size: int = 224, steps: int = 70, rounds: int = 3) -> str:
    """Frames per second and processor milliseconds a frame of both, medians over epochs, and the parts."""
    warnings.simplefilter("ignore")
    with tempfile.TemporaryDirectory() as folder:
        flow = _workflow(Path(folder), size, steps, rounds)
        trainer = flow.parser.get_parsed_content("train::trainer")
        bare = _bare_loop(trainer, size)
        bound = _bound(trainer.inferer.dtype or torch.float32, bare)
        parts = _timed_parts(trainer, flow.parser.get_parsed_content("train::dataset"))
        ours, alone, sums = _measure(trainer, bare, parts, rounds)
        handing_over = _handing_over(trainer.data_loader)
    frames = steps * BATCH
    wall, processor = (
        statistics.median(a[n] / b[n] for a, b in zip(alone, ours, strict=True)) for n in (0, 1)
    )
    rows = [
        f"ResNet-18, output stride 16, {size} x {size}, batch {BATCH}, epochs of {steps} steps; "
        f"{torch.get_num_threads()} threads, no loading process\n",
        "| loop | frames per second | processor ms a frame |",
        "| --- | --- | --- |",
        *(
            f"| {name} | {frames / _median(each, 0):.2f} | {_median(each, 1) / frames * 1e3:.2f} |"
            for name, each in (("forward, backward, step", alone), ("`run training`", ours))
        ),
        f"| ratio | {wall:.3f} | {processor:.3f} |\n",
        "| part | processor ms a frame |",
        "| --- | --- |",
        *(f"| {name} | {seconds / frames / rounds * 1e3:.3f} |" for name, seconds in sums.items()),
        f"| handing over, with a loading process | {handing_over * 1e3:.3f} |",
    ]
    return "\n".join([*rows, "", bound])


def _median(epochs: list[tuple[float, float]], place: int) -> float:
    return statistics.median(each[place] for each in epochs)


def _workflow(folder: Path, size: int, steps: int, rounds: int) -> Any:
    from monai.bundle import ConfigWorkflow

    from pyraseg.pipeline.phantom import generate

    training = generate(folder / "phantom", cases=CASES, seed=0).splits["training"]
    times = -(-steps * BATCH // training)
    bundle = Path(__file__).resolve().parents[2] / "bundles" / "us_hydronephrosis"
    flow = ConfigWorkflow(
        config_file=str(bundle / "configs" / "train.yaml"),
        logging_file=False,
        bundle_root=str(bundle),
        dataset_dir=str(folder / "phantom"),
        output_dir=str(folder / "out"),
        cache_dir=str(folder / "cache"),
        tracking_uri=f"sqlite:///{folder}/mlruns.db",
        max_epochs=rounds,
        num_workers=0,  # all in one process, whose processor time is all there is
        depth=18,
        output_stride=16,
        input_size=[size, size],
        batch_size=BATCH,
        val_interval=10_000,
        frames_per_group=None,
        **{
            "train#dataset#data": f"$(@data.items('training') * {times})[:{steps * BATCH}]",
            "train#dataloader#sampler#groups": "$[item['group'] for item in @train::dataset.data]",
            "train#dataloader#sampler#background": None,
        },
    )
    flow.initialize()
    tracker = flow.parser.get_parsed_content("tracker")
    tracker.__enter__()
    return flow


def _timed_parts(trainer: Any, dataset: Any) -> dict[str, float]:
    """A sum of processor seconds for each part of the loop that a bare one has not, or has as well."""
    sums: dict[str, float] = defaultdict(float)

    def timed(owner: Any, name: str, part: str, *less: str) -> None:
        call = getattr(owner, name)

        def wrapper(*arguments: Any, **options: Any) -> Any:
            start = time.process_time() - sum(sums[other] for other in less)
            try:
                return call(*arguments, **options)
            finally:
                sums[part] += time.process_time() - sum(sums[other] for other in less) - start

        setattr(owner, name, wrapper)

    from pyraseg.pipeline.training import GradientClipping

    loader = trainer.data_loader
    timed(dataset, "_cachecheck", "reading the cache")
    timed(dataset, "_post_transform", "augmentation")
    timed(loader, "collate_fn", "collation")
    timed(GradientClipping, "__call__", "clipping")
    timed(trainer, "_fire_event", "handlers, tracking", "clipping")
    timed(trainer, "inferer", "forward")
    timed(trainer, "loss_function", "loss")
    timed(trainer.optimizer, "step", "optimizer's step")
    return sums


def _measure(
    trainer: Any, bare: Callable[[int], tuple[float, float]], parts: dict[str, float], rounds: int
) -> tuple[list[tuple[float, float]], list[tuple[float, float]], dict[str, float]]:
    """Seconds, by the clock and of the processor, of the epochs of the trainer and of as many steps of the bare
    loop, step by step in turns, and the sums of the parts; the cache is filled before."""
    from ignite.engine import Events

    ours: list[tuple[float, float]] = []
    alone: list[tuple[float, float]] = []
    sums: dict[str, float] = defaultdict(float)
    start, besides = [0.0, 0.0], [0.0, 0.0]

    def started(engine: Any) -> None:
        parts.clear()
        start[:] = time.perf_counter(), time.process_time()
        besides[:] = 0.0, 0.0

    def stepped(engine: Any) -> None:
        besides[:] = (sum(pair) for pair in zip(besides, bare(1), strict=True))

    def completed(engine: Any) -> None:
        now = time.perf_counter(), time.process_time()
        wall, processor = (end - begin - bare for end, begin, bare in zip(now, start, besides, strict=True))
        parts["handlers, tracking"] -= besides[1]  # the bare step is one of them
        for name, each in parts.items():
            sums[name] += each
        sums["backward and all else"] += processor - sum(parts.values())
        ours.append((wall, processor))
        alone.append((besides[0], besides[1]))

    for index in range(len(trainer.data_loader.dataset)):
        trainer.data_loader.dataset[index]
    bare(2)
    trainer.add_event_handler(Events.EPOCH_STARTED, started)
    trainer.add_event_handler(Events.ITERATION_COMPLETED, stepped)
    # first of the handlers: validation and checkpoints are not part of the comparison
    trainer._event_handlers[Events.EPOCH_COMPLETED].insert(0, (completed, (trainer,), {}))
    trainer.run()
    return ours, alone, sums


def _bare_loop(trainer: Any, size: int) -> Callable[[int], tuple[float, float]]:
    network = copy.deepcopy(trainer.network).train()
    fused = trainer.optimizer.defaults["fused"]
    optimizer = torch.optim.AdamW(network.parameters(), lr=1e-4, fused=fused)
    images = torch.rand(BATCH, 3, size, size).contiguous(memory_format=torch.channels_last)
    labels = torch.randint(0, 3, (BATCH, 1, size, size))
    loss, inferer = trainer.loss_function, trainer.inferer

    def run(steps: int) -> tuple[float, float]:
        start = time.perf_counter(), time.process_time()
        for _ in range(steps):
            optimizer.zero_grad(set_to_none=True)
            loss(inferer(images, network), labels).backward()
            optimizer.step()
        return time.perf_counter() - start[0], time.process_time() - start[1]

    return run


def _handing_over(loader: Any) -> float:
    """Processor seconds a frame that a loading process costs beside what it does."""
    from monai.data import DataLoader

    draws = list(loader.sampler)
    options = {"batch_size": BATCH, "sampler": draws, "generator": torch.Generator()}

    def seconds(workers: int) -> float:
        start = _processor_time()
        for _ in DataLoader(loader.dataset, num_workers=workers, **options):
            pass
        return _processor_time() - start

    return (seconds(1) - seconds(0)) / len(draws)


def _processor_time() -> float:
    """Of this process and of those that it has started and that have ended."""
    return sum(
        use.ru_utime + use.ru_stime
        for use in map(resource.getrusage, (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
    )


def _bound(dtype: torch.dtype, bare: Callable[[int], tuple[float, float]]) -> str:
    """What the convolutions of a step reach of the rate of a large matrix product, in the network's type."""
    from torch.utils.flop_counter import FlopCounterMode

    with FlopCounterMode(display=False) as counter:
        bare(1)
    left, right = (torch.rand(MATRIX, MATRIX, dtype=torch.float32).to(dtype) for _ in range(2))
    torch.mm(left, right)
    start = time.process_time()
    for _ in range(3):
        torch.mm(left, right)
    peak = 3 * 2 * MATRIX**3 / (time.process_time() - start)
    rate = counter.get_total_flops() / min(bare(3)[1] / 3 for _ in range(3))
    return (
        f"A step has {counter.get_total_flops() / 1e9:.1f} GFLOP: {rate / 1e9:.1f} GFLOP a second of processor time, "
        f"{rate / peak:.0%} of a product of {MATRIX} x {MATRIX} matrices ({peak / 1e9:.1f}, {dtype})."
    )


if __name__ == "__main__":
    print(table(*map(int, sys.argv[1:])))
