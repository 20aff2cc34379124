"""Read the files of a run. Anybody may have put them there: they have limits, and damage is named."""

from __future__ import annotations

import math
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from pyraseg.pipeline.utils import documents
from pyraseg.transforms.errors import InputError, PyrasegError
from pyraseg.transforms.io.limits import DOCUMENT_BYTES

__all__ = ["damage_of", "finite", "read_document", "read_rows", "require_size"]

MB = 10**6
MASKS_BYTES = 1000 * MB


@contextmanager
def damage_of(file: str, run: str) -> Iterator[None]:
    """Turn the errors of reading a run's damaged or foreign file into an InputError that names the run."""
    try:
        yield
    except PyrasegError:
        raise
    except Exception as error:  # a hostile file makes libraries raise anything
        remedy = "Evaluate the checkpoint again, or leave the run out with --runs."
        raise InputError(
            f"a {file} that can be read", found=f"a damaged one of {run!r}", remedy=remedy
        ) from error


def require_size(file: str, size: int | None, *, run: str) -> None:
    """Refuse a file that is larger than any of an evaluation, before it is fetched.

    Raises:
        InputError: it is.
    """
    limit = MASKS_BYTES if file.endswith(".npz") else DOCUMENT_BYTES
    if size is not None and size > limit:
        found = f"one of {size / MB:,.0f} MB of {run!r}"
        remedy = "Leave the run out with --runs."
        raise InputError(f"a {Path(file).name} of at most {limit // MB} MB", found=found, remedy=remedy)


def read_rows(path: Path, *, run: str) -> list[dict[str, str]]:
    """The rows of a CSV table.

    Raises:
        InputError: it is damaged or too large.
    """
    with damage_of(path.name, run):
        rows, _ = documents.read_rows(path)
        if any(None in row or None in row.values() for row in rows):
            raise ValueError("a row with more or fewer cells than columns")  # cut short
    return rows


def read_document(path: Path, *, run: str) -> dict[str, Any]:
    """A JSON or YAML document; empty if it is no mapping.

    Raises:
        InputError: it is damaged or too large.
    """
    parse = documents.parse_json if path.suffix == ".json" else documents.parse_yaml
    with damage_of(path.name, run):
        content = parse(documents.read_text(path))
    return content if isinstance(content, dict) else {}


def finite(text: str) -> float:
    """A number.

    Raises:
        ValueError: it is none, NaN or infinite.
    """
    value = float(text)
    if not math.isfinite(value):
        raise ValueError("not finite")
    return value
