"""The errors of this project, with one base class; each says what was wanted, what was found, what to do.

A message never carries a path, a name or an ID, because it may end in a log. ``PyrasegError.path`` keeps the
path as data, for the command line to show to its user.
"""

from __future__ import annotations

from pathlib import Path

__all__ = [
    "CheckpointError",
    "ConfigError",
    "DatalistError",
    "GeometryError",
    "InputError",
    "LabelError",
    "NothingFoundError",
    "OutputError",
    "PyrasegError",
    "RunError",
    "TrackingError",
    "UsageError",
]


class PyrasegError(Exception):
    """Base of every error that this project raises on purpose.

    Args:
        wanted: what the operation needs, as a noun phrase ("a DICOM file with pixel data").
        found: what it got instead ("a file that ends after 132 bytes").
        remedy: what the user can do about it, as an imperative sentence.
        path: the file concerned, kept as data and out of the message.
    """

    def __init__(self, wanted: str, *, found: str, remedy: str, path: str | Path | None = None) -> None:
        self.wanted = wanted
        self.found = found
        self.remedy = remedy
        self.path = None if path is None else str(path)
        super().__init__(f"wanted {wanted}, found {found}. {remedy}")

    def __reduce__(self) -> tuple[object, ...]:
        """Keep the fields when an error crosses from a data-loading process to the main one."""
        return _rebuild, (type(self), self.wanted, self.found, self.remedy, self.path)


def _rebuild(
    kind: type[PyrasegError], wanted: str, found: str, remedy: str, path: str | None
) -> PyrasegError:
    return kind(wanted, found=found, remedy=remedy, path=path)


class InputError(PyrasegError):
    """A file cannot be read: not DICOM, truncated, without pixels, an unknown transfer syntax, NaN, empty."""


class GeometryError(PyrasegError):
    """Image and mask, or the frames of a series, share no grid; or spacing or orientation is ambiguous."""


class NothingFoundError(PyrasegError):
    """The inputs were searched, and hold nothing to work on."""


class LabelError(PyrasegError):
    """A mask holds values that its label set does not declare, or the label set contradicts another."""


class DatalistError(PyrasegError):
    """A datalist is missing, malformed, empty in a split, or leaks a group from one split into another."""


class ConfigError(PyrasegError):
    """A configuration names an unknown key or a value outside its range."""


class UsageError(ConfigError):
    """A command line that cannot be followed, whatever its files contain."""


class CheckpointError(PyrasegError):
    """A checkpoint is missing, or belongs to another architecture or class count."""


class OutputError(PyrasegError):
    """An output folder or file cannot be written, or existing files would be overwritten."""


class TrackingError(PyrasegError):
    """The tracking server cannot be reached or refuses the run."""


class RunError(PyrasegError):
    """A training or evaluation that was started as a process did not end well."""
