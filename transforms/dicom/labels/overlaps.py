"""Put masks that share voxels into one label map, in a declared order."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from pyraseg.transforms.errors import LabelError

__all__ = ["CROP", "check_classes", "overlap_notes", "put"]

CROP = "leave out what lies beyond the image"


def check_classes(classes: Mapping[int, int]) -> None:
    """Refuse classes outside 1 to 255.

    Raises:
        LabelError: there is one, or no class at all.
    """
    beyond = [value for value in classes.values() if not 1 <= value <= 255]
    if beyond or not classes:
        found = str(beyond[0]) if beyond else "none"
        remedy = "Give every part a class in that range."
        raise LabelError("classes from 1 to 255", found=found, remedy=remedy)


def put(labels: np.ndarray, mask: np.ndarray, value: int) -> int:
    """Set the class of a mask in the labels, in place; returns how many voxels had another class."""
    before = labels[mask]
    labels[mask] = value
    return int(np.count_nonzero((before != 0) & (before != value)))


def overlap_notes(shared: int) -> tuple[str, ...]:
    """Notes on voxels of two classes, from how many there are."""
    return (f"voxels of two classes, the last one counts: {shared}",) if shared else ()
