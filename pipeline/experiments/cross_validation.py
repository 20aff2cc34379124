"""Cross-validation: train a network for each fold of a datalist, and measure it on the cases left out."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from pyraseg.pipeline.bundle.overrides import require_known
from pyraseg.pipeline.datalist import load_datalist
from pyraseg.pipeline.experiments.experiment import (
    RESERVED_IDS,
    Experiment,
    Step,
    Trial,
    digests,
    is_done,
    overlay_files,
)
from pyraseg.pipeline.experiments.operating_points import pool_operating_points
from pyraseg.pipeline.experiments.pooling import TEST, pool, read_rows, write_pooled
from pyraseg.pipeline.tracking import RunTracker
from pyraseg.transforms.errors import ConfigError, DatalistError

__all__ = ["CrossValidation"]


class CrossValidation(Experiment):
    """A cross-validation, checked as far as possible before hours of training; ``run_experiment`` runs it.

    Args:
        bundle: a folder with ``configs/train.yaml`` and ``configs/evaluate.yaml``.
        dataset_dir, datalist: the data; ``datalist.json`` in ``dataset_dir`` where None.
        output: the folder to write to.
        folds: the folds to run; None for all.
        overlays: configs of the bundle on top of the training's, by name, such as ``unet``.
        overrides: as on MONAI's command line, ``--depth 18`` or ``--depth=18``.

    Attributes:
        cases: the cases of each fold of the datalist, by its number.
        folds: the folds to run now.
        has_test: whether the datalist holds a test split, for the ensemble of all folds.
        digest: of the datalist.

    Raises:
        UsageError: overrides without a value.
        ConfigError: no such bundle, fold or overlay, or an override that is set by each step or unknown.
        DatalistError: ``load_datalist`` refuses, or the datalist has no folds.
    """

    article = "a"
    kind = "cross-validation"
    state_name = "crossval.json"
    reserved_ids = RESERVED_IDS | dict.fromkeys(("fold", "folds"), "Use --folds, before the --.")

    def __init__(
        self,
        bundle: str | Path,
        dataset_dir: str | Path,
        *,
        output: str | Path,
        datalist: str | Path | None = None,
        folds: Sequence[int] | None = None,
        overlays: Sequence[str] = (),
        overrides: Sequence[str] = (),
    ) -> None:
        super().__init__(bundle, dataset_dir, output=output, datalist=datalist, overrides=overrides)
        data = load_datalist(self.datalist, split="training", dataset_dir=self.dataset_dir)
        cases: dict[int, set[str]] = defaultdict(set)
        for item in data.training:
            if "fold" in item:
                cases[item["fold"]].add(item["case"])
        if len(cases) < 2:
            remedy = "Build it with `pyraseg datalist --folds 5`."
            raise DatalistError("a datalist in folds", found="none", remedy=remedy, path=self.datalist)
        self.cases = dict(sorted(cases.items()))
        self.folds = tuple(sorted(set(self.cases if folds is None else folds)))
        if not set(self.folds) <= set(self.cases):
            wanted, found = (", ".join(map(str, numbers)) for numbers in (self.cases, self.folds))
            raise ConfigError(f"folds among {wanted}", found=found, remedy="Correct --folds.")
        self.has_test = bool(data.test)
        self.digest = data.digest
        self.overlays = overlay_files(self.bundle, overlays)
        require_known(self.overrides, [*self.config_files, *self.overlays])

    @property
    def trials(self) -> list[Trial]:
        """A network for each fold to run."""
        return [self.trial(fold) for fold in self.folds]

    def trial(self, fold: int) -> Trial:
        """The network trained without one fold's cases, and measured on them."""
        return Trial(
            f"fold {fold}",
            self.output / f"fold_{fold}",
            training_ids={"fold": fold},
            evaluation_ids={"fold": fold, "split": "validation"},
            overlays=self.overlays,
        )

    @property
    def fixed(self) -> dict[str, str]:
        overlays = {f"the overlay {file.stem}": file.read_text(encoding="utf-8") for file in self.overlays}
        return super().fixed | digests(overlays) | {"the datalist": self.digest}

    @property
    def parameters(self) -> dict[str, Any]:
        return {"folds": len(self.cases), "dataset_digest": self.digest}

    def steps(self) -> Iterator[Step]:
        """The steps of each fold; after the last one, the evaluation of their ensemble on the test split.

        Before that the folds' operating curves become one, whose points the ensemble uses.
        """
        yield from super().steps()
        if self.finished_folds() == list(self.cases):
            pool_operating_points([self.trial(fold).folder for fold in self.cases], self.output)
        if self.has_test and self.finished_folds() == list(self.cases):
            ids = {"split": TEST, "checkpoint": self.output, "overwrite": True}
            command = self.command("evaluating", self.output / TEST, ids, name="ensemble, test")
            yield Step("the ensemble of all folds on the test split", self.output / TEST, command)

    def finished_folds(self) -> list[int]:
        """The folds that are trained and measured, by this run of the command or earlier ones."""
        return [fold for fold in self.cases if is_done(self.trial(fold).evaluation)]

    def conclude(self, tracker: RunTracker) -> Iterator[str]:
        """Pool the finished folds: ``summary.json``, ``cases.csv``, the metrics of the run, a few lines."""
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
        yield from summary["notes"]
        for name, value in spread.items():
            if name.startswith(("mean_dice", "dice_")):
                sd = "" if value["sd"] is None else f" ± {value['sd']:.3f} over the folds"
                yield f"  {name:<32}{value['mean']:.3f}{sd}"
        yield "summary.json and cases.csv are in the output folder"
        left = [fold for fold in self.cases if fold not in folds]
        if left:
            yield f"not run yet: {', '.join(f'fold {fold}' for fold in left)}; run them with --resume"
