"""The tracking store: its address, its answer, its experiments, and the time limits of requests."""

from __future__ import annotations

import os
import threading
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit, urlunsplit

from filelock import FileLock
from mlflow.exceptions import MlflowException

from pyraseg.transforms.errors import OutputError, TrackingError

__all__ = [
    "answers",
    "bounded_requests",
    "default_tracking_uri",
    "experiment_id",
    "one_at_a_time",
    "require_reachable",
    "without_login",
]

URI_VARIABLE = "MLFLOW_TRACKING_URI"
SQLITE = "sqlite:///"
PROBE_SECONDS = 5.0
# MLflow's 7 retries of 120 s with back-off take minutes when the server is away. The outbox retries.
REQUEST_LIMITS = {"MLFLOW_HTTP_REQUEST_MAX_RETRIES": "0", "MLFLOW_HTTP_REQUEST_TIMEOUT": "60"}


def default_tracking_uri(folder: str | Path) -> str:
    """``MLFLOW_TRACKING_URI`` where it is set, else a sqlite store ``mlruns.db`` in ``folder``."""
    return os.environ.get(URI_VARIABLE) or f"{SQLITE}{Path(folder).resolve() / 'mlruns.db'}"


def without_login(tracking_uri: str) -> str:
    """The address without ``user:password@``, fit to be written to a file."""
    parts = urlsplit(tracking_uri)
    if "@" not in parts.netloc or not _is_server(tracking_uri):
        return tracking_uri
    return urlunsplit(parts._replace(netloc=parts.netloc.rpartition("@")[2]))


def require_reachable(tracking_uri: str) -> None:
    """Fail within seconds where there is no store.

    Raises:
        TrackingError: no server answers, or the URI is of another form.
        OutputError: the folder of the sqlite file cannot be made.
    """
    if _is_server(tracking_uri):
        _require_server(tracking_uri)
    elif tracking_uri.startswith(SQLITE):
        _require_folder(Path(tracking_uri.removeprefix(SQLITE)).parent)
    else:
        raise TrackingError(
            "a tracking URI of the form sqlite:///FILE.db or http://HOST:PORT",
            found="another form; MLflow no longer takes plain folders",
            remedy="Use --tracking_uri sqlite:///FOLDER/mlruns.db.",
        )


def answers(tracking_uri: str) -> bool:
    """Whether the store answers: a stopped server costs seconds here and minutes in MLflow's client."""
    try:
        require_reachable(tracking_uri)
    except (TrackingError, OutputError):
        return False
    return True


def experiment_id(client: Any, name: str) -> str:
    """The id of the experiment with this name, which the first process makes."""
    experiment = client.get_experiment_by_name(name)
    if experiment is None:
        try:
            return client.create_experiment(name, artifact_location=_artifact_location(client.tracking_uri))
        except MlflowException as error:
            experiment = client.get_experiment_by_name(name)
            if error.error_code != "RESOURCE_ALREADY_EXISTS" or experiment is None:
                raise
    return experiment.experiment_id


@contextmanager
def one_at_a_time(tracking_uri: str) -> Iterator[None]:
    """Let one process at a time open a sqlite store: two that both make its tables corrupt it."""
    if not tracking_uri.startswith(SQLITE):
        yield
        return
    lock = FileLock(f"{tracking_uri.removeprefix(SQLITE)}.lock")
    try:
        lock.acquire()
    except (OSError, NotImplementedError) as error:  # a folder that is read only, a file system without locks
        raise OutputError(
            "a lock beside the tracking database",
            found=f"one that cannot be had ({getattr(error, 'strerror', None) or type(error).__name__})",
            remedy="Name another place with --tracking_uri sqlite:///FOLDER/mlruns.db.",
            path=lock.lock_file,
        ) from error
    try:
        yield
    finally:
        lock.release()


class _Limits:
    """The environment's request limits, shared by all trackers of the process; the last one restores them."""

    users = 0
    before: dict[str, str | None] = {}  # noqa: RUF012
    lock = threading.Lock()


@contextmanager
def bounded_requests() -> Iterator[None]:
    """Shorten the timeouts of MLflow's client inside the block; limits that the user has set stay.

    MLflow reads its limits from the environment alone, at each request.
    """
    with _Limits.lock:
        if _Limits.users == 0:
            _Limits.before = {name: os.environ.get(name) for name in REQUEST_LIMITS}
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
                for name in (name for name, value in _Limits.before.items() if value is None):
                    os.environ.pop(name, None)


def _is_server(tracking_uri: str) -> bool:
    return tracking_uri.startswith(("http://", "https://"))


def _artifact_location(tracking_uri: str) -> str | None:
    """Artifacts of a sqlite store lie beside the database; a server decides for itself."""
    if not tracking_uri.startswith(SQLITE):
        return None
    return (Path(tracking_uri.removeprefix(SQLITE)).resolve().parent / "mlruns").as_uri()


def _require_server(tracking_uri: str) -> None:
    try:
        urllib.request.urlopen(
            f"{without_login(tracking_uri).rstrip('/')}/health", timeout=PROBE_SECONDS
        ).close()
    except urllib.error.HTTPError as error:
        if error.code in (502, 503, 504):
            raise _no_answer(f"status {error.code}") from error  # a proxy before a server that is away
        # something else answers: a proxy may not pass /health on, or want a login
    except (OSError, ValueError) as error:
        raise _no_answer(str(getattr(error, "reason", error))) from error


def _no_answer(reason: str) -> TrackingError:
    return TrackingError(
        "a MLflow server that answers",
        found=f"no answer ({reason})",
        remedy="Start the server, correct --tracking_uri or MLFLOW_TRACKING_URI, "
        "or leave both out to log to a local sqlite file.",
    )


def _require_folder(folder: Path) -> None:
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise OutputError(
            "a folder for the tracking database",
            found=f"one that cannot be made ({error.strerror})",
            remedy="Name another place with --tracking_uri sqlite:///FOLDER/mlruns.db.",
            path=folder,
        ) from error
