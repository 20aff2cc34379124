"""Where the time goes: processor seconds by stage."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager

__all__ = ["Stages"]


class Stages:
    """Adds up the processor time of this process by stage; what runs outside of any stage is not counted.

    Args:
        beat: called at the end of each, as a sign of life.
    """

    def __init__(self, beat: Callable[[], None] = lambda: None) -> None:
        self.seconds: Counter[str] = Counter()
        self.beat = beat

    @contextmanager
    def __call__(self, name: str) -> Iterator[None]:
        """Count the block's processor time under ``name``; blocks do not nest."""
        begin = time.process_time()
        try:
            yield
        finally:
            self.seconds[name] += time.process_time() - begin  # type: ignore[assignment]
            self.beat()
