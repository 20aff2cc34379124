"""How the Storage SCP of ``pyraseg listen`` is reached, and by whom."""

from __future__ import annotations

import ssl
from dataclasses import dataclass
from pathlib import Path

from pyraseg.pipeline.pacs.peers import Tls, ae_title, is_loopback
from pyraseg.transforms.errors import UsageError

__all__ = ["Address", "server_context"]


@dataclass(frozen=True)
class Address:
    """Where objects are received, and from whom.

    Attributes:
        title: our AE title, by which a sender must call us.
        host, port: to listen at; port 0 takes one that is free.
        allowed: AE titles of senders; empty for all, on loopback alone.
        tls: our certificate with its key, and whose certificates senders must have; None for plain DICOM.

    Raises:
        UsageError: a title that is none, a port that cannot be, a host beyond this machine for everybody, or
            certificates that cannot be read.

    >>> Address("PYRASEG", "0.0.0.0", 11112)
    Traceback (most recent call last):
    pyraseg.transforms.errors.UsageError: wanted senders that may reach this machine from others, found none \
named. Name the AE title of each with --allow.
    """

    title: str
    host: str = "127.0.0.1"
    port: int = 11112
    allowed: tuple[str, ...] = ()
    tls: Tls | None = None

    def __post_init__(self) -> None:
        for title in (self.title, *self.allowed):
            ae_title(title)
        if not 0 <= self.port < 65536:
            found, remedy = str(self.port), "Name another with --port."
            raise UsageError("a port from 0 to 65535", found=found, remedy=remedy)
        if not self.allowed and not is_loopback(self.host):
            wanted, remedy = (
                "senders that may reach this machine from others",
                "Name the AE title of each with --allow.",
            )
            raise UsageError(wanted, found="none named", remedy=remedy)
        if self.tls is not None:
            server_context(self.tls)


def server_context(tls: Tls) -> ssl.SSLContext:
    """The server's side of TLS; with ``ca`` a sender must show a certificate that it has signed.

    Raises:
        UsageError: a file cannot be read, or the key is not the certificate's.
    """
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    try:
        path: str | None = tls.cert
        context.load_cert_chain(tls.cert, tls.key or None, password=lambda: "")
        if tls.ca:
            path = tls.ca
            context.load_verify_locations(tls.ca)
            context.verify_mode = ssl.CERT_REQUIRED
    except (OSError, ValueError) as error:  # an SSLError is an OSError
        wanted, remedy = "a certificate with its key (PEM)", "Correct --tls-cert, --tls-key or --tls-ca."
        found = f"one that cannot be read ({getattr(error, 'reason', None) or type(error).__name__})"
        raise UsageError(wanted, found=found, remedy=remedy, path=Path(path or "")) from error
    return context
