"""One MLflow run from its opening to its true final status: resumable, and independent of the server."""

from __future__ import annotations

import json
import logging
import os
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import ExitStack
from pathlib import Path
from types import TracebackType
from typing import Any

from pyraseg.pipeline.tracking.failure import describe_error, error_name, final_status
from pyraseg.pipeline.tracking.log import RunLog, now
from pyraseg.pipeline.tracking.opening import OpenRun, account, open_run
from pyraseg.pipeline.tracking.outbox import Entry, Outbox
from pyraseg.pipeline.tracking.refusal import without_login
from pyraseg.pipeline.tracking.sender import BackgroundSender, Sender
from pyraseg.pipeline.tracking.store import bounded_requests, require_reachable
from pyraseg.pipeline.tracking.system import PREFIX as SYSTEM
from pyraseg.pipeline.tracking.system import SystemSampler
from pyraseg.pipeline.utils.distributed import is_main
from pyraseg.pipeline.utils.environment import describe_environment
from pyraseg.pipeline.utils.signals import signals_unwind, signals_wait
from pyraseg.pipeline.utils.without_paths import PARAMETER_LENGTH, safe_config, safe_parameters
from pyraseg.transforms.errors import OutputError

__all__ = ["RunTracker"]

logger = logging.getLogger(__name__)

RUN_VARIABLE = "MLFLOW_RUN_ID"
PATIENCE = 30.0  # seconds to wait, at the end, for a server that is away
PATIENCE_KILLED = 5.0  # a scheduler that sent SIGTERM sends SIGKILL soon


