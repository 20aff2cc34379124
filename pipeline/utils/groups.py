"""What the groups of a datalist or a table are worth: patients, or images whose patient nobody named."""

from __future__ import annotations

from collections.abc import Collection

from pyraseg.transforms.privacy import is_image_group

__all__ = ["images_as_groups", "note_on_groups"]


def images_as_groups(groups: Collection[str]) -> int:
    """The number of groups that are one image each, for want of a patient."""
    return sum(map(is_image_group, set(groups)))


def note_on_groups(groups: Collection[str]) -> str:
    """A sentence for tables and reports where images count as patients; empty where none does.

    >>> note_on_groups(["P1", "P2"])
    ''
    """
    number = images_as_groups(groups)
    if not number:
        return ""
    some = "" if number == len(set(groups)) else f" {number} of {len(set(groups))}"
    return (
        f"Groups{some} are single images: the datalist names no patient (group) for them, so each image "
        "counts as a patient. If one has several, intervals are too narrow and splits may share patients."
    )
