"""What tracking costs a training: epochs with and without it in turns, against a sqlite file and a real
server."""

from __future__ import annotations

import statistics
import tempfile
import time
from pathlib import Path
from typing import Any

import torch

from tests.pipeline.tracking.conftest import running_server

ROUNDS = 7
STEPS = 8  # of an epoch
BATCH = (4, 3, 64, 64)


def table() -> str:
    """Seconds of an epoch without tracking, with it, their ratio pair by pair, and what the calls themselves
    take."""
    rows = []
    with tempfile.TemporaryDirectory() as folder:
        epoch = _epoch()
        rows.append(_row("sqlite", f"sqlite:///{folder}/mlruns.db", epoch, Path(folder)))
        with running_server(Path(folder)) as server:
            server.wait()
            rows.append(_row("server", server.uri, epoch, Path(folder)))
    return (
        f"{STEPS} steps of a ResNet-18 at {BATCH[2]} x {BATCH[3]}, batch {BATCH[0]}: loss and learning rate each step, "
        f"12 metrics and a flush at the end; {ROUNDS} pairs of epochs in turns. Medians [quartiles of the ratio].\n\n"
        "| store | without (s) | with (s) | ratio | in the loop's own calls |\n| --- | --- | --- | --- | --- |\n"
        + "\n".join(rows)
    )


def _row(name: str, uri: str, epoch: Any, folder: Path) -> str:
    from pyraseg.pipeline.tracking import RunTracker

    without: list[float] = []
    tracked: list[float] = []
    calls: list[float] = []
    silent = RunTracker(uri, experiment_name="bench", enabled=False)
    with RunTracker(uri, experiment_name="bench", outbox_dir=folder / "outbox") as tracker:
        epoch(silent, 0)  # warm
        for number in range(ROUNDS):
            pair = [(silent, without), (tracker, tracked)]
            for one, seconds in pair if number % 2 else pair[::-1]:
                total, inside = epoch(one, number)
                seconds.append(total)
                if one is tracker:
                    calls.append(inside / total)
    ratios = sorted(b / a for a, b in zip(without, tracked, strict=True))
    low, middle, high = statistics.quantiles(ratios, n=4)
    return (
        f"| {name} | {statistics.median(without):.3f} | {statistics.median(tracked):.3f} "
        f"| {middle:.3f} [{low:.3f}, {high:.3f}] | {100 * statistics.median(calls):.2f} % |"
    )


def _epoch() -> Any:
    """A function that trains for an epoch and gives its seconds, and those spent in the tracker's calls."""
    from pyraseg.pipeline.losses import Float32DiceCELoss
    from pyraseg.pipeline.networks import CBAMResNetPSPNet

    torch.manual_seed(0)
    network = CBAMResNetPSPNet(
        spatial_dims=2, in_channels=3, out_channels=3, depth=18, output_stride=16
    ).train()
    optimizer = torch.optim.AdamW(network.parameters(), lr=1e-4)
    criterion = Float32DiceCELoss(softmax=True, to_onehot_y=True, squared_pred=True)
    images, labels = torch.rand(BATCH), torch.randint(0, 3, (BATCH[0], 1, *BATCH[2:]))
    metrics = {f"val_metric_{index}": 0.5 for index in range(12)}

    def run(tracker: Any, number: int) -> tuple[float, float]:
        inside = 0.0
        start = time.perf_counter()
        for step in range(STEPS):
            optimizer.zero_grad(set_to_none=True)
            loss = criterion(network(images), labels)
            loss.backward()
            optimizer.step()
            value = loss.item()
            before = time.perf_counter()
            tracker.log_metrics({"loss": value, "learning_rate": 1e-4}, step=number * STEPS + step)
            inside += time.perf_counter() - before
        before = time.perf_counter()
        tracker.log_metrics(metrics, step=number)
        tracker.flush()
        end = time.perf_counter()
        return end - start, inside + end - before

    return run
