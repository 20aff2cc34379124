"""What a worker process does: items come in, results or the errors that they failed with go out."""

from __future__ import annotations

import contextlib
import multiprocessing
import os
import signal
import sys
import threading
import traceback
from collections.abc import Callable
from multiprocessing.connection import Connection
from typing import Any

from pyraseg.pipeline.prediction.processes.network_client import Exchange, Shapes
from pyraseg.pipeline.utils.errors import TRACEBACK_VARIABLE, own_error
from pyraseg.transforms.errors import InputError, PyrasegError, RunError

__all__ = ["work"]


def work(
    connection: Connection,
    task: Callable[[Any, Exchange | None], Any],
    memory: tuple[Any, Any] | None,
    shapes: Shapes | None,
    memory_limit: int | None,
) -> None:
    """Do ``task(item, exchange)`` for each item that comes, until the other end goes away."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # a terminal's Ctrl-C reaches all; the main process decides
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    os.umask(0o077)
    threading.Thread(target=_end_with_the_run, daemon=True).start()
    _one_thread()
    _be_quiet()
    if memory_limit is not None:
        _limit_memory(memory_limit)
    exchange = None if memory is None or shapes is None else Exchange(connection, memory, shapes)
    with contextlib.suppress(EOFError, OSError):
        while True:
            item = connection.recv()
            answer = _answer(task, item, exchange)
            if exchange is not None:
                exchange.drain()
            connection.send(answer)


def _end_with_the_run() -> None:
    """Whatever this process is at: without the main process nobody would end it, nor take what it does."""
    parent = multiprocessing.parent_process()
    if parent is not None:
        parent.join()
        os.kill(os.getpid(), signal.SIGKILL)


def _answer(
    task: Callable[[Any, Exchange | None], Any], item: Any, exchange: Exchange | None
) -> tuple[str, Any, None]:
    try:
        return "done", task(item, exchange), None
    except PyrasegError as error:
        return "failed", error, None
    except MemoryError:
        return "failed", _too_large(), None
    except Exception as error:  # noqa: BLE001 - one item's fault, whatever it is, ends no worker
        ours = own_error(error)  # MONAI wraps what a transform raises
        if ours is not None:
            return "failed", ours, None
        if os.environ.get(TRACEBACK_VARIABLE) == "1":
            traceback.print_exc()
        return "failed", _too_large() if _is_about_memory(error) else _unexpected(error), None


def _is_about_memory(error: BaseException | None) -> bool:
    while error is not None:
        if isinstance(error, MemoryError) or "alloc" in str(error):  # torch: "can't allocate memory"
            return True
        error = error.__cause__ or error.__context__
    return False


def _too_large() -> InputError:
    remedy = "Give it more with fewer --workers, or process it on a larger machine."
    return InputError("an item that fits into the memory", found="one that does not", remedy=remedy)


def _unexpected(error: BaseException) -> RunError:
    """Where it happened, without the message: that may quote a path or an attribute of the patient."""
    at = traceback.extract_tb(error.__traceback__)[-1]
    found = f"an unexpected {type(error).__name__} in {os.path.basename(at.filename)}, line {at.lineno}"
    remedy = f"Look at this file by itself; {TRACEBACK_VARIABLE}=1 shows the traceback."
    return RunError("an item that can be processed", found=found, remedy=remedy)


def _one_thread() -> None:
    """A thread a process: the processes share the cores among themselves."""
    if "torch" in sys.modules:
        sys.modules["torch"].set_num_threads(1)


def _be_quiet() -> None:
    """Decoders in C write of a file's defects, sometimes with its name, for every frame; the report says it
    once."""
    if os.environ.get(TRACEBACK_VARIABLE) == "1":
        return
    null = os.open(os.devnull, os.O_WRONLY)
    for stream in (1, 2):
        os.dup2(null, stream)
    os.close(null)


def _limit_memory(limit: int) -> None:
    """Let allocations beyond ``limit`` bytes from here on fail in this process, where the system can do
    that."""
    try:
        import resource

        with open("/proc/self/status", encoding="ascii") as status:
            data = next(int(line.split()[1]) * 1024 for line in status if line.startswith("VmData"))
        resource.setrlimit(resource.RLIMIT_DATA, (data + limit, resource.RLIM_INFINITY))
    except (ImportError, OSError, StopIteration, ValueError):
        return
