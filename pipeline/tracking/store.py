"""The tracking store: its address, its answer, its experiments, and the time limits of requests."""

from __future__ import annotations

import logging
import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from mlflow import MlflowClient
from mlflow.exceptions import MlflowException
from mlflow.utils.credentials import get_default_host_creds
from mlflow.utils.rest_utils import http_request, verify_rest_response

from pyraseg.pipeline.tracking.refusal import store_errors
from pyraseg.pipeline.tracking.sqlite import (
    ARTIFACTS,
    SQLITE,
    database_file,
    one_at_a_time,
    prepare_database,
)
from pyraseg.transforms.errors import TrackingError

__all__ = [
    "all_pages",
    "bounded_requests",
    "default_experiment",
    "default_tracking_uri",
    "read_store",
    "require_reachable",
    "the_experiment",
]

READABLE = "a MLflow store that can be read"
READABLE_REMEDY = "Check --tracking_uri, whether the server runs, and whether it still has the runs' files"
BARS = "MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR"
URI_VARIABLE = "MLFLOW_TRACKING_URI"
EXPERIMENT_VARIABLES = ("MLFLOW_EXPERIMENT_NAME", "MLFLOW_EXPERIMENT_ID")
PROBE_SECONDS = 10
# MLflow's 7 retries of 120 s with back-off take minutes when the server is away. The outbox retries.
TIMEOUT = "MLFLOW_HTTP_REQUEST_TIMEOUT"
REQUEST_LIMITS = {"MLFLOW_HTTP_REQUEST_MAX_RETRIES": "0", TIMEOUT: "60"}
DATABASE_LOG = logging.getLogger("mlflow.store.db.utils")  # a traceback for each failure, with the values


def default_tracking_uri(folder: str | Path) -> str:
    """``MLFLOW_TRACKING_URI`` where it is set, else a sqlite store ``mlruns.db`` in ``folder``."""
    return os.environ.get(URI_VARIABLE) or f"{SQLITE}{Path(folder).resolve() / 'mlruns.db'}"


def require_reachable(tracking_uri: str) -> None:
    """Fail within seconds where there is no store. Of addresses of other forms MLflow speaks itself.

    Raises:
        TrackingError: no server answers, it refuses, or the database cannot be read.
        OutputError: the folder of the sqlite file cannot be made.
    """
    if tracking_uri.startswith(("http://", "https://")):
        _ask_server(tracking_uri)
    elif (file := database_file(tracking_uri)) is not None:
        prepare_database(file)


@contextmanager
def read_store(tracking_uri: str) -> Iterator[Any]:
    """MLflow's client of a store that is there; nothing is created.

    Raises:
        TrackingError: none is there, or it does not answer.
    """
    file = database_file(tracking_uri)
    if file is not None and not file.is_file():
        raise TrackingError(
            "the sqlite file of a MLflow store",
            found="nothing of this name",
            remedy="Name it with --tracking_uri sqlite:///FOLDER/mlruns.db, or the bundle with --bundle.",
            path=file,
        )
    require_reachable(tracking_uri)
    with bounded_requests(), _no_bars():
        with one_at_a_time(tracking_uri), store_errors(READABLE, remedy=READABLE_REMEDY):
            client = MlflowClient(tracking_uri=tracking_uri)
            client.search_experiments(max_results=1)
        yield client


@contextmanager
def _no_bars() -> Iterator[None]:
    """Hide MLflow's progress bar for each file; only the environment can set this."""
    ours = BARS not in os.environ
    os.environ.setdefault(BARS, "false")
    try:
        yield
    finally:
        if ours:
            os.environ.pop(BARS, None)


def default_experiment(name: str) -> str | None:
    """``name``, or None where MLflow's environment names the experiment."""
    return None if any(map(os.environ.get, EXPERIMENT_VARIABLES)) else name


