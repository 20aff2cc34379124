"""Where a 2D ultrasound frame shows tissue: the insonated sector, found by its speckle against a flat background."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw
from scipy import ndimage
from scipy.spatial import ConvexHull

from transforms.tissue_lettering import find_lettering

__all__ = ["find_tissue"]

Mask = NDArray[np.bool_]

DETECTION_SIDE = 240  # the shorter side of the small image that tissue is looked for in, in blocks
FAINT, CLEAR = 2, 10  # of 255 levels: how far speckle lies from the background, at least and surely
FILL, LEAST_FILL = 14, 0.03  # some scanners draw the sector in a constant level just above their background: how far
# above at most, of 255 levels, and how much of the frame at least
FAINT_SHARE, CLEAR_SHARE = 0.45, 0.55  # of a neighbourhood; strokes of text cover less of theirs
FAINT_STROKE, CLEAR_STROKE = 5, 9  # blocks: what is narrower is a stroke, a tick or a bar
MARGIN = 3  # blocks added around, for the corners that the removal of strokes rounds off
LEAST_BACKGROUND = 0.01  # of the frame: with less of it flat, tissue fills the frame
LEAST_TISSUE = 0.02  # of the frame: less is a logo or a picture of a probe
LEAST_PANEL = 0.25  # of the largest component: a second panel rather than a thumbnail
FACE_ROWS = 0.1  # of a component's rows: where a probe's face shows
FACE_WIDTH = 0.93  # of its width: a component this wide in those rows is a linear probe's, its sides go straight down
WHOLE = 0.97  # of the frame: what is left beside it are rounded corners


def find_tissue(image: Any, display_max: float) -> Mask:
    """The insonated sector of a frame, as a mask (H, W).

    Speckle changes from pixel to pixel and covers its neighbourhood; backgrounds and banners are flat, and text, ticks,
    grey bars and caliper marks are thin. Components of dense speckle that are of comparable size (the panels of a dual
    image) count, each as its convex hull, so that fluid, shadows and caliper marks inside the sector stay. The mask is
    meant to be too large rather than too small. It is all True where tissue fills the frame and where nothing
    convincing is found.

    Lettering that lies in a hull above the tissue, as in the notch above a curved probe's face, is left out again where
    the background surrounds it. Text that touches or overlaps the sector stays. A sector's far end without any echo
    looks like background and can be outside.

    Args:
        image: (C, H, W), any real dtype, a tensor or an array.
        display_max: the value shown as white.
    """
    grey = _grey(np.asarray(image), display_max)
    whole = np.ones(grey.shape, dtype=bool)
    if min(grey.shape) < 16:
        return whole
    flat = _flat(grey)
    counts = np.bincount(grey[flat], minlength=256)
    if counts.max() < LEAST_BACKGROUND * grey.size:
        return whole
    block = max(1, round(min(grey.shape) / DETECTION_SIDE))
    components = _components(_contrast(grey, flat, counts), block)
    mask = np.zeros(grey.shape, dtype=bool)
    for component in components:
        mask |= _hull(component, block, grey.shape)
    share = np.count_nonzero(mask) / mask.size
    if not LEAST_TISSUE <= share <= WHOLE:
        return whole
    near = ndimage.binary_dilation(np.logical_or.reduce(components), iterations=MARGIN)
    tissue = np.logical_or.accumulate(near, axis=0).repeat(block, axis=0).repeat(block, axis=1)
    tissue = tissue[: grey.shape[0], : grey.shape[1]]
    return mask & ~find_lettering(grey, int(counts.argmax()), place=mask & ~tissue, tissue=tissue)


def _grey(image: NDArray[Any], display_max: float) -> NDArray[np.uint8]:
    """The brightest channel on 256 levels: colour flow counts as tissue."""
    brightest = image[0] if len(image) == 1 else image.max(axis=0)
    if brightest.dtype == np.uint8 and display_max == 255:
        return brightest
    return np.clip(brightest * np.float32(255 / (display_max or 1)) + np.float32(0.5), 0, 255).astype(np.uint8)


def _flat(grey: NDArray[np.uint8]) -> Mask:
    """Pixels that equal their right and their lower neighbour."""
    flat = np.zeros(grey.shape, dtype=bool)
    inner = grey[:-1, :-1]
    flat[:-1, :-1] = (inner == grey[:-1, 1:]) & (inner == grey[1:, :-1])
    return flat


def _contrast(grey: NDArray[np.uint8], flat: Mask, counts: NDArray[np.intp]) -> NDArray[np.uint8]:
    """How far every pixel lies from the background, the most common flat level; flat pixels 0, but the sector's fill.

    Args:
        counts: the flat pixels' histogram.
    """
    mode = int(counts.argmax())
    common = np.flatnonzero(counts[max(mode - FILL, 0) : mode + FILL + 1] > LEAST_FILL * grey.size) + max(
        mode - FILL, 0
    )
    background, fill = (int(common[0]), common[1:]) if common.size else (mode, common)
    contrast = np.maximum(grey, np.uint8(background)) - np.minimum(grey, np.uint8(background))
    contrast *= ~flat  # as np.putmask below, several times faster than an index of booleans
    if fill.size:
        np.putmask(contrast, flat & (grey == fill[counts[fill].argmax()]), FAINT + 1)
    return contrast


def _components(contrast: NDArray[np.uint8], block: int) -> list[Mask]:
    """Dense speckle on the grid of blocks, one mask per component of comparable size."""
    faint = _without_strokes(_density(contrast > FAINT, block) > FAINT_SHARE, FAINT_STROKE)
    clear = _without_strokes(_density(contrast > CLEAR, block) > CLEAR_SHARE, CLEAR_STROKE)
    labels, count = ndimage.label(faint | clear)
    if not count:
        return []
    areas = np.bincount(labels[clear], minlength=count + 1)
    areas[0] = 0
    keep = np.flatnonzero((areas > 0) & (areas >= LEAST_PANEL * areas.max()))
    return [labels == index for index in keep]


def _density(active: Mask, block: int) -> NDArray[np.float32]:
    """The share of active pixels around every block; edges are repeated to fill the last blocks."""
    rows, columns = (-side % block for side in active.shape)
    padded = np.pad(active, ((0, rows), (0, columns)), mode="edge")
    high, wide = padded.shape[0] // block, padded.shape[1] // block
    bytes_ = padded.view(np.uint8).reshape(high, block, wide, block)
    share = np.zeros((high, wide), dtype=np.float32)
    for row, column in np.ndindex(block, block):  # many times faster than a sum over both short axes
        share += bytes_[:, row, :, column]
    share /= block**2
    return ndimage.uniform_filter(share, 5 if block == 1 else 3, mode="nearest")


def _without_strokes(mask: Mask, width: int) -> Mask:
    """Opening by a square; beyond the frame's edge tissue goes on."""
    eroded = ndimage.minimum_filter(mask.view(np.uint8), width, mode="nearest")
    return ndimage.maximum_filter(eroded, width, mode="nearest").view(bool)


