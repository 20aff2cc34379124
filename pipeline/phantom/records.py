"""The interface of a phantom modality, and the report on a data set."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol, TypeVar

__all__ = ["P", "PhantomReport", "Phantoms", "Written"]


class Plan(Protocol):
    """One case before it is rendered.

    Attributes:
        name: "case_0001" onwards; the patient in the datalist.
        encoding_name: how the case stores its pixels, in words.
        stratum: each split gets the same share of either value.
    """

    @property
    def name(self) -> str: ...
    @property
    def encoding_name(self) -> str: ...
    @property
    def stratum(self) -> bool: ...


P = TypeVar("P", bound=Plan)


@dataclass(frozen=True)
class Written:
    """The output of one case: its datalist items, and rows of the table of truths."""

    items: tuple[Mapping[str, str], ...]
    truth: tuple[Mapping[str, object], ...] = ()


class Phantoms(Protocol[P]):
    """The phantoms of one modality.

    Attributes:
        modality: its name on the command line.
        label_names: the classes by value.
        folders: those that ``write`` fills.
        minimum: number of cases; fewer cannot be split.
    """

    modality: str
    label_names: tuple[str, ...]
    folders: tuple[str, ...]
    minimum: int

    def plan(self, cases: int, *, seed: int, patient_name: str | None) -> list[P]:
        """Plan the cases; each plan is independent of their number."""

    def write(self, plan: P, folder: Path) -> Written:
        """Render a case and write it below the folder."""

    def facts(self, plans: Sequence[P], written: Sequence[Written]) -> tuple[str, ...]:
        """Lines of the report."""


@dataclass(frozen=True)
class PhantomReport:
    """The output of ``generate``.

    Attributes:
        output, datalist: the folder and its datalist.
        modality: "us", "ct", "mr" or "pet".
        cases, images: counts; an image is a frame of ultrasound, or a series.
        splits: images by split.
        encodings: cases by photometric interpretation and transfer syntax.
        facts: further lines.
    """

    output: Path
    datalist: Path
    modality: str
    cases: int
    images: int
    splits: Mapping[str, int]
    encodings: Mapping[str, int]
    facts: tuple[str, ...]

    def lines(self) -> list[str]:
        """The report as text for a command line; it names no case."""
        return [
            *self.facts,
            "Split: " + ", ".join(f"{name} {count}" for name, count in self.splits.items()),
            *(f"{count:4d} x {encoding}" for encoding, count in self.encodings.items()),
            f"Datalist: {self.datalist}",
        ]
