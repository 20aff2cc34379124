"""Write files whole or not at all, and for their owner alone."""

from __future__ import annotations

import contextlib
import csv
import errno
import hashlib
import json
import os
import secrets
import shutil
import stat
from collections.abc import Iterable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import IO, Any, Literal, overload

from pyraseg.transforms.errors import OutputError

__all__ = [
    "atomic_folder",
    "atomic_path",
    "atomic_write",
    "hold_file",
    "output_error",
    "private_files",
    "private_folder",
    "sha256_of",
    "sync_path",
    "user_cache",
    "write_json",
    "write_rows",
]

FULL = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}


@contextmanager
def atomic_path(path: str | Path) -> Iterator[Path]:
    """Give a temporary name in ``path``'s folder to write to, and rename it at the end of the block.

    The folder is made. The temporary file is there already, empty and for its owner alone (0600); its name
    has ``path``'s ending, for libraries that read the extension. If the block fails or is interrupted,
    ``path`` is as before and nothing else is left.

    Raises:
        OutputError: the folder or the file cannot be written, or the disk is full. An OSError of the block
            that concerns another file passes unchanged.
    """
    path = Path(path)
    draft = path.with_name(f".{secrets.token_hex(6)}-{path.name[-40:]}")  # cut: a name has 255 bytes at most
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        draft.touch(mode=0o600)  # for its owner alone, whatever the process's umask
        try:
            yield draft
            with draft.open("r+b") as file:  # content before name: no name on an empty file after a power cut
                os.fsync(file)
            os.replace(draft, path)
        finally:
            draft.unlink(missing_ok=True)
    except OSError as error:
        named = Path(os.fsdecode(error.filename)) if isinstance(error.filename, str | bytes) else None
        if error.filename is None or named in (draft, path, *path.parents):
            raise output_error(error, path) from error
        raise


@contextmanager
def atomic_folder(path: str | Path) -> Iterator[Path]:
    """Give a new folder beside ``path`` to fill, and rename it at the end of the block.

    If the block fails or is interrupted, nothing is left.

    Raises:
        OutputError: ``path`` is there, unless as an empty folder; it cannot be written; or the disk is full.
    """
    path = Path(path).absolute()
    in_use = OutputError(
        "a new folder", found="one that is there", remedy="Name another, or remove it.", path=path
    )
    draft = path.with_name(f".{secrets.token_hex(6)}-{path.name[-40:]}")
    try:
        if path.exists() and not (path.is_dir() and not any(path.iterdir())):
            raise in_use
        draft.mkdir(mode=0o700, parents=True)
        try:
            yield draft
            os.replace(draft, path)
        finally:
            shutil.rmtree(draft, ignore_errors=True)
    except OSError as error:
        named = Path(os.fsdecode(error.filename)) if isinstance(error.filename, str | bytes) else None
        if error.errno in (errno.EEXIST, errno.ENOTEMPTY):
            raise in_use from error
        if named is None or named.is_relative_to(draft) or named in (path, *path.parents):
            raise output_error(error, path) from error
        raise


@overload
def atomic_write(path: str | Path, mode: Literal["wb"] = "wb") -> AbstractContextManager[IO[bytes]]: ...
@overload
def atomic_write(path: str | Path, mode: Literal["w"]) -> AbstractContextManager[IO[str]]: ...
@contextmanager
def atomic_write(path: str | Path, mode: str = "wb") -> Iterator[IO[Any]]:
    """Open a file as ``open(path, mode)`` does; it gets its name at the end of the block.

    Text is UTF-8 with ``\\n`` on every system, so the same content gives the same bytes.

    Raises:
        OutputError: as ``atomic_path``.
    """
    text: dict[str, Any] = {} if "b" in mode else {"encoding": "utf-8", "newline": "\n"}
    with atomic_path(path) as draft, open(draft, mode, **text) as file:
        yield file


def write_json(path: str | Path, content: Mapping[str, Any]) -> Path:
    """Write a JSON document whole or not at all, and return its path.

    Raises:
        OutputError: as ``atomic_path``.
        ValueError: a number is not finite.
    """
    with atomic_write(path, "w") as file:
        file.write(json.dumps(content, indent=1, allow_nan=False) + "\n")
    return Path(path)


def write_rows(path: str | Path, header: Iterable[Any], rows: Iterable[Iterable[Any]]) -> Path:
    """Write a CSV table with a header whole or not at all, and return its path.

    Raises:
        OutputError: as ``atomic_path``.
    """
    with atomic_write(path, "w") as file:
        table = csv.writer(file, lineterminator="\n")
        table.writerow(header)
        table.writerows(rows)
    return Path(path)


@contextmanager
def private_files() -> Iterator[None]:
    """Within the block what this process makes, and those that it starts, is its owner's: mode 0600, 0700.

    It holds for the files of any library. Files and folders that are there keep their modes.
    """
    before = os.umask(0o077)
    try:
        yield
    finally:
        os.umask(before)


def private_folder(path: str | Path, *, remedy: str = "Name another folder.") -> Path:
    """Make a folder of this user's, or close one to all others (0700), before what it holds is trusted.

    A link is followed.

    Raises:
        OutputError: another user owns it, and could change what is read back; all users share it, as /tmp; or
            it cannot be made, closed or written.
    """
    path = Path(path)
    try:
        with private_files():
            path.mkdir(parents=True, exist_ok=True)
        status = path.stat()
        others = hasattr(os, "geteuid") and status.st_uid != os.geteuid()
        shared = status.st_mode & stat.S_ISVTX
        if not others and not shared and status.st_mode & 0o077:
            path.chmod(0o700)
        found = "another user's" if others else "one that all users share" if shared else ""
        if not found and not os.access(path, os.W_OK | os.X_OK):
            raise PermissionError(errno.EACCES, os.strerror(errno.EACCES))
    except OSError as error:
        found = f"one that cannot be written ({error.strerror})"
        raise OutputError(
            "a folder of your own to write to", found=found, remedy=remedy, path=path
        ) from error
    if found:
        raise OutputError("a folder of your own to write to", found=found, remedy=remedy, path=path)
    return path


def hold_file(path: Path) -> IO[bytes] | None:
    """Lock a file while it is open and the process lives, if the file system has locks; None: another does.

    A POSIX record lock: unlike ``flock``'s, processes that survive a killed one do not keep it.
    """
    file = open(path, "ab")  # noqa: SIM115  # it stays open
    with contextlib.suppress(ImportError):
        import fcntl

        try:
            fcntl.lockf(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except (BlockingIOError, PermissionError):
            file.close()
            return None
        except OSError:  # a network file system without locks
            return file
    return file


def user_cache() -> Path:
    """This user's cache: ``$XDG_CACHE_HOME/pyraseg``, ``~/.cache/pyraseg`` without the variable.

    Raises:
        RuntimeError: the user has no home.
    """
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "pyraseg"


def sync_path(path: str | Path) -> None:
    """Bring to the disk what a file holds, or the names in a folder.

    Raises:
        OSError: it cannot be opened or synced.
    """
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def sha256_of(path: str | Path) -> str:
    """The SHA-256 of a file's content, in hexadecimal."""
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def output_error(error: OSError, path: Path) -> OutputError:
    """The error for an unwritable ``path``: a full disk has another remedy than a forbidden one."""
    reason = error.strerror or type(error).__name__
    if error.errno in FULL:
        found, remedy = f"no room for it ({reason})", "Free some space, or choose another output folder."
    else:
        found = f"one that cannot be written ({reason})"
        remedy = "Choose another output folder, or give yourself write access there."
    return OutputError("an output file that can be written", found=found, remedy=remedy, path=path)
