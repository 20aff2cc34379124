"""This package's version."""

from __future__ import annotations

from functools import cache
from importlib import metadata

__all__ = ["package_version"]


@cache
def package_version() -> str:
    """The version of the installed package, or "unknown" in a source tree."""
    try:
        return metadata.version("pyraseg")
    except metadata.PackageNotFoundError:
        return "unknown"
