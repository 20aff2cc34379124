"""Whether the first epoch of a training shows every class: one that it never sees cannot be learnt."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from typing import Any

import torch
from ignite.engine import Engine, Events

from pyraseg.pipeline.utils.distributed import gather, is_main

__all__ = ["ClassesSeen"]

logger = logging.getLogger(__name__)


class ClassesSeen:
    """Ignite handler for the trainer: a warning for each class that no label of the first epoch holds.

    Args:
        label_names: the classes in the order of their values.
    """

    def __init__(self, label_names: Sequence[str]) -> None:
        self.label_names = list(label_names)
        self._seen: set[int] | None = None

    def attach(self, engine: Engine) -> None:
        engine.add_event_handler(Events.EPOCH_STARTED(once=1), self._begin)
        engine.add_event_handler(Events.ITERATION_COMPLETED, self._look)
        engine.add_event_handler(Events.EPOCH_COMPLETED, self._say)

    def _begin(self, engine: Engine) -> None:
        """Not where a training goes on in the middle of an epoch, of which only the rest is seen."""
        self._seen = set()

    def _look(self, engine: Any) -> None:
        if self._seen is not None:
            # channel 0 is the hard label; what lies beyond the classes says that nothing is known there
            label = torch.as_tensor(engine.state.batch["label"])[:, 0].flatten().long().clamp(min=0)
            self._seen |= set(torch.bincount(label).nonzero().flatten().tolist())

    def _say(self, engine: Engine) -> None:
        if self._seen is None:
            return
        seen = set().union(*gather(self._seen))
        self._seen = None
        for value, name in enumerate(self.label_names if is_main() else ()):
            if value and value not in seen:
                logger.warning("no image of the first epoch shows %s: it cannot be learnt", name)
