"""Find the runs to compare in a store, with their tables, and say why others are left out."""

from __future__ import annotations

import ast
from collections.abc import Container, Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np

from pyraseg.pipeline.comparison.read.artifacts import (
    damage_of,
    finite,
    read_document,
    read_rows,
    require_size,
)
from pyraseg.pipeline.comparison.read.checks import require_table
from pyraseg.pipeline.comparison.read.curves import read_curve
from pyraseg.pipeline.comparison.read.runs import LeftOut, Rate, Row, Run, TrainingData, UsedPoint
from pyraseg.pipeline.comparison.read.settings import run_settings, surroundings
from pyraseg.pipeline.comparison.read.store import Store, StoredRun, open_store
from pyraseg.pipeline.evaluation.calibration import BINS, CaseConfidence
from pyraseg.pipeline.inference.decision import point_in_words
from pyraseg.pipeline.tracking.logged_model import EVALUATED, TRAINED
from pyraseg.pipeline.utils.errors import did_you_mean
from pyraseg.transforms.errors import InputError, TrackingError, UsageError

__all__ = ["KIND", "choose_runs", "find_runs", "measured_checkpoint", "read_confidences", "read_runs"]

TABLE, QUANTITIES, CONFIDENCE, MASKS = "cases.csv", "quantities.csv", "confidence.csv", "predictions.npz"
SUMMARY = "summary.json"
VALIDATION = "validation"  # the folder of a training's tables
KIND = "pyraseg.kind"  # marks the run of a comparison


def read_runs(
    tracking_uri: str, experiment: str, *, names: Sequence[str] = (), split: str = "test"
) -> tuple[list[Run], list[LeftOut]]:
    """The runs of a MLflow store to compare, oldest first, and the runs left out with the reason.

    Args:
        tracking_uri: such as ``sqlite:///mlruns.db`` or ``http://server:5000``.
        names: names or IDs of the runs; without names, all finished runs.

    Raises:
        TrackingError, UsageError, InputError: as `open_store` and `find_runs`.
    """
    with open_store(tracking_uri) as store, TemporaryDirectory() as folder:
        return find_runs(store, experiment, folder=Path(folder), names=names, split=split)


def find_runs(
    store: Store,
    experiment: str,
    *,
    folder: Path,
    names: Sequence[str] = (),
    split: str = "test",
    checkpoints: Container[str] | None = None,
    least: int = 2,
) -> tuple[list[Run], list[LeftOut]]:
    """Read the tables of an experiment's runs: the runs, oldest first, and the runs left out.

    A run counts if it evaluated ``split``. On the validation split trainings count too, with the tables of
    their best epoch, unless the same checkpoint was evaluated. Where a run pools folds, only that run counts.
    Of two evaluations of one checkpoint on the same cases with the same settings the later one counts.

    Args:
        folder: for the files, as long as the comparison lasts.
        names: names or IDs of evaluations, or of the trainings whose checkpoints they measured; all runs of
            that name are taken. Without names, all finished runs.
        checkpoints: the SHA-256 of those to read the measurements of; None: all.
        least: how many runs there must be.

    Raises:
        UsageError: no such experiment, or no run of that name.
        TrackingError: a named run is unfinished or has no table of the split, or fewer than ``least`` have.
    """
    stored = [run for run in store.runs(store.experiment_id(experiment)) if KIND not in run.tags]
    trainings = {run.tags[TRAINED]: run for run in stored if TRAINED in run.tags}
    chosen = [
        run
        for run in choose_runs(stored, names, trainings)
        if checkpoints is None or measured_checkpoint(run) in checkpoints
    ]
    tables = {run.run_id: _table_folder(store, run, split) for run in chosen}
    measured: list[Run] = []
    left_out: list[LeftOut] = []
    for run in chosen:
        table_folder = tables[run.run_id]
        if table_folder is None:
            if _split(run) == split:  # others need no reason
                finished = run.status == "FINISHED"
                left_out.append((run.name, "it has no cases.csv" if finished else f"it is {run.status}"))
        elif tables.get(run.parent) is not None:
            left_out.append((run.name, "it is a part of a run that pools it"))
        else:
            try:
                measured.append(_read(store, run, table_folder, trainings, folder))
            except InputError as error:  # another tool's, or a damaged one: the others can be compared
                left_out.append((run.name, f"wanted {error.wanted}, found {error.found}"))
    kept, repeats = _latest(measured)
    _require_named(names, stored, kept, left_out)
    if len(kept) < least:
        found = f"{len(kept)} of {len(stored)} runs"
        if left_out:
            found += f" ({'; '.join(f'{name}: {reason}' for name, reason in left_out[:5])})"
        remedy = "Evaluate the checkpoints with `run evaluating`, or choose another --split."
        wanted = "two finished runs" if least > 1 else "a finished run"
        raise TrackingError(f"{wanted} with a table of {split} cases", found=found, remedy=remedy)
    return _with_curves(store, kept, trainings), left_out + repeats


