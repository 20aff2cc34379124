"""Supervised processes, one item at a time: one that dies, hangs or takes the memory costs only its item."""

from __future__ import annotations

import contextlib
import multiprocessing
import signal
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from functools import partial
from multiprocessing.connection import wait
from typing import Any

from pyraseg.pipeline.prediction.processes.network_client import Request, Shapes, shared_memory, views
from pyraseg.pipeline.prediction.processes.worker import work
from pyraseg.transforms.errors import PyrasegError, RunError

__all__ = ["Outcome", "Workers"]

LOOK = 0.5  # seconds between checks of silent workers
REMEDY = "Look at this file by itself; the others went on."


@dataclass(frozen=True)
class Outcome:
    """The outcome of one item: its task's result, or its error."""

    item: Any
    result: Any = None
    error: PyrasegError | None = None


class Workers:
    """A pool of processes that do ``task(item, network)``.

    Args:
        task: picklable; called in the processes. An exception fails its item.
        number: of processes.
        seconds: the longest that an item may be silent, without an answer or request.
        memory: bytes that a process may take for an item; None for no limit.
        shapes: of the network's inputs and scores; None for a task without network.
        serve: called with each request to the network.
        preload: modules that the processes share.
    """

    def __init__(
        self,
        task: Callable[[Any, Any], Any],
        *,
        number: int,
        seconds: float = 600.0,
        memory: int | None = None,
        shapes: Shapes | None = None,
        serve: Callable[[Request], None] | None = None,
        preload: Iterable[str] = (),
    ) -> None:
        methods = multiprocessing.get_all_start_methods()
        self._context: Any = multiprocessing.get_context("forkserver" if "forkserver" in methods else "spawn")
        if preload and "forkserver" in methods:
            self._context.set_forkserver_preload([*preload])
        self.task, self.seconds, self.memory, self.shapes, self.serve = task, seconds, memory, shapes, serve
        self._number = number
        self._workers: list[_Worker] = []

    def __enter__(self) -> Workers:
        for _ in range(self._number):
            self._workers.append(_Worker(self))
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def stop(self) -> None:
        """End all processes at once."""
        for worker in self._workers:
            worker.end()
        self._workers = []

    def run(self, items: Iterable[Any], *, watch: Iterable[Callable[[], None]] = ()) -> Iterator[Outcome]:
        """Give out the items and yield outcomes as items end; not in order.

        A run that is left before its end ends the processes of the items in work; the next run starts others.

        Args:
            watch: called at least about twice a second; an exception ends the run.
        """
        waiting = iter(items)
        try:
            self._give(waiting)
            while any(worker.busy for worker in self._workers):
                ready = self._wait()
                # First: the watch may end the run, and the workers with it
                for check in watch:
                    check()
                yield from self._ended(ready)
                self._give(waiting)
        finally:
            for worker in self._workers:
                if worker.busy:
                    worker.end()
                    worker.busy = False

    def _give(self, waiting: Iterator[Any]) -> None:
        free = (index for index, worker in enumerate(self._workers) if not worker.busy)
        for index, item in zip(free, waiting, strict=False):
            if not self._workers[index].process.is_alive():
                self._workers[index].end()
                self._workers[index] = _Worker(self)
            self._workers[index].start(item)

    def _wait(self) -> list[_Worker]:
        busy = [worker for worker in self._workers if worker.busy]
        workers = {worker.connection: worker for worker in busy}
        workers |= {worker.process.sentinel: worker for worker in busy}
        return list(dict.fromkeys(workers[ready] for ready in wait(list(workers), LOOK)))

    def _ended(self, ready: Iterable[_Worker]) -> Iterator[Outcome]:
        for worker in ready:
            outcome = worker.listen()
            if outcome is not None:
                yield outcome
        for worker in self._workers:
            if worker.busy and worker.still_for() > self.seconds:
                yield worker.give_up(f"one that kept still for {self.seconds:.0f} seconds and was ended")


class _Worker:
    """One process, its connection and its current item."""

    def __init__(self, pool: Workers) -> None:
        self._pool = pool
        self.item: Any = None
        self.busy = False
        self._asked = 0  # unanswered requests to the network
        self._lock = threading.Lock()  # the network's threads send answers
        self._heard = time.monotonic()
        self.connection, theirs = pool._context.Pipe()
        memory = None if pool.shapes is None else shared_memory(pool._context, pool.shapes)
        self._views = None if pool.shapes is None or memory is None else views(memory, pool.shapes)
        self.process = pool._context.Process(
            target=work, args=(theirs, pool.task, memory, pool.shapes, pool.memory), daemon=True
        )
        self._start_process()
        theirs.close()

    def _start_process(self) -> None:
        for pause in (0.1, 1.0):
            try:
                return self.process.start()
            except (EOFError, OSError):  # the template was killed: once that is seen, a start makes another
                time.sleep(pause)
        return self.process.start()

    def start(self, item: Any) -> None:
        with self._lock:
            self.item, self.busy, self._heard = item, True, time.monotonic()
            self._send(item)

    def still_for(self) -> float:
        """Seconds since its last message; waiting for the network does not count."""
        with self._lock:
            return 0.0 if self._asked else time.monotonic() - self._heard

    def listen(self) -> Outcome | None:
        try:
            while self.busy and self.connection.poll():
                outcome = self._hear(self.connection.recv())
                if outcome is not None:
                    return outcome
        except (EOFError, OSError):
            self.process.join(LOOK)
        return self.give_up(self._cause()) if self.busy and not self.process.is_alive() else None

    def _hear(self, message: tuple[str, Any, Any]) -> Outcome | None:
        kind, first, second = message
        if kind == "scores":
            self._request(first, second)
            return None
        if kind == "alive":
            with self._lock:
                self._heard = time.monotonic()
            return None
        self.busy = False
        return Outcome(self.item, result=first) if kind == "done" else Outcome(self.item, error=first)

    def _request(self, slot: int, number: int) -> None:
        if self._pool.serve is None or self._views is None:
            raise RunError(
                "a task that needs no network", found="one that asks it", remedy="Give the pool a network."
            )
        with self._lock:
            self._asked += 1
        inputs, scores, features = (view[slot, :number] for view in self._views)
        self._pool.serve(Request(inputs, scores, partial(self._answer, slot), features))

    def _answer(self, slot: int, error: PyrasegError | None) -> None:
        """Called from a thread of the network."""
        with self._lock:
            self._asked, self._heard = self._asked - 1, time.monotonic()
            self._send((slot, error))

    def _send(self, message: Any) -> None:
        with contextlib.suppress(OSError):  # the process has ended; its sentinel says so at the next check
            self.connection.send(message)

    def give_up(self, found: str) -> Outcome:
        self.end()
        self.busy = False
        return Outcome(self.item, error=RunError("an item that can be processed", found=found, remedy=REMEDY))

    def _cause(self) -> str:
        status = self.process.exitcode
        if status is not None and status < 0:
            name = signal.Signals(-status).name
            return f"one whose process was ended by {name}" + (
                " (out of memory?)" if name == "SIGKILL" else ""
            )
        return f"one whose process ended with status {status}"

    def end(self) -> None:
        self.process.kill()
        self.process.join()
        with self._lock:  # a thread must not write to what may be another worker's connection next
            self.connection.close()
