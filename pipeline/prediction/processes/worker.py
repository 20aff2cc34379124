"""A worker process: receives items, sends results or errors."""

from __future__ import annotations

import contextlib
import multiprocessing
import os
import signal
import sys
import threading
from collections.abc import Callable
from multiprocessing.connection import Connection
from typing import Any

from pyraseg.pipeline.prediction.processes.network_client import NetworkClient, Shapes
from pyraseg.transforms.errors import TRACEBACK_VARIABLE, item_error

__all__ = ["work"]


def work(
    connection: Connection,
    task: Callable[[Any, NetworkClient | None], Any],
    memory: tuple[Any, ...] | None,
    shapes: Shapes | None,
    memory_limit: int | None,
) -> None:
    """Do ``task(item, network)`` for each item received, until the other end closes."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches all processes; the main one decides
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    os.umask(0o077)
    threading.Thread(target=_end_with_the_run, daemon=True).start()
    if "torch" in sys.modules:  # the processes share the cores
        sys.modules["torch"].set_num_threads(1)
    _be_quiet()
    if memory_limit is not None:
        _limit_memory(memory_limit)
    network = None if memory is None or shapes is None else NetworkClient(connection, memory, shapes)
    with contextlib.suppress(EOFError, OSError):
        while True:
            item = connection.recv()
            answer = _answer(task, item, network)
            if network is not None:
                network.drain()
            connection.send(answer)


def _end_with_the_run() -> None:
    """End this process with the main process, which alone uses its results."""
    parent = multiprocessing.parent_process()
    if parent is not None:
        parent.join()
        os.kill(os.getpid(), signal.SIGKILL)


def _answer(
    task: Callable[[Any, NetworkClient | None], Any], item: Any, network: NetworkClient | None
) -> tuple[str, Any, None]:
    try:
        return "done", task(item, network), None
    except Exception as error:  # whatever one item raises fails that item alone, and is reported
        return "failed", item_error(error), None


def _be_quiet() -> None:
    """Silence decoders in C, which report defects for every frame, some with the file's name."""
    if os.environ.get(TRACEBACK_VARIABLE) == "1":
        return
    null = os.open(os.devnull, os.O_WRONLY)
    for stream in (1, 2):
        os.dup2(null, stream)
    os.close(null)


def _limit_memory(limit: int) -> None:
    """Limit further allocations of this process to ``limit`` bytes, where the system can."""
    try:
        import resource

        with open("/proc/self/status", encoding="ascii") as status:
            data = next(int(line.split()[1]) * 1024 for line in status if line.startswith("VmData"))
        resource.setrlimit(resource.RLIMIT_DATA, (data + limit, resource.RLIM_INFINITY))
    except (ImportError, OSError, StopIteration, ValueError):
        return
