"""The steps of a cross-validation one after another, resumable, under one MLflow run."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from pyraseg.pipeline.experiments.cross_validation_plan import EVALUATION, TEST, Plan
from pyraseg.pipeline.experiments.pooling import pool, read_rows, write_pooled
from pyraseg.pipeline.experiments.process import run_process
from pyraseg.pipeline.experiments.steps import (
    Begun,
    Parent,
    Start,
    begun_training,
    digests,
    is_done,
    run_series,
    run_step,
)
from pyraseg.pipeline.tracking import RunTracker

__all__ = ["cross_validate"]


def cross_validate(plan: Plan, *, resume: bool = False, start: Start = run_process) -> Iterator[str]:
    """Train and evaluate each fold, evaluate the ensemble on the test split, and pool: lines of progress and
    result.

    Args:
        plan: what to do.
        resume: the output folder may hold a cross-validation that was begun with the same settings; what is
            finished is kept.
        start: runs a command and returns its exit status.

    Raises:
        OutputError: the output folder is in use, or cannot be written.
        ConfigError: a cross-validation to resume was begun with other settings.
        RunError: a training or evaluation failed.
        TrackingError: as ``RunTracker``.
        KeyboardInterrupt, SystemExit: it was stopped, after a line that says how to go on.
    """
    settings = digests(plan.overrides) | {"the datalist": plan.digest}
    begun = Begun(plan.output, "crossval", what="a cross-validation", settings=settings)
    parameters = {"folds": len(plan.cases), "dataset_digest": plan.digest}
    parent = Parent(
        plan.bundle, plan.overrides, run_name=plan.name("cross-validation"), parameters=parameters
    )

    def steps(tracker: RunTracker) -> Iterator[str]:
        yield from _Steps(plan, start=start, parent=tracker.run_id).run()
        yield from _conclude(plan, tracker)

    yield from run_series(begun, parent, steps=steps, resume=resume)


class _Steps:
    """The steps that are not done yet."""

    def __init__(self, plan: Plan, *, start: Start, parent: str | None) -> None:
        self.plan = plan
        self.start = start
        self.parent = parent

    def run(self) -> Iterator[str]:
        for fold in self.plan.folds:
            yield from self._fold(fold)
        if self.plan.has_test and _finished(self.plan) == list(self.plan.cases):
            command = self.plan.testing(parent=self.parent)
            yield from self._step(
                "the ensemble of all folds on the test split", self.plan.output / TEST, command
            )

    def _fold(self, fold: int) -> Iterator[str]:
        plan, folder = self.plan, self.plan.folder(fold)
        resume = begun_training(folder)
        training = plan.training(fold, parent=self.parent, resume=resume)
        yield from self._step(
            f"fold {fold}, {'training goes on' if resume else 'training'}", folder, training
        )
        evaluating = plan.evaluating(fold, parent=self.parent)
        yield from self._step(f"fold {fold}, evaluation", folder / EVALUATION, evaluating)

    def _step(self, what: str, folder: Path, command: list[str]) -> Iterator[str]:
        yield from run_step(what, folder, command=command, start=self.start)


def _finished(plan: Plan) -> list[int]:
    """The folds that are trained and measured, also by earlier runs of the command."""
    return [fold for fold in plan.cases if is_done(plan.folder(fold) / EVALUATION)]


def _conclude(plan: Plan, tracker: RunTracker) -> Iterator[str]:
    """Pool what is finished, write it, log it, and say it in a few lines."""
    folds = _finished(plan)
    rows = read_rows(plan, folds)
    summary = pool(rows)
    for path in write_pooled(plan.output, rows, summary):
        tracker.log_file(path)
    spread = {name: value for name, value in summary["over_folds"].items() if value["mean"] is not None}
    numbers = {f"{name}_mean": value["mean"] for name, value in spread.items()}
    numbers |= {f"{name}_sd": value["sd"] for name, value in spread.items() if value["sd"] is not None}
    tracker.log_metrics(numbers, step=len(folds))
    left = [fold for fold in plan.cases if fold not in folds]
    yield f"{len(folds)} of {len(plan.cases)} folds, {summary['cases']} cases of {summary['groups']} groups"
    for name in ("mean_dice", *(name for name in spread if name.startswith("dice_"))):
        if name in spread:
            sd = spread[name]["sd"]
            yield f"  {name:<32}{spread[name]['mean']:.3f}" + (
                "" if sd is None else f" ± {sd:.3f} over the folds"
            )
    yield "summary.json and cases.csv are in the output folder"
    if left:
        yield f"not run yet: {', '.join(f'fold {fold}' for fold in left)}; run them with --resume"
