"""Progress of a training: a bar on a terminal, a line now and then in a log, a line per epoch in both."""

from __future__ import annotations

import logging
import sys
import time
from datetime import timedelta
from typing import Any

from ignite.engine import Engine, Events
from monai.engines import Trainer
from tqdm import tqdm

from pyraseg.pipeline.utils import distributed

__all__ = ["Progress", "time_left"]

logger = logging.getLogger(__name__)

LINE_SECONDS = 60.0  # between two lines in a log that is no terminal
BAR = "{desc} {percentage:3.0f}%{postfix} |{bar}|"


class Progress:
    """Ignite handler for the trainer and the evaluator: loss, images per second and time left.

    The time left is the time since the start, scaled, so it includes validations.
    """

    def __init__(self) -> None:
        self.terminal = sys.stderr.isatty() and distributed.is_main()
        self._bar: Any = None
        self._trainer: Any = None
        self._images = 0
        self._busy = 0.0  # seconds spent in training steps, without the validations
        self._losses: list[float] = []

    def attach(self, engine: Engine) -> None:
        if not isinstance(engine, Trainer):
            engine.add_event_handler(Events.STARTED, self._evaluation_started)
            engine.add_event_handler(Events.ITERATION_COMPLETED, self._validated)
            engine.add_event_handler(Events.COMPLETED, self._validation_ended)
            return
        self._trainer = engine
        engine.add_event_handler(Events.STARTED, self._start)
        engine.add_event_handler(Events.EPOCH_STARTED, self._epoch_started)
        engine.add_event_handler(Events.ITERATION_STARTED, self._step_started)
        engine.add_event_handler(Events.ITERATION_COMPLETED, self._step)
        engine.add_event_handler(Events.EPOCH_COMPLETED, self._epoch_completed)
        engine.add_event_handler(Events.COMPLETED, self.close)

    def close(self) -> None:
        """Remove the bar from the screen."""
        if self._bar is not None:
            self._bar.close()

    def _start(self, engine: Any) -> None:
        self._first_step = engine.state.iteration
        self._started = self._said = time.monotonic()
        self._total = engine.state.max_epochs * engine.state.epoch_length
        if self.terminal:
            self._bar = tqdm(
                total=self._total, initial=self._first_step, bar_format=BAR, dynamic_ncols=True, leave=False
            )

    def _epoch_started(self, engine: Any) -> None:
        self._images, self._busy, self._losses = 0, 0.0, []
        self._last = time.monotonic()
        if self._bar is not None:
            self._bar.set_description_str(f"epoch {engine.state.epoch}/{engine.state.max_epochs}")

    def _step_started(self, engine: Any) -> None:
        self._images += len(engine.state.batch["image"])

    def _step(self, engine: Any) -> None:
        self._losses.append(engine.state.output["loss"].item())
        now = time.monotonic()
        self._busy, self._last = self._busy + now - self._last, now
        if self._bar is not None:
            self._bar.set_postfix_str(self._rates(engine), refresh=False)
            self._bar.update(1)
        elif now - self._said > LINE_SECONDS:
            self._said = now
            logger.info("epoch %d/%d: %s", engine.state.epoch, engine.state.max_epochs, self._rates(engine))

    def _rates(self, engine: Any) -> str:
        recent = self._losses[-20:]
        left = time_left(
            time.monotonic() - self._started,
            done=engine.state.iteration - self._first_step,
            remaining=self._total - engine.state.iteration,
        )
        speed = self._images * distributed.world_size() / max(self._busy, 1e-9)
        return f"loss {sum(recent) / max(1, len(recent)):.3f}, {speed:.1f} images/s, {left} left"

    def _evaluation_started(self, engine: Any) -> None:
        if self._trainer is None and self.terminal:
            self._bar = tqdm(total=engine.state.epoch_length, desc="evaluating", unit="case", leave=False)

    def _validated(self, engine: Any) -> None:
        if self._bar is None:
            return
        if self._trainer is None:
            self._bar.update(1)
        else:
            self._bar.set_description_str(f"validating {engine.state.iteration}/{engine.state.epoch_length}")

    def _validation_ended(self, engine: Any) -> None:
        if self._trainer is None:
            self.close()
        name = engine.state.key_metric_name
        if self._trainer is None or name is None or not distributed.is_main():
            return
        value, best = engine.state.metrics[name], engine.state.best_metric_epoch
        so_far = f"best {engine.state.best_metric:.3f}, epoch {best}"
        so_far = "the best so far" if best == engine.state.epoch else so_far
        epochs = self._trainer.state.max_epochs
        logger.info("epoch %d/%d: %s %.3f (%s)", engine.state.epoch, epochs, name, value, so_far)

    def _epoch_completed(self, engine: Any) -> None:
        if self._losses and distributed.is_main():
            mean = sum(self._losses) / len(self._losses)
            text = self._rates(engine).split(", ", 1)[1]
            logger.info(
                "epoch %d/%d: mean loss %.3f, %s", engine.state.epoch, engine.state.max_epochs, mean, text
            )


def time_left(elapsed_s: float, *, done: int, remaining: int) -> str:
    """Hours, minutes and seconds for ``remaining`` steps at the mean speed so far; ``?`` before the first.

    Example:
        >>> time_left(30.0, done=10, remaining=100)
        '0:05:00'
    """
    return "?" if done < 1 else str(timedelta(seconds=round(elapsed_s / done * remaining)))
