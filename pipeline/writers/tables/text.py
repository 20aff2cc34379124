"""Text from file names and DICOM headers, made fit for tables and pages."""

from __future__ import annotations

__all__ = ["clean"]


def clean(text: str) -> str:
    """``text`` on one line and without what a reader cannot see.

    Line breaks and tabs become spaces. Control characters, marks that turn the direction of writing, and the
    halves of surrogate pairs that stand for undecodable bytes of a file name become U+FFFD, so that one sees
    where they were.
    """
    return "".join(
        c if c.isprintable() else " " if c.isspace() else "\N{REPLACEMENT CHARACTER}" for c in text
    )
