"""The progress of a batch, and the time of its stages."""

from __future__ import annotations

import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from tqdm import tqdm

from pyraseg.pipeline.training.progress import time_left

__all__ = ["Progress", "Stages"]

LINE_SECONDS = 30.0


class Progress:
    """Counts items: a bar with rate and time left on a terminal, else a line now and then.

    As a context manager it removes its bar from the screen.

    Args:
        total: number of items.
    """

    def __init__(self, total: int) -> None:
        self.total = total
        self.done = self.failed = self.frames = 0
        self._began = self._last_line = time.monotonic()
        terminal = sys.stderr.isatty()
        self._bar = tqdm(total=total, unit="item", dynamic_ncols=True, leave=False) if terminal else None

    def __enter__(self) -> Progress:
        return self

    def __exit__(self, *_: object) -> None:
        if self._bar is not None:
            self._bar.close()

    def add(self, *, frames: int, failed: bool) -> Iterator[str]:
        """Count an item; without a bar, yields a line at intervals."""
        self.done, self.failed, self.frames = self.done + 1, self.failed + failed, self.frames + frames
        if self._bar is not None:
            self._bar.set_postfix_str(f"{self.frames} frames, {self.failed} failed", refresh=False)
            self._bar.update(1)
        elif time.monotonic() - self._last_line > LINE_SECONDS and self.done < self.total:
            self._last_line = time.monotonic()
            yield self.line()

    def line(self) -> str:
        """Items so far, their rate and the time left."""
        elapsed = time.monotonic() - self._began
        left = time_left(elapsed, done=self.done, remaining=self.total - self.done)
        rate = self.done / max(elapsed, 1e-9)
        return f"{self.done}/{self.total} items, {self.failed} failed, {rate:.1f} items/s, {left} left"


class Stages:
    """Adds up this process's processor time by stage; time outside of stages does not count.

    Args:
        beat: called at the end of each stage, as a sign of life.
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
