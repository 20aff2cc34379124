"""The Ignite side of a tracker: what a trainer and an evaluator say, and when."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from ignite.engine import Engine

__all__ = ["EngineLog"]


class EngineLog:
    """Ignite handler: loss and learning rate of a trainer per iteration, metrics of an evaluator per epoch.

    The trainer and the evaluator share one, so that validation metrics stand at the trainer's epoch.
    """

    _trainer: Any = None

    def log_metrics(self, metrics: Mapping[str, Any], *, step: int) -> None:
        """Take the scalars of ``metrics``."""
        raise NotImplementedError

    def attach(self, engine: Engine) -> None:
        """Follow a trainer (loss, learning rate) or an evaluator (its metrics, at the trainer's epoch)."""
        from ignite.engine import Events
        from monai.engines import Trainer

        if isinstance(engine, Trainer):
            self._trainer = engine
            engine.add_event_handler(Events.ITERATION_COMPLETED, self._iteration_completed)
        engine.add_event_handler(Events.EPOCH_COMPLETED, self._epoch_completed)

    def _iteration_completed(self, engine: Engine) -> None:
        loss = (
            engine.state.output[0]["loss"]
            if isinstance(engine.state.output, list)
            else engine.state.output["loss"]
        )
        rate = engine.optimizer.param_groups[0]["lr"]
        self.log_metrics({"loss": loss.item(), "learning_rate": rate}, step=engine.state.iteration)

    def _epoch_completed(self, engine: Engine) -> None:
        step = self._trainer.state.epoch if self._trainer is not None else 0
        self.log_metrics(engine.state.metrics, step=step)
