"""MLflow tracking of one run: parameters, loss, learning rate, validation metrics, artifacts, and a true final status.

MONAI's ``MLFlowHandler`` joins any unfinished run when it has no run name and leaves a crashed run RUNNING; here every
run is its own, and ends FINISHED, FAILED or KILLED. Nothing identifying is sent: no path, no name; cases go by their
hash.
"""

from __future__ import annotations

import json
import logging
import os
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any

import numpy as np

from transforms.errors import OutputError, TrackingError

if TYPE_CHECKING:
    from ignite.engine import Engine

__all__ = ["RunTracker", "default_tracking_uri", "safe_parameters"]

logger = logging.getLogger(__name__)

URI_VARIABLE = "MLFLOW_TRACKING_URI"
FLUSH_SECONDS = 10.0  # one request for many steps: a commit per iteration costs more than a small network's iteration
PARAMETER_LENGTH = 500  # what a MLflow server of any version stores
PLACES = ("checkpoint", "datalist", "dir", "file", "folder", "image", "label", "path", "pretrained", "root", "uri")
METRICS_PER_BATCH = 1000  # MLflow's limit for one request


def default_tracking_uri(folder: str | Path) -> str:
    """``MLFLOW_TRACKING_URI`` where it is set, else a sqlite store ``mlruns.db`` in ``folder``."""
    return os.environ.get(URI_VARIABLE) or f"sqlite:///{Path(folder).resolve() / 'mlruns.db'}"


def safe_parameters(parameters: Mapping[str, Any]) -> dict[str, str]:
    """Flatten to MLflow parameters, every path replaced by ``<path>``: a path may hold a name."""
    safe: dict[str, str] = {}
    for key, value in parameters.items():
        if isinstance(value, Mapping):
            safe |= {f"{key}.{name}": inner for name, inner in safe_parameters(value).items()}
        else:
            safe[key] = "<path>" if _names_place(key) or _is_path(value) else str(value)[:PARAMETER_LENGTH]
    return safe


