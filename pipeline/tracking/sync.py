"""Send what trainings have left in their outboxes."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import mlflow

from pyraseg.pipeline.tracking.outbox import FACTS, Outbox
from pyraseg.pipeline.tracking.sender import Sender
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
        require_reachable(uri)
        count = len(outbox.waiting())
        with bounded_requests():
            done = Sender(
                mlflow.MlflowClient(tracking_uri=uri), outbox, run_id=facts["run_id"]
            ).send_waiting()
        left, refused = len(outbox.waiting()), outbox.refused
    finally:
        outbox.close()
    yield f"run {facts['run_id']}: {count - left} entries sent"
    if not done:
        raise TrackingError(
            "a tracking store that takes what it is sent",
            found=f"one that failed with {left} entries still to come",
            remedy="Look at the server's log, and try again.",
        )
    if refused:
        raise TrackingError(
            "a tracking store that takes every entry",
            found=f"a refusal of {refused}",
            remedy="The outbox's refused.jsonl has them with the reasons; the run may be deleted there.",
            path=folder / "refused.jsonl",
        )
