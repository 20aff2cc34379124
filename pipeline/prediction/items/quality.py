"""How far to trust a result: confidence, the key frame of a cine, review flags."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence

import numpy as np
import torch
from scipy.ndimage import median_filter

from pyraseg.pipeline.bundle.metadata import Review
from pyraseg.pipeline.writers.tables.item_records import FrameRecord

__all__ = [
    "colour_fraction",
    "confidence",
    "item_flags",
    "key_frame",
    "key_frame_rule",
    "review_flags",
]

CHROMA = 0.2  # a pixel is coloured if its channels differ by this much
OFTEN = 0.1  # fraction of a cine's frames


def confidence(scores: np.ndarray) -> float | None:
    """The mean probability of the winning class over the foreground, on the network's grid.

    Args:
        scores: (K, h, w), before the softmax.

    Returns:
        From 1 / K to 1; None without foreground.
    """
    values = torch.from_numpy(scores).flatten(1)
    best, winner = values.max(dim=0)
    inside = winner > 0
    if not bool(inside.any()):
        return None
    return float((1 / (values[:, inside] - best[inside]).exp().sum(dim=0)).mean())


def colour_fraction(image: torch.Tensor) -> float:
    """The coloured fraction of a frame (C, h, w) in [0, 1], as in colour Doppler; 0 for a grey frame."""
    if image.shape[0] != 3:
        return 0.0
    sample = image[:, ::2, ::2]
    return float((sample.amax(0) - sample.amin(0) > CHROMA).float().mean())


def key_frame(areas: np.ndarray, *, names: Sequence[str], segment: str | None) -> int:
    """The index of the frame with the largest area of ``segment``, after a median over three frames.

    So a large area in one frame and none in its neighbours does not count. On a tie the frame with the larger
    area wins, then the earlier one. Where no frame has the segment, all segments count.

    Args:
        areas: (F, K) pixels of each class, background first.
        names: the classes.
        segment: the class that decides.
    """
    column = names.index(segment) if segment is not None and segment in names else 0
    chosen = areas[:, column] if column else np.zeros(len(areas))
    if not chosen.any():
        chosen = areas[:, 1:].sum(axis=1)
    smooth = median_filter(chosen, size=3, mode="nearest")
    return int(np.lexsort((np.arange(len(chosen)), -chosen, -smooth))[0])


def key_frame_rule(segment: str | None) -> str:
    """The rule as a sentence, for a report."""
    what = f"area of {segment}" if segment else "segmented area"
    return f"frame with the largest {what} after a median over three frames"


def review_flags(
    review: Review,
    *,
    label_names: Sequence[str],
    areas: np.ndarray,
    spacing_mm: tuple[float, float] | None,
    confidence: float | None,
    colour: float = 0.0,
    contrast: str = "",
    voxel_ml: float | None = None,
) -> tuple[str, ...]:
    """Review flags of a frame or volume, such as "low confidence", "no kidney found" or "nearly black".

    Args:
        review: the thresholds; its classes that the label set lacks raise no flag.
        label_names: the classes, background first.
        areas: (K,) pixels, or voxels, of each class.
        spacing_mm: (row, column) of a pixel; without it no area is judged.
        confidence: None without foreground.
        colour: the coloured fraction of the frame's tissue.
        contrast: what is wrong with the image's greys, a flag as it is (`contrast_fault`).
        voxel_ml: of a volume: volumes are judged instead of areas.
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
    if contrast:
        flags.append(contrast)
    return tuple(flags)


def item_flags(frames: Sequence[FrameRecord], key: int) -> tuple[str, ...]:
    """The flags of an item: the flags of its key frame, and of at least a tenth of its frames."""
    counts = Counter(flag for frame in frames for flag in frame.flags)
    often = (flag for flag, number in counts.items() if number >= OFTEN * len(frames))
    return tuple(dict.fromkeys([*frames[key].flags, *often]))


def _implausible(
    bounds: Mapping[str, tuple[float, float]], pixels: Mapping[str, int], unit: float, what: str
) -> list[str]:
    """An absent class has no size; another flag reports it where it is expected."""
    present = {name: pixels[name] * unit for name in bounds if pixels.get(name)}
    return [
        f"implausible {name} {what}"
        for name, size in present.items()
        if not bounds[name][0] <= size <= bounds[name][1]
    ]
