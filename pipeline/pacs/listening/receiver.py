"""The process that receives: a Storage SCP, apart from the network, so that a sender never waits for it."""

from __future__ import annotations

import logging
import os
import signal
import socket
import threading
from functools import partial
from itertools import count
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

from pydicom import Dataset
from pynetdicom import AE, _config, acse, evt, sop_class
from pynetdicom.association import Association
from pynetdicom.dimse import DIMSEServiceProvider
from pynetdicom.dimse_messages import C_STORE_RQ, DIMSEMessage
from pynetdicom.dimse_primitives import C_STORE
from pynetdicom.dsutils import create_file_meta, encode_file_meta
from pynetdicom.pdu_primitives import P_DATA
from pynetdicom.presentation import PresentationContext, build_context, negotiate_as_acceptor
from pynetdicom.sop_class import _STORAGE_CLASSES, Verification
from pynetdicom.transport import RequestHandler, ThreadedAssociationServer

from pyraseg.pipeline.pacs.listening.objects import INVALID, LARGEST, Draft, Images, Refused
from pyraseg.pipeline.pacs.listening.settings import Address, server_context
from pyraseg.pipeline.utils.files import private_files
from pyraseg.transforms.dicom.pixels.codecs import PLUGINS

__all__ = ["receive"]

SECONDS = 60.0  # that a sender may keep still within an association
LARGEST_PDU = 2**17  # that we ask for; dcmtk's largest
LARGEST_READ = 2**20  # of a PDU that we take: with 128 contexts a request for an association has some 100 kB
LARGEST_COMMAND = 2**16  # bytes of a command set, which has some 200
SENDERS = 20  # associations at a time
POLL = 0.1  # seconds
SYNTAXES = [str(uid) for uid in PLUGINS]  # what our decoders read


def receive(address: Address, folder: Path, parent: Connection, *, most: int = LARGEST) -> None:
    """Receive until told to stop; the target of a process. It tells its parent what happens, as tuples.

    ``("ready", port)`` or ``("failed", reason)`` at first; ``("opened", n)`` and ``("closed", n, whole)`` of
    an association, ``whole`` where it was released and not broken off; ``("stored", n, series, bytes, new)``,
    ``("refused", n, status)`` of an object; ``("rejected",)`` of an association; ``("ended",)`` at last.

    Any word from the parent drains: no new associations, those that are open go on to their end. Without its
    parent the process ends.

    Args:
        most: bytes of an object.
    """
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.SIG_IGN)  # the parent decides
    logger = logging.getLogger("pynetdicom")
    logger.addHandler(logging.NullHandler())  # what it logs may name a patient or a sender
    logger.propagate = False
    with private_files():
        try:
            server = _Server(address, Images(folder, most=most), _Parent(parent))
        except OSError as error:
            parent.send(("failed", error.strerror or type(error).__name__))
            return
        server.run()


class _Parent:
    """The way to the parent, for the threads of all associations."""

    def __init__(self, connection: Connection) -> None:
        self.connection, self._lock = connection, threading.Lock()

    def tell(self, *words: Any) -> None:
        with self._lock:
            try:
                self.connection.send(words)
            except OSError:
                _end()


class _Server:
    """The SCP.

    Args:
        images: where objects are kept.
        parent: is told.

    Raises:
        OSError: the port cannot be had.
    """

    def __init__(self, address: Address, images: Images, parent: _Parent) -> None:
        _config.UNRESTRICTED_STORAGE_SERVICE = True  # serves private SOP classes, too
        _config.LOG_HANDLER_LEVEL = "none"
        acse.negotiate_unrestricted = _negotiate
        self.images, self.parent = images, parent
        self.open: dict[Association, int] = {}
        self._numbers = count(1)
        entity = AE(address.title)
        entity.maximum_pdu_size, entity.maximum_associations = LARGEST_PDU, SENDERS
        entity.network_timeout = SECONDS
        entity.require_called_aet, entity.require_calling_aet = True, list(address.allowed)
        entity.add_supported_context(Verification)
        handlers: list[Any] = [
            (evt.EVT_ESTABLISHED, self._opened),
            (evt.EVT_REJECTED, lambda event: parent.tell("rejected")),
            (evt.EVT_C_STORE, self._store),
        ]
        self._scp = entity.make_server(
            (address.host, address.port),
            evt_handlers=handlers,
            ssl_context=None if address.tls is None else server_context(address.tls),
            server_class=_Listening,
            request_handler=partial(_Request, images),
        )
        entity._servers.append(self._scp)
        self.port: int = self._scp.server_address[1]

    def run(self) -> None:
        """Serve until the parent says stop and all associations have ended, or it is gone."""
        threading.Thread(target=partial(self._scp.serve_forever, POLL), daemon=True).start()
        self.parent.tell("ready", self.port)
        draining = False
        while not (draining and not self.open and not self._scp.active_associations):
            if self.parent.connection.poll(POLL):
                try:
                    self.parent.connection.recv()
                except (EOFError, OSError):
                    _end()
                if not draining:
                    draining = True
                    self._scp.shutdown()
            self._tell_closed()
        self.parent.tell("ended")

    def _opened(self, event: evt.Event) -> None:
        self.open[event.assoc] = number = next(self._numbers)
        self.parent.tell("opened", number)

    def _tell_closed(self) -> None:
        """By the threads of an association: once they have ended, nothing of it is in work."""
        for association, number in list(self.open.items()):
            if not association.is_alive() and not association.dul.is_alive():
                del self.open[association]
                association.dimse.discard()
                self.parent.tell("closed", number, association.is_released)

    def _store(self, event: evt.Event) -> Dataset:
        request, number, answer = event.request, self.open[event.assoc], Dataset()
        draft: Draft = request.DataSet
        try:
            kept = self.images.keep(draft, request.AffectedSOPClassUID, request.AffectedSOPInstanceUID)
        except Refused as refusal:
            answer.Status, answer.ErrorComment = refusal.status, refusal.comment
            self.parent.tell("refused", number, refusal.status)
            return answer
        self.parent.tell("stored", number, kept.series, kept.size, kept.new)
        answer.Status = 0x0000
        return answer


