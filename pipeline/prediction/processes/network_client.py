"""A worker's connection to the network process: inputs and scores go through shared memory, in order."""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from multiprocessing.connection import Connection
from typing import Any

import numpy as np

from pyraseg.transforms.errors import PyrasegError

__all__ = ["SLOTS", "NetworkClient", "Request", "Shapes", "shared_memory", "views"]

SLOTS = 2  # the network has one while the worker processes the other's scores


@dataclass(frozen=True)
class Shapes:
    """The shapes of one chunk, float32, and how many chunks (``slots``) may be on their way.

    At most ``frames`` inputs (C, h, w), scores (K, h, w) and features (F,); windows of volumes have one axis
    more.
    """

    frames: int
    inputs: tuple[int, ...]
    scores: tuple[int, ...]
    slots: int = SLOTS
    features: int = 0

    @property
    def parts(self) -> tuple[tuple[int, ...], ...]:
        """The shapes of one frame's inputs, scores and features."""
        return self.inputs, self.scores, (self.features,)


@dataclass(frozen=True)
class Request:
    """Inputs (n, C, h, w) of one item, memory for scores (n, K, h, w) and features (n, F), and a callback."""

    inputs: np.ndarray
    scores: np.ndarray
    answer: Callable[[PyrasegError | None], None]
    features: np.ndarray | None = None


def shared_memory(context: Any, shapes: Shapes) -> tuple[Any, ...]:
    """Shared memory for the inputs, scores and features of all slots, to pass to a process at its start.

    Only slot numbers go through the pipe: megabytes would block both ends once each waits for the other.
    """
    sizes = (shapes.slots * shapes.frames * math.prod(shape) for shape in shapes.parts)
    return tuple(context.RawArray("f", size) for size in sizes)


def views(memory: tuple[Any, ...], shapes: Shapes) -> tuple[np.ndarray, ...]:
    """The memory as (slots, frames, C, h, w), (slots, frames, K, h, w) and (slots, frames, F)."""
    return tuple(
        np.ctypeslib.as_array(part).reshape(shapes.slots, shapes.frames, *shape)
        for part, shape in zip(memory, shapes.parts, strict=True)
    )


class NetworkClient:
    """Sends inputs to the network process and receives their scores, first in, first out.

    Answers may arrive in any order, as the network's threads overtake each other.

    Args:
        connection: to that process.
        memory, shapes: see ``shared_memory``.

    Attributes:
        features: (n, F) of the inputs whose scores `receive` gave last; as long valid as these.
    """

    def __init__(self, connection: Connection, memory: tuple[Any, ...], shapes: Shapes) -> None:
        self.connection = connection
        self.shapes = shapes
        self._inputs, self._scores, self._features = views(memory, shapes)
        self.features = self._features[0, :0]
        self._waiting: deque[tuple[int, int]] = deque()
        self._answered: dict[int, PyrasegError | None] = {}
        self._next = 0

    def send(self, inputs: Sequence[Any]) -> None:
        """Send at most ``shapes.frames`` inputs (C, h, w), ``shapes.slots`` calls ahead of ``receive``."""
        slot, self._next = self._next, (self._next + 1) % self.shapes.slots
        for index, image in enumerate(inputs):
            self._inputs[slot, index] = image
        self._waiting.append((slot, len(inputs)))
        self.connection.send(("scores", slot, len(inputs)))

    def receive(self) -> np.ndarray:
        """The scores (n, K, h, w) of the oldest inputs; the view is valid until the second next ``send``.

        Raises:
            PyrasegError: the network could not score them.
        """
        slot, number = self._waiting.popleft()
        while slot not in self._answered:
            self._listen()
        error = self._answered.pop(slot)
        if error is not None:
            raise error
        self.features = self._features[slot, :number]
        return self._scores[slot, :number]

    def report_alive(self) -> None:
        """Say that the item makes progress, so that a long item is not ended as hanging."""
        self.connection.send(("alive", None, None))

    def drain(self) -> None:
        """Wait for all answers, so that the next item begins with empty slots."""
        while len(self._answered) < len(self._waiting):
            self._listen()
        self._waiting.clear()
        self._answered.clear()

    def _listen(self) -> None:
        slot, error = self.connection.recv()
        self._answered[slot] = error
