"""From a store to the runs to compare: which of an experiment, with their tables, and why the others are left
out."""

from __future__ import annotations

import ast
import csv
import difflib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from pyraseg.pipeline.comparison.read.curves import read_curve
from pyraseg.pipeline.comparison.read.runs import Row, Run, TrainingData
from pyraseg.pipeline.comparison.read.settings import run_settings, surroundings
from pyraseg.pipeline.comparison.read.store import Store, StoredRun
from pyraseg.pipeline.evaluation.calibration import BINS, CaseConfidence
from pyraseg.transforms.errors import InputError, TrackingError, UsageError

__all__ = ["Found", "find_runs", "read_confidences"]

TABLE, QUANTITIES, CONFIDENCE, MASKS = "cases.csv", "quantities.csv", "confidence.csv", "predictions.npz"
VALIDATION = "validation"  # the folder of a training's own tables
EVALUATED = "evaluated.sha256"  # what an evaluation measured
TRAINED = "checkpoint.sha256"  # what a training made
OWN = "pyraseg.kind"  # a comparison's own run


@dataclass(frozen=True)
class Found:
    """The runs to compare, oldest first, and (name, reason) of those that would count but for something."""

    runs: tuple[Run, ...]
    left_out: tuple[tuple[str, str], ...] = ()


def find_runs(
    store: Store, experiment: str, *, folder: Path, names: Sequence[str] = (), split: str = "test"
) -> Found:
    """Read the tables of an experiment's runs.

    A run counts if it evaluated ``split``; on the validation split, trainings count too, with the tables of
    their best epoch, unless an evaluation of the same checkpoint is there. Folds stand behind the run that
    pools them. Of two evaluations of one checkpoint with the same settings the later one counts.

    Args:
        folder: for the files, while the comparison lasts.
        names: run names or IDs to choose, of evaluations or of the trainings whose checkpoints they measured;
            all runs of that name are taken. Without names, all finished runs.

    Raises:
        UsageError: no such experiment, or no run of that name.
        TrackingError: a run that was named is unfinished or has no table of the split, or fewer than two runs
            have.
        InputError: a table cannot be read.
    """
    stored = [run for run in store.runs(store.experiment_id(experiment)) if OWN not in run.tags]
    trainings = {run.tags[TRAINED]: run for run in stored if TRAINED in run.tags}
    chosen = _chosen(stored, names, trainings)
    found: list[Run] = []
    left_out: list[tuple[str, str]] = []
    tables = {run.run_id: place for run in chosen if (place := _place(store, run, split)) is not None}
    for run in chosen:
        reason = _reason(run, tables, split)
        if reason is None:
            found.append(_read(store, run, tables[run.run_id], trainings, folder))
        elif reason:
            left_out.append((run.name, reason))
    kept, repeats = _latest(found)
    if names:
        _require_all(names, stored, kept, left_out)
    if len(kept) < 2:
        raise _too_few(kept, left_out, stored, split)
    return Found(tuple(_with_curves(store, kept, trainings)), tuple(left_out + repeats))


def _chosen(
    stored: Sequence[StoredRun], names: Sequence[str], trainings: Mapping[str, StoredRun]
) -> list[StoredRun]:
    if not names:
        return list(stored)
    known = list(dict.fromkeys(run.name for run in stored))
    for name in names:
        if not any(name in (run.name, run.run_id) for run in stored):
            near = difflib.get_close_matches(name, known, n=3, cutoff=0.3) or known[:5]
            remedy = (
                f"Did you mean {' or '.join(map(repr, near))}?" if near else "The experiment has no runs."
            )
            raise UsageError("a run of this experiment", found=repr(name), remedy=remedy)
    return [run for run in stored if any(_is(run, name, trainings) for name in names)]


def _is(run: StoredRun, name: str, trainings: Mapping[str, StoredRun]) -> bool:
    """Whether a run is meant by this name or ID: its own, or that of the training whose checkpoint it
    measured."""
    training = trainings.get(run.tags.get(EVALUATED, ""))
    return name in (run.name, run.run_id) or (
        training is not None and name in (training.name, training.run_id)
    )


