"""Ctrl-C and SIGTERM as a request that is looked at between two items, so that what is done is kept."""

from __future__ import annotations

import signal
import threading
from typing import Any

__all__ = ["Stopping"]


class Stopping:
    """Takes the signals for the time of its block; a second one stops at once."""

    def __init__(self) -> None:
        self.requested = False
        self._former: dict[int, Any] = {}

    def __enter__(self) -> Stopping:
        if threading.current_thread() is threading.main_thread():
            self._former = {number: signal.signal(number, self._request) for number in (signal.SIGINT, signal.SIGTERM)}
        return self

    def __exit__(self, *_: object) -> None:
        for number, handler in self._former.items():
            signal.signal(number, handler)

    def check(self) -> None:
        """Raises:
        KeyboardInterrupt: a signal has come.
        """
        if self.requested:
            raise KeyboardInterrupt

    def _request(self, number: int, frame: Any) -> None:
        if self.requested:
            raise KeyboardInterrupt
        self.requested = True
