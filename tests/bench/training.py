"""Training throughput of the bundle against a bare forward-backward loop on tensors in memory, taken in
turns."""

from __future__ import annotations

import copy
import statistics
import tempfile
import time
import warnings
from pathlib import Path
from typing import Any

import torch

ROUNDS = 3
OVERRIDES = {
    "depth": 18,
    "output_stride": 16,
    "input_size": [224, 224],
    "batch_size": 8,
    "val_interval": 10_000,
}


def table() -> str:
    """Frames per second of both, medians over epochs, and their ratio."""
    warnings.simplefilter("ignore")
    with tempfile.TemporaryDirectory() as folder:
        trainer = _trainer(Path(folder))
        epochs, bare = _measure(trainer)
    ours, alone = statistics.median(epochs), statistics.median(bare)
    ratio = statistics.median(a / b for a, b in zip(epochs, bare, strict=True))
    return (
        "ResNet-18, output stride 16, 224 x 224, batch 8; "
        "the bundle reads its cache in 2 workers, augments, logs to MLflow\n\n"
        "| loop | frames per second | ratio |\n| --- | --- | --- |\n"
        f"| forward, backward, step on tensors in memory | {alone:.2f} | 1 |\n"
        f"| `run training` | {ours:.2f} | {ratio:.3f} |"
    )


def _trainer(folder: Path) -> Any:
    from monai.bundle import ConfigWorkflow

    from pyraseg.pipeline.phantom import generate

    generate(folder / "phantom", cases=24, seed=0)
    bundle = Path(__file__).resolve().parents[2] / "bundles" / "us_hydronephrosis"
    flow = ConfigWorkflow(
        config_file=str(bundle / "configs" / "train.yaml"),
        logging_file=False,
        bundle_root=str(bundle),
        dataset_dir=str(folder / "phantom"),
        output_dir=str(folder / "out"),
        cache_dir=str(folder / "cache"),
        tracking_uri=f"sqlite:///{folder}/mlruns.db",
        max_epochs=2 * ROUNDS,
        **OVERRIDES,
    )
    flow.initialize()
    tracker = flow.parser.get_parsed_content("tracker")
    tracker.__enter__()
    return flow.parser.get_parsed_content("train::trainer")


def _measure(trainer: Any) -> tuple[list[float], list[float]]:
    """An epoch of the trainer, then as many steps of the bare loop, in turns; the first round fills the
    cache."""
    from ignite.engine import Events

    epochs: list[float] = []
    bare: list[float] = []
    loop = _bare_loop(trainer)
    clock = {"start": 0.0}
    steps = len(trainer.data_loader)

    def started(engine: Any) -> None:
        clock["start"] = time.perf_counter()

    def completed(engine: Any) -> None:
        seconds = time.perf_counter() - clock["start"]
        if engine.state.epoch > 1:
            epochs.append(steps * OVERRIDES["batch_size"] / seconds)  # type: ignore[operator]
            bare.append(loop(steps))
        if len(epochs) == ROUNDS:
            engine.terminate()

    trainer.add_event_handler(Events.EPOCH_STARTED, started)
    # first of the handlers: validation and checkpoints are not part of the comparison
    trainer._event_handlers[Events.EPOCH_COMPLETED].insert(0, (completed, (trainer,), {}))
    trainer.run()
    return epochs, bare


def _bare_loop(trainer: Any) -> Any:
    network = copy.deepcopy(trainer.network).train()
    optimizer = torch.optim.AdamW(network.parameters(), lr=1e-4)
    size = OVERRIDES["input_size"]
    images = torch.rand(OVERRIDES["batch_size"], 3, *size).contiguous(memory_format=torch.channels_last)  # type: ignore[misc,call-overload]
    labels = torch.randint(0, 3, (OVERRIDES["batch_size"], 1, *size))  # type: ignore[misc]
    loss = trainer.loss_function

    def run(steps: int) -> float:
        start = time.perf_counter()
        for _ in range(steps):
            optimizer.zero_grad(set_to_none=True)
            loss(trainer.inferer(images, network), labels).backward()
            optimizer.step()
        return steps * len(images) / (time.perf_counter() - start)

    return run
