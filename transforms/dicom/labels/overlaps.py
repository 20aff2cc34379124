"""Put masks that share voxels into one label map, in a declared order."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from pyraseg.transforms.errors import ConfigError, LabelError

__all__ = ["CROP", "check_classes", "overlap_notes", "put"]

OVERLAPS = ("refuse", "last")
CROP = "leave out what lies beyond the image"


def check_classes(classes: Mapping[Any, int], overlap: str) -> None:
    """Refuse classes outside 1 to 255, and an unknown rule for overlaps.

    Raises:
        LabelError, ConfigError: with the choices.
    """
    beyond = [value for value in classes.values() if not 1 <= value <= 255]
    if beyond or not classes:
        found = str(beyond[0]) if beyond else "none"
        remedy = "Give every part a class in that range."
        raise LabelError("classes from 1 to 255", found=found, remedy=remedy)
    if overlap not in OVERLAPS:
        remedy = f"Choose one of {', '.join(OVERLAPS)}."
        raise ConfigError("a rule for overlaps", found="another one", remedy=remedy)


def put(labels: np.ndarray, mask: np.ndarray, value: int) -> int:
    """Set the class of a mask in the labels, in place; returns how many voxels had another class."""
    before = labels[mask]
    labels[mask] = value
    return int(np.count_nonzero((before != 0) & (before != value)))


def overlap_notes(shared: int, overlap: str, *, path: str) -> tuple[str, ...]:
    """Notes on voxels of two classes.

    Raises:
        LabelError: there are some, and no order is declared.
    """
    if shared and overlap == "refuse":
        remedy = 'Declare that the last one counts (overlap "last"), and order the classes by it.'
        found = f"{shared} voxels of two"
        raise LabelError("parts that do not overlap", found=found, remedy=remedy, path=path)
    return (f"voxels of two classes, the last one counts: {shared}",) if shared else ()
