"""SUVpeak: the highest mean of an image in a sphere of 1 cm3 around a voxel of a lesion."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage
from scipy.signal import fftconvolve

__all__ = ["RADIUS_MM", "sphere_peak", "sphere_weights"]

RADIUS_MM = 10 * (3 / (4 * math.pi)) ** (1 / 3)  # 6.2 mm, of 1 cm3
SAMPLE_MM = 0.2  # between the points of a voxel that are tested against the sphere
Box = tuple[slice, ...]


def sphere_peak(mask: np.ndarray, box: Box, image: np.ndarray, steps_mm: np.ndarray) -> float | str:
    """The highest mean in a sphere of 1 cm3 centred on a voxel of a mask, voxels weighted by their overlap.

    The sphere may leave the mask (Wahl et al., J Nucl Med 50:122S, 2009: PERCIST), but not the image, where
    less than 1 cm3 would be left: voxels near the image's edge are no centres. An image with voxels longer or
    larger than the sphere has no mean over 1 cm3.

    Args:
        mask: (x, y, z), not empty.
        box: the mask's slices in the image.
        image: (X, Y, Z).
        steps_mm: (3, 3), whose columns are the steps in mm along x, y and z.

    Returns:
        The mean in the image's unit, or the reason why there is none.
    """
    if abs(np.linalg.det(steps_mm)) > 1000 or np.linalg.norm(steps_mm, axis=0).max() > 2 * RADIUS_MM:
        return "a voxel is larger than a sphere of 1 cm3"
    weights = sphere_weights(steps_mm)
    best = -math.inf
    for part in sorted(_parts(mask, box, image, weights), key=lambda part: -part.bound):
        if part.bound <= best:
            break
        if not math.isfinite(part.bound):
            return "the image has values around the segment that are no numbers"
        best = max(best, part.peak(weights))
    return best if math.isfinite(best) else "no sphere of 1 cm3 around the segment lies within the image"


def sphere_weights(steps_mm: np.ndarray) -> NDArray[np.float64]:
    """The overlap of each voxel with a sphere of 1 cm3 around the middle voxel's centre; the sum is 1.

    Returns:
        (x, y, z), of odd lengths.
    """
    steps = np.asarray(steps_mm, np.float64)
    reach = RADIUS_MM * np.linalg.norm(np.linalg.inv(steps), axis=1)  # in voxels along each axis
    number = [2 * math.ceil(value - 0.5) + 1 for value in reach]
    finer = [math.ceil(length / SAMPLE_MM) for length in np.linalg.norm(steps, axis=0)]
    axes = np.ix_(*((np.arange(n * m) + 0.5) / m - n / 2 for n, m in zip(number, finer, strict=True)))
    metric = steps.T @ steps
    squares = np.zeros([axis.size for axis in axes])
    for i, j in np.ndindex(3, 3):
        squares += metric[i, j] * axes[i] * axes[j]
    sides = [side for pair in zip(number, finer, strict=True) for side in pair]
    counts = (squares <= RADIUS_MM**2).reshape(sides).sum(axis=(1, 3, 5)).astype(np.float64)
    return counts / counts.sum()


@dataclass(frozen=True)
class _Part:
    """The centres (x, y, z) among one component's voxels, and the image's values with the sphere's margin.

    ``bound``: the highest value, which no mean exceeds.
    """

    centres: np.ndarray
    values: np.ndarray
    bound: float

    def peak(self, weights: np.ndarray) -> float:
        """The highest mean: located by Fourier transform, then summed exactly over its voxels."""
        means = fftconvolve(self.values, weights[::-1, ::-1, ::-1], mode="valid")
        at = np.unravel_index(np.where(self.centres, means, -np.inf).argmax(), means.shape)
        sphere = tuple(slice(start, start + side) for start, side in zip(at, weights.shape, strict=True))
        return float((self.values[sphere] * weights).sum())


def _parts(mask: np.ndarray, box: Box, image: np.ndarray, weights: np.ndarray) -> Iterator[_Part]:
    """One part per component with a centre; lesions far apart have much space between them."""
    labels, _ = ndimage.label(mask, np.ones((3, 3, 3)))
    for number, component in enumerate(ndimage.find_objects(labels), start=1):
        spans, inner = [], []
        for part, whole, size, side in zip(component, box, image.shape, weights.shape, strict=True):
            start, stop, reach = whole.start + part.start, whole.start + part.stop, side // 2
            first, last = max(start, reach), min(stop, size - reach)
            spans.append(slice(first - reach, last + reach))
            inner.append(slice(first - whole.start, max(first, last) - whole.start))
        centres = labels[tuple(inner)] == number
        if centres.any():
            values = np.asarray(image[tuple(spans)], np.float64)
            yield _Part(centres, values, float(values.max()) if np.isfinite(values).all() else math.inf)