def _place(store: Store, run: StoredRun, split: str) -> str | None:
    """The artifact folder of a run's table for the split: "" is the top, None is none.

    A training has one of its validation alone, so it is not asked for another: there may be thousands of
    them.
    """
    if run.status != "FINISHED" or _split(run) not in ("", split):
        return None
    top = () if TRAINED in run.tags else ("",)
    for folder in (*top, VALIDATION) if split == VALIDATION else top:
        path = f"{folder}/{TABLE}".lstrip("/")
        if path in store.files(run.run_id, folder):
            return folder
    return None


def _split(run: StoredRun) -> str:
    """The split that an evaluation measured; a cross-validation pools validations; empty of a training."""
    return run.params.get("split", VALIDATION if "folds" in run.params else "")


def _reason(run: StoredRun, tables: Mapping[str, str], split: str) -> str | None:
    """Why a run does not count: None if it does, empty where nobody would expect it to."""
    if run.status != "FINISHED":
        return f"it is {run.status}" if _split(run) == split else ""
    if run.run_id not in tables:
        return "it has no cases.csv" if _split(run) == split else ""
    return "it is a part of a run that pools it" if run.parent in tables else None


def _read(store: Store, run: StoredRun, place: str, trainings: Mapping[str, StoredRun], folder: Path) -> Run:
    files = {Path(path).name for path in store.files(run.run_id, place)}
    checkpoint = run.tags.get(EVALUATED, run.tags.get(TRAINED, ""))
    training = trainings.get(checkpoint)
    source = training or run
    config = _config(store, run, folder)
    same = training is None or training.run_id == run.run_id
    trained = (
        config
        if training is not None and same
        else None
        if training is None
        else _config(store, training, folder)
    )

    def table(name: str) -> list[dict[str, str]]:
        path = store.fetch(run.run_id, f"{place}/{name}".lstrip("/"), folder) if name in files else None
        return [] if path is None else _rows(path, of=run)

    names = _label_names(run.params.get("label_names", ""))
    return Run(
        run.run_id,
        run.name,
        run.started,
        scores=table(TABLE),
        seed=source.params.get("seed", "") if training is not None else "",
        checkpoint=checkpoint,
        trained_by=training.name if training is not None else "",
        training_id=training.run_id if training is not None else "",
        settings=run_settings(trained, {} if same and training is not None else config),
        surroundings=surroundings(source.params),
        data=_data(store, source, folder),
        quantities=_checked(table(QUANTITIES), QUANTITIES, of=run),
        confidences=_confidences(table(CONFIDENCE), of=run),
        label_names=names,
        folder=place,
        masks=MASKS in files,
    )


def _config(store: Store, run: StoredRun, folder: Path) -> dict[str, Any]:
    import yaml

    if "config.yaml" not in store.files(run.run_id):
        return {}
    try:
        content = yaml.safe_load(store.fetch(run.run_id, "config.yaml", folder).read_text(encoding="utf-8"))
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise _unreadable("config.yaml", run) from error
    return content if isinstance(content, dict) else {}


def _data(store: Store, run: StoredRun, folder: Path) -> TrainingData:
    split: Mapping[str, Any] = {}
    if "split.json" in store.files(run.run_id):
        try:
            split = json.loads(store.fetch(run.run_id, "split.json", folder).read_text(encoding="utf-8"))
        except ValueError as error:
            raise _unreadable("split.json", run) from error
    trained_on, validated_on = (frozenset(split.get(name) or ()) for name in ("training", "validation"))
    digest = str(split.get("digest") or run.params.get("dataset_digest", ""))
    params = run.params
    return TrainingData(
        digest,
        groups=trained_on | validated_on,
        trained_on=trained_on,
        frames=params.get("training_frames", ""),
        training_groups=params.get("training_groups", ""),
    )


def _rows(path: Path, *, of: StoredRun) -> list[dict[str, str]]:
    try:
        with open(path, newline="", encoding="utf-8") as file:
            rows = list(csv.DictReader(file))
    except (csv.Error, UnicodeDecodeError) as error:
        raise _unreadable(path.name, of) from error
    if any(
        None in row or None in row.values() for row in rows
    ):  # more or fewer cells than columns: cut short
        raise _unreadable(path.name, of)
    return rows