def measured_checkpoint(run: StoredRun) -> str:
    """The SHA-256 of the checkpoint whose measurement the run is: an evaluation's, or a training's own."""
    return run.tags.get(EVALUATED, run.tags.get(TRAINED, ""))


def choose_runs(
    stored: Sequence[StoredRun], names: Sequence[str], trainings: Mapping[str, StoredRun]
) -> list[StoredRun]:
    """The runs of these names or IDs, or the evaluations of a training with that name or ID.

    Args:
        trainings: by the SHA-256 of their checkpoints.

    Raises:
        UsageError: there is no run of that name.
    """
    if not names:
        return list(stored)
    known = list(dict.fromkeys(run.name for run in stored))
    for name in names:
        if not any(name in (run.name, run.run_id) for run in stored):
            remedy = did_you_mean(name, known) or "The experiment has no runs."
            raise UsageError("a run of this experiment", found=repr(name), remedy=remedy)
    wanted, chosen = set(names), []
    for run in stored:
        training = trainings.get(run.tags.get(EVALUATED, ""), run)
        if wanted & {run.name, run.run_id, training.name, training.run_id}:
            chosen.append(run)
    return chosen


def _table_folder(store: Store, run: StoredRun, split: str) -> str | None:
    """The artifact folder of a run's table for the split: "" is the root, None is no table.

    A training only has a table of its validation. It is not asked for others: there may be thousands.
    """
    if run.status != "FINISHED" or _split(run) not in ("", split):
        return None
    top = () if TRAINED in run.tags else ("",)
    for folder in (*top, VALIDATION) if split == VALIDATION else top:
        if f"{folder}/{TABLE}".lstrip("/") in store.files(run.run_id, folder):
            return folder
    return None


def _split(run: StoredRun) -> str:
    """The split that an evaluation measured; pooled folds measured "validation"; empty for a training."""
    return run.params.get("split", VALIDATION if "folds" in run.params else "")


def _read(
    store: Store, run: StoredRun, table_folder: str, trainings: Mapping[str, StoredRun], folder: Path
) -> Run:
    files = {Path(path).name: size for path, size in store.files(run.run_id, table_folder).items()}
    checkpoint = measured_checkpoint(run)
    training = trainings.get(checkpoint)
    source = training or run
    config = _document(store, run, "config.yaml", folder)
    with damage_of("config.yaml", run.name):
        if training is None:
            settings = run_settings(None, config)
        elif training.run_id == run.run_id:
            settings = run_settings(config, {})
        else:
            settings = run_settings(_document(store, training, "config.yaml", folder), config)

    def fetched(name: str) -> Path | None:
        if name not in files:
            return None
        require_size(name, files[name], run=run.name)
        return store.fetch(run.run_id, f"{table_folder}/{name}".lstrip("/"), folder)

    tables = map(fetched, (TABLE, QUANTITIES, CONFIDENCE))
    scores, quantities, confidences = (read_rows(path, run=run.name) if path else [] for path in tables)
    summary = fetched(SUMMARY)
    with damage_of(SUMMARY, run.name):
        points = tuple(read_points(read_document(summary, run=run.name))) if summary else ()
    with damage_of(QUANTITIES, run.name):  # its numbers are read later
        for row in (row for row in quantities if row["error"]):
            _ = finite(row["predicted"]), finite(row["reference"]), row["quantity"], row["unit"], row["group"]
    with damage_of(CONFIDENCE, run.name):
        counts = read_confidences(confidences)
    with damage_of("split.json", run.name):
        data = _training_data(source, _document(store, source, "split.json", folder))
    measured = Run(
        run.run_id,
        run.name,
        run.started,
        scores=scores,
        seed=source.params.get("seed", "") if training is not None else "",
        checkpoint=checkpoint,
        trained_by=training.name if training is not None else "",
        training_id=training.run_id if training is not None else "",
        settings=settings,
        surroundings=surroundings(source.params),
        data=data,
        quantities=quantities,
        confidences=counts,
        label_names=_label_names(run.params.get("label_names", "")),
        points=points,
        folder=table_folder,
        masks=MASKS in files,
    )
    require_table(measured)
    return measured


