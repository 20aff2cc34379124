"""Send files of DICOM to a peer, and go on where an earlier call ended."""

from __future__ import annotations

import os
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from pydicom.uid import UID

from pyraseg.pipeline.pacs.delivery import deliver, require_extra
from pyraseg.pipeline.pacs.outbox import Outbox
from pyraseg.pipeline.pacs.peers import DicomPeer, Peer
from pyraseg.pipeline.utils.files import sha256_of
from pyraseg.transforms.dicom.files.discover import files_and_passed
from pyraseg.transforms.dicom.files.objects import instance_uid, is_dicomdir, sop_class_uid
from pyraseg.transforms.errors import (
    InputError,
    NothingFoundError,
    PeerAwayError,
    RunError,
    UsageError,
)
from pyraseg.transforms.privacy import case_name

__all__ = ["Sending", "push"]

KEY = "push"
EVERY = 5.0  # seconds between two lines
LOOK = 0.1


@dataclass(frozen=True)
class Sending:
    """What is sent, and to whom.

    Attributes:
        inputs: files and folders, such as the output of ``predict``.
        ledger: the folder that remembers what was sent; None for the user's own.
        commit: ask for Storage Commitment, with our port for its reports; None not to.
        patience: seconds to go on while the peer is away.
        again: send what was sent before, too.
        dry_run: say what would be sent.
    """

    inputs: Sequence[str]
    peer: Peer
    ledger: Path | None = None
    commit: int | None = None
    patience: float = 60.0
    again: bool = False
    dry_run: bool = False


def push(sending: Sending) -> Iterator[str]:
    """Send, and say how it goes in lines that name nobody.

    Raises:
        NothingFoundError: there is no DICOM.
        InputError: two files hold different objects under one UID.
        PeerAwayError, PeerError: the peer gives no answer, or a person must mend something; what has arrived
            is remembered.
        RunError: the peer refuses some files for good.
        UsageError: another process sends to this peer, or commitment is asked of DICOMweb.
    """
    require_extra()
    files = _files(sending.inputs)
    size = sum(path.stat().st_size for path in files)
    kinds = Counter(UID(sop_class_uid(path)).name or "no SOP class" for path in files)
    listed = ", ".join(f"{number} {kind}" for kind, number in kinds.most_common())
    yield f"{len(files)} files, {size / 1e6:.1f} MB: {listed}"
    if sending.dry_run:
        return
    folder = (sending.ledger or _state_folder()) / case_name(str(sending.peer))
    with (
        _commitments(sending) as commitments,
        Outbox(folder, send=partial(deliver, commitments=commitments), tell=None) as outbox,
    ):
        due = outbox.add(KEY, files, sending.peer, in_place=True, again=sending.again)
        yield f"{len(files) - due} were sent before, {due} are to be sent"
        yield from _follow(outbox, due, sending)


def _files(inputs: Sequence[str]) -> list[Path]:
    """The files to send, each object once; an archive keeps the first of two and calls both stored."""
    for path in map(Path, inputs):
        if not path.exists():
            found, remedy = "nothing of that name", "Check RESULTS."
            raise UsageError("a file or folder that can be read", found=found, remedy=remedy, path=path)
    files = [path for path in files_and_passed(inputs)[0] if not is_dicomdir(path)]
    if not files:
        remedy = "Name the output folder of predict, or files and folders of DICOM."
        raise NothingFoundError("files of DICOM to send", found="none", remedy=remedy)
    objects: dict[str, Path] = {}
    for path in files:
        first = objects.setdefault(instance_uid(path) or str(path), path)
        if first is not path and sha256_of(first) != sha256_of(path):
            found, remedy = "another one under the same SOP Instance UID", "Leave out the wrong one."
            raise InputError("one object under each UID", found=found, remedy=remedy, path=path)
    return list(objects.values())


def _follow(outbox: Outbox, due: int, sending: Sending) -> Iterator[str]:
    """Wait for the outbox with a line now and then.

    Raises:
        PeerError, RunError: as `push`.
    """
    outbox.start()
    told = moved = time.monotonic()
    last = due
    while waiting := outbox.counts(sending.peer).waiting:
        now = time.monotonic()
        if waiting != last:
            moved, last = now, waiting
        failure = outbox.failure(sending.peer)
        if failure is not None and (not isinstance(failure, PeerAwayError) or now - moved > sending.patience):
            raise failure.restated(found=f"{failure.found}, after {due - waiting} of {due} files")
        if now - told > EVERY:
            told = now
            yield f"{due - waiting} of {due}" + (f"; waiting: {failure.found}" if failure else "")
        outbox.wait(LOOK)
    refused = outbox.refused()
    yield f"{due - len(refused)} sent, {len(refused)} refused"
    for reason, number in Counter(one.reason for one in refused).most_common():
        yield f"refused {number}: {reason}"
    if refused:
        remedy = "Mend what the reasons name, then run it again: it sends what is missing."
        found = f"{len(refused)} that it refuses for good"
        raise RunError("a peer that takes every file", found=found, remedy=remedy, path=refused[0].name)


def _commitments(sending: Sending) -> Any:
    if sending.commit is None:
        return nullcontext()
    if not isinstance(sending.peer, DicomPeer):
        remedy = "Leave --commit out, or name the peer with --to AET@HOST:PORT."
        raise UsageError("a peer with Storage Commitment", found="DICOMweb, which has none", remedy=remedy)
    from pyraseg.pipeline.pacs.dimse.commitment import receiving_reports

    return receiving_reports(sending.peer, port=sending.commit, patience=sending.peer.timeout)


def _state_folder() -> Path:
    """``$XDG_STATE_HOME/pyraseg/push``."""
    return Path(os.environ.get("XDG_STATE_HOME") or Path.home() / ".local" / "state") / "pyraseg" / "push"
