"""Text from file names, DICOM headers and units, made fit for tables and pages."""

from __future__ import annotations

import re

__all__ = ["clean", "neutralise", "shown_unit"]

FORMULA = tuple("=+-@＝＋－＠")  # what a spreadsheet starts to compute at, full width too
POWERS = str.maketrans("23", "²³")


def clean(text: str) -> str:
    """``text`` on one line and without what a reader cannot see.

    Line breaks and tabs become spaces. Control characters, marks that turn the direction of writing, and the
    halves of surrogate pairs that stand for undecodable bytes of a file name become U+FFFD, so that one sees
    where they were.
    """
    return "".join(
        c if c.isprintable() else " " if c.isspace() else "\N{REPLACEMENT CHARACTER}" for c in text
    )


def neutralise(text: str) -> str:
    """``text`` as a cell that no spreadsheet takes for a formula: an apostrophe before what would start one.

    Source: OWASP, CSV Injection.
    """
    plain = clean(text)
    return f"'{plain}" if plain.lstrip().startswith(FORMULA) else plain


def shown_unit(unit: str) -> str:
    """A UCUM unit as one writes it: mm², HU; nothing for a ratio."""
    plain = re.sub(r"\{.*?\}", "", unit)
    if plain == "[hnsf'U]":
        return "HU"
    return re.sub(r"(?<=m)[23]\b", lambda power: power[0].translate(POWERS), plain)
