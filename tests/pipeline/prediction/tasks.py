"""What the tests of the workers let them do; importable, because it goes to processes that are started
anew."""

from __future__ import annotations

import os
import signal
import time
from typing import Any

import numpy as np

from pyraseg.transforms.errors import InputError

__all__ = ["act", "score"]

HELD: list[Any] = []


def act(item: str | int | tuple[str, Any], network: Any) -> Any:
    """Numbers come back doubled; words are the ways to fail."""
    match item:
        case int():
            return 2 * item
        case "refuse":
            raise InputError("a whole file", found="half of one", remedy="Copy it again.")
        case "unexpected":
            raise ValueError("the name of a patient")
        case "wrapped":
            try:
                return act("refuse", network)
            except InputError as error:
                raise RuntimeError("applying transform") from error
        case "bloat in a transform":
            try:
                return act("bloat", network)
            except MemoryError as error:
                raise RuntimeError("applying transform") from error
        case "broken":
            raise ReferenceError("which nobody foresees")
        case "leave":
            os._exit(3)
        case "killed":
            os.kill(os.getpid(), signal.SIGKILL)
        case "loop":
            while True:
                pass
        case "bloat":
            HELD.append(np.ones(10 * 2**30 // 8))
        case "unpicklable":
            return lambda: None
        case ("sleep", seconds, path):
            with open(path, "w") as file:
                file.write(str(os.getpid()))
            time.sleep(seconds)
        case "environment":
            return os.getpid(), os.umask(0o077)
    return None


def score(item: tuple[int, int], network: Any) -> list[float]:
    """Send ``(value, frames)`` in chunks, two ahead, and return the mean score of each frame in order."""
    value, frames = item
    size, found, ahead = network.shapes.frames, [], 0
    for start in range(0, frames, size):
        chunk = range(start, min(start + size, frames))
        network.send([np.full(network.shapes.inputs, value + index / 100, np.float32) for index in chunk])
        ahead += 1
        if ahead == 2:
            found += [float(scores.mean()) for scores in network.receive()]
            ahead -= 1
    for _ in range(ahead):
        found += [float(scores.mean()) for scores in network.receive()]
    return found
