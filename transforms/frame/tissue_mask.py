"""Find the tissue of a 2D ultrasound frame: the sector, by its speckle, without text in its outline."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw
from scipy import ndimage
from scipy.spatial import ConvexHull

from pyraseg.transforms.frame.tissue_speckle import find_echoes, find_speckle, flat_levels

__all__ = ["Tissue", "find_lettering", "find_tissue", "search_tissue"]

Mask = NDArray[np.bool_]

DETECTION_SIDE = 240  # the shorter side, in blocks, of the small image in which tissue is detected
MARGIN = 3  # blocks added around, for corners that the removal of strokes rounds off
LEAST_BACKGROUND = 0.01  # of the frame: with less flat area, tissue fills the frame
LEAST_SECTOR = 0.02  # of the frame: less is a logo or a picture of a probe
FACE_ROWS = 0.1  # of a component's rows: the face of a probe shows there
FACE_WIDTH = 0.93  # of its width: a component this wide in those rows is a linear probe's, with upright sides
WHOLE = 0.97  # of the frame: the rest is rounded corners
FILLED = 0.6  # of a frame that is all tissue: this much shows speckle
LEGIBLE = 200  # rows: in smaller, shrunken frames letters are as dense as speckle
STROKE = 60  # of 255 levels from the background: text is made to be read
QUIET, QUIET_SHARE = 12, 0.75  # text is surrounded by background, up to JPEG's ringing
EDGE, HALO = 2, 4  # pixels: the reach of a blurred edge, and what is removed around a character
SMALLEST = 6  # pixels: less is a grain of speckle
TALLEST, LARGEST = 0.08, 0.003  # of the frame's height, and of its area: more is no character


@dataclass(frozen=True)
class Tissue:
    """The tissue of a frame.

    Attributes:
        mask: (H, W); all True where tissue fills the frame or nothing convincing is found.
        clear: a sector was found in a frame large enough to tell it from text, or tissue fills the frame.
            If False, the mask may hold any text.
    """

    mask: Mask
    clear: bool


def find_tissue(image: Any, display_max: float) -> Mask:
    """The mask of `search_tissue`."""
    return search_tissue(image, display_max).mask


def search_tissue(image: Any, display_max: float, *, boxed: bool = False) -> Tissue:
    """The insonated sector of a frame.

    Speckle changes from pixel to pixel and covers its neighbourhood; backgrounds and banners are flat; text,
    ticks, grey bars and caliper marks are thin. The mask is the convex hulls of components of dense speckle
    of comparable size (the panels of a dual image), so fluid, shadows and caliper marks inside the sector
    stay. It is rather too large than too small.

    Text in a hull above or below the tissue is removed where background surrounds it, as in the notch above a
    curved probe's face, or at depths without echoes of a linear probe. Text that touches or overlaps the
    sector stays. A sector's far end without echoes looks like background and may be left out.

    Args:
        image: (C, H, W), any real dtype, a tensor or an array.
        display_max: the value shown as white.
        boxed: the image is the box of a calibrated region, so a linear probe's tissue reaches its lower edge.
    """
    grey = _grey(np.asarray(image), display_max)
    whole = np.ones(grey.shape, dtype=bool)
    if min(grey.shape) < 16:
        return Tissue(whole, clear=True)  # no room for a legible word
    flat = _flat(grey)
    counts = np.bincount(grey[flat], minlength=256)
    if counts.max() < LEAST_BACKGROUND * grey.size:
        return Tissue(whole, clear=True)
    block = max(1, round(min(grey.shape) / DETECTION_SIDE))
    levels = flat_levels(grey, counts)
    sure, components = find_speckle(grey, flat, levels, block=block)
    mask = np.zeros(grey.shape, dtype=bool)
    for component in components:
        mask |= _hull(component, block, grey.shape, boxed=boxed)
    share = np.count_nonzero(mask) / mask.size
    if share < LEAST_SECTOR or (share > WHOLE and not boxed):
        return Tissue(whole, clear=sum(float(component.mean()) for component in components) > FILLED)
    echoes = find_echoes(sure, grey[::block, ::block], fill=levels[1])
    # From blocks to pixels
    spread = _between(echoes).repeat(block, axis=0).repeat(block, axis=1)
    tissue = spread[: grey.shape[0], : grey.shape[1]]
    lettering = find_lettering(grey, levels[0], within=mask & ~tissue, tissue=tissue)
    return Tissue(mask & ~lettering, clear=boxed or len(grey) >= LEGIBLE)


def _grey(image: NDArray[Any], display_max: float) -> NDArray[np.uint8]:
    """The brightest channel in 256 levels; so colour flow counts as tissue."""
    brightest = image[0] if len(image) == 1 else image.max(axis=0)
    if brightest.dtype == np.uint8 and display_max == 255:
        return brightest
    levels = brightest * np.float32(255 / (display_max or 1)) + np.float32(0.5)
    return np.clip(levels, 0, 255).astype(np.uint8)


def _flat(grey: NDArray[np.uint8]) -> Mask:
    """Pixels that equal their right and lower neighbours."""
    flat = np.zeros(grey.shape, dtype=bool)
    inner = grey[:-1, :-1]
    flat[:-1, :-1] = (inner == grey[:-1, 1:]) & (inner == grey[1:, :-1])
    return flat


def _hull(component: Mask, block: int, shape: tuple[int, ...], *, boxed: bool) -> Mask:
    """The convex hull of a component's blocks, with the margin, drawn on the frame of ``shape``."""
    rows = np.flatnonzero(component.any(axis=1))
    left = component[rows].argmax(axis=1)
    right = component.shape[1] - component[rows, ::-1].argmax(axis=1)
    sides, ends = ((left, -MARGIN), (right, MARGIN)), (-MARGIN, 1 + MARGIN)
    corners = [(x + dx, rows + dy) for x, dx in sides for dy in ends]
    # A linear probe's face is as wide as its image, whose lower corners may be too dark
    first = max(1, round(FACE_ROWS * len(left)))
    if right[:first].max() - left[:first].min() >= FACE_WIDTH * (right.max() - left.min()):
        across = right.max() - left.min() >= FACE_WIDTH * component.shape[1]
        last = len(component) - 1 if boxed and across else rows[-1]
        lower = np.array([left.min() - MARGIN, right.max() + MARGIN])
        corners.append((lower, np.array([last, last]) + 1 + MARGIN))
    points = np.concatenate([np.stack([x, y], axis=1) for x, y in corners]) * block
    outline = points[ConvexHull(points).vertices]  # the margin gives every component an area
    picture = Image.new("1", (shape[1], shape[0]))
    ImageDraw.Draw(picture).polygon([(int(x), int(y)) for x, y in outline], fill=1, outline=1)
    return np.asarray(picture)


