"""How long the command line takes to answer."""

from __future__ import annotations

import statistics
import subprocess
import sys
import time

ROUNDS = 7
COMMANDS = (["--help"], ["phantom", "--help"], ["datalist", "--help"])


def table() -> str:
    """Median seconds of ``pyraseg ...`` as a process of its own, beside an empty Python process."""
    rows = [("python -c pass", ["-c", "pass"])]
    rows += [(" ".join(["pyraseg", *words]), ["-m", "pyraseg.pipeline", *words]) for words in COMMANDS]
    lines = [f"| {command} | {_median(arguments):.2f} |" for command, arguments in rows]
    return "\n".join(["| command | seconds |", "| --- | --- |", *lines])


def _median(arguments: list[str]) -> float:
    return statistics.median(_seconds(arguments) for _ in range(ROUNDS))


def _seconds(arguments: list[str]) -> float:
    start = time.perf_counter()
    subprocess.run([sys.executable, *arguments], check=True, stdout=subprocess.DEVNULL)
    return time.perf_counter() - start
