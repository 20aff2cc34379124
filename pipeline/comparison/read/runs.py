"""The records of a comparison: runs with their tables, and the arms that they form."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from pyraseg.pipeline.comparison.read.curves import NO_TRAINING, Curve
from pyraseg.pipeline.evaluation.calibration import CaseConfidence

__all__ = ["Arm", "LeftOut", "Rate", "Row", "Run", "TrainingData", "UsedPoint"]

Row = Mapping[str, str]
LeftOut = tuple[str, str]  # the name of a run, and why it is left out


@dataclass(frozen=True)
class TrainingData:
    """The data that a run was trained on.

    Attributes:
        digest: of the datalist; empty where unknown.
        groups: of training and validation, as named in the tables.
        trained_on: the groups of training alone.
        frames, training_groups: how many the run says it was trained on; empty where unknown.
    """

    digest: str = ""
    groups: frozenset[str] = frozenset()
    trained_on: frozenset[str] = frozenset()
    frames: str = ""
    training_groups: str = ""


@dataclass(frozen=True)
class Rate:
    """A share of cases with its 95 % interval over groups; NaN where no case defines it."""

    mean: float
    low: float
    high: float


@dataclass(frozen=True)
class UsedPoint:
    """The operating point of a class that a run was measured at, in words, and what it gives there.

    Attributes:
        missed: of the cases that show the class; in volumes of their lesions.
        false_alarms: of the cases that do not show it.
        false_lesions: their number in a volume; of frames NaN.
    """

    label: str
    point: str
    missed: Rate
    false_alarms: Rate
    false_lesions: Rate


@dataclass(frozen=True, eq=False)
class Run:
    """One measured network.

    Attributes:
        run_id, name: of the MLflow run that holds the tables.
        started: milliseconds since 1970.
        scores, quantities: rows of ``cases.csv`` and ``quantities.csv``.
        seed: of the training; empty where unknown.
        checkpoint: SHA-256 of what was measured; empty where unknown.
        trained_by, training_id: name and ID of the run that trained it; empty where this store has none.
        settings: of its training and evaluation, by id, without paths and names.
        surroundings: versions, machine and code, by parameter.
        data: what it was trained on.
        confidences: counts for calibration.
        label_names: the classes, background first.
        points: the operating points; none in evaluations without them.
        folder: of the tables among the run's artifacts.
        masks: whether predicted label maps are there.
        curve: of its training's validations; None for the reason ``no_curve``.

    Example:
        >>> [arm.runs[0].name for arm in comparison.arms]
        ['none', 'cbam']
    """

    run_id: str
    name: str
    started: int = 0
    scores: Sequence[Row] = ()
    seed: str = ""
    checkpoint: str = ""
    trained_by: str = ""
    training_id: str = ""
    settings: Mapping[str, str] = field(default_factory=dict)
    surroundings: Mapping[str, str] = field(default_factory=dict)
    data: TrainingData = TrainingData()
    quantities: Sequence[Row] = ()
    confidences: Sequence[CaseConfidence] = ()
    label_names: Sequence[str] = ()
    points: Sequence[UsedPoint] = ()
    folder: str = ""
    masks: bool = False
    curve: Curve | None = None
    no_curve: str = NO_TRAINING

    @property
    def known(self) -> bool:
        """Whether the store has its training, so that the training's config is among the settings."""
        return bool(self.trained_by or self.folder)

    @property
    def names(self) -> set[str]:
        """The names and IDs that select it."""
        return {self.name, self.run_id, self.trained_by, self.training_id} - {""}

    @property
    def cases(self) -> frozenset[str]:
        """The cases that it measured, by hash."""
        return frozenset(row["case"] for row in self.scores)

    @property
    def label(self) -> str:
        """Its name on the page: the name of the training, with its seed."""
        name = self.trained_by or self.name
        return f"{name} (seed {self.seed})" if self.seed and f"seed {self.seed}" not in name else name


@dataclass(frozen=True)
class Arm:
    """Runs that differ only in their seed."""

    name: str
    runs: tuple[Run, ...]

    @property
    def known(self) -> bool:
        """Whether the store has the trainings of all its runs."""
        return all(run.known for run in self.runs)
