"""Handle Ctrl-C and SIGTERM between two items, so that finished work is kept."""

from __future__ import annotations

import ctypes
import signal
import sys
from typing import Any

from pyraseg.pipeline.utils.signals import handling

__all__ = ["Stopping"]


class Stopping:
    """Catches the signals within its block; a second signal stops at once."""

    def __init__(self) -> None:
        self.requested = False
        self._handling = handling(self._request, (signal.SIGINT, signal.SIGTERM))

    def __enter__(self) -> Stopping:
        _take_signals_on_the_normal_stack()
        self._handling.__enter__()
        return self

    def __exit__(self, *_: object) -> None:
        self._handling.__exit__(None, None, None)

    def check(self) -> None:
        """Raise KeyboardInterrupt if a signal has come."""
        if self.requested:
            raise KeyboardInterrupt

    def _request(self, number: int, frame: Any) -> None:
        if self.requested:
            raise KeyboardInterrupt
        self.requested = True


class _Stack(ctypes.Structure):
    """``stack_t`` of sigaltstack(2)."""

    _fields_ = (("sp", ctypes.c_void_p), ("flags", ctypes.c_int), ("size", ctypes.c_size_t))


def _take_signals_on_the_normal_stack() -> None:
    """Take signals on the normal stack of the thread.

    OpenVINO gives the thread that loads a network an alternative signal stack and may free it while in use.
    Python's handlers would use that stack, and the next Ctrl-C would end the process with SIGSEGV.
    """
    if sys.platform == "linux":
        disable = _Stack(None, 2, 0)  # SS_DISABLE
        ctypes.CDLL(None).sigaltstack(ctypes.byref(disable), None)
