"""Point spread and correlated noise on a grid, in millimetres."""

from __future__ import annotations

import numpy as np
from scipy.ndimage import gaussian_filter

from pyraseg.pipeline.phantom.volumes.body.shapes import Array
from pyraseg.transforms.geometry.grid import Vector

__all__ = ["blur", "smooth_noise"]

FWHM = 2.3548  # full width at half maximum of a Gaussian over its standard deviation


def blur(values: Array, fwhm_mm: Vector, spacing: Vector) -> Array:
    """Convolve with a Gaussian of these widths along columns, rows and slices."""
    blurred: Array = gaussian_filter(values, _sigmas(fwhm_mm, spacing), mode="nearest", truncate=3)
    return blurred


def smooth_noise(
    rng: np.random.Generator, shape: tuple[int, int, int], fwhm_mm: Vector, spacing: Vector
) -> Array:
    """Gaussian noise of mean 0 and standard deviation 1 whose grain has these widths."""
    noise = blur(rng.standard_normal(shape, dtype=np.float32), fwhm_mm, spacing)
    return (noise - noise.mean()) / noise.std()


def _sigmas(fwhm_mm: Vector, spacing: Vector) -> list[float]:
    return [width / FWHM / step for width, step in zip(fwhm_mm, spacing, strict=True)]