def _between(echoes: Mask) -> Mask:
    """Blocks with echoes, next to them, or with echoes above and below: a reflector in fluid is no letter."""
    near = echoes
    for _ in range(MARGIN):  # by four neighbours; faster than scipy's dilation
        frame = np.pad(near, 1)
        near = near | frame[:-2, 1:-1] | frame[2:, 1:-1] | frame[1:-1, :-2] | frame[1:-1, 2:]
    above, below = np.logical_or.accumulate(near), np.logical_or.accumulate(near[::-1])[::-1]
    return above & below


def find_lettering(grey: NDArray[np.uint8], background: int, *, within: Mask, tissue: Mask) -> Mask:
    """Characters, ticks and marks in ``within`` that do not touch ``tissue``, with a halo, as a mask (H, W).

    A character is small, stands out and has background around it; an echo has echoes around it.

    Args:
        grey: (H, W).
        background: the background's level.
        within: where to search, (H, W); also limits the result.
        tissue: what must stay, (H, W).
    """
    lettering = np.zeros(within.shape, dtype=bool)
    contrast = np.maximum(grey, background) - np.minimum(grey, np.uint8(background))
    bright = contrast > STROKE
    if not (bright & within).any():
        return lettering
    labels, _ = ndimage.label(bright, structure=np.ones((3, 3)))
    windows = ndimage.find_objects(labels)
    sizes = np.bincount(labels.ravel())
    candidates = np.setdiff1d(labels[bright & within], labels[bright & tissue])
    for index in candidates[(sizes[candidates] >= SMALLEST) & (sizes[candidates] <= LARGEST * labels.size)]:
        if _is_character(windows[index - 1], labels, index, bright, contrast):
            window = _around(windows[index - 1])
            lettering[window] |= ndimage.binary_dilation(labels[window] == index, iterations=HALO)
    return lettering & within


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
    # Neighbouring characters do not count as surroundings
    drawn = ndimage.binary_dilation(bright[around], iterations=EDGE)
    ring = contrast[around][ndimage.binary_dilation(stroke, iterations=HALO) & ~drawn]
    return ring.size > 0 and bool(np.mean(ring <= QUIET) >= QUIET_SHARE)


def _around(window: tuple[slice, slice]) -> tuple[slice, slice]:
    rows, columns = (slice(max(side.start - HALO - EDGE, 0), side.stop + HALO + EDGE) for side in window)
    return rows, columns
