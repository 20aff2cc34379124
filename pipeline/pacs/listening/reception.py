"""The receiving process, as the listener sees it: started, heard, started again if it dies, drained."""

from __future__ import annotations

import multiprocessing
import signal
import threading
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

from pyraseg.pipeline.pacs.listening.settings import Address
from pyraseg.pipeline.utils.signals import handling
from pyraseg.transforms.errors import RunError, UsageError

__all__ = ["Reception"]

START_SECONDS = 120.0  # its imports, on a machine with other work
DEATHS, WITHIN = 5, 60.0  # more deaths within so many seconds are no accident


class Reception:
    """A context manager around the process.

    Args:
        address: where and from whom.
        folder: of the received images.
        hear: is called with what the process tells (`receiver.receive`), from a thread of its own; with
            ``("lost",)`` where it has ended without being told to.

    Attributes:
        port: that it listens at.
        ended: it was drained, and has ended.

    Raises:
        UsageError: on entry, the port cannot be had.
    """

    def __init__(self, address: Address, folder: Path, hear: Callable[[tuple[Any, ...]], None]) -> None:
        self.address, self._folder, self._hear = address, folder, hear
        self.port, self.ended = address.port, False
        self._draining = False
        self._deaths: list[float] = []

    def __enter__(self) -> Reception:
        self._start()
        return self

    def __exit__(self, *_: object) -> None:
        self._process.kill()
        self._process.join()

    def drain(self) -> None:
        """No new associations; those that are open go on to their end, which `ended` tells."""
        if not self._draining:
            self._draining = True
            try:
                self._connection.send("drain")
            except OSError:  # it has just died
                self.ended = True

    def check(self) -> None:
        """Start the process again if it has died.

        Raises:
            RunError: it dies again and again.
        """
        if self.ended or self._reader.is_alive():
            return
        self._hear(("lost",))
        if self._draining:
            self.ended = True
            return
        now = time.monotonic()
        self._deaths = [each for each in self._deaths if now - each < WITHIN] + [now]
        if len(self._deaths) > DEATHS:
            found, remedy = (
                f"one that ended {DEATHS} times in a minute",
                "Look for what ends it, as for want of memory.",
            )
            raise RunError("a process that receives", found=found, remedy=remedy)
        self._start()

    def _start(self) -> None:
        from pyraseg.pipeline.pacs.listening.receiver import receive

        context = multiprocessing.get_context("spawn")
        self._connection, theirs = context.Pipe()
        self._process = context.Process(
            target=receive, args=(self.address, self._folder, theirs), daemon=True
        )
        with handling(signal.SIG_IGN, (signal.SIGINT, signal.SIGTERM)):
            self._process.start()
        theirs.close()
        first: tuple[Any, ...] = ("failed", "it did not start")
        try:
            if self._connection.poll(START_SECONDS):
                first = self._connection.recv()
        except EOFError:
            pass
        if first[0] != "ready":
            self._process.kill()
            found, remedy = f"one that cannot be had ({first[1]})", "Name another with --port or --host."
            raise UsageError("a port to listen at", found=found, remedy=remedy)
        self.port = int(first[1])
        self.address = replace(self.address, port=self.port)  # also after a death, where any was free
        self._reader = threading.Thread(target=self._read, args=(self._connection,), daemon=True)
        self._reader.start()

    def _read(self, connection: Any) -> None:
        """Never waits for the listener's work, so that the process never waits to be heard."""
        try:
            while (words := connection.recv()) != ("ended",):
                self._hear(words)
            self.ended = True
        except (EOFError, OSError):  # it has died; `check` sees that this thread has ended
            pass