class RunTracker(RunLog):
    """One MLflow run, and the Ignite handler that feeds it.

    Use it as a context manager around ``trainer.run()`` and put it among the handlers of the trainer and of
    the evaluator::

        with tracker:
            trainer.run()

    Entries go to an outbox on disk and from there, in the background, to the store. Logging never waits for a
    server; unsent entries stay for a resumed run or for ``pyraseg sync``.

    Args:
        tracking_uri: an MLflow server, or ``sqlite:///...``.
        experiment_name: as MLflow shows it; None: the one of ``MLFLOW_EXPERIMENT_NAME`` or ``_ID``.
        run_name: without one the date and time are used.
        parameters: logged once at the start, through ``safe_parameters``.
        enabled: False makes every call do nothing. Of a distributed run only the first process logs.
        run_id: continue this run; None: the one of ``MLFLOW_RUN_ID``, else make one; "new": make one. No
            step of a metric is logged twice, and a changed parameter becomes the tag ``resumed.<name>``.
        parent_run_id: show the run below this one, as a fold of a cross-validation.
        tags: set on the run.
        outbox_dir: folder of the entries that wait; None for a temporary one.
        config: the resolved config, kept as ``config.yaml`` without paths.
        split: the cases of each split by their hashes, kept as ``split.json``; see ``split_record``.
        patience: seconds to wait, at the end, for a server that is away.

    Raises:
        TrackingError: on entering: the store cannot be reached or refuses, the experiment is deleted, or the
            run to continue does not exist or is in use by another process.
        OutputError: the outbox cannot be written.
    """

    def __init__(
        self,
        tracking_uri: str,
        *,
        experiment_name: str | None,
        run_name: str | None = None,
        parameters: Mapping[str, Any] | None = None,
        enabled: bool = True,
        run_id: str | None = None,
        parent_run_id: str | None = None,
        tags: Mapping[str, str] | None = None,
        outbox_dir: str | Path | None = None,
        config: Mapping[str, Any] | None = None,
        split: Mapping[str, Any] | None = None,
        patience: float = PATIENCE,
    ) -> None:
        super().__init__()
        self.tracking_uri = tracking_uri
        self.experiment_name = experiment_name
        self.run_name = run_name or time.strftime("%Y-%m-%d %H:%M:%S")
        self.parameters = dict(parameters or {})
        self.enabled = enabled
        self.parent_run_id = parent_run_id
        self.tags = dict(tags or {})
        self.outbox_dir = outbox_dir
        self.config = config
        self.split = split
        self.patience = patience
        self.run_id: str | None = None
        self._run_id = run_id or None
        self._resume = None if self._run_id == "new" else self._run_id
        self._stack = ExitStack()

    def finished(self) -> bool:
        """Whether there is no run to end well: tracking is off, or the run to continue is FINISHED."""
        if self._is_off():
            return True
        if self._resume is None:
            return False
        with bounded_requests():
            require_reachable(self.tracking_uri)
            return self._open().status == "FINISHED"

    def _is_off(self) -> bool:
        """Of several processes the first one logs, also before they have joined."""
        return not (self.enabled and is_main() and os.environ.get("RANK", "0") == "0")

    def __enter__(self) -> RunTracker:
        if self._is_off():
            return self
        with ExitStack() as stack:
            stack.enter_context(bounded_requests())
            stack.enter_context(signals_unwind())
            require_reachable(self.tracking_uri)
            if self._run_id is None:  # as MLflow does it, once in a process
                self._resume = os.environ.pop(RUN_VARIABLE, None)
            with signals_wait():  # a run that the store has just made must not be left without its end
                self._start(stack)
            self._stack = stack.pop_all()
        return self

    def _start(self, stack: ExitStack) -> None:
        """Open the run and the outbox, send what an earlier process left, describe the run, start threads."""
        opened = self._open()
        self.run_id, self.experiment_name = opened.run_id, opened.experiment_name
        outbox = self._open_outbox(opened)
        stack.callback(outbox.close)
        sender = Sender(opened.client, outbox, run_id=opened.run_id)
        if self._resume:
            opened = self._catch_up(sender)
        self._outbox = outbox
        stack.callback(setattr, self, "_outbox", None)
        self._sender = BackgroundSender(sender)
        stack.push(self._end)  # from here on something is written, and the run gets its end in any case
        self._describe(opened, outbox)
        system_steps = [step for name, step in self._last_steps.items() if name.startswith(SYSTEM)]
        sampler = SystemSampler(self._log_system, first_step=max(system_steps, default=-1) + 1)
        stack.callback(sampler.stop)

    def _open_outbox(self, opened: OpenRun) -> Outbox:
        facts = {"tracking_uri": without_login(self.tracking_uri), "run_id": opened.run_id}
        folder = Path(self.outbox_dir or tempfile.mkdtemp(prefix="pyraseg-outbox-")) / opened.run_id
        try:
            return Outbox(folder, facts)
        except OutputError:
            if not self._resume:
                opened.client.set_terminated(opened.run_id, "FAILED")
            raise

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._stack.__exit__(kind, error, traceback)

    def _end(self, kind: object, error: BaseException | None, traceback: object) -> None:
        """Write how the run ended, and send it. Another Ctrl-C shortens the sending, not the truth."""
        if self._outbox is None:
            return
        with signals_wait() as hurry:
            if error is not None:
                self.log_tags({"error": error_name(error)})
                self.log_text(describe_error(error), "error/traceback.txt")
            status = final_status(error)
            self._outbox.append({"kind": "status", "status": status, "time": now()})
            self._outbox.sync()
            patience = min(self.patience, PATIENCE_KILLED) if status == "KILLED" else self.patience
            sent = self._sender.close(patience=patience, hurry=hurry)
            if not sent and status != "FINISHED":  # that comes behind everything that is still to be stored
                self._sender.sender.send_status(status)
            if not sent or self._outbox.lacks_files():
                self._say_what_waits(self._outbox)

    def flush(self) -> None:
        """Return once everything logged so far is on disk; sending follows."""
        if self._outbox is not None:
            self._outbox.sync()
            self._sender.wake()

    def _open(self) -> OpenRun:
        parent = {"mlflow.parentRunId": self.parent_run_id} if self.parent_run_id else {}
        return open_run(
            self.tracking_uri,
            run_id=self._resume,
            experiment_name=self.experiment_name,
            run_name=self.run_name,
            tags={
                "mlflow.source.name": "pyraseg",
                "mlflow.source.type": "LOCAL",
                "mlflow.user": account(),
                **parent,
            },
        )

    def _catch_up(self, sender: Sender) -> OpenRun:
        """Send what the earlier process left, then read the run's last steps, unsent ones included."""
        sender.send_waiting()
        opened = self._open()
        self._last_steps = dict(opened.last_steps)
        for _, entry in sender.outbox.waiting():
            if entry["kind"] == "metrics":
                later = {
                    k: max(entry["step"], self._last_steps.get(k, entry["step"])) for k in entry["values"]
                }
                self._last_steps |= later
        return opened

    def _describe(self, opened: OpenRun, outbox: Outbox) -> None:
        environment = describe_environment()
        given = safe_parameters(self.parameters | environment)
        self._append("params", {name: value for name, value in given.items() if name not in opened.params})
        changed = {name: value for name, value in given.items() if opened.params.get(name, value) != value}
        tags = {f"resumed.{name}": value for name, value in changed.items()} | self.tags
        if self._resume:
            outbox.append({"kind": "status", "status": "RUNNING", "time": now()})
            count = int(opened.tags.get("pyraseg.resumes", "0")) + 1
            tags |= {"pyraseg.resumed_from": opened.status, "pyraseg.resumes": str(count)}
            if "error" in opened.tags:
                outbox.append({"kind": "untag", "key": "error"})
        elif "commit" in environment["code"]:
            tags["mlflow.source.git.commit"] = environment["code"]["commit"]
        self._append("tags", tags)
        self._describe_inputs(outbox)

    def _describe_inputs(self, outbox: Outbox) -> None:
        if self.config is not None:
            import yaml

            self.log_text(yaml.safe_dump(safe_config(self.config), sort_keys=False), "config.yaml")
        if self.split is not None:
            self.log_json(self.split, "split.json")
            for entry in _datasets(self.split):  # MLflow takes each once
                outbox.append(entry)

    def _log_system(self, values: Mapping[str, float], step: int) -> None:
        try:
            self.log_metrics(values, step=step)
        except OutputError:  # the training's thread will raise it
            logger.debug("no room for system metrics")

    def _say_what_waits(self, outbox: Outbox) -> None:
        folder = "OUTPUT_DIR" if self.outbox_dir else str(outbox.folder)
        failure = self._sender.sender.failure
        logger.warning(
            "the tracking store has not taken all (%s): %d entries wait on disk; send them: pyraseg sync %s",
            failure.found if failure else "no time left",
            len(outbox.waiting()) + len(outbox.refused),
            folder,
        )


def _datasets(split: Mapping[str, Any]) -> Iterator[Entry]:
    """MLflow's dataset inputs: one per split with cases, named by the datalist's digest."""
    digest = str(split.get("digest", ""))[:36]  # MLflow's limit
    for context in ("training", "validation", "test"):
        groups = split.get(context)
        if groups and digest:
            profile = {"groups": len(groups), "cases": sum(map(len, groups.values()))}
            facts = {"digest": digest, "profile": json.dumps(profile)[:PARAMETER_LENGTH]}
            yield {"kind": "dataset", "name": f"datalist {context}", "context": context, **facts}
