"""What a command takes: seconds by the clock, and the memory of all its processes."""

from __future__ import annotations

import subprocess
import tempfile
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import psutil

__all__ = ["Spent", "pss", "run"]

INTERVAL = 0.1  # seconds


@dataclass(frozen=True)
class Spent:
    """Of one command, from its start to its end, and what it wrote to the standard output."""

    seconds: float
    peak_mib: float
    text: str


def pss(top: psutil.Process) -> int:
    """Bytes of a process and all below it; pages that several share are counted once (Linux alone has it)."""
    sizes = []
    for each in (top, *top.children(recursive=True)):
        try:
            sizes.append(each.memory_full_info().pss)
        except psutil.NoSuchProcess:
            continue
    return sum(sizes)


def run(command: Sequence[str], environment: Mapping[str, str] | None = None) -> Spent:
    """Run it to its end, and look at its memory all the while.

    Raises:
        CalledProcessError: it failed; ``stderr`` has its last words.
    """
    with tempfile.TemporaryFile("w+") as out, tempfile.TemporaryFile("w+") as errors:
        began, peak = time.perf_counter(), 0
        process = psutil.Popen(command, stdout=out, stderr=errors, env=environment)
        while process.poll() is None:
            try:
                peak = max(peak, pss(process))
                process.wait(INTERVAL)
            except (psutil.NoSuchProcess, psutil.TimeoutExpired):
                continue
        seconds = time.perf_counter() - began
        text, words = (stream.seek(0) or stream.read() for stream in (out, errors))
    if process.returncode:
        raise subprocess.CalledProcessError(process.returncode, command, text, words)
    return Spent(seconds, peak / 2**20, text)
