"""Why a tracking store failed or refused, in a sentence that tells the user what to do."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from pyraseg.pipeline.tracking.failure import causes
from pyraseg.pipeline.utils.errors import printable
from pyraseg.transforms.errors import PyrasegError, TrackingError

__all__ = ["Refusal", "refusal", "store_errors", "without_login"]

LONGEST = 200  # letters of a message that is not ours
LOGIN = re.compile(r"(?<=://)[^/\s'\"]*@")
PATH = re.compile(r"(?:file:)?[^\s'\"=(]*[/\\][^\s'\")]*")
STATUS = re.compile(r"\b(?:error code|status|too many) (\d{3})\b|\b(\d{3}) (?:Client|Server) Error")

UPGRADE = "Use the MLflow that made it, or copy the database, then run `mlflow db upgrade` on it"
# What stands in the messages of databases, of requests and of MLflow: what was found, what to do.
KNOWN = (
    (r"CERTIFICATE_VERIFY_FAILED", "a certificate that this machine does not trust",
     "Name the certificate's file with MLFLOW_TRACKING_SERVER_CERT_PATH or REQUESTS_CA_BUNDLE"),
    (r"TLS CA certificate bundle", "a file of certificates that is not there",
     "Correct MLFLOW_TRACKING_SERVER_CERT_PATH, REQUESTS_CA_BUNDLE or CURL_CA_BUNDLE"),
    (r"database is locked|database table is locked", "a database that another process keeps locked",
     "Wait until that process is done, or end it, and try again"),
    (r"database or disk is full|No space left on device", "no room left for it",
     "Free some space, and try again"),
    (r"readonly database|Read-only file system|Permission denied", "one that cannot be written",
     "Give yourself write access there, or name another store with --tracking_uri"),
    (r"file is not a database|malformed|file is encrypted|disk I/O error", "a damaged database",
     "Put a copy of it in its place, or name a new one with --tracking_uri sqlite:///FOLDER/mlruns.db"),
    (r"unable to open database file", "a file that cannot be opened as a database",
     "Name another with --tracking_uri sqlite:///FOLDER/mlruns.db"),
    (r"out-of-date database schema \(found version (\w+), but expected (\w+)",
     r"a database of another version of MLflow (schema \1, not \2)", UPGRADE),
    (r"Can't locate revision", "a database of a newer MLflow", UPGRADE),
    (r"no such (table|column)|has no column|NullType", "a database that is not MLflow's, or is damaged",
     "Name another with --tracking_uri sqlite:///FOLDER/mlruns.db"),
    (r"maintenance mode", "a plain folder, which MLflow no longer takes",
     "Use --tracking_uri sqlite:///FOLDER/mlruns.db"),
    (r"unsupported URI|Could not parse|must be a valid URI", "an address that MLflow does not know",
     "Write sqlite:///FILE.db or http://HOST:PORT"),
    (r"No module named", "an address whose database driver is not installed",
     "Install the driver, or write sqlite:///FILE.db or http://HOST:PORT"),
    (r"The run \S+ must be in the 'active' state", "a deleted run",
     "Restore it (mlflow runs restore), or log to a new one"),
    (r"must be in the 'active' state", "a deleted experiment",
     "Restore it (mlflow experiments restore), or choose another with --experiment_name"),
    (r"Connection refused|Failed to resolve|timeout|timed out|Max retries exceeded|Connection aborted",
     "no answer", "Start the server, correct --tracking_uri or MLFLOW_TRACKING_URI, or leave both out"
     " to log to a local sqlite file"),
)  # fmt: skip
BY_STATUS = {
    401: ("a wrong or missing login (status 401)",
          "Set MLFLOW_TRACKING_USERNAME and MLFLOW_TRACKING_PASSWORD, or MLFLOW_TRACKING_TOKEN"),
    403: ("a login without the right to do this (status 403)", "Ask whoever runs the server for it"),
    413: ("more than the server, or a proxy before it, takes at once (status 413)",
          "Raise its limit (nginx: client_max_body_size), then send it with: pyraseg sync OUTPUT_DIR"),
    **dict.fromkeys((502, 503, 504), ("no answer (a proxy stands before a server that is away)",
                                      "Start the server, and try again")),
}  # fmt: skip
BY_CODE = {"UNAUTHENTICATED": 401, "CUSTOMER_UNAUTHORIZED": 401, "PERMISSION_DENIED": 403}
FINAL_CODES = {
    "INVALID_PARAMETER_VALUE",
    "RESOURCE_DOES_NOT_EXIST",
    "RESOURCE_ALREADY_EXISTS",
    "BAD_REQUEST",
    "INVALID_STATE",
}
FINAL_STATUS = {400, 413, 422}  # the others may pass: a login that ran out, a proxy


@dataclass(frozen=True)
class Refusal:
    """What was found in place of success, what to do, and whether the same content is refused again."""

    found: str
    remedy: str
    final: bool = False


def refusal(error: BaseException) -> Refusal:
    """The reason in an error of MLflow, or of the database or the library that it calls."""
    text = " ".join(f"{type(one).__name__}: {one}" for one in causes(error))
    code = getattr(error, "error_code", None)
    status = _status(error, text, str(code))
    if status in BY_STATUS:
        return Refusal(*BY_STATUS[status], final=status in FINAL_STATUS)
    for pattern, found, remedy in KNOWN:
        if match := re.search(pattern, text):
            return Refusal(match.expand(found), remedy)
    final = code in FINAL_CODES if isinstance(code, str) and status is None else status in FINAL_STATUS
    name = code if isinstance(code, str) else type(error).__name__
    return Refusal(f"a refusal ({name}: {_foreign(error)})", "Look at the server's log, and try again", final)


@contextmanager
def store_errors(wanted: str, *, remedy: str = "") -> Iterator[None]:
    """Turn whatever a store raises into a TrackingError with its reason.

    Args:
        remedy: in place of that of a reason that is not known.
    """
    try:
        yield
    except PyrasegError:
        raise
    except Exception as error:  # databases, file systems and artifact stores raise types of foreign libraries
        reason = refusal(error)
        known = not reason.found.startswith("a refusal")
        raise TrackingError(
            wanted, found=reason.found, remedy=f"{reason.remedy if known or not remedy else remedy}."
        ) from error


def without_login(text: str) -> str:
    """An address, or a text with addresses, without ``user:password@``: fit to be shown or stored."""
    return LOGIN.sub("", text)


def _status(error: BaseException, text: str, code: str) -> int | None:
    response = getattr(error, "response", None)
    if response is not None:
        return response.status_code
    found = STATUS.search(text)
    return BY_CODE.get(code) or (int(found[1] or found[2]) if found else None)


def _foreign(error: BaseException) -> str:
    """The first line of a message that is not ours, without addresses and paths."""
    line = str(error).partition("\n")[0].removeprefix(f"{getattr(error, 'error_code', '')}: ")
    return printable(PATH.sub("<path>", without_login(line)))[:LONGEST].rstrip(". ")
