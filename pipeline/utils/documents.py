"""Read JSON, YAML and tables within plausible sizes; whatever is wrong with them is one kind of error."""

from __future__ import annotations

import csv
import io
import json
from pathlib import Path
from typing import Any

import yaml

from pyraseg.transforms.io.limits import CONFIG_BYTES, CONFIG_NODES, DOCUMENT_BYTES

__all__ = ["DocumentError", "parse_json", "parse_yaml", "read_rows", "read_text"]


class DocumentError(ValueError):
    """Why a document cannot be read, without its content; whoever reads it says what was wanted."""


def read_text(path: str | Path, *, most: int = DOCUMENT_BYTES) -> str:
    """The text of a file of at most ``most`` bytes in UTF-8, with or without a byte order mark.

    Raises:
        DocumentError: it is larger, or no text.
        OSError: it cannot be read.
    """
    with open(path, "rb") as file:
        data = file.read(most + 1)
    if len(data) > most:
        raise DocumentError(f"a file of more than {most / 10**6:.0f} MB")
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError:
        raise DocumentError("a file that is not text") from None


def parse_json(text: str) -> Any:
    """The content of JSON.

    Raises:
        DocumentError: a syntax error, with its line, nesting without end, or a number of thousands of digits.
    """
    try:
        return json.loads(text)
    except json.JSONDecodeError as error:
        raise DocumentError(f"a syntax error in line {error.lineno} ({error.msg})") from None
    except RecursionError:
        raise DocumentError("a file that is nested too deep") from None
    except ValueError:
        raise DocumentError("a number of too many digits") from None


def parse_yaml(text: str) -> Any:
    """The content of YAML without tags of its own; aliases count for what they stand for.

    Raises:
        DocumentError: a syntax error, nesting without end, more than `CONFIG_BYTES` or `CONFIG_NODES`.
    """
    if len(text) > CONFIG_BYTES:
        raise DocumentError(f"a file of more than {CONFIG_BYTES / 10**6:.0f} MB")
    try:
        content = yaml.safe_load(text)
        nodes = _nodes(content, {})
    except RecursionError:
        raise DocumentError("a file that is nested too deep") from None
    except yaml.MarkedYAMLError as error:
        line = f" in line {error.problem_mark.line + 1}" if error.problem_mark else ""
        raise DocumentError(f"a syntax error{line}") from None
    except (yaml.YAMLError, ValueError, TypeError, OverflowError) as error:
        raise DocumentError(f"a value that is none ({type(error).__name__})") from None
    if nodes > CONFIG_NODES:
        raise DocumentError(f"aliases that stand for more than {CONFIG_NODES} values")
    return content


def _nodes(content: Any, known: dict[int, int]) -> int:
    """The values of a document, written out."""
    if not isinstance(content, dict | list):
        return 1
    if id(content) not in known:
        known[id(content)] = CONFIG_NODES  # of what holds itself
        parts = content.values() if isinstance(content, dict) else content
        known[id(content)] = 1 + sum(_nodes(part, known) for part in parts)
    return known[id(content)]


def read_rows(path: str | Path, *, delimiter: str = ",") -> tuple[list[dict[str, str]], list[str]]:
    """The rows of a table by column, and its columns.

    Raises:
        DocumentError: it is no table, or too large.
        OSError: it cannot be read.
    """
    try:
        reader = csv.DictReader(io.StringIO(read_text(path), newline=""), delimiter=delimiter)
        rows = list(reader)
    except csv.Error as error:
        raise DocumentError(f"no table ({error})") from None
    return rows, list(reader.fieldnames or [])
