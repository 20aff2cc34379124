"""What a comparison finds: arms, paired differences, agreement, calibration, cases to look at."""

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
        mean, median: over the groups, each with its interval. The scores are the means over the arm's runs.
        seeds: the mean over groups of each run.
        values: of each group (G,).
        cases: how many the metric is defined in.
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
    """One metric of one class in one arm minus that of another, over groups that both have it in.

    Attributes:
        p, adjusted: of the signed-rank test, and after Holm's correction; NaN without a test.
        effect: matched-pairs rank-biserial correlation.
        wins, ties, losses: groups in which ``arm`` is better, equal, worse.
        values: of each group (G,).
        of_seeds: the mean over groups with each seed, where both arms have the same ones.
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
    """A paired difference among a part of the cases; no test.

    Attributes:
        factor, level: what the part is, such as "size" and "small (up to 1,200 px)".
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
    """Predicted against reference values of one quantity in one arm; arrays (N,) of its cases and runs.

    Attributes:
        missed: further cases, by run, whose reference has the quantity and whose prediction has not.
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
    """The calibration error of one curve in one arm: its mean over the runs with its interval, and the curve.

    Attributes:
        difference, difference_interval: to the first arm; NaN for that one.
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
    """Everything.

    Attributes:
        experiment, split: what was compared.
        metrics: those that are tested; the first leads.
        labels: the classes.
        settings: by id, the values of each arm; several values in one arm as ``18 or 50``.
        surroundings: by id, the values of each arm's first run.
        left_out: runs with the reason.
        notes: what a reader has to know.
        efficiency: how fast the arms learned.
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
        """The estimate of an arm; None where the metric is defined in no case."""
        scores = (s for s in self.scores if (s.label, s.metric, s.arm) == (label, metric, arm))
        return next(scores, None)
