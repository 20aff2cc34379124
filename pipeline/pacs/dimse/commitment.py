"""Storage Commitment: a PACS says, in a report of its own, what it keeps safe (PS3.4 Annex J)."""

from __future__ import annotations

import threading
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from typing import Any

from pydicom import Dataset
from pydicom.uid import UID, generate_uid
from pynetdicom import AE, build_context, evt
from pynetdicom.association import Association
from pynetdicom.sop_class import StorageCommitmentPushModel, StorageCommitmentPushModelInstance

from pyraseg.pipeline.pacs.dimse.association import NoContextError, associate, facing
from pyraseg.pipeline.pacs.dimse.store import StoredObject, object_of
from pyraseg.pipeline.pacs.outcome import Outcome
from pyraseg.pipeline.pacs.peers import DicomPeer
from pyraseg.transforms.errors import UsageError

__all__ = ["Commitments", "receiving_reports"]

AT_ONCE = 500  # instances of one request
REQUEST = 1  # the action type (PS3.4 table J.3-1)


@dataclass
class Commitments:
    """Reports that are waited for. A listener's `report` takes those that come by an association of the PACS.

    Attributes:
        patience: seconds to wait for a report.
    """

    patience: float = 60.0
    _reports: dict[str, Mapping[str, bool]] = field(default_factory=dict, repr=False)
    _came: threading.Condition = field(default_factory=threading.Condition, repr=False)

    @property
    def handlers(self) -> list[tuple[Any, Any]]:
        """For the ``evt_handlers`` of an association or a listener."""
        return [(evt.EVT_N_EVENT_REPORT, self.report)]

    def support(self, entity: AE) -> None:
        """Let an application entity that listens take reports."""
        entity.add_supported_context(StorageCommitmentPushModel, scu_role=True, scp_role=True)

    def report(self, event: Any) -> tuple[int, None]:
        """Take an N-EVENT-REPORT. What was not asked for is confirmed and forgotten."""
        try:
            found = event.event_information
            kept, lost = (
                {str(item.ReferencedSOPInstanceUID) for item in found.get(name) or ()}
                for name in ("ReferencedSOPSequence", "FailedSOPSequence")
            )
            transaction = str(found.TransactionUID)
        except Exception:  # foreign bytes: whatever a parser raises is the report's fault
            return 0x0110, None
        with self._came:
            if transaction in self._reports:
                self._reports[transaction] = dict.fromkeys(lost, False) | dict.fromkeys(kept - lost, True)
                self._came.notify_all()
        return 0x0000, None

    def confirm(self, stored: Iterable[Outcome], peer: DicomPeer) -> Iterator[Outcome]:
        """The outcomes of a `store`, those stored only once they are committed.

        Where the peer does not offer it they are handed on as they are.
        """
        waiting: list[Outcome] = []
        for outcome in stored:
            if outcome.state != "stored":
                yield outcome
                continue
            waiting.append(outcome)
            if len(waiting) == AT_ONCE:
                yield from self._confirm(waiting, peer)
                waiting = []
        if waiting:
            yield from self._confirm(waiting, peer)

    def _confirm(self, outcomes: Sequence[Outcome], peer: DicomPeer) -> Iterator[Outcome]:
        objects = {o.path: one for o in outcomes if isinstance(one := object_of(o.path), StoredObject)}
        transaction = str(generate_uid(prefix="2.25."))
        with self._came:
            self._reports[transaction] = {}
        try:
            answers = self._ask(transaction, list(objects.values()), peer)
        finally:
            with self._came:
                self._reports.pop(transaction)
        for outcome in outcomes:
            yield _judged(outcome, objects.get(outcome.path), answers)

    def _ask(
        self, transaction: str, objects: Sequence[StoredObject], peer: DicomPeer
    ) -> Mapping[str, bool] | None:
        """By instance whether it is committed; None where the peer does not offer commitment."""
        try:
            with associate(
                peer, [build_context(StorageCommitmentPushModel)], handlers=self.handlers
            ) as association:
                if not _requested(association, transaction, objects):
                    return {}
                with self._came:  # on this association, or on one that the peer opens
                    self._came.wait_for(lambda: self._reports[transaction], self.patience)
                    return self._reports[transaction]
        except NoContextError:
            return None


def _requested(association: Association, transaction: str, objects: Sequence[StoredObject]) -> bool:
    asked = Dataset()
    asked.TransactionUID = UID(transaction)
    asked.ReferencedSOPSequence = []
    for one in objects:
        item = Dataset()
        item.ReferencedSOPClassUID, item.ReferencedSOPInstanceUID = one.sop_class, one.instance
        asked.ReferencedSOPSequence.append(item)
    status, _ = association.send_n_action(
        asked, REQUEST, StorageCommitmentPushModel, StorageCommitmentPushModelInstance
    )
    return status.get("Status") == 0


def _judged(outcome: Outcome, one: StoredObject | None, answers: Mapping[str, bool] | None) -> Outcome:
    if answers is None or (one is not None and answers.get(str(one.instance))):
        return outcome
    said = one is not None and str(one.instance) in answers
    reason = "the PACS stored it and does not commit to it" if said else "no report of its commitment came"
    return replace(outcome, state="again", reason=reason)


@contextmanager
def receiving_reports(peer: DicomPeer, *, port: int = 0, patience: float = 60.0) -> Iterator[Commitments]:
    """Listen for the peer's reports, and for nothing else, where the peer reaches this machine.

    Args:
        port: what the PACS has entered for our AE title; 0 takes any, for a PACS that answers at once.

    Raises:
        UsageError: the port is taken.
    """
    commitments = Commitments(patience)
    entity = AE(peer.calling)
    entity.require_calling_aet = [peer.title]
    commitments.support(entity)
    try:
        server = entity.start_server((facing(peer), port), block=False, evt_handlers=commitments.handlers)
    except OSError as error:
        found, remedy = f"port {port}, which cannot be opened ({error.strerror})", "Name another one."
        raise UsageError("a port for reports of commitment", found=found, remedy=remedy) from error
    try:
        yield commitments
    finally:
        server.shutdown()
