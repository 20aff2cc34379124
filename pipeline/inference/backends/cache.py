"""Where exported networks and what is known about them are kept between runs."""

from __future__ import annotations

import hashlib
import json
import logging
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from torch import nn

from pyraseg.pipeline.utils.files import atomic_write
from pyraseg.transforms.errors import OutputError

__all__ = ["cache_folder", "describe", "digest", "file_hash", "read_facts", "write_facts"]

logger = logging.getLogger(__name__)


def cache_folder() -> Path | None:
    """``$XDG_CACHE_HOME/pyraseg/backends`` (``~/.cache`` without the variable); None for a user without a
    home."""
    try:
        root = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    except RuntimeError:
        return None
    return root / "pyraseg" / "backends"


def digest(facts: Mapping[str, Any]) -> str:
    """A name for plain values, the same whatever their order."""
    return hashlib.sha256(json.dumps(facts, sort_keys=True, default=str).encode()).hexdigest()[:32]


def describe(network: nn.Module) -> Any:
    """What tells a network from another beside its weights: its options, by member for an ensemble, or its
    modules."""
    if (members := getattr(network, "members", None)) is not None:
        return [describe(member) for member in members]
    return getattr(network, "options", None) or repr(network)


def file_hash(path: Path) -> str:
    """The SHA-256 of a file's content."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def read_facts(path: Path | None) -> dict[str, Any]:
    """What ``write_facts`` wrote; empty where it is missing or damaged."""
    try:
        content = {} if path is None else json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return content if isinstance(content, dict) else {}


def write_facts(path: Path | None, facts: Mapping[str, Any]) -> None:
    """Keep plain values. Where they cannot be kept they will be found out again, so that is no error."""
    if path is None:
        return
    try:
        with atomic_write(path, "w") as file:
            json.dump(facts, file, indent=1)
    except OutputError as error:
        logger.debug("what was found out about a backend is not kept: %s", error)
