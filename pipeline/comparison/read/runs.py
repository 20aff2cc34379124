"""What a comparison reads: runs with their tables, and the arms that they form."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field

from pyraseg.pipeline.comparison.read.curves import NO_TRAINING, Curve
from pyraseg.pipeline.evaluation.calibration import CaseConfidence
from pyraseg.transforms.errors import InputError

__all__ = ["Arm", "LeftOut", "Row", "Run", "TrainingData", "damage_of"]

Row = Mapping[str, str]
LeftOut = tuple[str, str]  # the name of a run, and why it is not compared


@dataclass(frozen=True)
class TrainingData:
    """What a run was trained on.

    Attributes:
        digest: of the datalist; empty where unknown.
        groups: of training and validation, as the tables name them.
        trained_on: of training alone.
        frames, training_groups: how many were trained on, as the run says it; empty where unknown.
    """

    digest: str = ""
    groups: frozenset[str] = frozenset()
    trained_on: frozenset[str] = frozenset()
    frames: str = ""
    training_groups: str = ""


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
        settings: of its training and evaluation, by id, without what says only where and under which name it
            ran.
        surroundings: versions, machine and code, by parameter.
        data: what it was trained on.
        confidences: counts for calibration.
        label_names: the classes, background first.
        folder: of the tables among the run's artifacts.
        masks: whether the predicted label maps are there.
        curve: of its training's validations; None where there is none, for the reason ``no_curve``.
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
    folder: str = ""
    masks: bool = False
    curve: Curve | None = None
    no_curve: str = NO_TRAINING

    @property
    def known(self) -> bool:
        """Whether the store has its training, whose config then is among the settings."""
        return bool(self.trained_by or self.folder)

    @property
    def names(self) -> set[str]:
        """What it may be called by."""
        return {self.name, self.run_id, self.trained_by, self.training_id} - {""}

    @property
    def label(self) -> str:
        """How it is called on the page: the name of what was trained, with its seed."""
        name = self.trained_by or self.name
        return f"{name} (seed {self.seed})" if self.seed and f"seed {self.seed}" not in name else name


@dataclass(frozen=True)
class Arm:
    """Runs that differ in nothing but their seed."""

    name: str
    runs: tuple[Run, ...]

    @property
    def known(self) -> bool:
        """Whether the store has the trainings of all its runs."""
        return all(run.known for run in self.runs)


@contextmanager
def damage_of(file: str, run: str, *more: type[Exception]) -> Iterator[None]:
    """What a damaged file of a run raises while it is taken apart, as an InputError that names the run.

    Args:
        more: errors of the library that reads it, besides Python's own of missing columns and strange values.
    """
    damage: tuple[type[Exception], ...] = (KeyError, IndexError, ValueError, *more)
    try:
        yield
    except damage as error:
        remedy = "Evaluate the checkpoint again, or leave the run out with --runs."
        raise InputError(
            f"a {file} that can be read", found=f"a damaged one of {run!r}", remedy=remedy
        ) from error
