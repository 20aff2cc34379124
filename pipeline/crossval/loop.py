"""The steps of a cross-validation one after another, resumable, under one MLflow run."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

from pipeline.checkpoints import LAST
from pipeline.config import FLAGS
from pipeline.crossval.plan import EVALUATION, TEST, Plan
from pipeline.crossval.pooling import pool, read_rows, write_pooled
from pipeline.crossval.process import run_process
from pipeline.files import atomic_write
from pipeline.tracking import RunTracker
from pipeline.tracking.process import sigterm_unwinds
from transforms.errors import ConfigError, OutputError, RunError

__all__ = ["cross_validate"]

STATE = "crossval.json"
DONE = ".done"  # in a folder whose step has ended well

Start = Callable[[Sequence[str]], int]


def cross_validate(plan: Plan, *, resume: bool = False, start: Start = run_process) -> Iterator[str]:
    """Train and evaluate each fold, evaluate the ensemble on the test split, and pool: lines of progress and result.

    Args:
        plan: what to do.
        resume: the output folder may hold a cross-validation that was begun with the same settings; what is finished
            is kept.
        start: runs a command and returns its exit status.

    Raises:
        OutputError: the output folder is in use, or cannot be written.
        ConfigError: a cross-validation to resume was begun with other settings.
        RunError: a training or evaluation failed.
        TrackingError: as ``RunTracker``.
        KeyboardInterrupt, SystemExit: it was stopped, after a line that says how to go on.
    """
    state = _claim(plan, resume=resume)
    try:
        with sigterm_unwinds(), _tracker(plan, state) as tracker:
            _write(plan.output / STATE, state | {"run_id": tracker.run_id})
            steps = _Steps(plan, start=start, parent=tracker.run_id)
            yield from steps.run()
            yield from _conclude(plan, tracker)
    except (KeyboardInterrupt, SystemExit):  # Ctrl-C, SIGTERM
        yield "stopped; what is done is kept. Go on with the same command and --resume"
        raise


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
            yield from self._step("the ensemble of all folds on the test split", self.plan.output / TEST, command)

    def _fold(self, fold: int) -> Iterator[str]:
        plan, folder = self.plan, self.plan.folder(fold)
        resume = (folder / LAST).is_file()
        training = plan.training(fold, parent=self.parent, resume=resume)
        yield from self._step(f"fold {fold}, {'training goes on' if resume else 'training'}", folder, training)
        evaluating = plan.evaluating(fold, parent=self.parent)
        yield from self._step(f"fold {fold}, evaluation", folder / EVALUATION, evaluating)

    def _step(self, what: str, folder: Path, command: Sequence[str]) -> Iterator[str]:
        if (folder / DONE).is_file():
            return
        yield what
        status = self.start(command)
        if status != 0:
            raise RunError(
                "every training and evaluation to end well",
                found=f"{what}: exit status {status}",
                remedy="Correct what its own message says, then go on with the same command and --resume.",
            )
        _write(folder / DONE, {})


def _finished(plan: Plan) -> list[int]:
    """The folds that are trained and measured, also by earlier runs of the command."""
    return [fold for fold in plan.cases if (plan.folder(fold) / EVALUATION / DONE).is_file()]


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
            yield f"  {name:<32}{spread[name]['mean']:.3f}" + ("" if sd is None else f" ± {sd:.3f} over the folds")
    yield "summary.json and cases.csv are in the output folder"
    if left:
        yield f"not run yet: {', '.join(f'fold {fold}' for fold in left)}; run them with --resume"


def _claim(plan: Plan, *, resume: bool) -> dict[str, Any]:
    """The state to go on from, or a new one: the settings as digests, because a value may be a path."""
    place = plan.output / STATE
    settings = {name: hashlib.sha256(value.encode()).hexdigest()[:12] for name, value in plan.overrides.items()}
    new = {"run_id": None, "digest": plan.digest, "settings": settings}
    if not place.is_file():
        if plan.output.exists() and any(not entry.name.startswith(".") for entry in plan.output.iterdir()):
            remedy = "Name a new one with --output."
            raise OutputError("an empty or new output folder", found="one in use", remedy=remedy, path=plan.output)
        return new
    if not resume:
        remedy = "Go on with it with --resume, or name a new folder with --output."
        found = "one that holds a cross-validation"
        raise OutputError("an empty or new output folder", found=found, remedy=remedy, path=plan.output)
    state = json.loads(place.read_text(encoding="utf-8"))
    changed = [n for n in sorted({*settings, *state["settings"]}) if settings.get(n) != state["settings"].get(n)]
    changed += ["the datalist"] if state["digest"] != plan.digest else []
    if changed:
        remedy = "Give the settings that it was begun with, or name a new folder with --output."
        raise ConfigError("the settings of the cross-validation", found=f"others: {', '.join(changed)}", remedy=remedy)
    return dict(state)


def _tracker(plan: Plan, state: dict[str, Any]) -> RunTracker:
    """The parent run; where it goes is what the bundle's training says."""
    from monai.bundle import ConfigParser

    parser = ConfigParser()
    parser.read_config(str(plan.bundle / "configs" / "train.yaml"))
    given = {
        name: plan.overrides[name] for name in ("tracking_uri", "experiment_name", "track") if name in plan.overrides
    }
    parser.update({"bundle_root": str(plan.bundle), **given})
    uri, experiment, track = (parser.get_parsed_content(name) for name in ("tracking_uri", "experiment_name", "track"))
    parameters: dict[str, Any] = {"folds": len(plan.cases), "dataset_digest": plan.digest, **plan.overrides}
    return RunTracker(
        str(uri),
        experiment_name=str(experiment),
        run_name=plan.name("cross-validation"),
        run_id=state["run_id"],
        enabled=FLAGS.get(str(track).lower(), True) is True,
        outbox_dir=plan.output / ".mlflow_outbox",
        parameters=parameters,
    )


def _write(path: Path, content: dict[str, Any]) -> None:
    with atomic_write(path, "w") as file:
        file.write(json.dumps(content, indent=1) + "\n")
