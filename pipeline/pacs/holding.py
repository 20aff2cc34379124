"""One process at a time, by a lock on a file."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from filelock import FileLock, Timeout

from pyraseg.transforms.errors import UsageError

__all__ = ["holding"]


@contextmanager
def holding(path: Path, what: str) -> Iterator[None]:
    """Hold a lock while the block, and the process, last.

    Raises:
        UsageError: another process holds it.
    """
    lock = FileLock(path, timeout=0)
    try:
        lock.acquire()
    except Timeout as error:
        found, remedy = f"one that holds {what}", "Wait until it has ended, or end it."
        raise UsageError("no other process that does the same", found=found, remedy=remedy) from error
    try:
        yield
    finally:
        lock.release()
