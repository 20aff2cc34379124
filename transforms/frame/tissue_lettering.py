"""Lettering on flat ground within the outline of an ultrasound frame's tissue, as in the notch above a curved
face."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

__all__ = ["find_lettering"]

Mask = NDArray[np.bool_]

STROKE = 60  # of 255 levels from the background: lettering is made to be read
QUIET, QUIET_SHARE = 12, 0.75  # what surrounds lettering is background, up to JPEG's ringing
EDGE, HALO = (
    2,
    4,
)  # pixels: how far a blurred edge reaches, and what is looked at and taken away around a character
SMALLEST = 6  # pixels: less is a grain of speckle
TALLEST, LARGEST = 0.08, 0.003  # of the frame's height, and of its area: more is no character


def find_lettering(grey: NDArray[np.uint8], background: int, *, place: Mask, tissue: Mask) -> Mask:
    """Characters, ticks and marks in ``place`` that do not touch ``tissue``, with a halo, as a mask (H, W).

    A character is small, stands out and has the background around it; an echo has other echoes around it.

    Args:
        grey: (H, W).
        background: the background's level.
        place: where to look, (H, W); nothing beyond it is in the result.
        tissue: what has to stay, (H, W).
    """
    found = np.zeros(place.shape, dtype=bool)
    contrast = np.maximum(grey, background) - np.minimum(grey, np.uint8(background))
    bright = contrast > STROKE
    if not (bright & place).any():
        return found
    labels, _ = ndimage.label(bright, structure=np.ones((3, 3)))
    windows = ndimage.find_objects(labels)
    sizes = np.bincount(labels.ravel())
    candidates = np.setdiff1d(labels[bright & place], labels[bright & tissue])
    for index in candidates[(sizes[candidates] >= SMALLEST) & (sizes[candidates] <= LARGEST * labels.size)]:
        if _is_character(windows[index - 1], labels, index, bright, contrast):
            window = _around(windows[index - 1])
            found[window] |= ndimage.binary_dilation(labels[window] == index, iterations=HALO)
    return found & place


def _is_character(
    window: tuple[slice, slice],
    labels: NDArray[np.intp],
    index: int,
    bright: Mask,
    contrast: NDArray[np.uint8],
) -> bool:
    around = _around(window)
    stroke = labels[around] == index
    if window[0].stop - window[0].start > TALLEST * len(labels):
        return False
    drawn = ndimage.binary_dilation(
        bright[around], iterations=EDGE
    )  # neighbouring characters are no surroundings
    ring = contrast[around][ndimage.binary_dilation(stroke, iterations=HALO) & ~drawn]
    return ring.size > 0 and bool(np.mean(ring <= QUIET) >= QUIET_SHARE)


def _around(window: tuple[slice, slice]) -> tuple[slice, slice]:
    rows, columns = (slice(max(side.start - HALO - EDGE, 0), side.stop + HALO + EDGE) for side in window)
    return rows, columns
