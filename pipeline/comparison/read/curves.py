"""The validation curve of a training in optimiser steps, from the metrics of its MLflow run."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np

from pyraseg.pipeline.comparison.read.store import Logged, Store, StoredRun

__all__ = ["NO_TRAINING", "Curve", "read_curve"]

DICE = "val_mean_dice"  # logged by epoch
RATE = "learning_rate"  # logged by iteration; a loss may be NaN, this never is
ACCUMULATED = "accumulation_steps"  # iterations for one step of the optimiser
LEAST = 2  # validations
NO_TRAINING = "the store has no training of what it measured"
EQUAL = 1e-9  # 0.9 * 0.8 is a little more than 0.72


@dataclass(frozen=True, eq=False)
class Curve:
    """The mean Dice on the validation split during a training.

    Attributes:
        steps: (V,) steps of the optimiser before each validation, rising.
        dice: (V,) mean Dice.
    """

    steps: np.ndarray
    dice: np.ndarray

    @property
    def final(self) -> float:
        """The Dice of the last validation."""
        return float(self.dice[-1])

    @property
    def length(self) -> int:
        """Steps before the last validation."""
        return int(self.steps[-1])

    @property
    def interval(self) -> int:
        """The most steps between two validations, or before the first: the precision of `reached`."""
        return int(np.diff(self.steps, prepend=0).max())

    def reached(self, level: float) -> float:
        """The steps before the first validation that reaches a level above 0; NaN if none does."""
        if not level > 0:
            return float("nan")
        (reaching,) = np.nonzero(self.dice >= level - EQUAL)
        return float(self.steps[reaching[0]]) if len(reaching) else float("nan")


def read_curve(store: Store, training: StoredRun | None) -> tuple[Curve | None, str]:
    """The curve of a training, or the reason why there is none.

    Validations are logged by epoch. A finished training ends with a whole epoch and a validation, so the
    iterations of an epoch are the number of the last iteration over that of the last epoch. A remainder that
    does not fill an accumulated step counts as a step, as in MONAI's ``SupervisedTrainer``. Where an epoch is
    logged twice, the later record counts.

    Raises:
        TrackingError: the store cannot be read.
    """
    if training is None:
        return None, NO_TRAINING
    if training.status != "FINISHED":
        return None, f"its training is {training.status}"
    dice = _by_step(store.history(training.run_id, DICE))
    if len(dice) < LEAST:
        return None, f"its training logged {len(dice)} validations, and a curve takes {LEAST}"
    iterations = max(_by_step(store.history(training.run_id, RATE)), default=0)
    in_epoch = _steps_in_epoch(training, iterations=iterations, epochs=max(dice))
    if in_epoch is None:
        return None, "its training logged too little to count the steps in an epoch"
    epochs = sorted(dice)
    return Curve(np.array(epochs) * in_epoch, np.array([dice[epoch] for epoch in epochs])), ""


def _by_step(logged: Iterable[Logged]) -> dict[int, float]:
    """The finite values by step; of repeated steps the later record."""
    values = {entry.step: entry.value for entry in sorted(logged, key=lambda entry: entry.written)}
    return {step: value for step, value in values.items() if math.isfinite(value)}


def _steps_in_epoch(training: StoredRun, *, iterations: int, epochs: int) -> int | None:
    accumulated = training.params.get(ACCUMULATED, "1")
    if not accumulated.isdecimal() or min(int(accumulated), iterations, epochs) < 1 or iterations % epochs:
        return None
    return math.ceil(iterations / epochs / int(accumulated))
