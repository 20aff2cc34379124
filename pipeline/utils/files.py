"""Writing files whole or not at all."""

from __future__ import annotations

import errno
import os
import secrets
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import IO, Any, Literal, overload

from pyraseg.transforms.errors import OutputError

__all__ = ["atomic_path", "atomic_write", "output_error"]

FULL = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}


@contextmanager
def atomic_path(path: str | Path) -> Iterator[Path]:
    """Give a temporary name in ``path``'s folder for a library to write to, and rename it at the end of the
    block.

    The folder is made. The temporary name ends as ``path`` does, so a library that goes by the extension
    finds it. Where the block fails, or is interrupted, ``path`` is as it was before and nothing else is left.

    Raises:
        OutputError: the folder or the file cannot be written, or the disk is full. An OSError of the block
            that concerns another file passes unchanged.
    """
    path = Path(path)
    draft = path.with_name(
        f".{secrets.token_hex(6)}-{path.name[-40:]}"
    )  # cut: a name may have no room for more
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            yield draft
            _flush(draft)
            os.replace(draft, path)
        finally:
            draft.unlink(missing_ok=True)
    except OSError as error:
        if error.filename is not None and not _concerns(error.filename, draft, path):
            raise
        raise output_error(error, path) from error


@overload
def atomic_write(path: str | Path, mode: Literal["wb"] = "wb") -> AbstractContextManager[IO[bytes]]: ...
@overload
def atomic_write(path: str | Path, mode: Literal["w"]) -> AbstractContextManager[IO[str]]: ...
def atomic_write(path: str | Path, mode: Literal["wb", "w"] = "wb") -> Any:
    """Open a file as ``open(path, mode)`` does, but show it under its name only once the block has ended
    well.

    Text is UTF-8 with ``\\n`` on every system, so that the same content gives the same bytes.

    Raises:
        OutputError: as ``atomic_path``.
    """
    return _open_draft(path, mode)


@contextmanager
def _open_draft(path: str | Path, mode: str) -> Iterator[IO[Any]]:
    text = {} if "b" in mode else {"encoding": "utf-8", "newline": "\n"}
    with atomic_path(path) as draft, open(draft, mode, **text) as file:  # type: ignore[call-overload]
        yield file


def _flush(draft: Path) -> None:
    """Bring the content to the disk before the name: after a power cut the name must not stand on an empty
    file."""
    handle = os.open(draft, os.O_RDWR)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def _concerns(filename: str | bytes | int, draft: Path, path: Path) -> bool:
    named = Path(os.fsdecode(filename)) if isinstance(filename, (str, bytes)) else None
    return named is not None and (named in (draft, path) or named in path.parents)


def output_error(error: OSError, path: Path) -> OutputError:
    """The error to raise where ``path`` cannot be written: a full disk has another remedy than a forbidden
    one."""
    reason = error.strerror or type(error).__name__
    if error.errno in FULL:
        found, remedy = f"no room for it ({reason})", "Free some space, or choose another output folder."
    else:
        found = f"a place that cannot be written ({reason})"
        remedy = "Choose another output folder, or give yourself write access there."
    return OutputError("an output file that can be written", found=found, remedy=remedy, path=path)
