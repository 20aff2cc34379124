"""Errors of this project behind MONAI's wrapping, and the one sentence that a user reads of them."""

from __future__ import annotations

import difflib
import os
import re
import sys
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from types import TracebackType

from pyraseg.transforms import errors
from pyraseg.transforms.errors import TRACEBACK_VARIABLE, PyrasegError

__all__ = [
    "PATHS_VARIABLE",
    "TRACEBACK_VARIABLE",
    "did_you_mean",
    "install_error_report",
    "own_error",
    "printable",
    "report_error",
    "unwrap_monai_errors",
]

PATHS_VARIABLE = "PYRASEG_SHOW_PATHS"
WORKER_ERROR = re.compile(
    rf"^pyraseg\.transforms\.errors\.({'|'.join(errors.__all__)}): wanted (.*), found (.*?)\. (.*)$", re.M
)

# torch's own words, in all of which a full /dev/shm may come; a bus error is one
LOADER_ENDED = re.compile(r"shared memory|file </torch_|DataLoader worker \(pid.* signal: (Bus error|Killed)")


def own_error(error: BaseException | None) -> PyrasegError | None:
    """The error of this project behind those of MONAI ("applying transform ...") or a loader, if any."""
    while error is not None:
        if isinstance(error, PyrasegError):
            return error
        # a data-loading process sends its exception home as text alone
        if "DataLoader worker" in str(error) and (matches := WORKER_ERROR.findall(str(error))):
            kind, wanted, found, remedy = matches[-1]
            ours: PyrasegError = getattr(errors, kind)(wanted, found=found, remedy=remedy)
            return ours
        if LOADER_ENDED.search(str(error)):
            return _of_loader(str(error))
        error = error.__cause__ or error.__context__
    return None


def _of_loader(text: str) -> PyrasegError:
    """The error for a data-loading process that torch could not go on with."""
    if "Killed" in text:
        found, remedy = "one that the system ended, as for want of memory", "Give fewer --num_workers, or 0."
    else:
        found = "no room in the shared memory (/dev/shm) through which they send images"
        remedy = "Give --num_workers 0, or more of it (docker run --shm-size 8g)."
    return errors.RunError("processes that load data to their end", found=found, remedy=remedy)


@contextmanager
def unwrap_monai_errors() -> Iterator[None]:
    """Let an error of this project leave the block without MONAI's RuntimeError around it."""
    try:
        yield
    except RuntimeError as error:
        ours = own_error(error)
        if ours is None:
            raise
        raise ours from error


def install_error_report() -> None:
    """End MONAI's command with one sentence and exit status 1, without its chain of tracebacks.

    Any other exception keeps Python's report; ``PYRASEG_TRACEBACK=1`` keeps it for all. A run that Python
    code has started raises its errors to that code, and nothing of the process is changed.
    """
    command = getattr(sys.modules["__main__"], "__spec__", None)
    if command is None or command.name != "monai.bundle.__main__":
        return

    def report(kind: type[BaseException], error: BaseException, traceback: TracebackType | None) -> None:
        if issubclass(kind, KeyboardInterrupt):
            return  # the training has said what it saved; the exit status shows the signal
        ours = own_error(error)
        if ours is None or not report_error(ours):
            sys.__excepthook__(kind, error, traceback)

    sys.excepthook = report


def report_error(error: PyrasegError, *, show_path: bool = False) -> bool:
    """Write one sentence about the error to standard error; False where a traceback was asked for.

    ``show_path`` is for commands, whose user typed the path. The output of a training may be a log, so there
    the path needs ``PYRASEG_SHOW_PATHS=1``.
    """
    if os.environ.get(TRACEBACK_VARIABLE) == "1":
        return False
    lines = [f"{type(error).__name__}: {printable(str(error))}"]
    if error.path and (show_path or os.environ.get(PATHS_VARIABLE) == "1"):
        lines.append(f"  file: {printable(error.path)}")
    elif error.path:
        lines.append(f"  ({PATHS_VARIABLE}=1 shows the file's path)")
    with suppress(OSError):  # nobody reads any more; the exit status still tells
        sys.stderr.write("\n".join(lines) + "\n")
    return True


def did_you_mean(name: str, known: Iterable[str]) -> str:
    """A remedy with the names nearest to a misspelt one, or the first five; empty where none is known.

    >>> did_you_mean("kidny", ["kidney", "liver"])
    "Did you mean 'kidney'?"
    """
    near = difflib.get_close_matches(name, known := list(known), n=3, cutoff=0.3) or known[:5]
    return f"Did you mean {' or '.join(map(repr, near))}?" if near else ""


def printable(text: str) -> str:
    """``text`` without control characters: names of files or classes may hold terminal escapes."""
    return "".join(c if c.isprintable() else "\N{REPLACEMENT CHARACTER}" for c in text)