def _hull(component: Mask, block: int, shape: tuple[int, ...]) -> Mask:
    """The convex hull of a component's blocks, with the margin, drawn on the frame of ``shape``."""
    rows = np.flatnonzero(component.any(axis=1))
    left = component[rows].argmax(axis=1)
    right = component.shape[1] - component[rows, ::-1].argmax(axis=1)
    corners = [(x + dx, y + dy) for x, dx in ((left, -MARGIN), (right, MARGIN)) for y, dy in _ends(rows)]
    if _is_linear(left, right):
        corners.append((np.array([left.min() - MARGIN, right.max() + MARGIN]), rows[[-1, -1]] + 1 + MARGIN))
    points = np.concatenate([np.stack([x, y], axis=1) for x, y in corners]) * block
    outline = points[ConvexHull(points).vertices]  # never degenerate: the margin gives every component an area
    picture = Image.new("1", (shape[1], shape[0]))
    ImageDraw.Draw(picture).polygon([(int(x), int(y)) for x, y in outline], fill=1, outline=1)
    return np.asarray(picture)


def _is_linear(left: NDArray[np.intp], right: NDArray[np.intp]) -> bool:
    """Whether the probe's face is as wide as its image, whose lower corners may be too dark to see."""
    first = max(1, round(FACE_ROWS * len(left)))
    return right[:first].max() - left[:first].min() >= FACE_WIDTH * (right.max() - left.min())


def _ends(rows: NDArray[np.intp]) -> tuple[tuple[NDArray[np.intp], int], ...]:
    return (rows, -MARGIN), (rows, 1 + MARGIN)
