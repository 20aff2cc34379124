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
from pathlib import Path
from typing import Any

from pyraseg.pipeline.prediction.processes.network_client import NetworkClient, Shapes
from pyraseg.pipeline.utils.errors import TRACEBACK_VARIABLE, own_error
from pyraseg.transforms.errors import InputError, PyrasegError, RunError

__all__ = ["OURS", "internal_error", "work"]

ROOT = Path(__file__).resolve().parents[3]
OURS = (f"{ROOT / 'pipeline'}{os.sep}", f"{ROOT / 'transforms'}{os.sep}")  # where this project's code lies


def work(
    connection: Connection,
    task: Callable[[Any, NetworkClient | None], Any],
    memory: tuple[Any, Any] | None,
    shapes: Shapes | None,
    memory_limit: int | None,
) -> None:
    """Do ``task(item, network)`` for each item that comes, until the other end goes away."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # a terminal's Ctrl-C reaches all; the main process decides
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    os.umask(0o077)
    threading.Thread(target=_end_with_the_run, daemon=True).start()
    _one_thread()
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
    """Whatever this process is at: without the main process nobody would end it, nor take what it does."""
    parent = multiprocessing.parent_process()
    if parent is not None:
        parent.join()
        os.kill(os.getpid(), signal.SIGKILL)


def _answer(
    task: Callable[[Any, NetworkClient | None], Any], item: Any, network: NetworkClient | None
) -> tuple[str, Any, None]:
    try:
        return "done", task(item, network), None
    except PyrasegError as error:
        return "failed", error, None
    except Exception as error:  # an error of this program is to cost its item alone, and be told
        if os.environ.get(TRACEBACK_VARIABLE) == "1":
            traceback.print_exc()
        return "failed", own_error(error) or _too_large(error) or internal_error(error), None


def _too_large(error: BaseException | None) -> InputError | None:
    """What a lack of memory says of an item; None for another error."""
    while error is not None:
        if isinstance(error, MemoryError) or "alloc" in str(error):  # torch: "can't allocate memory"
            remedy = "Give it more with fewer --workers, or process it on a larger machine."
            return InputError("an item that fits into the memory", found="one that does not", remedy=remedy)
        error = error.__cause__ or error.__context__
    return None


def internal_error(error: BaseException) -> RunError:
    """An error of this program and not of the user's file: where it happened, without its message, which may
    quote a path or an attribute of the patient."""
    while error.__cause__ is not None:  # MONAI wraps what a transform raises
        error = error.__cause__
    frames = traceback.extract_tb(error.__traceback__)
    ours = [frame for frame in frames if frame.filename.startswith(OURS) and frame.filename != __file__]
    last = (ours or frames)[-1]
    file = os.path.relpath(last.filename, ROOT) if ours else os.path.basename(last.filename)
    kind = type(error).__name__
    return RunError(
        "an item that can be processed",
        found=f"an internal error of pyraseg, an unexpected {kind} in {file}, line {last.lineno}",
        remedy=f"Report it; the file need not be at fault. {TRACEBACK_VARIABLE}=1 shows the traceback.",
    )


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
