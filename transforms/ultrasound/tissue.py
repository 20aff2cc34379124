"""Where the tissue of an ultrasound frame is: found by its texture against flat background, text, bars and logos."""

from __future__ import annotations

import numpy as np
from scipy import ndimage

__all__ = ["bounding_box", "tissue_mask"]

FLAT_RANGE = 2.5 / 255  # background: a window with no more contrast than JPEG leaves in it
FLAT_WINDOW = 5  # pixels
WORK_SIZE = 240  # shapes are found on a grid whose shorter side has about this many cells
DENSITY = 0.6  # of a neighbourhood that is textured: tissue has more, lines of text less
STROKE = 0.3  # jump between neighbouring pixels that speckle hardly makes and lettering always does
STROKE_DENSITY = 0.08
STROKE_WINDOW = 0.03  # of the shorter side: about a letter
CORE = 0.035  # of the shorter side: the smallest half-width of tissue; grey-scale bars and single lines are thinner
SECOND = 0.15  # of the largest region's area: a second image beside the first, not a paragraph of text
SMALLEST = 0.005  # of the frame
ISLAND = 0.02  # of the frame: what is drawn in a notch between sectors is smaller
FULL = 0.97  # of the frame: what fills it has no surroundings to blank


def tissue_mask(image: np.ndarray) -> np.ndarray:
    """The tissue regions, (H, W) bool, of a frame's display values (C, H, W) in [0, 1].

    Each region is its convex hull, so dark fluid and shadows inside stay; what is drawn in the hull above the tissue,
    as in the notch between two sectors, is left out. All True where the tissue fills the frame; where there is none,
    all but what is drawn on a flat background.
    """
    textured, strokes = _textured(image.max(axis=0)), _strokes(image.min(axis=0))
    factor = max(1, min(textured.shape) // WORK_SIZE)
    cells, lettering = _reduce(textured, factor) > 0.5, _reduce(strokes, factor)
    tissue = _tissue_cells(cells, lettering)
    if not tissue.any():
        return ~ndimage.binary_dilation(textured, iterations=2) if textured.mean() < 0.5 else np.ones_like(textured)
    mask = _enlarge(_hulls(tissue), factor, textured.shape)
    if mask.mean() > FULL:
        return np.ones_like(textured)
    islands = _islands_above(tissue, cells, lettering > 0)
    return mask & ~_enlarge(islands, factor, textured.shape)


def bounding_box(mask: np.ndarray) -> tuple[int, int, int, int]:
    """(row0, column0, row1, column1), half-open, of a mask; the whole frame for an empty one."""
    rows, columns = (np.flatnonzero(mask.any(axis=axis)) for axis in (1, 0))
    if not len(rows):
        return 0, 0, mask.shape[0], mask.shape[1]
    return int(rows[0]), int(columns[0]), int(rows[-1]) + 1, int(columns[-1]) + 1


def _textured(grey: np.ndarray) -> np.ndarray:
    """Pixels that lie in no flat window, whatever the background's colour."""
    contrast = ndimage.maximum_filter(grey, FLAT_WINDOW) - ndimage.minimum_filter(grey, FLAT_WINDOW)
    return ~ndimage.maximum_filter(contrast <= FLAT_RANGE, FLAT_WINDOW)


def _strokes(grey: np.ndarray) -> np.ndarray:
    """Jumps as lettering makes them; in the darkest channel, where colour flow makes none."""
    strokes = np.zeros(grey.shape, np.float32)
    strokes[:, 1:] += np.abs(np.diff(grey, axis=1)) > STROKE
    strokes[1:] += np.abs(np.diff(grey, axis=0)) > STROKE
    return strokes


def _tissue_cells(cells: np.ndarray, lettering: np.ndarray) -> np.ndarray:
    """The regions that are wide enough, the largest and those of comparable size, with their edges and tips."""
    radius = max(2, round(min(cells.shape) * CORE))
    text = ndimage.uniform_filter(lettering, _odd(min(cells.shape) * STROKE_WINDOW)) > STROKE_DENSITY
    dense = ndimage.uniform_filter((cells & ~text).astype(np.float32), _odd(radius)) > DENSITY
    core = _open(dense, radius)
    if not core.any():
        return core
    grown = core | (cells & dense & (ndimage.distance_transform_edt(~core) <= 2 * radius))
    labels, count = ndimage.label(grown)
    area = np.bincount(labels[core], minlength=count + 1)
    kept = area >= max(SECOND * area.max(), SMALLEST * cells.size)
    kept[0] = False
    return kept[labels]


def _open(mask: np.ndarray, radius: int) -> np.ndarray:
    """Opening with a disk by distances, many times faster than with a footprint; the frame's edge does not erode."""
    padded = np.pad(mask, radius, mode="edge")
    padded[[0, -1]] = padded[:, [0, -1]] = False  # a mask without an outside has no distances
    eroded = ndimage.distance_transform_edt(padded) >= radius
    opened = ndimage.distance_transform_edt(~eroded) < radius if eroded.any() else eroded
    return opened[radius:-radius, radius:-radius] & mask


def _hulls(tissue: np.ndarray) -> np.ndarray:
    """The convex hull of every region, a cell larger: a cell that is half tissue counts as tissue."""
    from skimage.morphology import convex_hull_image

    labels, count = ndimage.label(tissue)
    hulls = [np.asarray(convex_hull_image(labels == index), bool) for index in range(1, count + 1)]
    return ndimage.binary_dilation(np.logical_or.reduce(hulls))


def _islands_above(tissue: np.ndarray, cells: np.ndarray, strokes: np.ndarray) -> np.ndarray:
    """Small strokes above the tissue of their columns and apart from it, with a margin for JPEG's ringing."""
    above = ~np.logical_or.accumulate(tissue, axis=0)
    labels, count = ndimage.label((cells | strokes) & ~tissue)
    index = labels.ravel()
    outside = np.bincount(index, weights=(~above).ravel(), minlength=count + 1) == 0
    drawn = np.bincount(index, weights=strokes.ravel(), minlength=count + 1) > 0
    small = np.bincount(index, minlength=count + 1) < ISLAND * tissue.size
    islands = outside & drawn & small
    islands[0] = False
    return ndimage.binary_dilation(islands[labels], iterations=2) & above


def _reduce(pixels: np.ndarray, factor: int) -> np.ndarray:
    """Means of factor x factor cells; the frame's right and lower edge repeated to fill the last ones."""
    rows, columns = (-size % factor for size in pixels.shape)
    full = np.pad(pixels.astype(np.float32), ((0, rows), (0, columns)), mode="edge")
    return full.reshape(full.shape[0] // factor, factor, full.shape[1] // factor, factor).mean(axis=(1, 3))


def _enlarge(cells: np.ndarray, factor: int, shape: tuple[int, ...]) -> np.ndarray:
    return cells.repeat(factor, axis=0).repeat(factor, axis=1)[: shape[0], : shape[1]]


def _odd(size: float) -> int:
    return 2 * max(1, round(size / 2)) + 1
