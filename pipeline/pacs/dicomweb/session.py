"""HTTP to an archive: logins, TLS, time-outs, redirects, and what its refusals mean."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Any
from urllib.parse import urljoin, urlsplit

import requests
from requests.utils import get_netrc_auth
from urllib3.exceptions import HTTPError

from pyraseg.pipeline.pacs.peers import Tls, WebPeer
from pyraseg.transforms.errors import PeerAwayError, PeerError

__all__ = ["ArchiveSession", "TooLargeError", "away", "checked", "connection_errors"]

USER, PASSWORD, TOKEN = (f"PYRASEG_DICOMWEB_{name}" for name in ("USER", "PASSWORD", "TOKEN"))
CONNECT = 10.0  # seconds
REDIRECTS = 3
LONGEST_WAIT = 3600.0  # seconds that a Retry-After may ask for
AWAY = {408, 425, 429, 502, 503, 504}


class TooLargeError(PeerError):
    """A request is larger than the archive, or a proxy before it, takes (status 413)."""


class ArchiveSession:
    """Requests to one archive, within a ``with``. The login goes to its address alone."""

    def __init__(self, peer: WebPeer) -> None:
        self.peer = peer
        self._session = requests.Session()
        self._session.auth = _login(peer.url)
        tls = peer.tls or Tls()
        self._verify: str | bool = tls.ca or os.environ.get("REQUESTS_CA_BUNDLE") or True
        self._session.cert = (tls.cert, tls.key) if tls.key else tls.cert or None

    def __enter__(self) -> ArchiveSession:
        return self

    def __exit__(self, *_: object) -> None:
        self._session.close()

    def get(self, path: str, accept: str, **more: Any) -> requests.Response:
        """The answer to a GET below the archive's address, its body still to be read.

        Raises:
            PeerAwayError: no answer, or one that asks to come later, whose ``wait`` are the seconds then.
            PeerError: a login, a certificate or an address is to be mended, or the request is refused.
        """
        return checked(self._request("GET", path, {"Accept": accept}, stream=True, **more))

    def post(self, path: str, headers: Mapping[str, str], body: Any) -> requests.Response:
        """The answer to a POST, whatever its status; its body still to be read.

        Raises:
            PeerAwayError, PeerError: as `get`, but for what the status says.
        """
        return self._request("POST", path, headers, stream=True, data=body)

    def _request(self, method: str, path: str, headers: Mapping[str, str], **more: Any) -> requests.Response:
        url = f"{self.peer.url}{path}"
        times = (min(CONNECT, self.peer.timeout), self.peer.timeout)
        for _ in range(REDIRECTS):
            with connection_errors():
                response = self._session.request(
                    method, url, headers=dict(headers), timeout=times, allow_redirects=False,
                    verify=self._verify, **more,
                )  # fmt: skip
            if not response.is_redirect and not response.is_permanent_redirect:
                return response
            url = urljoin(url, response.headers["Location"])
            response.close()
            if _origin(url) != _origin(self.peer.url) or method != "GET":
                break
        remedy = "Name the address that the archive itself answers at; logins and images go nowhere else."
        raise PeerError("an answer of the archive", found="a redirect to another address", remedy=remedy)


@contextmanager
def connection_errors() -> Iterator[None]:
    """Turn what requests raises, whose messages hold addresses and so UIDs, into errors of ours.

    Raises:
        PeerAwayError: no connection, no answer in time, or one that broke off.
        PeerError: a certificate that cannot be trusted.
    """
    try:
        yield
    except requests.exceptions.SSLError as error:
        remedy = "Name the certificates to trust with --tls-ca, or the host as its certificate names it."
        found = "a certificate that cannot, or a failed TLS handshake"
        raise PeerError("an archive that can be trusted", found=found, remedy=remedy) from error
    except requests.exceptions.Timeout as error:
        raise away("no answer in time") from error
    except (requests.exceptions.RequestException, HTTPError) as error:
        raise away("no connection, or one that broke off") from error


def checked(response: requests.Response) -> requests.Response:
    """The response, if its status is a success.

    Raises:
        PeerAwayError, PeerError: as ``ArchiveSession.get``.
        TooLargeError: status 413.
    """
    status = response.status_code
    if status < 300:
        return response
    response.close()
    if status in AWAY or status >= 500:
        raise away(f"status {status}", wait=_retry_after(response.headers.get("Retry-After", "")))
    if status == 401:
        remedy = f"Set {USER} and {PASSWORD}, or {TOKEN}, or enter the host in ~/.netrc."
        raise PeerError("a login that the archive takes", found="none (status 401)", remedy=remedy)
    if status == 403:
        remedy = "Ask whoever runs the archive for it."
        raise PeerError("the right to do this", found="a login without it (status 403)", remedy=remedy)
    if status == 413:
        remedy = "Raise the limit of the archive or of the proxy before it (nginx: client_max_body_size)."
        raise TooLargeError("an archive that takes this size", found="status 413", remedy=remedy)
    remedy = "See that the address is the one of its DICOMweb, and what its log says."
    raise PeerError("an answer of the archive's DICOMweb", found=f"status {status}", remedy=remedy)


def away(found: str, *, wait: float = 0.0) -> PeerAwayError:
    """The error for an archive that gives no answer, with the seconds that it asks to wait."""
    remedy = "See whether it runs and can be reached from here, then run this again."
    error = PeerAwayError("an answer of the archive", found=found, remedy=remedy)
    error.wait = wait
    return error


def _login(url: str) -> Any:
    """The login by the environment, else by netrc, which requests would look for by itself for every host."""
    if token := os.environ.get(TOKEN):
        return _Bearer(token)
    if user := os.environ.get(USER):
        return user, os.environ.get(PASSWORD, "")
    return get_netrc_auth(url) or _Nothing()


class _Nothing(requests.auth.AuthBase):
    def __call__(self, request: requests.PreparedRequest) -> requests.PreparedRequest:
        return request


class _Bearer(_Nothing):
    def __init__(self, token: str) -> None:
        self._token = token

    def __call__(self, request: requests.PreparedRequest) -> requests.PreparedRequest:
        request.headers["Authorization"] = f"Bearer {self._token}"
        return request


def _origin(url: str) -> tuple[str, str | None, int | None]:
    parts = urlsplit(url)
    port = parts.port or {"http": 80, "https": 443}.get(parts.scheme)
    return parts.scheme, parts.hostname, port


def _retry_after(text: str) -> float:
    """Seconds of a Retry-After (RFC 9110 section 10.2.3), 0 where it says nothing that counts."""
    try:
        if text.isdigit():
            seconds = float(text)
        else:
            seconds = (parsedate_to_datetime(text) - datetime.now(UTC)).total_seconds()
    except (TypeError, ValueError):
        return 0.0
    return min(max(seconds, 0.0), LONGEST_WAIT)
