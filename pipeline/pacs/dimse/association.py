"""Open an association with a peer, with a time-out at every step, and say why it was not to be had."""

from __future__ import annotations

import logging
import socket
import ssl
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from pynetdicom import AE, _config, evt
from pynetdicom.association import Association
from pynetdicom.presentation import PresentationContext

from pyraseg.pipeline.pacs.peers import DicomPeer, Tls
from pyraseg.transforms.errors import PeerAwayError, PeerError, UsageError

__all__ = ["CONTEXTS", "NoContextError", "associate", "client_context", "facing", "no_answer"]

CONTEXTS = 128  # of one association: their IDs are the odd numbers of a byte (PS3.8 section 9.3.2.2)
CONNECT = 10.0  # seconds
AWAY = "See whether it runs and can be reached from here, then run this again."
TRANSIENT = 2  # the result of a refusal that may pass (PS3.8 section 9.3.4)
TITLES = {(1, 3): "does not know our AE title", (1, 7): "does not know the AE title that it was called by"}


class NoContextError(PeerError):
    """The peer takes none of the SOP classes and transfer syntaxes that were proposed."""


@contextmanager
def associate(
    peer: DicomPeer,
    contexts: Sequence[PresentationContext],
    *,
    handlers: Sequence[Any] = (),
    roles: Sequence[Any] = (),
) -> Iterator[Association]:
    """An association, released at the end of the block and aborted where the block fails.

    Args:
        handlers: pynetdicom's event handlers.
        roles: SCP/SCU role selections (PS3.7 section D.3.3.4).

    Raises:
        NoContextError: it takes none of the contexts.
        PeerAwayError: nobody answers, or a TLS handshake breaks off.
        PeerError: it refuses us, or its certificate is not to be trusted.
    """
    # identifiers name patients: they are not to be logged, nor decoded for it, which may warn and quote them
    logging.getLogger("pynetdicom").setLevel(logging.CRITICAL)
    _config.LOG_REQUEST_IDENTIFIERS = _config.LOG_RESPONSE_IDENTIFIERS = False
    entity = AE(peer.calling)
    entity.connection_timeout = min(CONNECT, peer.timeout)
    entity.acse_timeout = entity.dimse_timeout = entity.network_timeout = peer.timeout
    try:
        association = entity.associate(
            peer.host,
            peer.port,
            contexts=list(contexts),
            ae_title=peer.title,
            ext_neg=list(roles),
            evt_handlers=[(evt.EVT_CONN_OPEN, _without_delay), *handlers],
            tls_args=(client_context(peer.tls), peer.host) if peer.tls else None,
        )
    except OSError as error:  # the name has no address
        raise _unreachable(error.strerror or "no such host") from error
    if not association.is_established:
        raise _refusal(association, peer)
    try:
        yield association
        if association.is_established:
            association.release()
    finally:
        if association.is_established:
            association.abort()


def client_context(tls: Tls) -> ssl.SSLContext:
    """TLS that verifies the peer and its name, with our certificate where we have one.

    Raises:
        UsageError: a file does not hold what it should.
    """
    try:
        context = ssl.create_default_context(cafile=tls.ca or None)
        if tls.cert:
            context.load_cert_chain(tls.cert, tls.key or None)
    except (OSError, ValueError) as error:  # ssl.SSLError is an OSError
        remedy = "Correct --tls-ca, --tls-cert or --tls-key."
        raise UsageError(
            "files of certificates and keys (PEM)", found="one that is none", remedy=remedy
        ) from error
    return context


def facing(peer: DicomPeer) -> str:
    """This machine's address as the peer sees it, to listen at; nothing is sent.

    Raises:
        PeerAwayError: no way leads there.
    """
    try:
        family, *_, address = socket.getaddrinfo(peer.host, peer.port, type=socket.SOCK_DGRAM)[0]
        with socket.socket(family, socket.SOCK_DGRAM) as probe:
            probe.connect(address)
            return str(probe.getsockname()[0])
    except OSError as error:
        raise _unreachable(error.strerror or "no such host") from error


def no_answer(found: str, *, remedy: str = AWAY) -> PeerAwayError:
    """The error for a peer that did not answer."""
    return PeerAwayError("an answer of the PACS", found=found, remedy=remedy)


def _without_delay(event: Any) -> None:
    """Send small PDUs at once: Nagle's algorithm and a delayed acknowledgement cost 40 ms for each object."""
    event.assoc.dul.socket.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)


def _unreachable(reason: str) -> PeerAwayError:
    return no_answer(f"no connection ({reason})")


def _refusal(association: Association, peer: DicomPeer) -> PeerError:
    """Why there is no association. What pynetdicom only logs, a second connection tells."""
    answer = association.acceptor.primitive
    if association.is_rejected and answer is not None:
        if answer.result == TRANSIENT:
            return no_answer("an association that it rejects for now")
        why = TITLES.get((answer.result_source, answer.diagnostic), "rejects the association")
        remedy = "Correct the AE titles (--aet is ours), or have ours entered at the PACS."
        return PeerError("an association", found=f"a PACS that {why}", remedy=remedy)
    if answer is not None and answer.result == 0:
        remedy = "Ask whoever runs the PACS to accept them."
        return NoContextError(
            "SOP classes that the PACS takes", found="none of those proposed", remedy=remedy
        )
    return _connection_error(peer) or no_answer("a connection that is closed or silent before an association")


def _connection_error(peer: DicomPeer) -> PeerError | None:
    try:
        with socket.create_connection((peer.host, peer.port), min(CONNECT, peer.timeout)) as plain:
            if peer.tls:
                with client_context(peer.tls).wrap_socket(plain, server_hostname=peer.host):
                    pass
    except ssl.SSLCertVerificationError as error:
        remedy = "Name the certificates to trust with --tls-ca, or the host as its certificate names it."
        return PeerError(
            "a PACS that can be trusted",
            found=f"a certificate that cannot ({error.verify_message})",
            remedy=remedy,
        )
    except OSError as error:
        return _unreachable(error.strerror or str(error.args[0] if error.args else type(error).__name__))
    return None
