"""C-FIND, C-GET and C-MOVE: find and fetch (PS3.4 Annex C)."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from typing import Any

from pydicom import DataElement, Dataset, config
from pydicom.datadict import dictionary_VR, tag_for_keyword
from pydicom.uid import UID, AllTransferSyntaxes
from pynetdicom import AE, AllStoragePresentationContexts, build_context, build_role, evt
from pynetdicom.sop_class import (
    CTImageStorage,
    MRImageStorage,
    PositronEmissionTomographyImageStorage,
    StudyRootQueryRetrieveInformationModelFind,
    StudyRootQueryRetrieveInformationModelGet,
    StudyRootQueryRetrieveInformationModelMove,
    UltrasoundImageStorage,
    UltrasoundMultiFrameImageStorage,
)

from pyraseg.pipeline.pacs.dimse.association import CONTEXTS, NoContextError, associate, facing, no_answer
from pyraseg.pipeline.pacs.peers import DicomPeer
from pyraseg.pipeline.pacs.query import COUNT, Instance, Query, SeriesAt, whole_uid
from pyraseg.pipeline.pacs.received import SeriesFolder
from pyraseg.transforms.errors import PeerError, PyrasegError, UsageError, item_error

__all__ = ["DicomArchive"]

PENDING = (0xFF00, 0xFF01)
AT_ONCE = 100  # UIDs of one request
# proposed where an archive does not say which SOP classes a series has
USUAL = (
    UltrasoundImageStorage, UltrasoundMultiFrameImageStorage, CTImageStorage, MRImageStorage,
    PositronEmissionTomographyImageStorage,
)  # fmt: skip
REFUSING = {  # what helps where it may mean that we are not allowed to
    "C-GET": "Give --port, the one that the PACS knows for our AE title, for C-MOVE.",
    "C-MOVE": "Have our AE title, host and port entered at the PACS.",
}
SYNTAXES = [syntax for syntax in AllTransferSyntaxes if not syntax.is_deflated]


class DicomArchive:
    """An archive behind DIMSE.

    Args:
        move_port: where our own listener takes what a C-MOVE brings, where there is no C-GET.
    """

    def __init__(self, peer: DicomPeer, move_port: int | None = None) -> None:
        self._peer = peer
        self._move_port = move_port
        self._gets = True

    def series(self, query: Query) -> Iterator[SeriesAt]:
        for study in self._find("STUDY", query.study):
            if uid := whole_uid(_text(study, "StudyInstanceUID")):
                fields = {"SeriesInstanceUID": "", "Modality": "", COUNT: "", **query.series}
                for series in self._find("SERIES", {"StudyInstanceUID": uid} | fields):
                    if own := whole_uid(_text(series, "SeriesInstanceUID")):
                        count = _text(series, COUNT)
                        number = int(count) if count.isdigit() else None
                        yield SeriesAt(uid, own, _text(series, "Modality"), number)

    def instances(self, series: SeriesAt) -> list[Instance]:
        keys = {"StudyInstanceUID": series.study, "SeriesInstanceUID": series.series}
        found = [
            Instance(uid, whole_uid(_text(one, "SOPClassUID")))
            for one in self._find("IMAGE", keys | {"SOPInstanceUID": "", "SOPClassUID": ""})
            if (uid := whole_uid(_text(one, "SOPInstanceUID")))
        ]
        return list(dict.fromkeys(found))

    def fetch(self, series: SeriesAt, instances: Sequence[Instance], folder: SeriesFolder) -> None:
        sink = _Sink(folder)
        for start in range(0, len(instances), AT_ONCE):
            asked = instances[start : start + AT_ONCE]
            keys = _identifier("IMAGE", {
                "StudyInstanceUID": series.study, "SeriesInstanceUID": series.series,
                "SOPInstanceUID": "\\".join(one.uid for one in asked),
            })  # fmt: skip
            if self._gets:
                self._gets = self._get(keys, asked, sink)
            if not self._gets:
                self._move(keys, sink)

    def _find(self, level: str, keys: Mapping[str, str]) -> Iterator[Dataset]:
        model = StudyRootQueryRetrieveInformationModelFind
        asked = _identifier(level, {"StudyInstanceUID": ""} | dict(keys))
        found: list[Dataset] = []
        try:
            with associate(self._peer, [build_context(model)]) as association:
                for status, answer in association.send_c_find(asked, model):
                    if _status(status) in PENDING and answer is not None:
                        found.append(answer)
                    elif _status(status) not in (0, *PENDING):
                        raise _failed("C-FIND", _status(status))
        except NoContextError as error:
            raise _not_offered("C-FIND") from error
        return iter(found)

    def _get(self, keys: Dataset, asked: Sequence[Instance], sink: _Sink) -> bool:
        """Fetch by C-GET; False where the archive does not offer it, and there is a port for C-MOVE."""
        model = StudyRootQueryRetrieveInformationModelGet
        classes = list(dict.fromkeys(UID(one.sop_class) for one in asked if one.sop_class)) or list(USUAL)
        # a context for each syntax, so that an archive need not change what it stores
        kinds = [(one, syntax) for syntax in SYNTAXES for one in classes][: CONTEXTS - 1]
        contexts = [build_context(model), *(build_context(*kind) for kind in kinds)]
        roles = [build_role(one, scp_role=True) for one in dict.fromkeys(one for one, _ in kinds)]
        try:
            with associate(self._peer, contexts, roles=roles, handlers=sink.handlers) as association:
                if model not in {context.abstract_syntax for context in association.accepted_contexts}:
                    raise _not_offered("C-GET")
                _exhaust(association.send_c_get(keys, model), "C-GET", sink)
        except PeerError:
            if self._move_port is None or sink.taken:
                raise
            return False
        return True

    def _move(self, keys: Dataset, sink: _Sink) -> None:
        model = StudyRootQueryRetrieveInformationModelMove
        entity = AE(self._peer.calling)
        entity.require_calling_aet = [self._peer.title]
        for context in AllStoragePresentationContexts:
            entity.add_supported_context(context.abstract_syntax, SYNTAXES)
        address = (facing(self._peer), self._move_port or 0)
        try:
            server = entity.start_server(address, block=False, evt_handlers=sink.handlers)
        except OSError as error:
            found = f"port {self._move_port}, which cannot be opened ({error.strerror})"
            raise UsageError("a port for C-MOVE", found=found, remedy="Name another one.") from error
        try:
            with associate(self._peer, [build_context(model)]) as association:
                answers = association.send_c_move(keys, self._peer.calling, model)
                _exhaust(answers, "C-MOVE", sink)
        except NoContextError as error:
            raise _not_offered("C-MOVE") from error
        finally:
            server.shutdown()


class NotOfferedError(PeerError):
    """The archive has not the service that was asked for, or does not let us use it."""


class _Sink:
    """Takes what C-STORE sub-operations bring, and keeps the first reason why one could not be taken."""

    def __init__(self, folder: SeriesFolder) -> None:
        self._folder = folder
        self.taken = 0
        self.error: PyrasegError | None = None

    @property
    def handlers(self) -> list[tuple[Any, Any]]:
        return [(evt.EVT_C_STORE, self._take)]

    def _take(self, event: Any) -> int:
        try:
            self._folder.take([event.encoded_dataset()])
        except Exception as error:  # in a thread of pynetdicom's: whatever it is, the fetch tells it
            self.error = self.error or item_error(error)
            return 0xA700 if isinstance(error, OSError) else 0x0117
        self.taken += 1
        return 0x0000


def _exhaust(answers: Iterator[tuple[Dataset, Dataset | None]], service: str, sink: _Sink) -> None:
    """Wait for the last answer of a retrieval."""
    last = None
    for status, _ in answers:
        if "Status" not in status and not sink.taken:
            raise no_answer(f"an association that it has ended at a {service}", remedy=REFUSING[service])
        last = _status(status)
    if sink.error is not None:
        raise sink.error
    if last not in (0, *PENDING) and (last or 0) & 0xF000 != 0xB000:  # some failed: the count tells
        raise _failed(service, last)


def _status(status: Dataset) -> int:
    """
    Raises:
        PeerAwayError: no answer came.
    """
    if "Status" not in status:
        raise no_answer("none to a request, or an association that it has ended")
    return int(status.Status)


def _failed(service: str, status: int | None) -> PeerError:
    if status in (0x0122, 0x0124, 0x0211, 0xA801):
        return _not_offered(service)
    return no_answer(f"a {service} that failed (status {status or 0:04X})")


def _not_offered(service: str) -> NotOfferedError:
    remedy = REFUSING.get(service, "Ask whoever runs the PACS for it.")
    return NotOfferedError(
        f"a PACS that offers {service}", found="one that does not, or not to us", remedy=remedy
    )


def _identifier(level: str, keys: Mapping[str, str]) -> Dataset:
    asked = Dataset()
    asked.QueryRetrieveLevel = level
    if not all(value.isascii() for value in keys.values()):
        asked.SpecificCharacterSet = "ISO_IR 192"
    for keyword, value in keys.items():
        tag = tag_for_keyword(keyword) or 0
        element = DataElement(tag, dictionary_VR(tag), value or None, validation_mode=config.IGNORE)
        asked.add(element)  # a range or a wildcard is no valid value, and a warning would quote it
    return asked


def _text(answer: Dataset, keyword: str) -> str:
    """A value as it came: converting it may warn, and a warning quotes it."""
    with suppress(KeyError):
        value = answer.get_item(keyword).value
        return (value.decode("ascii", "replace") if isinstance(value, bytes) else str(value or "")).strip(
            " \0"
        )
    return ""
