"""SIGKILL at random moments, and ``--resume``, until a batch is done; then it must equal one that nobody killed."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import time
from collections import Counter
from pathlib import Path

import psutil

from tests.pipeline.prediction.batch import Batch, published, result_of, write_image
from tests.pipeline.prediction.runs import write_checkpoint

__all__ = ["run"]

ITEMS = 150
STARTING, WORKING = 7.0, 2.5  # seconds: moments are drawn from the start-up, or from so long after the claim
LEFT = 30.0  # seconds that a killed run's processes may take to notice


def run(folder: Path, count: int, seed: int) -> tuple[str, list[str]]:
    """Kill ``count`` times; the table and whatever broke a promise."""
    draw, faults = random.Random(seed), []
    images = folder / "images"
    for number in range(ITEMS):
        write_image(images / f"image_{number:03d}.dcm", number, frames=4 if number % 10 == 9 else 1)
    batch = Batch((images,), write_checkpoint(folder / "weights.pt"))
    with batch.started(folder / "unbroken") as process:
        process.communicate()
        if process.returncode:
            return "", ["the unbroken run failed"]
    wanted, seen, rounds, runs = result_of(folder / "unbroken"), Counter[str](), 0, 0
    while seen["kills"] < count:
        output, kept, options = folder / f"round-{rounds}", {}, ()
        while True:
            runs += 1
            status = _one(batch, output, draw, seen, options, kill=seen["kills"] < count)
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
    head = [f"| runs (of {ITEMS} items) | {runs} |", f"| batches done and equal to the unbroken one | {rounds} |"]
    return "\n".join(["| what | how often |", "| --- | --- |", *head, *rows]), faults


def _one(
    batch: Batch, output: Path, draw: random.Random, seen: Counter[str], options: tuple[str, ...], *, kill: bool
) -> int:
    claim = output / ".pyraseg" / "job.json"
    before = claim.stat().st_mtime_ns if claim.exists() else 0
    with batch.started(output, *options) as process:
        early, group = draw.random() < 0.2, draw.random() < 0.5
        moment = draw.uniform(0, STARTING if early else WORKING)
        if kill:
            while not early and process.poll() is None and not _claimed(claim, before):
                time.sleep(0.002)
            try:
                process.wait(moment)
            except subprocess.TimeoutExpired:
                _kill(process, seen, early=early, group=group)
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
    return drafts + [path.name for path in output.iterdir() if path.name.startswith(".") and path.name != ".pyraseg"]
