"""The table of peers: what was measured, ours, theirs, and how many times better ours is."""

from __future__ import annotations

import statistics
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass

__all__ = ["Row", "in_turns", "table"]


@dataclass(frozen=True)
class Row:
    """One measurement; without ``theirs`` the peer is missing, and ``why`` says why."""

    peer: str
    what: str
    ours: float | None = None
    theirs: float | None = None
    unit: str = "s"
    more_is_better: bool = False
    why: str = ""

    @property
    def ratio(self) -> float | None:
        """How many times better ours is: above 1 it is ahead, below 1 the peer."""
        if not self.ours or not self.theirs:
            return None
        return self.ours / self.theirs if self.more_is_better else self.theirs / self.ours

    def __str__(self) -> str:
        ours, theirs = self._cell(self.ours), self._cell(self.theirs) or self.why
        ratio = "" if self.ratio is None else f"{self.ratio:.2f}"
        return f"| {self.peer} | {self.what} | {ours} | {theirs} | {ratio} |"

    def _cell(self, value: float | None) -> str:
        if value is None:
            return ""
        digits = 0 if value >= 100 else 1 if value >= 10 else 2
        return f"{value:,.{digits}f} {self.unit}"


def table(rows: Iterable[Row]) -> str:
    """Markdown."""
    head = ["| beside | what | ours | theirs | times better |", "| --- | --- | --- | --- | --- |"]
    return "\n".join([*head, *map(str, rows)])


def in_turns(ways: Mapping[str, Callable[[], float]], rounds: int) -> dict[str, float]:
    """The median of each way; they take turns, so that a busy machine slows all of them."""
    found: dict[str, list[float]] = {name: [] for name in ways}
    for _ in range(rounds):
        for name, way in ways.items():
            found[name].append(way())
    return {name: statistics.median(values) for name, values in found.items()}