def _checked(rows: list[dict[str, str]], name: str, *, of: StoredRun) -> list[dict[str, str]]:
    """The quantities, whose numbers are read later."""
    try:
        for row in (row for row in rows if row["error"]):
            _ = float(row["predicted"]), float(row["reference"]), row["quantity"], row["unit"], row["group"]
    except (KeyError, ValueError) as error:
        raise _unreadable(name, of) from error
    return rows


def _confidences(rows: Sequence[Row], *, of: StoredRun) -> list[CaseConfidence]:
    try:
        return read_confidences(rows)
    except (KeyError, ValueError, IndexError) as error:
        raise _unreadable(CONFIDENCE, of) from error


def _unreadable(name: str, run: StoredRun) -> InputError:
    remedy = "Evaluate the checkpoint again, or leave the run out with --runs."
    return InputError(f"a {name} that can be read", found=f"a damaged one of {run.name!r}", remedy=remedy)


def read_confidences(rows: Sequence[Row]) -> list[CaseConfidence]:
    """The counts of ``confidence.csv``, whose empty bins are left out."""
    curves = tuple(dict.fromkeys(row["curve"] for row in rows))
    place = {name: index for index, name in enumerate(curves)}
    counts: dict[tuple[str, str], np.ndarray] = {}
    for row in rows:
        stack = counts.setdefault((row["case"], row["group"]), np.zeros((3, len(curves), BINS)))
        stack[:, place[row["curve"]], int(row["bin"])] = [
            float(row[name]) for name in ("pixels", "confidence_sum", "correct")
        ]
    return [CaseConfidence(case, group, curves, *stack) for (case, group), stack in counts.items()]


def _label_names(text: str) -> tuple[str, ...]:
    """``"['background', 'kidney']"`` as its names; none where MLflow keeps only the beginning of a long
    list."""
    try:
        names = ast.literal_eval(text)
    except (SyntaxError, ValueError):
        return ()
    return tuple(map(str, names)) if isinstance(names, list | tuple) else ()


def _latest(runs: Sequence[Run]) -> tuple[list[Run], list[tuple[str, str]]]:
    """The last measurement of each checkpoint under the same settings."""
    last = {(run.checkpoint or run.run_id, *sorted(run.settings.items())): run for run in runs}
    measured = {run.checkpoint for run in runs if run.checkpoint and not run.folder}
    kept = [run for run in last.values() if not (run.folder and run.checkpoint in measured)]
    return kept, [(run.name, "a later run measured the same checkpoint") for run in runs if run not in kept]


def _with_curves(store: Store, runs: Sequence[Run], trainings: Mapping[str, StoredRun]) -> list[Run]:
    by_id = {training.run_id: training for training in trainings.values()}
    curves = {
        key: read_curve(store, by_id.get(key)) for key in dict.fromkeys(run.training_id for run in runs)
    }
    return [
        replace(run, curve=curve, no_curve=why) for run in runs for curve, why in [curves[run.training_id]]
    ]


def _require_all(
    names: Sequence[str],
    stored: Sequence[StoredRun],
    kept: Sequence[Run],
    left_out: Sequence[tuple[str, str]],
) -> None:
    """Whoever names a run wants it, or to know why it cannot be had."""
    reasons = dict(left_out)
    ids = {run.run_id: run.name for run in stored}
    for name in names:
        if not any(name in run.names for run in kept):
            known = {name, ids.get(name, name)}
            reason = next((reasons[each] for each in known if each in reasons), "")
            raise TrackingError(
                f"a finished run with a table of cases for {name!r}",
                found=reason or "no evaluation of it on this split",
                remedy="Evaluate its checkpoint with `run evaluating`, or leave it out of --runs.",
            )


def _too_few(
    kept: Sequence[Run], left_out: Sequence[tuple[str, str]], stored: Sequence[StoredRun], split: str
) -> TrackingError:
    found = f"{len(kept)} of {len(stored)} runs"
    if left_out:
        found += f" ({'; '.join(f'{name}: {reason}' for name, reason in left_out[:5])})"
    return TrackingError(
        f"two finished runs with a table of {split} cases",
        found=found,
        remedy="Evaluate the checkpoints with `run evaluating`, or choose another --split.",
    )
