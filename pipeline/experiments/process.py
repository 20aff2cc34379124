"""One step as a process of its own, which never outlives it."""

from __future__ import annotations

import contextlib
import logging
import os
import signal
import subprocess
from collections.abc import Sequence

__all__ = ["PATIENCE", "run_process"]

logger = logging.getLogger(__name__)

PATIENCE = 120.0  # seconds for a training to save its state


def run_process(command: Sequence[str], *, patience: float = PATIENCE) -> int:
    """Run a command to its end and return its exit status (negative: ended by that signal).

    The terminal's Ctrl-C reaches this process alone; it asks the other once, so that a training stops between
    two steps and saves its state. Whatever ends this wait early (Ctrl-C, an exception of a signal handler)
    ends the process, and all that it started, before it goes on: after ``patience`` seconds, or on a second
    Ctrl-C, by force.
    """
    process = subprocess.Popen(list(command), stdin=subprocess.DEVNULL, start_new_session=True)
    try:
        return process.wait()
    finally:
        if process.poll() is None:
            _end(process, patience)


def _end(process: subprocess.Popen[bytes], patience: float) -> None:
    try:
        process.send_signal(signal.SIGTERM)  # a shell starts jobs in the background with SIGINT ignored
        process.wait(patience)
    except subprocess.TimeoutExpired:
        logger.warning("the process did not stop within %.0f seconds and is ended", patience)
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)  # its data-loading processes are of its group
        process.wait()
