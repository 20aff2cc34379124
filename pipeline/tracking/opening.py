"""Make a run in the store, or find the one to continue and its last steps."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import mlflow
from mlflow.exceptions import MlflowException
from mlflow.tracking.context.default_context import DefaultRunContext

from pyraseg.pipeline.tracking.refusal import store_errors
from pyraseg.pipeline.tracking.sqlite import one_at_a_time
from pyraseg.pipeline.tracking.store import the_experiment
from pyraseg.transforms.errors import TrackingError

__all__ = ["OpenRun", "account", "open_run"]


@dataclass(frozen=True)
class OpenRun:
    """A run in the store: its client, its experiment and its present content.

    Attributes:
        status: RUNNING, FINISHED, FAILED or KILLED in the store; RUNNING is stale in a resumed run.
        last_steps: of each metric, the last step in the store.
    """

    client: Any
    run_id: str
    experiment_name: str
    status: str = "RUNNING"
    params: Mapping[str, str] = field(default_factory=dict)
    tags: Mapping[str, str] = field(default_factory=dict)
    last_steps: Mapping[str, int] = field(default_factory=dict)


def account() -> str:
    """Who MLflow says has made a run: the login for the server, else that of the machine."""
    try:
        return str(DefaultRunContext().tags()["mlflow.user"])
    except (KeyError, OSError):  # an account without a name, as in a container
        return "unknown"


def open_run(
    tracking_uri: str,
    *,
    run_id: str | None,
    experiment_name: str | None,
    run_name: str,
    tags: Mapping[str, str],
) -> OpenRun:
    """Make a run, or look up ``run_id``.

    Raises:
        TrackingError: the store refuses, or has no such run.
    """
    remedy = "Check --tracking_uri and --experiment_name, or choose another experiment"
    with one_at_a_time(tracking_uri), store_errors("a tracking store that accepts the run", remedy=remedy):
        client = mlflow.MlflowClient(tracking_uri=tracking_uri)
        if run_id is not None:
            return _find(client, run_id)
        experiment = the_experiment(client, experiment_name)
        run = client.create_run(experiment.experiment_id, run_name=run_name, tags=dict(tags))
    return OpenRun(client, run.info.run_id, experiment.name)


def _find(client: Any, run_id: str) -> OpenRun:
    try:
        run = client.get_run(run_id)
    except MlflowException as error:
        if error.error_code not in ("RESOURCE_DOES_NOT_EXIST", "INVALID_PARAMETER_VALUE"):
            raise
        raise _no_such_run("none in this store") from error
    if run.info.lifecycle_stage != "active":
        raise _no_such_run("a deleted one")
    # the store keeps the latest value of each metric with its step: no need to read whole histories
    steps = {metric.key: metric.step for metric in run.data._metric_objs}
    experiment = client.get_experiment(run.info.experiment_id)
    return OpenRun(client, run_id, experiment.name, run.info.status, run.data.params, run.data.tags, steps)


def _no_such_run(found: str) -> TrackingError:
    return TrackingError(
        "the MLflow run to go on in",
        found=found,
        remedy="Check --tracking_uri, restore the run, or log the rest to a new one: --mlflow_run_id new.",
    )