def _document(store: Store, run: StoredRun, name: str, folder: Path) -> dict[str, Any]:
    """A document that a run logged; empty where there is none."""
    files = store.files(run.run_id)
    if name not in files:
        return {}
    require_size(name, files[name], run=run.name)
    return read_document(store.fetch(run.run_id, name, folder), run=run.name)


def _training_data(run: StoredRun, split: Mapping[str, Any]) -> TrainingData:
    groups = [split.get(name) or {} for name in ("training", "validation")]
    if not all(isinstance(each, dict) for each in groups):
        raise TypeError("groups with their cases")
    trained_on, validated_on = map(frozenset, groups)
    return TrainingData(
        str(split.get("digest") or run.params.get("dataset_digest", "")),
        groups=trained_on | validated_on,
        trained_on=trained_on,
        frames=run.params.get("training_frames", ""),
        training_groups=run.params.get("training_groups", ""),
    )


def read_confidences(rows: Sequence[Row]) -> list[CaseConfidence]:
    """The counts in ``confidence.csv``, which leaves out empty bins."""
    curves = tuple(dict.fromkeys(row["curve"] for row in rows))
    counts: dict[tuple[str, str], np.ndarray] = {}
    for row in rows:
        stack = counts.setdefault((row["case"], row["group"]), np.zeros((3, len(curves), BINS)))
        values = [finite(row[name]) for name in ("pixels", "confidence_sum", "correct")]
        stack[:, curves.index(row["curve"]), int(row["bin"])] = values
    return [CaseConfidence(case, group, curves, *stack) for (case, group), stack in counts.items()]


def read_points(summary: Mapping[str, Any]) -> Iterator[UsedPoint]:
    """The operating points in ``summary.json``; one with several classes has one of each."""
    for label, found in (summary.get("operating_point") or {}).items():
        if "rates" in found:  # a training's own validation has none
            point = point_in_words(
                finite(found["threshold"]), finite(found["smallest"]), unit=str(found["unit"])
            )
            rates = (found["rates"].get(name, {}) for name in ("missed", "false_alarms", "false_lesions"))
            yield UsedPoint(str(label), point, *map(_rate, rates))


def _rate(found: Mapping[str, Any]) -> Rate:
    """NaN where no case tells the rate: then an evaluation leaves it out."""
    values = map(found.get, ("mean", "low", "high"))
    return Rate(*(float("nan" if value is None else value) for value in values))


def _label_names(text: str) -> tuple[str, ...]:
    """``"['background', 'kidney']"`` as names; none if MLflow has cut a long list."""
    try:
        names = ast.literal_eval(text)
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return ()
    return tuple(map(str, names)) if isinstance(names, list | tuple) else ()


def _latest(runs: Sequence[Run]) -> tuple[list[Run], list[LeftOut]]:
    """The last measurement of each checkpoint on the same cases with the same settings."""
    last = {(run.checkpoint or run.run_id, run.cases, *sorted(run.settings.items())): run for run in runs}
    evaluated = {run.checkpoint for run in runs if run.checkpoint and not run.folder}
    kept = [run for run in last.values() if not (run.folder and run.checkpoint in evaluated)]
    return kept, [(run.name, "a later run measured the same checkpoint") for run in runs if run not in kept]


def _with_curves(store: Store, runs: Sequence[Run], trainings: Mapping[str, StoredRun]) -> list[Run]:
    by_id = {training.run_id: training for training in trainings.values()}
    curves = {
        id_: read_curve(store, by_id.get(id_)) for id_ in dict.fromkeys(run.training_id for run in runs)
    }
    return [
        replace(run, curve=curves[run.training_id][0], no_curve=curves[run.training_id][1]) for run in runs
    ]


def _require_named(
    names: Sequence[str], stored: Sequence[StoredRun], kept: Sequence[Run], left_out: Sequence[LeftOut]
) -> None:
    """Raise for a named run that cannot be compared."""
    reasons = dict(left_out)
    by_id = {run.run_id: run.name for run in stored}
    for name in names:
        if not any(name in run.names for run in kept):
            reason = reasons.get(name) or reasons.get(by_id.get(name, ""))
            raise TrackingError(
                f"a finished run with a table of cases for {name!r}",
                found=reason or "no evaluation of it on this split",
                remedy="Evaluate its checkpoint with `run evaluating`, or leave it out of --runs.",
            )
