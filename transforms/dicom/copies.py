"""Whether files under one SOP Instance UID are one image, in whatever encoding, or several."""

from __future__ import annotations

import filecmp
import warnings
from collections.abc import Sequence
from itertools import zip_longest
from pathlib import Path
from typing import Any

import numpy as np
from pydicom.pixels import iter_pixels

from pyraseg.transforms.dicom.files.header import parse_file
from pyraseg.transforms.dicom.files.values import BrokenFile, foreign
from pyraseg.transforms.dicom.series.identity import IDENTITY_TAGS
from pyraseg.transforms.dicom.series.planes import VOLUME_TAGS
from pyraseg.transforms.errors import InputError

__all__ = ["part_copies", "same_image"]

TAGS = (*IDENTITY_TAGS, *VOLUME_TAGS)
ENCODING = frozenset(
    {"PlanarConfiguration", "BitsAllocated", "ExtendedOffsetTable", "ExtendedOffsetTableLengths"}
)


def part_copies(paths: Sequence[Path]) -> tuple[list[Path], dict[Path, Path]]:
    """The first file of each image, and the original of every other file.

    Raises:
        OSError: a file cannot be read.
    """
    distinct: list[Path] = []
    originals: dict[Path, Path] = {}
    for path in paths:
        original = next((first for first in distinct if same_image(first, path)), None)
        if original is None:
            distinct.append(path)
        else:
            originals[path] = original
    return distinct, originals


def same_image(first: Path, second: Path) -> bool:
    """Whether two files hold the same pixels of the same patient, study, place and meaning.

    They may differ in the file meta group, the transfer syntax, private and other attributes that are not
    used here. What cannot be decoded is the same only byte by byte.

    Raises:
        OSError: a file cannot be read.
    """
    if filecmp.cmp(first, second, shallow=False):
        return True
    try:
        return _attributes(first) == _attributes(second) and _same_pixels(first, second)
    except (InputError, BrokenFile):
        return False


def _attributes(path: Path) -> dict[str, Any]:
    values = {element.keyword: element.value for element in parse_file(path, tags=TAGS).dataset}
    left = ENCODING | ({"PhotometricInterpretation"} if values.get("SamplesPerPixel") == 3 else set())
    return {name: value for name, value in values.items() if name not in left and value not in (None, "")}


def _same_pixels(first: Path, second: Path) -> bool:
    with foreign(), warnings.catch_warnings():
        warnings.simplefilter("ignore")  # pydicom's warnings quote values
        pairs = zip_longest(iter_pixels(first), iter_pixels(second))
        return all(a is not None and b is not None and np.array_equal(a, b) for a, b in pairs)
