"""Cross-validation: a network for each fold of a datalist, measured on the cases that it did not see."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

from pyraseg.pipeline.bundle.overrides import require_known
from pyraseg.pipeline.datalist import load_datalist
from pyraseg.pipeline.experiments.experiment import (
    RESERVED_IDS,
    Experiment,
    Step,
    Trial,
    check_inputs,
    config_files,
    is_done,
)
from pyraseg.pipeline.experiments.pooling import TEST, pool, read_rows, write_pooled
from pyraseg.pipeline.tracking import RunTracker
from pyraseg.transforms.errors import ConfigError, DatalistError

__all__ = ["RESERVED_BY_FOLDS", "CrossValidation", "plan_cross_validation"]

RESERVED_BY_FOLDS = RESERVED_IDS | dict.fromkeys(("fold", "folds"), "Use --folds, before the --.")


@dataclass(frozen=True, kw_only=True)
class CrossValidation(Experiment):
    """The checked plan of a cross-validation, to be run with ``run_experiment``.

    Attributes:
        cases: the cases of each fold of the datalist, by its number.
        folds: those to run now.
        has_test: whether the datalist holds a test split, for the ensemble of all folds.
        digest: of the datalist.
    """

    cases: Mapping[int, frozenset[str]]
    folds: tuple[int, ...]
    has_test: bool
    digest: str

    article: ClassVar[str] = "a"
    kind: ClassVar[str] = "cross-validation"
    state_name: ClassVar[str] = "crossval.json"

    @property
    def trials(self) -> list[Trial]:
        """A network for each fold that is to be run."""
        return [self.trial(fold) for fold in self.folds]

    def trial(self, fold: int) -> Trial:
        """The network that does not see one fold's cases, and is measured on them."""
        ids = {"fold": fold}
        evaluation_ids = {**ids, "split": "validation"}
        return Trial(f"fold {fold}", self.output / f"fold_{fold}", ids, evaluation_ids)

    @property
    def fixed(self) -> dict[str, str]:
        return super().fixed | {"the datalist": self.digest}

    @property
    def parameters(self) -> dict[str, Any]:
        return {"folds": len(self.cases), "dataset_digest": self.digest}

    def steps(self) -> Iterator[Step]:
        """Those of each fold; once all folds are done, the evaluation of their ensemble on the test split."""
        yield from super().steps()
        if self.has_test and self.finished_folds() == list(self.cases):
            ids = {"split": TEST, "checkpoint": self.output, "overwrite": True}
            command = self.command("evaluating", self.output / TEST, ids, name="ensemble, test")
            yield Step("the ensemble of all folds on the test split", self.output / TEST, command)

    def finished_folds(self) -> list[int]:
        """The folds that are trained and measured, also by earlier runs of the command."""
        return [fold for fold in self.cases if is_done(self.trial(fold).evaluation)]

    def conclude(self, tracker: RunTracker) -> Iterator[str]:
        """Pool the folds that are done: ``summary.json``, ``cases.csv``, the run's metrics, a few lines."""
        folds = self.finished_folds()
        rows = read_rows({fold: self.trial(fold).evaluation for fold in folds}, self.cases)
        summary = pool(rows)
        for path in write_pooled(self.output, rows, summary):
            tracker.log_file(path)
        spread = {name: value for name, value in summary["over_folds"].items() if value["mean"] is not None}
        numbers = {f"{name}_mean": value["mean"] for name, value in spread.items()}
        numbers |= {f"{name}_sd": value["sd"] for name, value in spread.items() if value["sd"] is not None}
        tracker.log_metrics(numbers, step=len(folds))
        measured = f"{summary['cases']} cases of {summary['groups']} groups"
        yield f"{len(folds)} of {len(self.cases)} folds, {measured}"
        for name, value in spread.items():
            if name.startswith(("mean_dice", "dice_")):
                sd = "" if value["sd"] is None else f" ± {value['sd']:.3f} over the folds"
                yield f"  {name:<32}{value['mean']:.3f}{sd}"
        yield "summary.json and cases.csv are in the output folder"
        left = [fold for fold in self.cases if fold not in folds]
        if left:
            yield f"not run yet: {', '.join(f'fold {fold}' for fold in left)}; run them with --resume"


def plan_cross_validation(
    bundle: str | Path,
    dataset_dir: str | Path,
    *,
    output: str | Path,
    datalist: str | Path | None = None,
    folds: Sequence[int] | None = None,
    overrides: Sequence[str] = (),
) -> CrossValidation:
    """Check everything that can be checked before hours of training.

    Args:
        bundle: a folder with ``configs/train.yaml`` and ``configs/evaluate.yaml``.
        dataset_dir, datalist: the data; ``datalist.json`` in ``dataset_dir`` where None.
        output: the folder to write to.
        folds: those to run; None for all.
        overrides: words as they stand on MONAI's command line, ``--depth 18`` or ``--depth=18``.

    Raises:
        UsageError: overrides that are no pairs.
        ConfigError: no bundle there, no such fold, or overrides that each step sets for itself or no config
            defines.
        DatalistError: what ``load_datalist`` refuses, or a datalist without folds.

    Example:
        >>> plan = plan_cross_validation("BUNDLE", "DATA", output="CV")  # doctest: +SKIP
        >>> print(*run_experiment(plan), sep="\\n")  # doctest: +SKIP
    """
    inputs = check_inputs(
        bundle,
        dataset_dir,
        output=output,
        datalist=datalist,
        overrides=overrides,
        reserved=RESERVED_BY_FOLDS,
    )
    path = inputs["datalist"]
    data = load_datalist(path, split="training", dataset_dir=inputs["dataset_dir"])
    known = sorted({item["fold"] for item in data.training if "fold" in item})
    if len(known) < 2:
        remedy = "Build it with `pyraseg datalist --folds 5`."
        raise DatalistError("a datalist in folds", found="none", remedy=remedy, path=path)
    chosen = sorted(set(known if folds is None else folds))
    if not set(chosen) <= set(known):
        wanted = f"folds among {', '.join(map(str, known))}"
        raise ConfigError(wanted, found=", ".join(map(str, chosen)), remedy="Correct --folds.")
    require_known(inputs["overrides"], config_files(inputs["bundle"], "evaluating"))
    return CrossValidation(
        **inputs,
        cases={
            fold: frozenset(item["case"] for item in data.training if item.get("fold") == fold)
            for fold in known
        },
        folds=tuple(chosen),
        has_test=bool(data.test),
        digest=data.digest,
    )
