"""The results of a comparison: arms, paired differences, agreement, calibration, cases to look at."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from pyraseg.pipeline.comparison.read.runs import Arm
from pyraseg.pipeline.comparison.statistics.efficiency import Efficiency
from pyraseg.pipeline.comparison.statistics.tests import Agreement, Interval
from pyraseg.pipeline.evaluation.calibration import Reliability

__all__ = ["ArmAgreement", "ArmCalibration", "ArmScore", "CaseNote", "Comparison", "Difference", "Subgroup"]


@dataclass(frozen=True, eq=False)
class ArmScore:
    """One metric of one class in one arm, over groups.

    Attributes:
        mean, median: over the groups, with intervals. The scores are means over the arm's runs.
        seeds: the mean over groups of each run.
        values: of each group (G,).
        cases: how many cases define the metric.
    """

    label: str
    metric: str
    arm: str
    mean: float
    interval: Interval
    median: float
    median_interval: Interval
    seeds: tuple[float, ...]
    values: np.ndarray
    cases: int

    @property
    def seed_sd(self) -> float:
        """The sample standard deviation over the runs; NaN of one."""
        return float(np.std(self.seeds, ddof=1)) if len(self.seeds) > 1 else float("nan")


@dataclass(frozen=True, eq=False)
class Difference:
    """One metric of one class: one arm minus another, over the groups that both arms have.

    Attributes:
        p, adjusted: of the signed-rank test, and after Holm's correction; NaN without a test.
        effect: matched-pairs rank-biserial correlation.
        wins, ties, losses: groups in which ``arm`` is better, equal, worse.
        values: of each group (G,).
        of_seeds: the mean over groups for each seed, where both arms have the same seeds.
    """

    label: str
    metric: str
    arm: str
    against: str
    mean: float
    interval: Interval
    median: float
    wins: int
    ties: int
    losses: int
    effect: float
    p: float
    values: np.ndarray
    cases: int
    adjusted: float = float("nan")
    of_seeds: tuple[float, ...] = ()

    @property
    def groups(self) -> int:
        return len(self.values)


@dataclass(frozen=True)
class Subgroup:
    """A paired difference in a part of the cases, without a test.

    Attributes:
        factor, level: the part, such as "size" and "small (up to 1,200 px)".
        means: of both arms.
    """

    label: str
    metric: str
    factor: str
    level: str
    arm: str
    against: str
    means: tuple[float, float]
    difference: float
    interval: Interval
    cases: int
    groups: int


@dataclass(frozen=True)
class CaseNote:
    """A case to look at: one of an arm's worst."""

    label: str
    metric: str
    arm: str
    case: str
    group: str
    values: Mapping[str, float]


@dataclass(frozen=True, eq=False)
class ArmAgreement:
    """Predicted and reference values of one quantity in one arm; arrays (N,) over its cases and runs.

    Attributes:
        missed: further cases, by run, with the quantity in the reference and not in the prediction.
    """

    quantity: str
    unit: str
    arm: str
    agreement: Agreement
    means: np.ndarray
    differences: np.ndarray
    missed: int = 0


@dataclass(frozen=True, eq=False)
class ArmCalibration:
    """The calibration error of one curve in one arm: the mean over its runs, the interval, and the curve.

    Attributes:
        difference, difference_interval: to the first arm; NaN for the first arm.
    """

    arm: str
    curve: Reliability
    error: float
    interval: Interval
    seeds: tuple[float, ...]
    difference: float
    difference_interval: Interval


@dataclass(frozen=True)
class Comparison:
    """All results of a comparison.

    Attributes:
        experiment, split: what was compared.
        metrics: the tested metrics; the first one leads.
        labels: the classes.
        settings: by id, the values of each arm; several values in one arm as ``18 or 50``.
        surroundings: by id, the values of each arm's first run.
        left_out: runs, with the reason.
        notes: what a reader must know.
        efficiency: how fast the arms learned.

    Example:
        >>> comparison.cases, comparison.groups
        (6, 6)
    """

    experiment: str
    split: str
    arms: tuple[Arm, ...]
    metrics: tuple[str, ...]
    labels: tuple[str, ...]
    cases: int
    groups: int
    resamples: int
    seed: int
    scores: tuple[ArmScore, ...]
    differences: tuple[Difference, ...]
    efficiency: Efficiency
    subgroups: tuple[Subgroup, ...] = ()
    worst: tuple[CaseNote, ...] = ()
    agreements: tuple[ArmAgreement, ...] = ()
    calibrations: tuple[ArmCalibration, ...] = ()
    settings: Mapping[str, Sequence[str]] = field(default_factory=dict)
    surroundings: Mapping[str, Sequence[str]] = field(default_factory=dict)
    left_out: tuple[tuple[str, str], ...] = ()
    notes: tuple[str, ...] = ()
    most_different: tuple[str, ...] = ()

    def score(self, label: str, metric: str, arm: str) -> ArmScore | None:
        """The estimate of an arm; None where no case defines the metric."""
        scores = (s for s in self.scores if (s.label, s.metric, s.arm) == (label, metric, arm))
        return next(scores, None)
