"""The validation that an interval of several epochs would leave out: the last."""

from __future__ import annotations

from typing import Any

from ignite.engine import Engine, Events

__all__ = ["FinalValidation"]


class FinalValidation:
    """Ignite handler for the trainer: validate after the last epoch, where MONAI's ``ValidationHandler`` does
    not.

    With ``interval`` 10 and 25 epochs, the last five could else never become ``model.pt``.
    """

    def __init__(self, validator: Any, *, interval: int) -> None:
        self.validator = validator
        self.interval = interval

    def attach(self, engine: Engine) -> None:
        engine.add_event_handler(Events.EPOCH_COMPLETED, self)

    def __call__(self, engine: Engine) -> None:
        if engine.state.epoch == engine.state.max_epochs and engine.state.epoch % self.interval:
            self.validator.run(engine.state.epoch)
