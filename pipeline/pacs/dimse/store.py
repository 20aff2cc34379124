"""C-STORE: send files as they are (PS3.4 Annex B)."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from pydicom import Dataset
from pydicom.uid import UID
from pynetdicom import _config, build_context
from pynetdicom.association import Association
from pynetdicom.dsutils import split_dataset

from pyraseg.pipeline.pacs.dimse.association import CONTEXTS, NoContextError, associate, no_answer
from pyraseg.pipeline.pacs.outcome import Outcome, failure_outcome
from pyraseg.pipeline.pacs.peers import DicomPeer

__all__ = ["StoredObject", "object_of", "store"]

SLOWEST = 250_000  # bytes a second that a peer must take for its answer to be waited for


@dataclass(frozen=True)
class StoredObject:
    """What the file meta group says of a file."""

    path: Path
    sop_class: UID
    instance: UID
    syntax: UID


def store(files: Sequence[Path], peer: DicomPeer) -> Iterator[Outcome]:
    """Send files over as few associations as their SOP classes and transfer syntaxes allow.

    Raises:
        PeerError, PeerAwayError: as `associate`; or no answer came. Files without an outcome are not sent.
    """
    objects: list[StoredObject] = []
    for path in files:
        one = object_of(path)
        if isinstance(one, Outcome):
            yield one
        else:
            objects.append(one)
    for batch in _batches(objects):
        yield from _store_batch(batch, peer)


def object_of(path: Path) -> StoredObject | Outcome:
    """What a file is, by its file meta group; an outcome where it is none to be sent."""
    try:
        meta, _ = split_dataset(path)
        return StoredObject(
            path, meta.MediaStorageSOPClassUID, meta.MediaStorageSOPInstanceUID, meta.TransferSyntaxUID
        )
    except OSError as error:
        return Outcome(path, "refused", f"the file cannot be read ({error.strerror})")
    except Exception:  # whatever a parser raises for foreign bytes costs this file alone
        return Outcome(path, "refused", "no DICOM file with SOP class, instance and transfer syntax (PS3.10)")


def _batches(objects: Sequence[StoredObject]) -> Iterator[list[StoredObject]]:
    batch: list[StoredObject] = []
    kinds: set[tuple[UID, UID]] = set()
    for one in objects:
        if (one.sop_class, one.syntax) not in kinds and len(kinds) == CONTEXTS:
            yield batch
            batch, kinds = [], set()
        batch.append(one)
        kinds.add((one.sop_class, one.syntax))
    if batch:
        yield batch


def _store_batch(batch: Sequence[StoredObject], peer: DicomPeer) -> Iterator[Outcome]:
    # one context for each pair: a peer chooses one syntax of a context
    kinds = dict.fromkeys((one.sop_class, one.syntax) for one in batch)
    try:
        with associate(peer, [build_context(*kind) for kind in kinds]) as association:
            for one in batch:
                yield _store_one(association, one, peer)
    except NoContextError:
        yield from (_not_taken(one) for one in batch)


def _store_one(association: Association, one: StoredObject, peer: DicomPeer) -> Outcome:
    accepted = {(cx.abstract_syntax, cx.transfer_syntax[0]) for cx in association.accepted_contexts}
    if (one.sop_class, one.syntax) not in accepted:
        return _not_taken(one)
    _config.STORE_SEND_CHUNKED_DATASET = True  # the bytes as they are, and never all of them in memory
    try:
        association.dimse_timeout = peer.timeout + one.path.stat().st_size / SLOWEST
        status: Dataset = association.send_c_store(one.path)
    except OSError as error:
        return Outcome(one.path, "refused", f"the file cannot be read ({error.strerror})")
    except (AttributeError, ValueError):  # a UID that is none
        return Outcome(
            one.path, "refused", "no DICOM file with SOP class, instance and transfer syntax (PS3.10)"
        )
    except RuntimeError as error:
        raise no_answer("an association that it has ended") from error
    if "Status" not in status:
        raise no_answer("none to an object that was sent, or an association that it has ended")
    return failure_outcome(one.path, status.Status)


def _not_taken(one: StoredObject) -> Outcome:
    names = f"{one.sop_class.name} in {one.syntax.name}"
    return Outcome(one.path, "refused", f"the PACS does not take {names}")
