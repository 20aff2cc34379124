"""The signals that ask a process to stop: Ctrl-C, SIGTERM, and SIGUSR1, Slurm's warning of a time limit.

Python takes handlers in the main thread alone; elsewhere, as in a notebook's thread, each block here runs
without.
"""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Any

__all__ = ["STOPPING", "handling", "signals_unwind", "signals_wait"]

# Windows has no SIGUSR1
STOPPING = tuple(getattr(signal, name) for name in ("SIGINT", "SIGTERM", "SIGUSR1") if hasattr(signal, name))


@contextmanager
def handling(
    handler: Callable[[int, Any], Any] | int | None, numbers: Iterable[int] = STOPPING
) -> Iterator[None]:
    """Handle the signals ``numbers`` inside the block; the former handlers come back."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    former = {number: signal.signal(number, handler) for number in numbers}
    try:
        yield
    finally:
        for number, before in former.items():
            signal.signal(number, signal.SIG_DFL if before is None else before)


@contextmanager
def signals_unwind() -> Iterator[None]:
    """Let SIGTERM and SIGUSR1 unwind the stack as Ctrl-C does, unless they have another handler."""
    owner = os.getpid()

    def stop(number: int, frame: FrameType | None) -> None:
        if os.getpid() == owner:
            raise KeyboardInterrupt
        signal.signal(number, signal.SIG_DFL)  # a data-loading process ends as it always did
        os.kill(os.getpid(), number)

    with handling(stop, [n for n in STOPPING if signal.getsignal(n) == signal.SIG_DFL]):
        yield


@contextmanager
def signals_wait() -> Iterator[threading.Event]:
    """Hold the signals back until the end of the block; the event tells that one waits."""
    came, waiting = threading.Event(), []

    def note(number: int, frame: FrameType | None) -> None:
        waiting.append(number)
        came.set()

    with handling(note):
        yield came
    if waiting:
        signal.raise_signal(waiting[0])
