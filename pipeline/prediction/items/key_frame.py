"""Which frame of a cine stands for it."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from scipy.ndimage import median_filter

__all__ = ["key_frame", "rule"]


def key_frame(areas: np.ndarray, *, names: Sequence[str], segment: str | None) -> int:
    """The frame with the largest area of ``segment`` after a median over three frames, counted from 0.

    A single frame in which a network sees a large collection, and none before and after, is no key frame. At
    a tie the frame with the larger area of its own counts, then the earlier one. Where no frame has that
    segment, or the label set has none of it, all segments together count.

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


def rule(segment: str | None) -> str:
    """The rule in words, for a report."""
    what = f"area of {segment}" if segment else "segmented area"
    return f"frame with the largest {what} after a median over three frames"
