"""The PACS or archive at the other end: by AE title, host and port, or by the address of its DICOMweb."""

from __future__ import annotations

import argparse
import ipaddress
import json
import re
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from pyraseg.transforms.errors import UsageError

__all__ = [
    "DicomPeer",
    "Peer",
    "Tls",
    "WebPeer",
    "add_peer_options",
    "ae_title",
    "parse_peer",
    "peer_of",
    "port_number",
    "stored_peer",
    "written_peer",
]

OURS = "PYRASEG"
TIMEOUT = 60.0
LONGEST_TITLE = 16  # PS3.5 section 6.2
DIMSE = re.compile(r"(?P<title>.*)@(?P<host>\[[0-9a-fA-F:.]+\]|[^@:/\[\]]+):(?P<port>[0-9]{1,5})", re.S)
FORMS = "a peer written AET@HOST:PORT, or https://HOST/dicom-web"


@dataclass(frozen=True)
class Tls:
    """Files in PEM format: whom to trust (empty: whom the system trusts), who we are."""

    ca: str = ""
    cert: str = ""
    key: str = ""


@dataclass(frozen=True)
class DicomPeer:
    """A peer that speaks DIMSE.

    Attributes:
        title, calling: the peer's AE title and ours.
        tls: None for plain DICOM.
        timeout: seconds without an answer.
    """

    title: str
    host: str
    port: int
    calling: str = OURS
    tls: Tls | None = None
    timeout: float = TIMEOUT

    def __str__(self) -> str:
        return f"{self.title}@{self.host}:{self.port}"


@dataclass(frozen=True)
class WebPeer:
    """A peer that speaks DICOMweb; ``url`` is what ``/studies`` is appended to."""

    url: str
    tls: Tls | None = None
    timeout: float = TIMEOUT

    def __str__(self) -> str:
        return self.url


Peer = DicomPeer | WebPeer


def parse_peer(
    text: str,
    *,
    aet: str = OURS,
    tls_ca: str = "",
    tls_cert: str = "",
    tls_key: str = "",
    insecure_http: bool = False,
    timeout: float = TIMEOUT,
) -> Peer:
    """The peer that a text names. DICOM is spoken over TLS where one of its files is named.

    Args:
        aet: our AE title.
        tls_ca: certificates to trust in place of the system's.
        tls_cert, tls_key: our certificate and its key.
        insecure_http: let ``http://`` lead beyond this machine.

    Raises:
        UsageError: the text names no peer, or carries a login, or would send images in the clear.

    >>> str(parse_peer("ORTHANC@127.0.0.1:4242")), str(parse_peer("https://pacs.example/dicom-web/studies"))
    ('ORTHANC@127.0.0.1:4242', 'https://pacs.example/dicom-web')
    """
    tls = Tls(*(_file(name) for name in (tls_ca, tls_cert, tls_key)))
    if bool(tls_key) > bool(tls_cert):
        raise UsageError(
            "a certificate with its key", found="a key alone", remedy="Name it with --tls-cert, too."
        )
    if re.match(r"https?://", text, re.I):
        return WebPeer(_web_address(text, insecure_http), tls, timeout)
    match = DIMSE.fullmatch(text)
    if not match:
        raise UsageError(FORMS, found="neither", remedy="Write it so.")
    port = int(match["port"])
    if not 0 < port < 65536:
        raise UsageError(
            "a port from 1 to 65535", found=str(port), remedy="Ask whoever runs the PACS for it."
        )
    host = match["host"].strip("[]")
    return DicomPeer(
        ae_title(match["title"]), host, port, ae_title(aet), tls if tls != Tls() else None, timeout
    )


