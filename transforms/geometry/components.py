"""Connected components of label maps, and their box: whole-body volumes need little time and memory."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from scipy import ndimage

__all__ = ["LabelRegion", "foreground_box", "label_regions"]

BLOCK = 16  # voxels a side


def foreground_box(labels: np.ndarray) -> tuple[slice, ...] | None:
    """The smallest box of all that is not 0, of any number of axes; None where everything is.

    Axes that lie farthest apart in memory are cut first; `scipy.ndimage.find_objects` takes seconds for a CT.

    >>> foreground_box(np.eye(5)[1:])
    (slice(0, 4, None), slice(1, 5, None))
    """
    box = [slice(None)] * labels.ndim
    for axis in np.argsort(labels.strides)[::-1]:
        others = tuple(other for other in range(labels.ndim) if other != axis)
        lines = np.flatnonzero(labels[tuple(box)].any(axis=others))
        if not len(lines):
            return None
        box[axis] = slice(int(lines[0]), int(lines[-1]) + 1)
    return tuple(box)


@dataclass(frozen=True)
class LabelRegion:
    """A part of a label map that does not touch any other foreground.

    Attributes:
        labels: a view of its box with a margin of one pixel: changes are made in the map.
        own: the region's pixels in the box, of the same shape; other foreground may reach into the box.
    """

    labels: np.ndarray
    own: np.ndarray

    def components(self) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """The components of each class (diagonal neighbours count), as numbers in the box, 0 elsewhere.

        Returns:
            The numbers, in the shape of ``labels``; by number (0: background) the pixels and the class.
        """
        from skimage.measure import label

        mine = np.where(self.own, self.labels, 0)
        numbers = label(mine, background=0, connectivity=mine.ndim)
        classes = np.zeros(int(numbers.max()) + 1, np.intp)
        classes[numbers[self.own]] = mine[self.own]
        sizes = np.bincount(numbers[self.own], minlength=len(classes))
        sizes[0] = 0
        return numbers, sizes, classes


def label_regions(labels: np.ndarray) -> Iterator[LabelRegion]:
    """The regions of a label map (H, W) or (X, Y, Z), 0 being background.

    A frame is one region. A volume is divided, as one box around specks all over a body costs seconds and
    gigabytes. Blocks that are not neighbours hold no neighbouring voxels, so every component lies in one
    region, and so does what it encloses.
    """
    if labels.ndim != 3:
        yield LabelRegion(labels, np.ones(labels.shape, bool))
        return
    filled = labels
    for axis in range(3):
        filled = np.maximum.reduceat(filled, np.arange(0, labels.shape[axis], BLOCK), axis=axis)
    blocks, _ = ndimage.label(filled, np.ones((3, 3, 3)))
    for number, window in enumerate(ndimage.find_objects(blocks), start=1):
        yield _region(labels, blocks[window] == number, window)


def _region(labels: np.ndarray, own_blocks: np.ndarray, window: tuple[slice, ...]) -> LabelRegion:
    own, box, margins = own_blocks, [], []
    for axis, (side, size) in enumerate(zip(window, labels.shape, strict=True)):
        start, stop = side.start * BLOCK, min(side.stop * BLOCK, size)
        box.append(slice(max(0, start - 1), min(size, stop + 1)))
        margins.append((start - box[axis].start, box[axis].stop - stop))
        own = own.repeat(BLOCK, axis=axis).swapaxes(0, axis)[: stop - start].swapaxes(0, axis)
    return LabelRegion(labels[tuple(box)], np.pad(own, margins))
