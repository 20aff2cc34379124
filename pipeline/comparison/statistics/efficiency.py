"""How fast arms learn: the steps in which their trainings reach a share of the final validation Dice."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from pyraseg.pipeline.comparison.read.curves import Curve
from pyraseg.pipeline.comparison.read.runs import Arm, Run

__all__ = ["SHARE", "ArmEfficiency", "Efficiency", "Learned", "Steps", "mean_curve", "measure_efficiency"]

SHARE = 0.9  # of a final Dice
NAN = float("nan")


@dataclass(frozen=True, eq=False)
class Learned:
    """The steps of one training.

    Attributes:
        to_own_final: steps to `SHARE` of its own final Dice; NaN if never reached.
        to_target: steps to the target of all arms; NaN if never reached.
    """

    run: Run
    curve: Curve
    to_own_final: float
    to_target: float = NAN


@dataclass(frozen=True)
class Steps:
    """Steps to a level over an arm's runs: mean, minimum, maximum, and how many never reach it."""

    mean: float
    least: float
    most: float
    never: int
    runs: int

    @classmethod
    def of(cls, values: Sequence[float]) -> Steps:
        """Summarise the steps of each run; NaN means never."""
        known = [value for value in values if math.isfinite(value)]
        numbers = (float(np.mean(known)), min(known), max(known)) if known else (NAN, NAN, NAN)
        return cls(*numbers, never=len(values) - len(known), runs=len(values))


@dataclass(frozen=True, eq=False)
class ArmEfficiency:
    """The trainings of an arm that have a curve, at least one; ``of`` counts all trainings of the arm."""

    arm: str
    runs: tuple[Learned, ...]
    of: int

    @property
    def finals(self) -> tuple[float, ...]:
        """The final Dice of each run."""
        return tuple(each.curve.final for each in self.runs)

    @property
    def final(self) -> float:
        """The mean of the runs' final Dice."""
        return float(np.mean(self.finals))

    @property
    def final_sd(self) -> float:
        """Its sample standard deviation over the runs; NaN of one."""
        return float(np.std(self.finals, ddof=1)) if len(self.runs) > 1 else NAN

    @property
    def to_own_final(self) -> Steps:
        """Steps to `SHARE` of each run's own final Dice."""
        return Steps.of([each.to_own_final for each in self.runs])

    @property
    def to_target(self) -> Steps:
        """Steps to the target of all arms."""
        return Steps.of([each.to_target for each in self.runs])

    @property
    def intervals(self) -> tuple[int, int]:
        """The minimum and maximum of the runs' intervals between validations, in steps."""
        intervals = [each.curve.interval for each in self.runs]
        return min(intervals), max(intervals)

    @property
    def lengths(self) -> tuple[int, int]:
        """The steps before the last validation, of the shortest and of the longest training."""
        lengths = [each.curve.length for each in self.runs]
        return min(lengths), max(lengths)


@dataclass(frozen=True, eq=False)
class Efficiency:
    """How fast each arm learned.

    Attributes:
        baseline: the arm whose mean final Dice sets the target of all.
        target: `SHARE` of that Dice; NaN where the baseline has no curve.
        arms: the arms with a curve.
        left_out: arm, run and reason of runs without a curve.
    """

    baseline: str
    target: float
    arms: tuple[ArmEfficiency, ...]
    left_out: tuple[tuple[str, str, str], ...] = ()


def measure_efficiency(arms: Sequence[Arm]) -> Efficiency:
    """Measure the trainings of the arms' runs, each once in an arm; the first arm sets the target."""
    without = [(arm.name, run.label, run.no_curve) for arm in arms for run in arm.runs if run.curve is None]
    measured = []
    for arm in arms:
        trainings = {run.training_id or run.run_id: run for run in arm.runs}
        curves = [(run, run.curve) for run in trainings.values() if run.curve is not None]
        learned = [
            Learned(run, curve, to_own_final=curve.reached(SHARE * curve.final)) for run, curve in curves
        ]
        if learned:
            measured.append(ArmEfficiency(arm.name, tuple(learned), of=len(trainings)))
    baseline = arms[0].name
    target = SHARE * next((each.final for each in measured if each.arm == baseline), NAN)
    aimed = (
        replace(each, runs=tuple(replace(run, to_target=run.curve.reached(target)) for run in each.runs))
        for each in measured
    )
    return Efficiency(baseline, target, tuple(aimed), tuple(without))


def mean_curve(runs: Sequence[Learned]) -> tuple[np.ndarray, np.ndarray]:
    """Steps, and the mean Dice of all runs there, over the steps that all runs cover.

    Values between two validations are interpolated linearly.
    """
    start, end = max(int(each.curve.steps[0]) for each in runs), min(each.curve.length for each in runs)
    steps = np.unique(np.concatenate([each.curve.steps for each in runs]))
    steps = steps[(steps >= start) & (steps <= end)]
    return steps, np.mean([np.interp(steps, each.curve.steps, each.curve.dice) for each in runs], axis=0)