def ae_title(text: str) -> str:
    """An AE title (PS3.5 section 6.2): up to 16 characters of ASCII without controls and backslash.

    Raises:
        UsageError: it is none.
    """
    title = text.strip(" ")
    wanted, remedy = "an AE title of 1 to 16 characters", "Ask whoever runs the PACS for it."
    if not title or len(title) > LONGEST_TITLE:
        raise UsageError(wanted, found=f"one of {len(title)}" if title else "an empty one", remedy=remedy)
    if not title.isascii() or not title.isprintable() or "\\" in title:
        raise UsageError(wanted, found="a control character, a backslash or no ASCII in it", remedy=remedy)
    return title


def add_peer_options(add: Callable[..., Any]) -> None:
    """Declare what every verb with a peer takes, by the ``add_argument`` of a parser or a group."""
    add("--aet", default=OURS, metavar="TITLE", help=f"our AE title (default: {OURS})")
    add("--tls-ca", default="", metavar="PEM", help="certificates to trust in place of the system's")
    add("--tls-cert", default="", metavar="PEM", help="our certificate")
    add("--tls-key", default="", metavar="PEM", help="its key")
    insecure = "allow http:// beyond this machine: images and logins can be read on the way"
    add("--insecure-http", action="store_true", help=insecure)
    waits = f"seconds without an answer (default: {TIMEOUT:.0f})"
    add("--timeout", type=_seconds, default=TIMEOUT, metavar="S", help=waits)


def peer_of(text: str, arguments: argparse.Namespace) -> Peer:
    """The peer of a command line that `add_peer_options` has declared the options of."""
    names = ("aet", "tls_ca", "tls_cert", "tls_key", "insecure_http", "timeout")
    return parse_peer(text, **{name: getattr(arguments, name) for name in names})


def written_peer(peer: Peer) -> str:
    """The peer as JSON, for `stored_peer`."""
    return json.dumps(asdict(peer), sort_keys=True)


def stored_peer(text: str) -> Peer:
    """The peer that `written_peer` wrote."""
    fields = json.loads(text)
    fields["tls"] = Tls(**fields["tls"]) if fields["tls"] else None
    return (WebPeer if "url" in fields else DicomPeer)(**fields)


def port_number(text: str) -> int:
    """A port, as the type of an argument."""
    if not text.isascii() or not text.isdigit() or not 0 < int(text) < 65536:
        raise argparse.ArgumentTypeError(f"wanted a port from 1 to 65535, found {text!r}")
    return int(text)


def _seconds(text: str) -> float:
    try:
        seconds = float(text)
    except ValueError:
        seconds = 0.0
    if not 0 < seconds <= 86400:
        raise argparse.ArgumentTypeError(f"wanted seconds from above 0 to 86400, found {text!r}")
    return seconds


def _file(name: str) -> str:
    if name and not Path(name).is_file():
        remedy = "Correct --tls-ca, --tls-cert or --tls-key."
        raise UsageError("a file of certificates or keys (PEM)", found="none there", remedy=remedy, path=name)
    return str(Path(name).absolute()) if name else ""


def _web_address(text: str, insecure_http: bool) -> str:
    try:
        parts = urlsplit(text)
        host, _ = parts.hostname, parts.port
    except ValueError:
        host = None
    if not host or not text.isascii() or not text.isprintable() or " " in text:
        raise UsageError(FORMS, found="an address that cannot be read", remedy="Write it so.")
    if "@" in parts.netloc:
        remedy = "Set PYRASEG_DICOMWEB_USER and PYRASEG_DICOMWEB_PASSWORD, or use ~/.netrc."
        raise UsageError("an address without a login", found="one with a user or password", remedy=remedy)
    if parts.query or parts.fragment:
        raise UsageError(FORMS, found="a ? or # in it", remedy="Write the address of the DICOMweb alone.")
    if parts.scheme.lower() == "http" and not insecure_http and not is_loopback(host):
        remedy = "Write https://, or allow it with --insecure-http: images and logins can be read on the way."
        raise UsageError("https://, or a server on this machine", found="http:// to another", remedy=remedy)
    return parts.geturl().rstrip("/").removesuffix("/studies")


def is_loopback(host: str) -> bool:
    """Whether a host is this machine, by its address or as ``localhost``."""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
