"""Reasons to end a training before its last epoch: no more progress, or a signal."""

from __future__ import annotations

import logging
import os
import signal
from contextlib import AbstractContextManager
from typing import Any

from ignite.engine import Engine, Events
from ignite.handlers import EarlyStopping as IgniteEarlyStopping
from monai.engines import Trainer

from pyraseg.pipeline.training.checkpoints import Checkpoints
from pyraseg.pipeline.training.optimisation import steps_now
from pyraseg.pipeline.utils import distributed
from pyraseg.pipeline.utils.signals import handling
from pyraseg.transforms.errors import ConfigError

__all__ = ["EarlyStopping", "FinalValidation", "Interruption"]

logger = logging.getLogger(__name__)


class EarlyStopping:
    """Ignite handler for the trainer: stop when the key metric has not risen for ``patience`` validations.

    MONAI's ``EarlyStopHandler`` wants the trainer as an argument, a circular reference in a config.

    Args:
        evaluator: MONAI's evaluator, with a key metric.
        patience: number of validations without a rise that ends the training.
        interval: epochs between two validations.
        checkpoints: they save the count, for a training that is resumed.

    Raises:
        ConfigError: a patience below 1.
    """

    def __init__(
        self, evaluator: Any, *, patience: int, interval: int = 1, checkpoints: Checkpoints | None = None
    ) -> None:
        if patience < 1:
            remedy = "Give --patience as many validations as --max_epochs to never stop early."
            raise ConfigError("a patience of 1 or more", found=str(patience), remedy=remedy)
        self.evaluator = evaluator
        self.patience = patience
        self.interval = interval
        self._stopping: Any = None
        if checkpoints is not None:
            checkpoints.state["early_stopping"] = self

    def attach(self, engine: Engine) -> None:
        self._stopping = IgniteEarlyStopping(
            patience=self.patience, score_function=self._score, trainer=engine
        )
        engine.add_event_handler(Events.EPOCH_COMPLETED(every=self.interval), self._stopping)

    @property
    def stopped(self) -> bool:
        """Whether the patience is spent."""
        return self._stopping.counter >= self.patience

    def state_dict(self) -> dict[str, Any]:
        return dict(self._stopping.state_dict())

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self._stopping.load_state_dict(state)

    def _score(self, engine: Engine) -> float:
        state = self.evaluator.state
        return state.metrics[state.key_metric_name]


class Interruption:
    """Ignite handler: Ctrl-C, SIGTERM and SIGUSR1 stop a training between two steps, with all saved.

    An exception inside the optimizer's step would leave weights of no step, and no file holds gradients that
    are still being accumulated, so it waits for the step that takes them. A second signal stops at once;
    ``last.pt`` is then of the last epoch. Put it last among the trainer's handlers, and among the
    evaluator's.
    """

    def __init__(self, checkpoints: Checkpoints) -> None:
        self.checkpoints = checkpoints
        self.requested = False
        self._owner = os.getpid()
        self._trainer: Any = None
        self._common = 0  # steps of a validation that all processes take

    def attach(self, engine: Engine) -> None:
        if isinstance(engine, Trainer):
            self._trainer = engine
            engine.add_event_handler(Events.ITERATION_COMPLETED, self._trained)
        else:
            engine.add_event_handler(Events.EPOCH_STARTED, self._validation_started)
            engine.add_event_handler(Events.ITERATION_COMPLETED, self._validated)

    def watching(self) -> AbstractContextManager[None]:
        """Handle the signals inside the block; in a thread other than the main one it runs without."""
        self.requested, self._owner = False, os.getpid()
        return handling(self._request)

    def _request(self, number: int, frame: Any) -> None:
        if os.getpid() != self._owner:
            _leave_to_owner(number)
            return
        if self.requested:
            raise KeyboardInterrupt
        self.requested = True
        logger.warning("stopping after this step; press Ctrl-C once more to stop at once")

    def _trained(self, engine: Engine) -> None:
        if steps_now(engine):
            self._stop_if_requested()

    def _validation_started(self, engine: Any) -> None:
        self._common = min(distributed.gather(engine.state.epoch_length))

    def _validated(self, engine: Any) -> None:
        if engine.state.iteration <= self._common:  # none may wait for a process with fewer cases
            self._stop_if_requested()

    def _stop_if_requested(self) -> None:
        if not distributed.any_rank(self.requested):
            return
        self.checkpoints.save_last(self._trainer)
        state = self._trainer.state
        logger.warning(
            "stopped and saved in epoch %d, step %d; go on with the same command and --resume true",
            state.epoch,
            state.iteration,
        )
        raise KeyboardInterrupt


def _leave_to_owner(number: int) -> None:
    """Ignore the signal in a process that loads data: its owner decides when it ends.

    It inherits the handler and gets a terminal's Ctrl-C, too. The owner ends it by SIGTERM.
    """
    if number == signal.SIGTERM:
        signal.signal(number, signal.SIG_DFL)
        os.kill(os.getpid(), number)


class FinalValidation:
    """Ignite handler for the trainer: validate after the last epoch, unlike MONAI's ``ValidationHandler``.

    With ``interval`` 10 and 25 epochs, the last five could not become ``model.pt`` otherwise.
    """

    def __init__(self, validator: Any, *, interval: int) -> None:
        self.validator = validator
        self.interval = interval

    def attach(self, engine: Engine) -> None:
        engine.add_event_handler(Events.EPOCH_COMPLETED, self)

    def __call__(self, engine: Engine) -> None:
        if engine.state.epoch == engine.state.max_epochs and engine.state.epoch % self.interval:
            self.validator.run(engine.state.epoch)
