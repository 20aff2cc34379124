"""The errors of this project, with one base class; each says what was wanted, what was found, what to do.

A message never carries a path, a name or an ID, because it may end in a log. ``PyrasegError.path`` keeps the
path as data, for the command line to show to its user.
"""

from __future__ import annotations

import os
import traceback
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

__all__ = [
    "OURS",
    "TRACEBACK_VARIABLE",
    "CheckpointError",
    "ConfigError",
    "DatalistError",
    "GeometryError",
    "InputError",
    "LabelError",
    "NothingFoundError",
    "Option",
    "OutputError",
    "PeerAwayError",
    "PeerError",
    "PromotionError",
    "PyrasegError",
    "RunError",
    "TrackingError",
    "UsageError",
    "item_error",
]

TRACEBACK_VARIABLE = "PYRASEG_TRACEBACK"
ROOT = Path(__file__).resolve().parents[1]
OURS = (f"{ROOT / 'pipeline'}{os.sep}", f"{ROOT / 'transforms'}{os.sep}")  # this project's code


@dataclass(frozen=True)
class Option:
    """An option that a remedy offers. Whoever reads for a user spells it as this user can write it.

    Attributes:
        does: what it does, as an imperative ("drop those that are equal").
        name, value: as a keyword argument of a reader.

    >>> str(Option("drop those that are equal", "repair", ["copies"]))
    "repair=['copies']"
    """

    does: str
    name: str
    value: Any

    def __str__(self) -> str:
        return f"{self.name}={self.value!r}"


class PyrasegError(Exception):
    """Base of every error that this project raises on purpose.

    Args:
        wanted: what the operation needs, as a noun phrase ("a DICOM file with pixel data").
        found: what it got instead ("a file that ends after 132 bytes").
        remedy: what the user can do about it, as an imperative sentence.
        path: the file concerned, kept as data and out of the message.
        option: what the remedy offers besides, spelt as in Python until `restated`.
    """

    def __init__(
        self,
        wanted: str,
        *,
        found: str,
        remedy: str,
        path: str | Path | None = None,
        option: Option | None = None,
    ) -> None:
        self.wanted = wanted
        self.found = found
        self.remedy = _remedy(remedy, option, str)
        self.path = None if path is None else str(path)
        self.option = option
        self._advice = remedy
        super().__init__(f"wanted {wanted}, found {found}. {self.remedy}")

    def restated(
        self,
        kind: type[PyrasegError] | None = None,
        *,
        found: str | None = None,
        path: str | Path | None = None,
        spell: Callable[[Option], str] | None = None,
    ) -> PyrasegError:
        """The same refusal as another kind of error, of another file, with more found, or its option spelt.

        Args:
            spell: the option as the user can write it; empty where this is nowhere, and it is not offered.

        >>> error = PyrasegError("one", found="two", remedy="Remove one.", option=Option("take", "stack", 1))
        >>> error.restated(spell=lambda option: f"--{option.name} {option.value}").remedy
        'Remove one, or take: --stack 1.'
        """
        advice, option = self._advice, self.option
        if spell is not None:
            advice, option = _remedy(advice, option, spell), None
        found = self.found if found is None else found
        path = self.path if path is None else path
        return (kind or type(self))(self.wanted, found=found, remedy=advice, path=path, option=option)

    def __reduce__(self) -> tuple[object, ...]:
        """Keep the fields when an error crosses from a data-loading process to the main one."""
        return _rebuild, (type(self), self.wanted, self.found, self._advice, self.path, self.option)


def _rebuild(
    kind: type[PyrasegError], wanted: str, found: str, remedy: str, path: str | None, option: Option | None
) -> PyrasegError:
    return kind(wanted, found=found, remedy=remedy, path=path, option=option)


def _remedy(advice: str, option: Option | None, spell: Callable[[Option], str]) -> str:
    spelt = spell(option) if option is not None else ""
    return f"{advice.rstrip('.')}, or {option.does}: {spelt}." if option is not None and spelt else advice


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


class PeerError(PyrasegError):
    """A PACS or archive refuses for a reason that a person must mend, such as an AE title or a login."""


class PeerAwayError(PeerError):
    """A PACS or archive gives no answer, or cannot serve now: what was asked of it may be asked again.

    ``wait`` are the seconds that it asks to wait, 0 where it does not say.
    """

    wait = 0.0


class PromotionError(PyrasegError):
    """A candidate was not shown to be as good as is asked for, or another promotion came first."""


class TrackingError(PyrasegError):
    """The tracking server cannot be reached or refuses the run."""


class RunError(PyrasegError):
    """A training or evaluation that was started as a process did not end well."""


def item_error(error: Exception) -> PyrasegError:
    """The error of one item, for whoever does many: call it where every ``Exception`` of an item is caught.

    Parsers of foreign bytes raise what they like, so no list of exceptions would be whole. An error of this
    project, also behind MONAI's wrapping, is itself; memory that runs out and files that the system refuses
    are told as such. Anything else is a bug of ours and says where it happened, without its message, which
    may quote a path or the patient.

    >>> item_error(MemoryError()).found
    'one that does not'
    """
    if os.environ.get(TRACEBACK_VARIABLE) == "1" and not isinstance(error, PyrasegError):
        traceback.print_exception(error)
    chain: BaseException | None = error
    while chain is not None:
        if isinstance(chain, PyrasegError):
            return chain
        if isinstance(chain, MemoryError) or "alloc" in str(chain):  # torch: "can't allocate memory"
            remedy = "Give it more with fewer --workers, or process it on a larger machine."
            return InputError("an item that fits into the memory", found="one that does not", remedy=remedy)
        if isinstance(chain, OSError) and chain.strerror:
            remedy = "Check that it is still there, and who may read it."
            found = f"one that the system refuses ({chain.strerror})"
            return InputError("a file that can be read", found=found, remedy=remedy)
        chain = chain.__cause__ or chain.__context__
    return _internal_error(error)


def _internal_error(error: BaseException) -> RunError:
    while error.__cause__ is not None:  # MONAI wraps the error of a transform
        error = error.__cause__
    frames = traceback.extract_tb(error.__traceback__)
    ours = [frame for frame in frames[1:] if frame.filename.startswith(OURS)]  # the first is the boundary's
    last = (ours or frames)[-1]
    file = os.path.relpath(last.filename, ROOT) if ours else os.path.basename(last.filename)
    kind = type(error).__name__
    return RunError(
        "an item that can be processed",
        found=f"an internal error of pyraseg, an unexpected {kind} in {file}, line {last.lineno}",
        remedy=f"Report it; the file need not be at fault. {TRACEBACK_VARIABLE}=1 shows the traceback.",
    )
