"""Send an outbox to the store: in order, in few requests, in the background, until it arrives."""

from __future__ import annotations

import json
import logging
import shutil
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from itertools import groupby
from typing import Any

from mlflow.entities import Dataset, DatasetInput, InputTag, Metric, Param, RunTag
from mlflow.exceptions import MlflowException

from pyraseg.pipeline.tracking.logged_model import finish_model, link_evaluation, the_model
from pyraseg.pipeline.tracking.outbox import Entry, Outbox
from pyraseg.pipeline.tracking.refusal import Refusal, refusal
from pyraseg.pipeline.tracking.store import require_reachable
from pyraseg.transforms.errors import PyrasegError

__all__ = ["BackgroundSender", "Sender"]

logger = logging.getLogger(__name__)

# one request for many steps: a commit per iteration costs more than a small network's iteration
SEND_SECONDS = 5.0
LONGEST_WAIT = 60.0  # seconds between two attempts to reach a server that is away
LINES_AT_ONCE = 2000
LIMITS = {"metrics": 1000, "params": 100, "tags": 100}  # MLflow's for one request
# A server before MLflow 3, and one where this login may not write to another's model
NO_MODELS = ("ENDPOINT_NOT_FOUND", "PERMISSION_DENIED")


class Sender:
    """Sends the entries of an outbox to an MLflow client."""

    def __init__(self, client: Any, outbox: Outbox, *, run_id: str) -> None:
        self.client = client
        self.outbox = outbox
        self.run_id = run_id
        self.stopped = threading.Event()
        self.failure: Refusal | None = None  # why the last attempt failed

    def send_waiting(self) -> bool:
        """Send the waiting entries. True once none is left, False if the store is away or fails.

        Entries that the store refuses for good are set aside.
        """
        if not self.outbox.waiting(1):
            return True
        error = _error_of(self._send_all)
        if error is not None:
            self.failure = _reason(error)
            logger.debug("sending to MLflow failed: %s", self.failure.found)
        elif not self.stopped.is_set():
            self.failure = None
        return error is None

    def send_status(self, status: str) -> None:
        """Tell the store how the run ended before all else has arrived, if it answers."""

        def send() -> None:
            require_reachable(self.client.tracking_uri)
            self.client.set_terminated(self.run_id, status)

        _error_of(send)

    def _send_all(self) -> None:
        require_reachable(self.client.tracking_uri)
        while not self.stopped.is_set() and (entries := self.outbox.waiting(LINES_AT_ONCE)):
            for kind, group in groupby(entries, key=lambda pair: pair[1]["kind"]):
                if not self.stopped.is_set():
                    self._send_kind(kind, list(group))

    def _send_kind(self, kind: str, group: Sequence[tuple[int, Entry]]) -> None:
        if kind not in LIMITS:
            for position, entry in group:
                self._offer(kind, [entry])
                self.outbox.advance(position)
            return
        singles = [single for _, entry in group for single in _singles(entry)]
        for start in range(0, len(singles), LIMITS[kind]):
            self._offer(kind, singles[start : start + LIMITS[kind]])
        self.outbox.advance(group[-1][0])

    def _offer(self, kind: str, entries: Sequence[Entry]) -> None:
        """Send entries of one kind; find the bad entries of a refused request."""
        error = _error_of(lambda: self._send(kind, entries))
        if error is None:
            return
        reason = _reason(error)
        if not reason.final:
            raise error
        if len(entries) == 1:
            self.outbox.set_aside(entries[0], reason.found)
            what = self.outbox.describe(entries[0])
            logger.warning("the tracking store does not take %s: %s. %s.", what, reason.found, reason.remedy)
            return
        half = len(entries) // 2
        self._offer(kind, entries[:half])
        self._offer(kind, entries[half:])

    def _send(self, kind: str, entries: Sequence[Entry]) -> None:
        (first, *_) = entries
        if kind == "metrics":
            metrics = [Metric(e["key"], e["value"], e["time"], e["step"]) for e in entries]
            self.client.log_batch(self.run_id, metrics=metrics)
        elif kind == "params":
            self.client.log_batch(self.run_id, params=[Param(e["key"], e["value"]) for e in entries])
        elif kind == "tags":
            self.client.log_batch(self.run_id, tags=[RunTag(e["key"], e["value"]) for e in entries])
        elif kind == "file":
            self._send_file(first)
        elif kind == "dataset":
            self._send_dataset(first)
        elif kind in ("trained", "evaluated"):
            self._send_model(kind, first)
        elif kind == "untag":
            self.client.delete_tag(self.run_id, first["key"])
        elif first["status"] == "FINISHED" and self.outbox.lacks_files():
            self.outbox.set_aside(first, "files of the run are not stored")
        elif first["status"] == "RUNNING":
            self.client.update_run(self.run_id, status="RUNNING")
        else:
            self.client.set_terminated(self.run_id, first["status"], end_time=first["time"])

    def _send_file(self, entry: Entry) -> None:
        path = self.outbox.folder / entry["source"]
        if not path.exists():  # a newer one for the same path stands behind it
            return
        try:
            if "model" in entry:
                self._send_model("file", entry)
            else:
                self.client.log_artifact(self.run_id, str(path), entry["folder"] or None)
        except Exception:  # artifact stores raise types of foreign libraries
            if path.exists():
                raise
        shutil.rmtree(path.parent, ignore_errors=True)

    def _send_model(self, kind: str, entry: Entry) -> None:
        """Send what belongs to a LoggedModel; a run is whole without."""
        try:
            if kind == "file":
                model = the_model(self.client, self.run_id, entry["model"])
                path = str(self.outbox.folder / entry["source"])
                self.client.log_model_artifact(model.model_id, path, entry["folder"] or None)
            elif kind == "trained":
                finish_model(self.client, self.run_id, entry["sha256"], epoch=entry["epoch"])
            elif not link_evaluation(self.client, self.run_id, entry["sha256"]):
                logger.info("the store has no model of this checkpoint: its metrics are the run's alone")
        except MlflowException as error:
            if error.error_code not in NO_MODELS:
                raise
            logger.info("this server takes no metrics for a model (%s)", error.error_code)

    def _send_dataset(self, entry: Entry) -> None:
        source = json.dumps({"uri": f"runs:/{self.run_id}/split.json"})  # "local" is a type that MLflow shows
        dataset = Dataset(entry["name"], entry["digest"], "local", source, profile=entry["profile"])
        tags = [InputTag("mlflow.data.context", entry["context"])]
        self.client.log_inputs(self.run_id, datasets=[DatasetInput(dataset, tags)])


