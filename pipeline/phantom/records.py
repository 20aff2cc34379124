"""What a case of a phantom leaves behind, and the report on a data set."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

__all__ = ["PhantomReport", "Written"]


@dataclass(frozen=True)
class Written:
    """The output of one case: its datalist items, and rows of the table of truths."""

    items: tuple[Mapping[str, str], ...]
    truth: tuple[Mapping[str, object], ...] = ()


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
