"""Where a 2D ultrasound frame shows tissue: the insonated sector, found by its speckle against a flat
background."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw
from scipy.spatial import ConvexHull

from pyraseg.transforms.frame.tissue_lettering import find_lettering
from pyraseg.transforms.frame.tissue_speckle import find_echoes, find_speckle, flat_levels

__all__ = ["Tissue", "find_tissue", "search_tissue"]

Mask = NDArray[np.bool_]

DETECTION_SIDE = 240  # the shorter side of the small image that tissue is looked for in, in blocks
MARGIN = 3  # blocks added around, for the corners that the removal of strokes rounds off
LEAST_BACKGROUND = 0.01  # of the frame: with less of it flat, tissue fills the frame
LEAST_SECTOR = 0.02  # of the frame: less is a logo or a picture of a probe
FACE_ROWS = 0.1  # of a component's rows: where a probe's face shows
FACE_WIDTH = (
    0.93  # of its width: a component this wide in those rows is a linear probe's, its sides go straight down
)
WHOLE = 0.97  # of the frame: what is left beside it are rounded corners
FILLED = 0.6  # of a frame that is tissue as a whole: so much shows speckle
LEGIBLE = 200  # rows: in smaller frames, shrunken ones, letters are as dense as speckle


@dataclass(frozen=True)
class Tissue:
    """Where a frame shows tissue.

    Attributes:
        mask: (H, W); all True where tissue fills the frame and where nothing convincing is found.
        clear: a sector was found in a frame large enough to tell it from text, or tissue fills the frame.
            Where it is False, the mask may hold any text.
    """

    mask: Mask
    clear: bool


def find_tissue(image: Any, display_max: float) -> Mask:
    """The mask alone of `search_tissue`."""
    return search_tissue(image, display_max).mask


def search_tissue(image: Any, display_max: float, *, boxed: bool = False) -> Tissue:
    """The insonated sector of a frame.

    Speckle changes from pixel to pixel and covers its neighbourhood; backgrounds and banners are flat, and
    text, ticks, grey bars and caliper marks are thin. Components of dense speckle that are of comparable size
    (the panels of a dual image) count, each as its convex hull, so that fluid, shadows and caliper marks
    inside the sector stay. The mask is meant to be too large rather than too small.

    Lettering that lies in a hull above or below the tissue, as in the notch above a curved probe's face or
    where a linear probe has no echoes any more, is left out again where the background surrounds it. Text
    that touches or overlaps the sector stays. A sector's far end without any echo looks like background and
    can be outside.

    Args:
        image: (C, H, W), any real dtype, a tensor or an array.
        display_max: the value shown as white.
        boxed: the image is the box of a calibrated region: a linear probe's tissue reaches its lower edge.
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
    tissue = _spread(_between(echoes), block, grey.shape)
    lettering = find_lettering(grey, levels[0], place=mask & ~tissue, tissue=tissue)
    return Tissue(mask & ~lettering, clear=boxed or len(grey) >= LEGIBLE)


def _grey(image: NDArray[Any], display_max: float) -> NDArray[np.uint8]:
    """The brightest channel on 256 levels: colour flow counts as tissue."""
    brightest = image[0] if len(image) == 1 else image.max(axis=0)
    if brightest.dtype == np.uint8 and display_max == 255:
        return brightest
    return np.clip(brightest * np.float32(255 / (display_max or 1)) + np.float32(0.5), 0, 255).astype(
        np.uint8
    )


def _flat(grey: NDArray[np.uint8]) -> Mask:
    """Pixels that equal their right and their lower neighbour."""
    flat = np.zeros(grey.shape, dtype=bool)
    inner = grey[:-1, :-1]
    flat[:-1, :-1] = (inner == grey[:-1, 1:]) & (inner == grey[1:, :-1])
    return flat


def _hull(component: Mask, block: int, shape: tuple[int, ...], *, boxed: bool) -> Mask:
    """The convex hull of a component's blocks, with the margin, drawn on the frame of ``shape``."""
    rows = np.flatnonzero(component.any(axis=1))
    left = component[rows].argmax(axis=1)
    right = component.shape[1] - component[rows, ::-1].argmax(axis=1)
    corners = [(x + dx, y + dy) for x, dx in ((left, -MARGIN), (right, MARGIN)) for y, dy in _ends(rows)]
    if _is_linear(left, right):
        across = right.max() - left.min() >= FACE_WIDTH * component.shape[1]
        last = len(component) - 1 if boxed and across else rows[-1]
        corners.append(
            (np.array([left.min() - MARGIN, right.max() + MARGIN]), np.array([last, last]) + 1 + MARGIN)
        )
    points = np.concatenate([np.stack([x, y], axis=1) for x, y in corners]) * block
    outline = points[
        ConvexHull(points).vertices
    ]  # never degenerate: the margin gives every component an area
    picture = Image.new("1", (shape[1], shape[0]))
    ImageDraw.Draw(picture).polygon([(int(x), int(y)) for x, y in outline], fill=1, outline=1)
    return np.asarray(picture)


def _is_linear(left: NDArray[np.intp], right: NDArray[np.intp]) -> bool:
    """Whether the probe's face is as wide as its image, whose lower corners may be too dark to see."""
    first = max(1, round(FACE_ROWS * len(left)))
    return right[:first].max() - left[:first].min() >= FACE_WIDTH * (right.max() - left.min())


def _ends(rows: NDArray[np.intp]) -> tuple[tuple[NDArray[np.intp], int], ...]:
    return (rows, -MARGIN), (rows, 1 + MARGIN)


def _between(echoes: Mask) -> Mask:
    """Blocks of echoes, next to them, or with echoes both above and below: a reflector in fluid is no
    character."""
    near = echoes
    for _ in range(MARGIN):  # by the four neighbours; faster than scipy's dilation
        frame = np.pad(near, 1)
        near = near | frame[:-2, 1:-1] | frame[2:, 1:-1] | frame[1:-1, :-2] | frame[1:-1, 2:]
    above, below = np.logical_or.accumulate(near), np.logical_or.accumulate(near[::-1])[::-1]
    return above & below


def _spread(mask: Mask, block: int, shape: tuple[int, ...]) -> Mask:
    """From blocks to the pixels of a frame of ``shape``."""
    return mask.repeat(block, axis=0).repeat(block, axis=1)[: shape[0], : shape[1]]