class BackgroundSender:
    """A thread that empties an outbox during the training."""

    def __init__(self, sender: Sender) -> None:
        self.sender = sender
        self._wake = threading.Event()
        self._closing = threading.Event()
        self._done = threading.Event()
        self._failing = False
        self._thread = threading.Thread(target=self._run, name="mlflow-sender", daemon=True)
        self._thread.start()

    def wake(self) -> None:
        """Send now instead of after a few seconds."""
        self._wake.set()

    def close(self, *, patience: float, longest: float = 600.0, hurry: threading.Event | None = None) -> bool:
        """Send the rest and end; False where entries still wait.

        Args:
            hurry: once it is set, the rest is left to wait.
            patience: seconds to go on while the store is away.
            longest: seconds to wait for a store that is receiving, a large checkpoint for example.
        """
        self._closing.set()
        self._wake.set()
        start = time.monotonic()
        while self._thread.is_alive() and not self._done.wait(0.02):
            passed = time.monotonic() - start
            hurried = hurry is not None and hurry.is_set()
            if hurried or passed > longest or (self._failing and passed > patience):
                break
        self.sender.stopped.set()
        self._wake.set()
        self._thread.join(timeout=1.0)  # it may be in a request
        return self._done.is_set()

    def _run(self) -> None:
        pauses = _pauses()
        while not self.sender.stopped.is_set():
            self._wake.wait(0.5 if self._closing.is_set() and self._failing else next(pauses))
            self._wake.clear()
            self._failing = not self.sender.send_waiting()
            if not self._failing:
                pauses = _pauses()
            if self._closing.is_set() and not self._failing and not self.sender.outbox.waiting(1):
                self._done.set()
                return


def _pauses() -> Iterator[float]:
    """Seconds before the next attempt: the usual ones, then longer and longer."""
    seconds = SEND_SECONDS
    while True:
        yield seconds
        seconds = min(2 * seconds, LONGEST_WAIT)


def _singles(entry: Entry) -> Iterator[Entry]:
    """Split journal entries, which hold all metrics of a step or all parameters, into single values."""
    if "values" not in entry:  # set aside before
        return iter([entry])
    shared = {name: value for name, value in entry.items() if name != "values"}
    return ({**shared, "key": key, "value": value} for key, value in entry["values"].items())


def _error_of(action: Callable[[], None]) -> Exception | None:
    try:
        action()
    except Exception as error:  # artifact stores raise types of foreign libraries
        return error
    return None


def _reason(error: Exception) -> Refusal:
    if isinstance(error, PyrasegError):
        return Refusal(error.found, error.remedy.rstrip("."))
    return refusal(error)