def _end() -> None:
    """The parent is gone, and threads would go on. The next start finds what is on the disk."""
    os.kill(os.getpid(), signal.SIGKILL)


def _negotiate(wanted: list[PresentationContext], ours: list[PresentationContext], roles: Any = None) -> Any:
    """Accept every SOP class of storage, also private and unknown ones, in the first syntax that we can read.

    Of the syntaxes that a sender proposes the first counts, which is the one that it has the image in.
    """
    proposed: dict[str, list[str]] = {}
    for context in wanted:
        uid: Any = context.abstract_syntax
        if uid.is_private or uid in _STORAGE_CLASSES.values() or not hasattr(sop_class, uid.keyword):
            proposed.setdefault(uid, []).extend(context.transfer_syntax)
    storage = [
        build_context(uid, [each for each in dict.fromkeys(syntaxes) if each in SYNTAXES] or SYNTAXES)
        for uid, syntaxes in proposed.items()
    ]
    return negotiate_as_acceptor(wanted, [*ours, *storage], roles)


class _Listening(ThreadedAssociationServer):
    """Leaves the handshake of TLS to the thread of the association: one who keeps still stops no others."""

    def get_request(self) -> tuple[socket.socket, Any]:
        client, place = self.socket.accept()
        client.settimeout(SECONDS)
        client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)  # an answer is short, and waited for
        if self.ssl_context:
            client = self.ssl_context.wrap_socket(client, server_side=True, do_handshake_on_connect=False)
        return client, place


class _Request(RequestHandler):
    """Gives an association its way to the disk."""

    def __init__(self, images: Images, *request: Any) -> None:
        self._images = images
        super().__init__(*request)

    def _create_association(self) -> Association:
        association = super()._create_association()
        association.dimse = _Storing(association, self._images)
        wire = association.dul.socket
        wire.recv = partial(_read, wire)
        return association


def _read(wire: Any, size: int) -> bytearray:
    """``size`` bytes, or those that came before the connection ended; pynetdicom reads 4096 at a time."""
    if size > LARGEST_READ:
        raise OSError("a PDU that is too large")
    data, done = bytearray(size), 0
    while done < size and (came := wire.socket.recv_into(memoryview(data)[done:])):
        done += came
    return data[:done]


class _Storing(DIMSEServiceProvider):
    """Writes data sets to drafts, where pynetdicom would collect them in memory."""

    message: DIMSEMessage | None

    def __init__(self, association: Association, images: Images) -> None:
        super().__init__(association)
        self._images, self._drafts = images, set[Draft]()

    def receive_primitive(self, primitive: P_DATA) -> None:
        message = self.message
        if message is None:
            self.message = message = DIMSEMessage()
            message.data_set = draft = self._images.draft(partial(self._head, message))
            self._drafts = {each for each in self._drafts if each.begun} | {draft}
        context = primitive.presentation_data_value_list[0][0]
        super().receive_primitive(primitive)
        if self.message is None and isinstance(message, C_STORE_RQ) and not _names_object(message):
            self._refuse_unnamed(message, context)
        if message.encoded_command_set.tell() > LARGEST_COMMAND:
            raise ValueError("a command set that is too large")  # ends the association

    def discard(self) -> None:
        """Leave nothing of what was not kept, once the association has ended."""
        for draft in self._drafts:
            draft.discard()

    def _refuse_unnamed(self, message: C_STORE_RQ, context: int) -> None:
        """Answer a request without UIDs, which pynetdicom passes over, so that its sender would wait."""
        answer = C_STORE()
        answer.MessageIDBeingRespondedTo = message.command_set.MessageID
        answer.Status, answer.ErrorComment = INVALID, "no SOP Class or SOP Instance UID"
        self.send_msg(answer, context)

    def _head(self, message: DIMSEMessage) -> bytes:
        """What precedes a data set in a file (PS3.10 section 7.1)."""
        if not isinstance(message, C_STORE_RQ) or not _names_object(message):
            raise Refused(INVALID, "a data set that no request names")
        command, context = message.command_set, self.assoc._accepted_cx[message.context_id or 0]
        meta = create_file_meta(
            sop_class_uid=command.AffectedSOPClassUID,
            sop_instance_uid=command.AffectedSOPInstanceUID,
            transfer_syntax=context.transfer_syntax[0],
        )
        return bytes(128) + b"DICM" + encode_file_meta(meta)


def _names_object(message: C_STORE_RQ) -> bool:
    return all(message.command_set.get(f"AffectedSOP{what}UID") for what in ("Class", "Instance"))
