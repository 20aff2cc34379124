"""A handler that writes down what its process trained on, validated and ended with."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from ignite.engine import Engine, Events

from pyraseg.pipeline.utils import distributed


class Record:
    """On the trainer: ``<rank>.pt`` with the network, the cases of the first epoch's steps, and the last
    validation."""

    def __init__(self, folder: str, network: torch.nn.Module, evaluator: Any) -> None:
        self.path = Path(folder) / f"{distributed.rank()}.pt"
        self.network = network
        self.evaluator = evaluator
        self.trained: list[str] = []
        self.validated: list[str] = []
        evaluator.add_event_handler(Events.EPOCH_STARTED, self.validated.clear)
        evaluator.add_event_handler(Events.ITERATION_COMPLETED, self._validated)

    def attach(self, engine: Engine) -> None:
        engine.add_event_handler(
            Events.ITERATION_COMPLETED(event_filter=lambda e, _: e.state.epoch == 1), self._trained
        )
        engine.add_event_handler(Events.COMPLETED, self._write)

    def _trained(self, engine: Engine) -> None:
        self.trained += engine.state.batch["case"]

    def _validated(self, engine: Engine) -> None:
        self.validated += [item["case"] for item in engine.state.batch]

    def _write(self, engine: Engine) -> None:
        content = {"model": self.network.state_dict(), "trained": self.trained, "validated": self.validated}
        torch.save(content | {"metric": float(self.evaluator.state.metrics["val_mean_dice"])}, self.path)
