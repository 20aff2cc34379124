"""Names of cases that reveal nothing about the patient: a keyed hash instead of a path, a name or an ID."""

from __future__ import annotations

import contextlib
import hashlib
import hmac
import os
import re
import secrets
from pathlib import Path

from pyraseg.transforms.errors import OutputError

__all__ = ["case_name", "image_group", "is_hashed", "is_image_group", "key_file", "keyed_digest"]

KEY_VARIABLE = "PYRASEG_HASH_KEY"
IMAGE = "image "  # begins the group of an image that has none
HASHED = re.compile(rf"({IMAGE}c|c|g)[0-9a-f]{{12}}")
NAME_LENGTH = 12  # hexadecimal digits: 48 bits, no collision expected below a million cases


def case_name(text: str) -> str:
    """Name a case by a keyed hash (HMAC-SHA256) of ``text``, usually its path relative to the data set.

    The key comes from the environment variable ``PYRASEG_HASH_KEY``, else from `key_file`, which is made on
    first use. So a case keeps its name on one machine, and nobody can hash guesses without the key.

    Raises:
        OutputError: there is no key and none can be stored, or the stored one is empty.

    >>> name = case_name("patients/7/cine.dcm")
    >>> len(name), name == case_name("patients/7/cine.dcm")
    (13, True)
    """
    return f"c{keyed_digest(text)[:NAME_LENGTH]}"


def keyed_digest(text: str) -> str:
    """HMAC-SHA256 of a text with this user's key: whoever has not the key cannot make the digest.

    Raises:
        OutputError: as `case_name`.
    """
    return hmac.new(_key(), text.encode("utf-8", "surrogateescape"), hashlib.sha256).hexdigest()


def is_hashed(name: str) -> bool:
    """Whether the name of a case or group has the form of a keyed hash."""
    return HASHED.fullmatch(name) is not None


def image_group(path: str) -> str:
    """The group of an image whose patient nobody names; every table shows it, and so that it is none.

    >>> image_group("cine.dcm") == f"image {case_name('cine.dcm')}"
    True
    """
    return f"{IMAGE}{case_name(path)}"


def is_image_group(group: str) -> bool:
    """Whether a group is a single image's, because nobody said whose the image is."""
    return group.startswith(IMAGE) and is_hashed(group)


def key_file() -> Path:
    """The file of this user's key: ``$XDG_CONFIG_HOME/pyraseg/hash.key``."""
    return Path(os.environ.get("XDG_CONFIG_HOME") or Path.home() / ".config") / "pyraseg" / "hash.key"


def _key() -> bytes:
    if key := os.environ.get(KEY_VARIABLE):
        return key.encode()
    path = key_file()
    try:
        try:
            key_bytes = path.read_bytes()
        except FileNotFoundError:
            key_bytes = _new_key(path)
    except OSError as error:
        found = f"a configuration folder that cannot be read or written ({error.strerror})"
        raise _no_key(found, path) from error
    if not key_bytes:  # an empty key works, but is the same for everybody
        raise _no_key("an empty key file", path)
    return key_bytes


def _new_key(path: Path) -> bytes:
    """Store a new key so that a second process at the same moment reads the same one."""
    draft = path.with_name(f"{path.name}.{os.getpid()}.{secrets.token_hex(4)}")
    path.parent.mkdir(parents=True, exist_ok=True)
    try:
        draft.touch(mode=0o600)
        draft.write_bytes(secrets.token_hex(32).encode())
        with contextlib.suppress(FileExistsError):
            os.link(draft, path)  # unlike rename, it never replaces a key that was just stored
    finally:
        draft.unlink(missing_ok=True)
    return path.read_bytes()


def _no_key(found: str, path: Path) -> OutputError:
    wanted = "a place to keep the key that case names are hashed with"
    remedy = f"Remove the file or free its place, or set the environment variable {KEY_VARIABLE} to a secret."
    return OutputError(wanted, found=found, remedy=remedy, path=path)
