"""Read the files of a run. Anybody may have put them there: they have limits, and damage is named."""

from __future__ import annotations

import csv
import json
import math
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import yaml

from pyraseg.transforms.errors import InputError, PyrasegError

__all__ = ["damage_of", "finite", "read_document", "read_rows", "require_size"]

MB = 1 << 20
LARGEST = {".csv": 64 * MB, ".json": 64 * MB, ".yaml": MB, ".npz": 1024 * MB}  # 200,000 rows of cases.csv


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
    limit = LARGEST[Path(file).suffix]
    if size is not None and size > limit:
        found = f"one of {size / MB:,.0f} MB of {run!r}"
        remedy = "Leave the run out with --runs."
        raise InputError(f"a {Path(file).name} of at most {limit // MB} MB", found=found, remedy=remedy)


def read_rows(path: Path, *, run: str) -> list[dict[str, str]]:
    """The rows of a CSV table.

    Raises:
        InputError: it is damaged or too large.
    """
    require_size(path.name, path.stat().st_size, run=run)
    with damage_of(path.name, run):
        with open(path, newline="", encoding="utf-8") as file:
            rows = list(csv.DictReader(file))
        if any(None in row or None in row.values() for row in rows):
            raise ValueError("a row with more or fewer cells than columns")  # cut short
    return rows


def read_document(path: Path, *, run: str) -> dict[str, Any]:
    """A JSON or YAML document; empty if it is no mapping.

    Raises:
        InputError: it is damaged or too large.
    """
    require_size(path.name, path.stat().st_size, run=run)
    with damage_of(path.name, run):
        text = path.read_text(encoding="utf-8")
        content = json.loads(text) if path.suffix == ".json" else yaml.load(text, _PlainLoader)
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


class _PlainLoader(yaml.SafeLoader):
    """YAML without aliases, a few of which name gigabytes; the configs of runs have none."""

    def compose_node(self, parent: Any, index: int) -> Any:
        if self.check_event(yaml.AliasEvent):
            raise ValueError("an alias")
        return super().compose_node(parent, index)
