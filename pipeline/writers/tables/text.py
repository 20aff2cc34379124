"""Make text from file names, DICOM headers and units fit for tables and pages."""

from __future__ import annotations

import re

__all__ = ["clean", "neutralise", "shown_unit"]

FORMULA = tuple("=+-@＝＋－＠")  # characters that start a formula in a spreadsheet, full width too
POWERS = str.maketrans("23", "²³")


def clean(text: str) -> str:
    """``text`` on one line, without invisible characters.

    Line breaks and tabs become spaces. Control characters, marks that change the direction of writing, and
    surrogates of undecodable bytes in file names become U+FFFD, which shows where they were.
    """
    return "".join(
        c if c.isprintable() else " " if c.isspace() else "\N{REPLACEMENT CHARACTER}" for c in text
    )


def neutralise(text: str) -> str:
    """``text`` as a cell that no spreadsheet takes for a formula: an apostrophe goes before such a start.

    Source: OWASP, CSV Injection.
    """
    plain = clean(text)
    return f"'{plain}" if plain.lstrip().startswith(FORMULA) else plain


def shown_unit(unit: str) -> str:
    """A UCUM unit for people: mm², HU; nothing for a ratio."""
    plain = re.sub(r"\{.*?\}", "", unit)
    if plain == "[hnsf'U]":
        return "HU"
    return re.sub(r"(?<=m)[23]\b", lambda power: power[0].translate(POWERS), plain)
