"""Find dense speckle in an ultrasound frame, as opposed to flat background and strokes of text."""

from __future__ import annotations

from functools import reduce
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

__all__ = ["find_echoes", "find_speckle", "flat_levels"]

Mask = NDArray[np.bool_]
Grey = NDArray[np.uint8]

FAINT, CLEAR = 2, 10  # of 255 levels from the background: the least for speckle, and certain
# Some scanners fill the sector with a constant level just above the background: how far above at most, of 255
# levels, and how much of the frame at least
FILL, LEAST_FILL = 14, 0.03
FAINT_SHARE, CLEAR_SHARE = 0.45, 0.55  # of a neighbourhood; strokes of text cover less
FAINT_STROKE, CLEAR_STROKE = 5, 9  # blocks: narrower structures are strokes, ticks or bars
# Strokes of text: levels from the background, blocks across at most, and the share of its contrast that a
# stroke does not leave between itself and the next one
BRIGHT, WIDEST, GAP = 60, 5, 0.35
QUIET, QUIET_SIDE, QUIET_SHARE = 12, 7, 0.3  # levels, blocks: this share around a stroke is background
FILL_SIDE, FILL_SHARE = 5, 0.5  # blocks: a square with this share at the fill's level has no echoes
RIM = 4  # blocks at the rim that are restored
LEAST_TISSUE = 0.02  # of the frame: less is a logo or a picture of a probe
LEAST_PANEL = 0.25  # of the largest component: a second panel, no thumbnail
LEAST_SIDE = 0.1  # of the frame's shorter side: a lower or narrower panel is a bar of buttons or greys


def flat_levels(grey: Grey, counts: NDArray[np.intp]) -> tuple[int, int | None]:
    """The background's level, and the sector's fill level; None for no fill.

    Of close common levels the one at the frame's edge is the background; a fill lies above it.

    Args:
        grey: (H, W).
        counts: the flat pixels' histogram.
    """
    mode = int(counts.argmax())
    first = max(mode - FILL, 0)
    common = first + np.flatnonzero(counts[first : mode + FILL + 1] > LEAST_FILL * grey.size)
    if not common.size:
        return mode, None
    edge = np.bincount(np.concatenate([grey[0], grey[-1], grey[:, 0], grey[:, -1]]), minlength=256)
    background = int(common[edge[common].argmax()])
    above = common[common > background]
    return background, int(above[counts[above].argmax()]) if above.size else None


def find_speckle(
    grey: Grey, flat: Mask, levels: tuple[int, int | None], *, block: int
) -> tuple[list[Mask], list[Mask]]:
    """Dense speckle on the grid of blocks, a mask for each component of comparable size, or none.

    A dark frame without certain speckle is searched again for faint speckle.

    Returns:
        The components without possible strokes of text. The rim lost in this is restored, and may hold the
        edge of text close by.

    Args:
        grey, flat: (H, W).
        levels: from `flat_levels`.
        block: pixels.
    """
    background, fill = levels
    contrast = np.maximum(grey, np.uint8(background)) - np.minimum(grey, np.uint8(background))
    strokes = _strokes(contrast[::block, ::block])
    contrast *= ~flat  # like np.putmask below, several times faster than a boolean index
    if fill is not None:
        np.putmask(contrast, flat & (grey == fill), FAINT + 1)
    share = _share(contrast > FAINT, block)
    faint = _without_thin(_density(share * ~strokes, block) > FAINT_SHARE, FAINT_STROKE)
    for level in (CLEAR, FAINT):
        clear = _density(_share(contrast > level, block) * ~strokes, block) > CLEAR_SHARE
        components = _panels(faint, _without_thin(clear, CLEAR_STROKE))
        if components:
            break
    # A sector's rim looks like a stroke
    dense = _density(share, block) > FAINT_SHARE if strokes.any() else strokes
    whole = []
    for component in components:
        grown = component
        for _ in range(RIM):
            grown = _slide(np.logical_or, grown, 3) & (component | dense)
        whole.append(grown)
    return components, whole


def find_echoes(components: list[Mask], grey: Grey, *, fill: int | None) -> Mask:
    """The components' blocks without the mere fill of the sector and without text in it.

    Args:
        components: the first result of `find_speckle`.
        grey: a pixel of every block.
        fill: from `flat_levels`.
    """
    echoes: Mask = np.logical_or.reduce(components)
    if fill is None:
        return echoes
    filled = ndimage.uniform_filter((grey == fill).astype(np.float32), FILL_SIDE) > FILL_SHARE
    return _without_thin(echoes & ~filled, CLEAR_STROKE)


def _strokes(contrast: Grey) -> Mask:
    """Strokes of text on the grid of blocks, with their neighbours: thin, with background around.

    One pixel stands for its block: a mean would fill the gaps between strokes.
    """
    bright = contrast > BRIGHT
    if not bright.any():
        return bright
    between = _slide(np.maximum, _slide(np.minimum, contrast, WIDEST), WIDEST)
    quiet = _slide(np.add, (contrast <= QUIET).view(np.uint8), QUIET_SIDE) > QUIET_SHARE * QUIET_SIDE**2
    return _slide(np.logical_or, bright & quiet & (between < contrast * np.float32(GAP)), 3)


def _panels(faint: Mask, clear: Mask) -> list[Mask]:
    labels, count = ndimage.label(faint | clear)
    areas = np.bincount(labels[clear], minlength=count + 1)
    areas[0] = 0
    if areas.max() < LEAST_TISSUE * clear.size:
        return []
    keep = np.flatnonzero(areas >= LEAST_PANEL * areas.max())
    boxes, least = ndimage.find_objects(labels), LEAST_SIDE * min(clear.shape)
    sides = {index: min(side.stop - side.start for side in boxes[index - 1]) for index in keep}
    return [labels == index for index in keep if sides[index] >= least or areas[index] == areas.max()]


def _share(active: Mask, block: int) -> NDArray[np.float32]:
    """The share of active pixels in each block; edges are repeated to fill the last blocks."""
    rows, columns = (-side % block for side in active.shape)
    padded = np.pad(active, ((0, rows), (0, columns)), mode="edge")
    high, wide = padded.shape[0] // block, padded.shape[1] // block
    bytes_ = padded.view(np.uint8).reshape(high, block, wide, block)
    share = np.zeros((high, wide), dtype=np.float32)
    for row, column in np.ndindex(block, block):  # many times faster than a sum over both short axes
        share += bytes_[:, row, :, column]
    share /= block**2
    return share


def _density(share: NDArray[np.float32], block: int) -> NDArray[np.float32]:
    """The mean around every block."""
    return ndimage.uniform_filter(share, 5 if block == 1 else 3, mode="nearest")


def _without_thin(mask: Mask, width: int) -> Mask:
    """Opening by a square; tissue continues beyond the frame's edge."""
    return _slide(np.logical_or, _slide(np.logical_and, mask, width), width)


def _slide(combine: np.ufunc, values: NDArray[Any], width: int) -> NDArray[Any]:
    """Combine the square of ``width`` around each value; many times faster than scipy's filters here."""
    for _ in range(2):
        padded = np.pad(values, ((width // 2, width // 2), (0, 0)), mode="edge")
        values = reduce(combine, (padded[at : at + len(values)] for at in range(width))).T
    return values
