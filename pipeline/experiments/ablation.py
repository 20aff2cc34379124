"""The trainings and evaluations of an ablation one after another, resumable, under one MLflow run."""

from __future__ import annotations

import csv
import json
import os
import shlex
import statistics
from collections.abc import Iterator
from pathlib import Path

from pyraseg.pipeline.experiments.ablation_plan import EVALUATION, Plan
from pyraseg.pipeline.experiments.grid import Arm
from pyraseg.pipeline.experiments.monai_commands import EVALUATE, config_files
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
from pyraseg.pipeline.tracking.store import without_login
from pyraseg.pipeline.utils.files import atomic_write

__all__ = ["run_ablation"]

TABLE = "ablation.csv"


def run_ablation(plan: Plan, *, resume: bool = False, start: Start = run_process) -> Iterator[str]:
    """Train every arm with every seed and evaluate it on the test split: lines of progress and result.

    Args:
        plan: what to do.
        resume: the output folder may hold an ablation that was begun with the same settings, fewer seeds or
            fewer arms; what is finished is kept.
        start: runs a command and returns its exit status.

    Raises:
        OutputError: the output folder is in use, or cannot be written.
        ConfigError: an ablation to resume was begun with other settings.
        RunError: a training or evaluation failed.
        TrackingError: as ``RunTracker``.
        KeyboardInterrupt, SystemExit: it was stopped, after a line that says how to go on.
    """
    begun = Begun(
        plan.output,
        "ablation",
        what="an ablation",
        settings=digests(plan.overrides),
        growing=digests({arm.name: _content(arm) for arm in plan.arms})
        | {f"the datalist of seed {seed}": digest for seed, digest in plan.digests.items()}
        | digests(
            {f"the bundle's {file.name}": _values(file) for file in config_files(plan.bundle, EVALUATE)}
        ),
    )
    parent = Parent(plan.bundle, plan.overrides, run_name=plan.name("ablation"), parameters={})

    def steps(tracker: RunTracker) -> Iterator[str]:
        for number, (arm, seed) in enumerate(plan.runs, start=1):
            yield from _run(
                plan, arm, seed, of=f"{number} of {len(plan.runs)}", parent=tracker.run_id, start=start
            )
        tracker.log_file(_write_table(plan))
        yield from _conclude(plan, parent)

    yield from run_series(begun, parent, steps=steps, resume=resume)


def _run(plan: Plan, arm: Arm, seed: int, *, of: str, parent: str | None, start: Start) -> Iterator[str]:
    """One training and its evaluation, where they are not done yet."""
    folder = plan.folder(arm, seed)
    resume = begun_training(folder)
    what = f"{of}: {arm.name}, seed {seed}"
    training = plan.training(arm, seed, parent=parent, resume=resume)
    begins = f"{what}, {'training goes on' if resume else 'training'}"
    yield from run_step(begins, folder, command=training, start=start)
    evaluating = plan.evaluating(arm, seed, parent=parent)
    yield from run_step(f"{what}, {EVALUATION}", folder / EVALUATION, command=evaluating, start=start)


def _values(config: Path) -> str:
    """What a config says, whatever its comments."""
    import yaml

    return json.dumps(yaml.safe_load(config.read_text(encoding="utf-8")), sort_keys=True, default=str)


def _content(arm: Arm) -> str:
    """What an arm is: its overrides and the text of its overlays."""
    texts = [overlay.read_text(encoding="utf-8") for overlay in arm.overlays]
    return json.dumps([dict(arm.overrides), texts], sort_keys=True)


def _score(plan: Plan, arm: Arm, seed: int) -> float | None:
    folder = plan.folder(arm, seed) / EVALUATION
    if not is_done(folder):
        return None
    score = json.loads((folder / "summary.json").read_text(encoding="utf-8"))["mean_dice"]
    return None if score is None else float(score)


def _write_table(plan: Plan) -> Path:
    path = plan.output / TABLE
    with atomic_write(path, "w") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(["arm", "seed", "mean_dice"])
        writer.writerows([arm.name, seed, _score(plan, arm, seed)] for arm, seed in plan.runs)
    return path


def _conclude(plan: Plan, parent: Parent) -> Iterator[str]:
    """Each arm's mean, and the command that says whether the differences are real."""
    seeds = ", ".join(map(str, plan.seeds))
    yield f"mean Dice on the test split, mean over seeds {seeds}; a row for each run in {TABLE}"
    width = max(len(arm.name) for arm in plan.arms) + 2
    for arm in plan.arms:
        scores = [score for seed in plan.seeds if (score := _score(plan, arm, seed)) is not None]
        spread = f" ± {statistics.stdev(scores):.3f} over the seeds" if len(scores) > 1 else ""
        yield f"  {arm.name:<{width}}" + (f"{statistics.fmean(scores):.3f}{spread}" if scores else "none")
    uri, experiment, track = parent.tracking()
    if not track or len(plan.arms) < 2:
        return
    yield "which is better, by how much, and is it real:"
    yield f"  pyraseg {shlex.join(_compare(plan, uri, experiment))}"


def _compare(plan: Plan, uri: str, experiment: str) -> list[str]:
    """The words of the ``compare`` command over these runs: an experiment may hold others."""
    words = ["compare", "--experiment", experiment, "--bundle", _short(plan.bundle)]
    words += ["--tracking_uri", without_login(uri)] if "tracking_uri" in plan.overrides else []
    words += ["--dataset_dir", _short(plan.dataset_dir)]
    datalist = plan.datalist_of(plan.seeds[0])  # the test split is the same for all, or `compare` refuses
    words += [] if datalist == plan.dataset_dir / "datalist.json" else ["--datalist", _short(datalist)]
    words += ["--output", _short(plan.output / "comparison")]
    return [*words, "--runs", *(plan.run_name(arm, seed) for arm, seed in plan.runs)]


def _short(path: Path) -> str:
    """Relative where it is below the working folder."""
    relative = os.path.relpath(path)
    return str(path) if relative.startswith(os.pardir) else relative
