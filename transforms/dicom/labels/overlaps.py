"""Masks that share voxels, put into one label map by a declared order."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from pyraseg.transforms.errors import ConfigError, LabelError

__all__ = ["check_classes", "overlap_notes", "put"]

OVERLAPS = ("refuse", "last")


def check_classes(classes: Mapping[Any, int], overlap: str) -> None:
    """Refuse classes that are no bytes above 0, and an unknown way to settle overlaps.

    Raises:
        LabelError, ConfigError: with what there is to choose from.
    """
    beyond = [value for value in classes.values() if not 1 <= value <= 255]
    if beyond or not classes:
        found = str(beyond[0]) if beyond else "none"
        remedy = "Give every part a class in that range."
        raise LabelError("classes from 1 to 255", found=found, remedy=remedy)
    if overlap not in OVERLAPS:
        remedy = f"Choose one of {', '.join(OVERLAPS)}."
        raise ConfigError("a way to settle overlaps", found="another one", remedy=remedy)


def put(labels: np.ndarray, mask: np.ndarray, value: int) -> int:
    """Set the labels within the mask, in place; the number of voxels that were of another class."""
    before = labels[mask]
    labels[mask] = value
    return int(np.count_nonzero((before != 0) & (before != value)))


def overlap_notes(shared: int, overlap: str, *, path: str) -> tuple[str, ...]:
    """What is to be said of voxels of two classes.

    Raises:
        LabelError: there are some, and no order is declared.
    """
    if shared and overlap == "refuse":
        remedy = 'Declare that the last one counts (overlap "last"), and order the classes by it.'
        found = f"{shared} voxels of two"
        raise LabelError("parts that do not overlap", found=found, remedy=remedy, path=path)
    return (f"voxels of two classes, the last one counts: {shared}",) if shared else ()