def the_experiment(client: Any, name: str | None) -> Any:
    """The experiment with this name, which the first process makes; None: that of the environment.

    Raises:
        TrackingError: it is deleted, or the environment names none, or two.
    """
    if name is not None:
        return _require_active(_by_name(client, name))
    named, number = map(os.environ.get, EXPERIMENT_VARIABLES)
    if not named and not number:
        found = f"none, nor one in {' or '.join(EXPERIMENT_VARIABLES)}"
        raise TrackingError("the name of an experiment", found=found, remedy="Give --experiment_name.")
    experiment = _by_name(client, named) if named else client.get_experiment(number)
    if number and experiment.experiment_id != number:
        found = f"{EXPERIMENT_VARIABLES[1]} of another than {EXPERIMENT_VARIABLES[0]}"
        raise TrackingError("one experiment", found=found, remedy="Unset one of the two.")
    return _require_active(experiment)


def all_pages(search: Any, *arguments: Any, **options: Any) -> list[Any]:
    """What all pages of a search of MLflow's client hold."""
    page = search(*arguments, **options)
    found = list(page)
    while page.token:
        page = search(*arguments, page_token=page.token, **options)
        found += page
    return found


def _by_name(client: Any, name: str) -> Any:
    experiment = client.get_experiment_by_name(name)
    if experiment is None:
        file = database_file(client.tracking_uri)  # its artifacts lie beside it; a server decides for itself
        location = None if file is None else (file.resolve().parent / ARTIFACTS).as_uri()
        try:
            client.create_experiment(name, artifact_location=location)
        except MlflowException as error:
            if error.error_code != "RESOURCE_ALREADY_EXISTS":
                raise
        experiment = client.get_experiment_by_name(name)
    return experiment


def _require_active(experiment: Any) -> Any:
    if experiment.lifecycle_stage != "active":
        remedy = f"Restore it with `mlflow experiments restore --experiment-id {experiment.experiment_id}`"
        remedy += ", or choose another with --experiment_name."
        raise TrackingError(
            "an experiment to log to", found=f"the deleted one {experiment.name!r}", remedy=remedy
        )
    return experiment


class _Limits:
    """The environment's request limits, shared by all trackers of the process; the last one restores them."""

    users = 0
    before: dict[str, str | None] = {}  # noqa: RUF012
    level = logging.NOTSET
    lock = threading.Lock()

    @classmethod
    def of_user(cls, seconds: float) -> float:
        """The timeout that the user has set; else ``seconds``."""
        given = cls.before.get(TIMEOUT) if cls.users else os.environ.get(TIMEOUT)
        return float(given) if given else seconds


@contextmanager
def bounded_requests() -> Iterator[None]:
    """Shorten the timeouts of MLflow's client inside the block; limits that the user has set stay.

    MLflow reads its limits from the environment alone, at each request. Its database's tracebacks are silent:
    the reason comes as an error.
    """
    with _Limits.lock:
        if _Limits.users == 0:
            _Limits.before = {name: os.environ.get(name) for name in REQUEST_LIMITS}
            _Limits.level = DATABASE_LOG.level
            DATABASE_LOG.setLevel(logging.CRITICAL)
            os.environ.update(
                {name: value for name, value in REQUEST_LIMITS.items() if name not in os.environ}
            )
        _Limits.users += 1
    try:
        yield
    finally:
        with _Limits.lock:
            _Limits.users -= 1
            if _Limits.users == 0:
                DATABASE_LOG.setLevel(_Limits.level)
                for name in (name for name, value in _Limits.before.items() if value is None):
                    os.environ.pop(name, None)


def _ask_server(tracking_uri: str) -> None:
    """Ask as MLflow's client does, with its logins and certificates, and with less patience."""
    endpoint = "/api/2.0/mlflow/experiments/search"
    asked = {"params": {"max_results": 1}, "max_retries": 0, "raise_on_status": False}
    with store_errors("a MLflow server that answers"):
        creds = get_default_host_creds(tracking_uri)
        verify_rest_response(
            http_request(creds, endpoint, "GET", timeout=_Limits.of_user(PROBE_SECONDS), **asked), endpoint
        )
