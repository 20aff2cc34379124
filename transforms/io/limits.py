"""Plausible sizes and numbers: one set for every reader, with room for the largest real studies.

What exceeds them is a broken or hostile file, and is refused by name before memory or time is spent on it.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from pyraseg.transforms.errors import InputError

__all__ = [
    "ARMS",
    "CONFIG_BYTES",
    "CONFIG_NODES",
    "CROSSINGS",
    "DOCUMENT_BYTES",
    "FEW_FRAMES",
    "FRAMES",
    "FRAME_BYTES",
    "INFLATION",
    "NIFTI_OFFSET",
    "SCANS",
    "SIDE",
    "SPACING_MM",
    "VOLUME_BYTES",
    "VOXELS",
    "WHERE_MM",
    "are_finite",
    "check_volume",
    "most_items",
    "spacing_fault",
]

# 268 MB in colour, 9,459 x 9,459 pixels: pillow's own limit; the largest radiographs have 4,300 x 4,300
FRAME_BYTES = 2**28
# 36 minutes of ultrasound at 30 a second; functional MR has 60 slices at 1,000 time points
FRAMES = 2**16
# Of more frames than these none is smaller than an icon, for each costs as much as a large one
FEW_FRAMES, SIDE = 1000, 16
# 1,024 x 1,024 x 1,024, or 512 x 512 x 4,096: two metres of CT in slices of 0.5 mm
VOXELS = 2**30
VOLUME_BYTES = 4 * VOXELS  # as stored; computed with float32
AXIS_MM = 3000.0  # tables of whole-body scanners move 2.2 m
# The widest field of view, 0.85 m, over 2.2 m has 1.6: at 3 mm no more than 74 million voxels
CUBIC_METRES = 2.0
SPACING_MM = (1e-3, 100.0)  # of pixels, voxels or slices: from below micro-CT's to scouts with gaps
WHERE_MM = 1e5  # from the origin, which lies within the room
INFLATION = 1032  # times that deflate makes data smaller at most (zlib's technical notes)
NIFTI_OFFSET = 2**24  # bytes of header and extensions, in which some programs keep a DICOM header
SCANS = 100  # of a progressive JPEG, each as long as the image; encoders make about 10
CROSSINGS = 2**22  # of contours with the rows of one slice: each pixel of 1,024 x 1,024 four times
DOCUMENT_BYTES = 2**27  # of a datalist or table: half a million images
CONFIG_BYTES = CONFIG_NODES = 2**20  # of YAML, whose aliases stand for more; a bundle's config has 20 kB
ARMS = 1000  # of an ablation's grid, each a training


def most_items(size: int) -> int:
    """The sequence items of a DICOM header in a file of ``size`` bytes, empty ones included.

    Segmentations have most, 7 in some 600 bytes of each frame's functional groups.
    """
    return 10_000 + size // 32


def check_volume(shape: Sequence[int], spacing_mm: Sequence[float], *, path: str | Path | None) -> None:
    """Refuse a volume that no scanner makes: resampled to a network's spacing it would fill the memory.

    Args:
        shape: voxels along three axes.
        spacing_mm: of the voxels along them.

    Raises:
        InputError: more than `VOXELS`, 3 m along an axis or 2 cubic metres.
    """
    voxels, sides = 1, [length * abs(spacing) for length, spacing in zip(shape, spacing_mm, strict=True)]
    for length in shape:
        voxels *= length
    counted, metres = " x ".join(map(str, shape)), " x ".join(f"{side / 1000:.3g}" for side in sides)
    if voxels > VOXELS:
        wanted, remedy = f"a volume of at most {VOXELS} voxels", "Crop it, or resample it to larger voxels."
        raise InputError(wanted, found=f"{counted} voxels", remedy=remedy, path=path)
    if max(sides) > AXIS_MM or sides[0] * sides[1] * sides[2] > CUBIC_METRES * 1e9:
        wanted = f"a volume of a patient: at most {AXIS_MM / 1000:g} m long and {CUBIC_METRES:g} cubic metres"
        remedy = "Correct the spacing of its voxels, or crop it."
        raise InputError(wanted, found=f"{counted} voxels over {metres} m", remedy=remedy, path=path)


def are_finite(values: Any) -> bool:
    """Whether an array, or a tensor, has neither NaN nor infinity."""
    return 0 in values.shape or all(math.isfinite(float(end)) for end in (values.min(), values.max()))


def spacing_fault(spacing_mm: Iterable[float], shape: Iterable[int] = ()) -> str:
    """The spacing in words where no image, or none of ``shape`` along the same axes, can have it; else empty.

    >>> spacing_fault([0.5, 1e-320]), spacing_fault([50.0, 50.0], (480, 640)), spacing_fault([0.5, 0.5])
    ('0.5 x 9.99989e-321 mm', '50 x 50 mm over 32 m', '')
    """
    values = [float(value) for value in spacing_mm]
    words = " x ".join(f"{value:g}" for value in values) + " mm"
    if not all(SPACING_MM[0] <= value <= SPACING_MM[1] for value in values):
        return words
    longest = max((count * value for count, value in zip(shape, values, strict=False)), default=0.0)
    return f"{words} over {longest / 1000:.3g} m" if longest > AXIS_MM else ""
