"""How a run ended, without anything that could identify: no path, no value, no foreign message."""

from __future__ import annotations

import signal
import traceback
from collections.abc import Iterator
from pathlib import Path

from pyraseg.pipeline.utils.errors import own_error

__all__ = ["causes", "describe_error", "error_name", "final_status"]

ROOT = Path(__file__).resolve().parents[2]
STOPPED = {128 + signal.SIGTERM, 128 + signal.SIGINT}  # exit statuses after SIGTERM and Ctrl-C


def final_status(error: BaseException | None) -> str:
    """FINISHED, KILLED (Ctrl-C, SIGTERM) or FAILED."""
    if error is None:
        return "FINISHED"
    asked_to = isinstance(error, SystemExit) and error.code in STOPPED
    return "KILLED" if asked_to or isinstance(error, KeyboardInterrupt) else "FAILED"


def error_name(error: BaseException) -> str:
    """The type of the error; of this project's, if one stands behind MONAI's wrapping."""
    return type(own_error(error) or error).__name__


def describe_error(error: BaseException) -> str:
    """A traceback of file names, lines, functions and types; messages of this project's errors only."""
    ours = own_error(error)
    parts = ["\n".join(_frames(one)) for one in causes(error)]
    text = "\n\nwhich led to\n\n".join(reversed(parts)) + "\n"
    return text if ours is None else f"{text}\n{type(ours).__name__}: {ours}\n"


def causes(error: BaseException) -> Iterator[BaseException]:
    """The error and its causes, latest first."""
    seen: set[int] = set()
    one: BaseException | None = error
    while one is not None and id(one) not in seen:
        seen.add(id(one))
        yield one
        one = one.__cause__ or (None if one.__suppress_context__ else one.__context__)


def _frames(error: BaseException) -> Iterator[str]:
    for frame, line in traceback.walk_tb(error.__traceback__):
        yield f"{_file(frame.f_code.co_filename)}:{line} {frame.f_code.co_name}"
    yield type(error).__name__


def _file(name: str) -> str:
    """``pipeline/training/loop.py`` for our files, the bare name for all others."""
    path = Path(name)
    ours = path.is_relative_to(ROOT) and path.relative_to(ROOT).parts[0] in ("pipeline", "transforms")
    return path.relative_to(ROOT).as_posix() if ours else path.name
