"""A training's network as a LoggedModel of MLflow 3: its metrics belong to the model and to a data set.

A model is known by its run and by the SHA-256 of its checkpoint. What is sent twice, as after a process that
was killed, changes nothing.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from typing import Any

from mlflow.entities import LoggedModelInput, LoggedModelOutput, LoggedModelStatus, Metric

from pyraseg.pipeline.tracking.store import all_pages

__all__ = ["EVALUATED", "SHA256", "TRAINED", "finish_model", "link_evaluation", "the_model"]

TRAINED = "checkpoint.sha256"  # tag of a run and of its model: the checkpoint that the training made
EVALUATED = "evaluated.sha256"  # tag of a run: the checkpoint that it measured
VALIDATION, VALIDATED = "validation", "val"  # a split, and what a training's metrics of it begin with
NOT_IN_A_NAME = re.compile(r"[/:.%\"']")  # what MLflow does not take in a model's name
SHA256 = re.compile(r"[0-9a-f]{64}")  # an ensemble has several, and is no model


def the_model(client: Any, run_id: str, sha256: str) -> Any:
    """The model of a training's checkpoint; made where it is missing."""
    run = client.get_run(run_id)
    experiment = run.info.experiment_id
    for model in _models(client, [experiment], sha256):
        if model.source_run_id == run_id:
            return model
    return client.create_logged_model(
        experiment,
        name=NOT_IN_A_NAME.sub("-", run.info.run_name or "") or run_id,
        source_run_id=run_id,
        tags={TRAINED: sha256},
        params=_facts(run.data.params),
    )


def finish_model(client: Any, run_id: str, sha256: str, *, epoch: int) -> None:
    """Give a model its metrics of one epoch's validation and of earlier evaluations; it is then READY."""
    model = the_model(client, run_id, sha256)
    run = client.get_run(run_id)
    known = run.outputs.model_outputs if run.outputs is not None else []
    if model.model_id not in {output.model_id for output in known}:
        client.log_outputs(run_id, [LoggedModelOutput(model.model_id, step=epoch)])
    _log_metrics(client, run, [model], split=VALIDATION, prefix=VALIDATED, step=epoch)
    client.finalize_logged_model(model.model_id, LoggedModelStatus.READY)
    wanted = f"tags.`{EVALUATED}` = '{sha256}'"  # sent before the training, from another outbox
    for evaluation in all_pages(client.search_runs, _experiments(client), filter_string=wanted):
        _link(client, evaluation, [model])


def link_evaluation(client: Any, run_id: str, sha256: str) -> int:
    """Give the metrics of an evaluation to the models that it measured; returns how many there are."""
    if not SHA256.fullmatch(sha256):
        return 0
    models = _models(client, _experiments(client), sha256)
    _link(client, client.get_run(run_id), models)
    return len(models)


def _link(client: Any, run: Any, models: Sequence[Any]) -> None:
    split = run.data.params.get("split", "")
    known = run.inputs.model_inputs if run.inputs is not None else []
    new = {model.model_id for model in models} - {given.model_id for given in known}
    if new:
        client.log_inputs(run.info.run_id, models=[LoggedModelInput(model_id) for model_id in sorted(new)])
    _log_metrics(client, run, models, split=split, prefix=split, step=0)


def _log_metrics(client: Any, run: Any, models: Sequence[Any], *, split: str, prefix: str, step: int) -> None:
    """Repeat a run's own metrics of one step for the models: the run has them once, as they are equal."""
    data = _dataset(run, split)
    metrics = [
        Metric(m.key, m.value, m.timestamp, m.step, model_id=model.model_id, **data)
        for m in _measured(client, run, prefix=prefix, step=step)
        for model in models
    ]
    for start in range(0, len(metrics), 1000):  # MLflow's limit for one request
        client.log_batch(run.info.run_id, metrics=metrics[start : start + 1000])


def _measured(client: Any, run: Any, *, prefix: str, step: int) -> Iterator[Any]:
    """A run's metrics of a split at one step; of several at the same step the last."""
    for latest in run.data._metric_objs:
        if not prefix or not latest.key.startswith(f"{prefix}_"):
            continue
        if latest.step == step:
            yield latest
            continue
        history = client.get_metric_history(run.info.run_id, latest.key)
        there = [metric for metric in history if metric.step == step]
        yield from sorted(there, key=lambda metric: metric.timestamp)[-1:]


def _dataset(run: Any, split: str) -> dict[str, str]:
    """The name and digest of the run's data set for a split; empty where it logged none."""
    inputs = run.inputs.dataset_inputs if run.inputs is not None else []
    for entry in inputs:
        if any(tag.key == "mlflow.data.context" and tag.value == split for tag in entry.tags):
            return {"dataset_name": entry.dataset.name, "dataset_digest": entry.dataset.digest}
    return {}


def _facts(params: Any) -> dict[str, str]:
    """Of a run's parameters those that say what the network is and what it saw."""
    names = ("dataset_digest", "input_size", "label_names", "seed", "training_frames", "training_groups")
    return {name: params[name] for name in params if name in names or name.startswith("network_def.")}


def _models(client: Any, experiments: Sequence[str], sha256: str) -> list[Any]:
    wanted = f"tags.`{TRAINED}` = '{sha256}'"
    return all_pages(client.search_logged_models, list(experiments), filter_string=wanted)


def _experiments(client: Any) -> list[str]:
    return [experiment.experiment_id for experiment in all_pages(client.search_experiments)]
