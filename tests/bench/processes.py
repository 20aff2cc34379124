"""What a command takes: seconds by the clock and of processors, and the memory of all its processes."""

from __future__ import annotations

import subprocess
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass

import psutil

__all__ = ["Spent", "pss", "run"]

INTERVAL, EACH = 0.05, 4  # seconds between two looks at processor times, and looks for one at memory


@dataclass(frozen=True)
class Spent:
    """Of one command, from its start to its end: seconds by the clock and of all processes' processors, their
    largest memory, and what it wrote to the standard output."""

    seconds: float
    cores: float
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
    """Run it to its end, and look at its processes all the while.

    Raises:
        CalledProcessError: it failed; ``stderr`` has its last words.
    """
    with tempfile.TemporaryFile("w+") as out, tempfile.TemporaryFile("w+") as errors:
        began, times, peak, turn = time.perf_counter(), dict[int, float](), 0, 0
        with psutil.Popen(command, stdout=out, stderr=errors, env=environment) as process:
            while process.poll() is None:
                with suppress(psutil.NoSuchProcess):
                    times.update(_processor_times(process))
                    peak = peak if turn % EACH else max(peak, pss(process))
                with suppress(psutil.TimeoutExpired):
                    process.wait(INTERVAL)
                turn += 1
        seconds = time.perf_counter() - began
        text, words = (stream.seek(0) or stream.read() for stream in (out, errors))
    if process.returncode:
        raise subprocess.CalledProcessError(process.returncode, command, text, words)
    return Spent(seconds, sum(times.values()), peak / 2**20, text)


def _processor_times(top: psutil.Process) -> Iterator[tuple[int, float]]:
    for each in (top, *top.children(recursive=True)):
        with suppress(psutil.NoSuchProcess):
            used = each.cpu_times()
            yield each.pid, used.user + used.system