class RunTracker:
    """One MLflow run, and the Ignite handler that feeds it.

    Use it as a context manager around ``trainer.run()`` and put it among the handlers of the trainer and of the
    evaluator::

        with tracker:
            trainer.run()

    Args:
        tracking_uri: a MLflow server, or ``sqlite:///...``.
        experiment_name, run_name: as MLflow shows them; without a run name MLflow's own time stamp is used.
        parameters: logged once at the start, through ``safe_parameters``.
        enabled: False makes every call do nothing (a second process of a distributed run, or tracking switched off).

    Raises:
        TrackingError: on entering, when the server cannot be reached or the experiment is deleted.
    """

    def __init__(
        self,
        tracking_uri: str,
        *,
        experiment_name: str,
        run_name: str | None = None,
        parameters: Mapping[str, Any] | None = None,
        enabled: bool = True,
    ) -> None:
        self.tracking_uri = tracking_uri
        self.experiment_name = experiment_name
        self.run_name = run_name or time.strftime("%Y-%m-%d %H:%M:%S")
        self.parameters = dict(parameters or {})
        self.enabled = enabled
        self.run_id: str | None = None
        self.epoch = 0
        self._client: Any = None
        self._buffer: list[Any] = []
        self._flushed = time.monotonic()

    def __enter__(self) -> RunTracker:
        if not self.enabled:
            return self
        import mlflow

        _require_reachable(self.tracking_uri)
        try:
            self._client = mlflow.MlflowClient(tracking_uri=self.tracking_uri)
            self.run_id = self._client.create_run(self._experiment_id(), run_name=self.run_name).info.run_id
        except mlflow.exceptions.MlflowException as error:
            raise TrackingError(
                "a tracking store that accepts a new run",
                found=f"a refusal ({str(error).splitlines()[0][:200]})",
                remedy="Check --tracking_uri and --experiment_name, or choose another experiment.",
            ) from error
        self.log_parameters(self.parameters)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if self.run_id is None:
            return
        self.flush()
        if kind is None:
            status = "FINISHED"
        else:
            status = "KILLED" if issubclass(kind, KeyboardInterrupt) else "FAILED"
            self._client.set_tag(self.run_id, "error", kind.__name__)
        self._client.set_terminated(self.run_id, status)

    def attach(self, engine: Engine) -> None:
        """Follow a trainer (loss, learning rate) or an evaluator (its metrics, at the trainer's epoch)."""
        from ignite.engine import Events
        from monai.engines import Trainer

        if isinstance(engine, Trainer):
            engine.add_event_handler(Events.EPOCH_STARTED, self._epoch_started)
            engine.add_event_handler(Events.ITERATION_COMPLETED, self._iteration_completed)
        engine.add_event_handler(Events.EPOCH_COMPLETED, self._epoch_completed)

    def log_metrics(self, metrics: Mapping[str, Any], *, step: int) -> None:
        """Queue every scalar of ``metrics``; NaN (a class without a case) is left out."""
        if self.run_id is None:
            return
        from mlflow.entities import Metric

        now = int(time.time() * 1000)
        scalars = {k: float(v) for k, v in metrics.items() if np.ndim(v) == 0 and np.isfinite(float(v))}
        self._buffer += [Metric(key, value, now, step) for key, value in scalars.items()]
        if time.monotonic() - self._flushed > FLUSH_SECONDS:
            self.flush()

    def log_parameters(self, parameters: Mapping[str, Any]) -> None:
        """Log parameters, without paths."""
        if self.run_id is None:
            return
        from mlflow.entities import Param

        safe = [Param(key, value) for key, value in safe_parameters(parameters).items()]
        for start in range(0, len(safe), 100):
            self._client.log_batch(self.run_id, params=safe[start : start + 100])

    def log_file(self, path: str | Path, folder: str = "") -> None:
        """Store a file as an artifact."""
        if self.run_id is not None:
            self._client.log_artifact(self.run_id, str(path), folder or None)

    def log_image(self, image: np.ndarray, name: str) -> None:
        """Store an (H, W, 3) uint8 picture as an artifact; ``name`` ends in ``.png``."""
        if self.run_id is None:
            return
        from PIL import Image

        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / Path(name).name
            Image.fromarray(image).save(path)
            self.log_file(path, str(Path(name).parent))

    def log_json(self, content: Mapping[str, Any], name: str) -> None:
        """Store a JSON document as an artifact."""
        if self.run_id is not None:
            self._client.log_text(self.run_id, json.dumps(content, indent=1), name)

    def flush(self) -> None:
        """Send what is queued."""
        queued, self._buffer = self._buffer, []
        for start in range(0, len(queued), METRICS_PER_BATCH):
            self._client.log_batch(self.run_id, metrics=queued[start : start + METRICS_PER_BATCH])
        self._flushed = time.monotonic()

    def _experiment_id(self) -> str:
        found = self._client.get_experiment_by_name(self.experiment_name)
        if found is not None:
            return found.experiment_id
        return self._client.create_experiment(self.experiment_name, artifact_location=self._artifact_location())

    def _artifact_location(self) -> str | None:
        """A sqlite store keeps its artifacts beside the database; a server decides for itself."""
        prefix = "sqlite:///"
        if not self.tracking_uri.startswith(prefix):
            return None
        return (Path(self.tracking_uri.removeprefix(prefix)).resolve().parent / "mlruns").as_uri()

    def _epoch_started(self, engine: Engine) -> None:
        self.epoch = engine.state.epoch

    def _iteration_completed(self, engine: Engine) -> None:
        loss = engine.state.output[0]["loss"] if isinstance(engine.state.output, list) else engine.state.output["loss"]
        rate = engine.optimizer.param_groups[0]["lr"]
        self.log_metrics({"loss": float(loss), "learning_rate": rate}, step=engine.state.iteration)

    def _epoch_completed(self, engine: Engine) -> None:
        self.log_metrics(engine.state.metrics, step=self.epoch)


def _names_place(key: str) -> bool:
    """Whether a parameter's name says that it holds a path or an address: ``DOE_JANE`` alone does not look like one."""
    return key.replace("::", ".").split(".")[-1].split("_")[-1].lower() in PLACES


def _is_path(value: Any) -> bool:
    if isinstance(value, list | tuple):
        return any(_is_path(entry) for entry in value)
    return isinstance(value, Path) or (isinstance(value, str) and any(sign in value for sign in "/\\~"))


def _require_reachable(tracking_uri: str) -> None:
    """Fail within seconds: MLflow's own retries take minutes to give up on a server that is not there."""
    if tracking_uri.startswith(("http://", "https://")):
        try:
            urllib.request.urlopen(f"{tracking_uri.rstrip('/')}/health", timeout=5).close()
        except urllib.error.HTTPError:
            return  # something answers; a proxy may not pass /health on
        except (OSError, ValueError) as error:
            reason = getattr(error, "reason", error)
            raise TrackingError(
                "a MLflow server that answers",
                found=f"no answer ({reason})",
                remedy="Start the server, correct --tracking_uri or MLFLOW_TRACKING_URI, "
                "or leave both out to log to a local sqlite file.",
            ) from error
    elif tracking_uri.startswith("sqlite:///"):
        folder = Path(tracking_uri.removeprefix("sqlite:///")).parent
        try:
            folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise OutputError(
                "a folder for the tracking database",
                found=f"one that cannot be made ({error.strerror})",
                remedy="Name another place with --tracking_uri sqlite:///FOLDER/mlruns.db.",
                path=folder,
            ) from error
    else:
        raise TrackingError(
            "a tracking URI of the form sqlite:///FILE.db or http://HOST:PORT",
            found="another form; MLflow no longer takes plain folders",
            remedy="Use --tracking_uri sqlite:///FOLDER/mlruns.db.",
        )
