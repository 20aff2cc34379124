"""Flags that send a person to look at a result: what is not sure, not there or not plausible."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from pyraseg.pipeline.writers.tables.item_records import FrameRecord

__all__ = ["Review", "item_flags", "review_flags"]

OFTEN = 0.1  # of a cine's frames


@dataclass(frozen=True)
class Review:
    """A bundle's thresholds, from its metadata.

    Attributes:
        low_confidence: below this mean probability of the winning class over the foreground, from 0 to 1.
        expected: the classes that every frame should show.
        area_mm2: the smallest and the largest plausible area of a class, in mm2.
        volume_ml: the same of its volume, in ml, where items are volumes.
        colour_fraction: above this coloured fraction of the tissue, 0 to 1, a frame looks like colour
            Doppler.
    """

    low_confidence: float | None = None
    expected: tuple[str, ...] = ()
    area_mm2: Mapping[str, tuple[float, float]] = field(default_factory=dict)
    volume_ml: Mapping[str, tuple[float, float]] = field(default_factory=dict)
    colour_fraction: float | None = None


def review_flags(
    review: Review,
    *,
    label_names: Sequence[str],
    areas: np.ndarray,
    spacing_mm: tuple[float, float] | None,
    confidence: float | None,
    colour: float = 0.0,
    voxel_ml: float | None = None,
) -> tuple[str, ...]:
    """The flags of one frame or volume: "low confidence", "no kidney found", "implausible kidney area",
    "colour".

    Args:
        review: the thresholds; a class of theirs that the label set has not raises no flag.
        label_names: the classes, background first.
        areas: (K,) pixels, or voxels, of each class.
        spacing_mm: (row, column) of a pixel; without it no area is judged.
        confidence: None where there is no foreground.
        colour: the coloured fraction of the frame's tissue.
        voxel_ml: of a volume: its classes' volumes are judged, and no areas.
    """
    pixels = {name: int(count) for name, count in zip(label_names, areas, strict=True)}
    flags = []
    if review.low_confidence is not None and confidence is not None and confidence < review.low_confidence:
        flags.append("low confidence")
    flags += [f"no {name} found" for name in review.expected if pixels.get(name) == 0]
    if voxel_ml is not None:
        flags += _implausible(review.volume_ml, pixels, voxel_ml, "volume")
    elif spacing_mm is not None:
        flags += _implausible(review.area_mm2, pixels, spacing_mm[0] * spacing_mm[1], "area")
    if review.colour_fraction is not None and colour > review.colour_fraction:
        flags.append("colour")
    return tuple(flags)


def item_flags(frames: Sequence[FrameRecord], key: int) -> tuple[str, ...]:
    """The flags of an item: those of its key frame, and those that at least a tenth of a cine's frames
    have."""
    counts = Counter(flag for frame in frames for flag in frame.flags)
    often = (flag for flag, number in counts.items() if number >= OFTEN * len(frames))
    return tuple(dict.fromkeys([*frames[key].flags, *often]))


def _implausible(
    bounds: Mapping[str, tuple[float, float]], pixels: Mapping[str, int], unit: float, what: str
) -> list[str]:
    """An absent class has no size; where it should be there another flag says so."""
    present = {name: pixels[name] * unit for name in bounds if pixels.get(name)}
    return [
        f"implausible {name} {what}"
        for name, size in present.items()
        if not bounds[name][0] <= size <= bounds[name][1]
    ]
