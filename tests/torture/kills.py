"""SIGKILL at random moments, and ``--resume``, until a batch is done; then it must equal one that nobody
killed."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path

import psutil

from tests.pipeline.prediction.batch import Batch, published, result_of, write_image
from tests.pipeline.prediction.runs import write_checkpoint

__all__ = ["run"]

ITEMS = 100
EARLY = 0.2  # of the kills fall before the claim on the output folder
LEFT = 30.0  # seconds that a killed run's processes may take to notice


def run(folder: Path, count: int, seed: int) -> tuple[str, list[str]]:
    """Kill ``count`` times; the table and whatever broke a promise."""
    draw, faults = random.Random(seed), []
    images = folder / "images"
    for number in range(ITEMS):
        write_image(images / f"image_{number:03d}.dcm", number, frames=4 if number % 10 == 9 else 1)
    batch = Batch((images,), write_checkpoint(folder / "weights.pt"))
    times = _times(batch, folder / "unbroken")
    if times is None:
        return "", ["the unbroken run failed"]
    wanted, seen, rounds, runs = result_of(folder / "unbroken"), Counter[str](), 0, 0
    while seen["kills"] < count:
        output, kept, options = folder / f"round-{rounds}", {}, ()
        while True:
            runs += 1
            status = _one(batch, output, draw, seen, options, times=times if seen["kills"] < count else None)
            now = published(output)
            faults += [f"item {case} was done again" for case in kept if now.get(case) != kept[case]]
            kept, options = now, ("--resume",)
            if status == 0:
                break
            if status != -signal.SIGKILL:
                faults.append(f"a run ended with status {status}")
                break
        rounds += 1
        if result_of(output) != wanted:
            faults.append(f"round {rounds}: the results differ from those of the unbroken run")
        if leftovers := _left_in(output):
            faults.append(f"round {rounds}: left over: {leftovers}")
    faults += [f"{seen['orphans']} processes outlived their run"] if seen["orphans"] else []
    rows = [f"| {name} | {number} |" for name, number in sorted(seen.items())]
    head = [
        f"| runs (of {ITEMS} items) | {runs} |",
        f"| batches done and equal to the unbroken one | {rounds} |",
    ]
    return "\n".join(["| what | how often |", "| --- | --- |", *head, *rows]), faults


def _times(batch: Batch, output: Path) -> tuple[float, float] | None:
    """Seconds until the claim on the folder and from there to the end, of a run that nobody kills."""
    began, claim = time.monotonic(), output / ".pyraseg" / "job.json"
    with batch.started(output) as process:
        while process.poll() is None and not claim.exists():
            time.sleep(0.002)
        claimed = time.monotonic()
        process.communicate()
    return None if process.returncode else (claimed - began, time.monotonic() - claimed)


def _one(
    batch: Batch,
    output: Path,
    draw: random.Random,
    seen: Counter[str],
    options: tuple[str, ...],
    *,
    times: tuple[float, float] | None,
) -> int:
    """One run, killed at a moment of these ``times``; None for none."""
    claim = output / ".pyraseg" / "job.json"
    before = claim.stat().st_mtime_ns if claim.exists() else 0
    with batch.started(output, *options) as process:
        if times is not None:
            early, group = draw.random() < EARLY, draw.random() < 0.5
            moment = draw.uniform(0, times[0] if early else times[1])
            while not early and process.poll() is None and not _claimed(claim, before):
                time.sleep(0.002)
            try:
                process.wait(moment)
            except subprocess.TimeoutExpired:
                _kill(process, seen, early=early, group=group)
                print(f"kill {seen['kills']}: {len(published(output))} items", file=sys.stderr, flush=True)
        process.communicate()
    return process.returncode


def _claimed(claim: Path, before: int) -> bool:
    return claim.exists() and claim.stat().st_mtime_ns != before


def _kill(process: subprocess.Popen[str], seen: Counter[str], *, early: bool, group: bool) -> None:
    family = psutil.Process(process.pid).children(recursive=True)
    seen["kills"] += 1
    seen["kills while starting" if early else "kills after the claim"] += 1
    seen["kills of the whole group" if group else "kills of the main process alone"] += 1
    if group:
        os.killpg(process.pid, signal.SIGKILL)
    else:
        process.kill()
    process.wait()
    alive = psutil.wait_procs(family, timeout=LEFT)[1]
    seen["orphans"] += len(alive)
    for each in alive:
        each.kill()


def _left_in(output: Path) -> list[str]:
    drafts = [path.name for path in (output / ".pyraseg" / "drafts").iterdir()]
    return drafts + [
        path.name for path in output.iterdir() if path.name.startswith(".") and path.name != ".pyraseg"
    ]
