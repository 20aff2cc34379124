"""Send what trainings have left in their outboxes."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import mlflow

from pyraseg.pipeline.tracking.outbox import FACTS, Outbox
from pyraseg.pipeline.tracking.refusal import store_errors
from pyraseg.pipeline.tracking.sender import Sender
from pyraseg.pipeline.tracking.sqlite import database_file
from pyraseg.pipeline.tracking.store import bounded_requests, require_reachable
from pyraseg.transforms.errors import InputError, TrackingError

__all__ = ["sync"]


def sync(folder: str | Path, *, tracking_uri: str | None = None) -> Iterator[str]:
    """Send every outbox below ``folder`` and yield a line for each.

    Raises:
        InputError: no such folder.
        TrackingError: the store does not answer, or refused entries; those are kept in the outbox.
    """
    if not Path(folder).is_dir():
        remedy = "Name the output folder of a training."
        raise InputError("a folder", found="nothing of this name", remedy=remedy, path=folder)
    outboxes = sorted(path.parent for path in Path(folder).rglob(FACTS))
    if not outboxes:
        yield "nothing waits"
    for outbox in outboxes:
        yield from _sync_one(outbox, tracking_uri)


def _sync_one(folder: Path, tracking_uri: str | None) -> Iterator[str]:
    outbox = Outbox(folder)
    try:
        facts = outbox.facts
        uri = tracking_uri or facts["tracking_uri"]
        _require_store(uri)
        count = len(outbox.waiting())
        with bounded_requests():
            with store_errors("a tracking store that can be opened"):
                sender = Sender(mlflow.MlflowClient(tracking_uri=uri), outbox, run_id=facts["run_id"])
            sender.send_waiting()
        left, refused = len(outbox.waiting()), outbox.refused
        lacking = "; ".join(f"{outbox.describe(entry)}: {entry['reason']}" for entry in refused[:5])
    finally:
        outbox.close()
    yield f"run {facts['run_id']}: {count - left - len(refused)} entries sent"
    if sender.failure is not None:
        raise TrackingError(
            "a tracking store that takes what it is sent",
            found=f"{sender.failure.found}; {left} entries still to come",
            remedy=f"{sender.failure.remedy}.",
        )
    if refused:
        raise TrackingError(
            "a tracking store that takes every entry",
            found=f"a refusal of {len(refused)} ({lacking})",
            remedy="They are kept, and the next `pyraseg sync` tries them again: raise the server's limit, "
            "or restore the run if it was deleted there.",
            path=folder / "refused.jsonl",
        )


def _require_store(tracking_uri: str) -> None:
    """A sqlite file that is not there is not made: the run is in another."""
    file = database_file(tracking_uri)
    if file is not None and not file.is_file():
        remedy = "Say where it is now with --tracking_uri sqlite:///FOLDER/mlruns.db."
        raise TrackingError(
            "the sqlite file of the run's store", found="nothing in its place", remedy=remedy, path=file
        )
    require_reachable(tracking_uri)
