"""What an image leaves behind on its way through the network, from which it is judged."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from ignite.engine import Engine, Events
from monai.engines import IterationEvents
from torch import Tensor

from pyraseg.pipeline.inference.features import FeatureTap
from pyraseg.pipeline.trust.quality import MapSums

__all__ = ["EVIDENCE", "Evidence", "TakeEvidence"]

EVIDENCE = "evidence"  # the item's entry


@dataclass(frozen=True, eq=False)
class Evidence:
    """Of one image.

    Attributes:
        features: of each member of an ensemble, (C,); (0,) where its network has none.
        sums: of the probabilities.
    """

    features: tuple[np.ndarray, ...]
    sums: MapSums


class TakeEvidence:
    """Ignite handler for MONAI's evaluator: adds each item's `Evidence` to its output.

    Args:
        weights: (K,) factors before the argmax, see `class_weights`.
    """

    def __init__(self, weights: Tensor | None = None) -> None:
        self.weights = weights
        self._tap: FeatureTap | None = None
        self._found: list[Evidence] = []

    def attach(self, engine: Engine) -> None:
        engine.add_event_handler(Events.STARTED, self._open)
        engine.add_event_handler(Events.ITERATION_STARTED, self._start)
        engine.add_event_handler(IterationEvents.FORWARD_COMPLETED, self._take)
        engine.add_event_handler(IterationEvents.MODEL_COMPLETED, self._add)
        for end in (Events.COMPLETED, Events.EXCEPTION_RAISED):
            engine.add_event_handler(end, self._close)

    def _open(self, engine: Any) -> None:
        self._tap = FeatureTap(engine.network)

    def _start(self, engine: Any) -> None:
        if self._tap is not None:
            self._tap.start()

    def _take(self, engine: Any) -> None:
        """Before the items are parted and their scores become labels."""
        scores, by_image = engine.state.output["pred"], engine.inferer.mode == "sliding"
        members = [] if self._tap is None else self._tap.take(len(scores), by_image=by_image)
        self._found = [
            Evidence(tuple(member[n] for member in members), MapSums.of_scores(image, self.weights))
            for n, image in enumerate(scores)
        ]

    def _add(self, engine: Any) -> None:
        for item, evidence in zip(engine.state.output, self._found, strict=True):
            item[EVIDENCE] = evidence

    def _close(self, engine: Any, *error: BaseException) -> None:
        if self._tap is not None:
            self._tap.close()
        for each in error:
            raise each
