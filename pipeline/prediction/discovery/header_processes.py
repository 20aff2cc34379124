"""Reading many headers in supervised processes: pydicom holds the interpreter, and a file may kill whoever
reads it."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from pyraseg.pipeline.prediction.discovery.find_items import Answer, MapHeaders
from pyraseg.pipeline.prediction.processes.workers import Workers

__all__ = ["in_processes"]

CHUNK = 100  # files that travel together; smaller ones where a process dies
SECONDS = 60.0  # the longest that a chunk may take
MEMORY = 2**30  # bytes; a header takes some kilobytes
FEW = 500  # files that are read sooner than processes start


@dataclass(frozen=True)
class _Task:
    """What the processes do: the function, for each path of a chunk."""

    function: Callable[[Path], Answer]

    def __call__(self, chunk: tuple[int, list[Path]], exchange: Any) -> list[Answer]:
        return [self.function(path) for path in chunk[1]]


def in_processes(workers: int, *, few: int = FEW) -> MapHeaders:
    """A `MapHeaders` of ``workers`` processes; a file that kills, hangs or bloats its process costs itself
    alone.

    Args:
        few: up to so many files are read by one process.
    """
    return partial(_in_processes, workers=workers, few=few)


def _in_processes(
    function: Callable[[Path], Answer], paths: Sequence[Path], *, workers: int, few: int
) -> Iterator[Answer]:
    chunks = [(start, list(paths[start : start + CHUNK])) for start in range(0, len(paths), CHUNK)]
    answers: dict[int, Answer] = {}
    number = 1 if len(paths) <= few else min(workers, len(chunks))
    with Workers(_Task(function), number=number, seconds=SECONDS, memory=MEMORY, preload=[__name__]) as pool:
        while chunks:
            failed = []
            for outcome in pool.run(chunks):
                start, chunk = outcome.item
                if outcome.error is None:
                    answers.update(enumerate(outcome.result, start))
                elif len(chunk) == 1:
                    answers[start] = outcome.error
                else:
                    failed += [(start + place, [path]) for place, path in enumerate(chunk)]
            chunks = failed
    return iter([answers[place] for place in range(len(paths))])
