"""STOW-RS: send files as they are, in requests of bounded size (PS3.18 section 10.5)."""

from __future__ import annotations

import json
import secrets
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import requests

from pyraseg.pipeline.pacs.dicomweb.session import ArchiveSession, TooLargeError, checked, connection_errors
from pyraseg.pipeline.pacs.outcome import Outcome, failure_outcome
from pyraseg.pipeline.pacs.peers import WebPeer
from pyraseg.transforms.dicom.files.objects import instance_uid
from pyraseg.transforms.errors import PeerAwayError, PeerError

__all__ = ["store"]

FILES, BYTES = 50, 50_000_000  # of one request; a larger file has one of its own
CHUNK = 1 << 18
LONGEST_ANSWER = 16_000_000
REFERENCED, FAILED, INSTANCE, REASON = "00081199", "00081198", "00081155", "00081197"


def store(files: Sequence[Path], peer: WebPeer) -> Iterator[Outcome]:
    """Send files; what a request is refused for is found by sending halves of it.

    Raises:
        PeerAwayError: the archive gives no answer or asks to come later; files without an outcome are not
            sent.
        PeerError: a login, a certificate or an address is to be mended.
    """
    with ArchiveSession(peer) as session:
        for batch in _batches(files):
            yield from _offer(session, batch)


def _batches(files: Sequence[Path]) -> Iterator[list[Path]]:
    batch: list[Path] = []
    size = 0
    for path in files:
        try:
            length = path.stat().st_size
        except OSError:
            length = 0  # told where it is opened
        if batch and (len(batch) == FILES or size + length > BYTES):
            yield batch
            batch, size = [], 0
        batch.append(path)
        size += length
    if batch:
        yield batch


def _offer(session: ArchiveSession, files: Sequence[Path]) -> Iterator[Outcome]:
    body = _Body(files)
    yield from body.unreadable
    if not body.files:
        return
    headers = {"Content-Type": f'multipart/related; type="application/dicom"; boundary={body.boundary}',
               "Accept": "application/dicom+json"}  # fmt: skip
    response = session.post("/studies", headers, body)
    refused = _refusal(response)
    if refused is None:
        yield from _outcomes(body.files, response)
    elif len(body.files) == 1:
        yield Outcome(body.files[0], *refused)
    else:  # one of them may be the reason
        half = len(body.files) // 2
        yield from _offer(session, body.files[:half])
        yield from _offer(session, body.files[half:])


def _refusal(response: requests.Response) -> tuple[Any, str] | None:
    """What becomes of the files of a request that is refused as a whole.

    Raises:
        PeerAwayError, PeerError: the files are not at fault.
    """
    status = response.status_code
    if status == 409:  # all failed, each with its reason
        return None
    try:
        checked(response)
    except TooLargeError as error:
        return "refused", f"more than the archive takes at once ({error.found}). {error.remedy}"
    except PeerAwayError as error:
        if status != 500:
            raise
        return "again", f"the archive failed at it ({error.found})"
    except PeerError as error:
        if status not in (400, 406, 415, 422):
            raise
        return "refused", f"the archive does not take it ({error.found})"
    return None


def _outcomes(files: Sequence[Path], response: requests.Response) -> Iterator[Outcome]:
    """Each file's by the Store Instances Response (PS3.18 Annex I.2)."""
    status = response.status_code
    with connection_errors():
        content = response.raw.read(LONGEST_ANSWER, decode_content=True)
        response.close()
    try:
        answer = json.loads(content)
        answer = answer[0] if isinstance(answer, list) else answer
        failed = {i[INSTANCE]["Value"][0]: int(i[REASON]["Value"][0]) for i in _items(answer, FAILED)}
        stored = {i[INSTANCE]["Value"][0] for i in _items(answer, REFERENCED)}
    except (ValueError, TypeError, KeyError, IndexError, AttributeError):
        failed, stored = {}, set()  # a plain 200 says that all are stored
    for path in files:
        uid = instance_uid(path)
        if uid in failed:
            yield failure_outcome(path, failed[uid])
        elif uid in stored or status == 200:
            yield Outcome(path, "stored")
        else:
            yield Outcome(path, "again", f"the archive does not say what became of it (status {status})")


def _items(answer: Any, tag: str) -> Sequence[Any]:
    items = answer.get(tag, {}).get("Value", [])
    return [item for item in items if item]


class _Body:
    """A multipart body, read from its files as it is sent."""

    def __init__(self, files: Sequence[Path]) -> None:
        self.boundary = secrets.token_hex(16)
        self.files: list[Path] = []
        self.unreadable: list[Outcome] = []
        self._length = len(self._end)
        for path in files:
            try:
                with path.open("rb") as file:
                    size = file.seek(0, 2)
            except OSError as error:
                reason = f"the file cannot be read ({error.strerror})"
                self.unreadable.append(Outcome(path, "refused", reason))
                continue
            self.files.append(path)
            self._length += len(self._begin) + size

    @property
    def _begin(self) -> bytes:
        return f"\r\n--{self.boundary}\r\nContent-Type: application/dicom\r\n\r\n".encode()

    @property
    def _end(self) -> bytes:
        return f"\r\n--{self.boundary}--\r\n".encode()

    def __len__(self) -> int:
        return self._length

    def __iter__(self) -> Iterator[bytes]:
        for path in self.files:
            yield self._begin
            with path.open("rb") as file:
                while chunk := file.read(CHUNK):
                    yield chunk
        yield self._end
