"""Superpixels of frames and supervoxels of volumes: SLIC, checked against collapse.

Source: Achanta et al., SLIC superpixels compared to state-of-the-art superpixel methods, TPAMI 2012.
SimpleITK's filter is as fast as scikit-image's, which stretches every image by its darkest and brightest
pixel, so that compactness differs between frames; seeds on a grid of voxels whatever the spacing; and takes 4
to 15 times as long with masks (docs/soft_labels.md).
"""

from __future__ import annotations

import math
import warnings
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from monai.data import MetaTensor
from monai.transforms import Transform
from numpy.typing import ArrayLike, NDArray

from pyraseg.transforms.augmentation.base import content_box, plain
from pyraseg.transforms.errors import ConfigError, GeometryError, InputError
from pyraseg.transforms.geometry.components import foreground_box

__all__ = ["Superpixels", "relative_spacing", "superpixels", "valid_region"]

SIZE = 15.0  # pixels: about 1,000 superpixels in 473 x 473
COMPACTNESS = 0.5
ITERATIONS = 10  # as in the paper
REPAIRS = 8  # doublings of the compactness; at 100 times the contrast superpixels are squares
COLLAPSED = "SLIC collapsed at this compactness: it is doubled until the superpixels hold. Give a higher one."


def superpixels(
    image: ArrayLike,
    *,
    size: float | None = None,
    num_segments: int | None = None,
    compactness: float = COMPACTNESS,
    spacing: Sequence[float] | None = None,
    valid: ArrayLike | None = None,
    repair: bool = True,
) -> NDArray[np.int32]:
    """Divide a grey image into connected regions of similar brightness.

    The distance of a pixel to a centre is ``sqrt(dI**2 + (compactness * ds / size)**2)``, with brightness in
    the image's units; the defaults assume [0, 1]. The result is always the same, with any number of threads.

    Args:
        image: (H, W) or (D1, D2, D3).
        size: the side of a superpixel in pixels, of the finest axis; 15 by default.
        num_segments: the approximate number of superpixels, instead of ``size``.
        compactness: higher makes them rounder, lower makes them follow the edges; 0.5 to 1 on [0, 1].
        spacing: of the axes, in any unit; supervoxels are isotropic in it. Without it pixels are square.
        valid: pixels to divide, of the image's shape; the rest is left out.
        repair: on a collapse double the compactness, with a warning; otherwise refuse it.

    Returns:
        int32 of the image's shape: 1 to n, and 0 where not valid.

    Raises:
        ConfigError: an option out of range, or both ``size`` and ``num_segments``.
        GeometryError: an image without two or three axes, or a ``valid`` of another shape.
        InputError: no valid pixel, non-finite pixels, or less than half the requested superpixels.
    """
    pixels = np.asarray(image, dtype=np.float32)
    known = _known(pixels, valid)
    box = foreground_box(known) or ()
    if not np.isfinite(pixels[box]).all():
        remedy = "Check the image."
        raise InputError("an image of finite numbers", found="NaN or infinite ones", remedy=remedy)
    unit = relative_spacing(spacing, pixels.ndim)
    side, wanted = _side(known, unit, size=size, num_segments=num_segments)
    strength = _positive("compactness", compactness)
    shape = pixels[box].shape
    grid = [min(max(1, round(side / step)), length) for step, length in zip(unit, shape, strict=True)]
    seeds = math.prod(length // step for step, length in zip(grid, shape, strict=True))
    for _ in range(REPAIRS if repair else 1):
        regions = _slic(pixels[box], grid, strength, known[box])
        if int(regions.max()) >= min(wanted, seeds) / 2:
            result = np.zeros(pixels.shape, np.int32)
            result[box] = regions
            return result
        if repair:
            warnings.warn(COLLAPSED, stacklevel=2)
        strength *= 2
    found, remedy = f"{regions.max()}, so SLIC has collapsed", "Give a higher compactness: 0.5 to 1."
    raise InputError(f"about {wanted:.0f} superpixels, half of them at least", found=found, remedy=remedy)


class Superpixels(Transform):
    """`superpixels` of the mean over a picture's channels, without letterbox bars.

    Args:
        size, num_segments, compactness, repair: see `superpixels`.
        spacing: see there; None means a volume's metadata, or square pixels for frames.
    """

    def __init__(
        self,
        *,
        size: float | None = None,
        num_segments: int | None = None,
        compactness: float = COMPACTNESS,
        spacing: Sequence[float] | None = None,
        repair: bool = True,
    ) -> None:
        # Refuses values out of range
        _side(np.ones(1, bool), np.ones(1), size=size, num_segments=num_segments)
        self.options: dict[str, Any] = {"size": size, "num_segments": num_segments, "repair": repair}
        self.options["compactness"] = _positive("compactness", compactness)
        self.spacing = None if spacing is None else tuple(float(step) for step in spacing)

    def __call__(self, image: torch.Tensor, valid: torch.Tensor | None = None) -> torch.Tensor:
        """(C, H, W[, D]) in [0, 1] to int32 (1, H, W[, D]), 0 in the bars and where ``valid`` is 0."""
        grey = plain(image).detach().float().mean(0).cpu().numpy()
        options = self.options | {"spacing": self.spacing_of(image), "valid": valid_region(image, valid)}
        return torch.from_numpy(superpixels(grey, **options))[None]

    def spacing_of(self, image: torch.Tensor) -> Sequence[float] | None:
        """The spacing used for ``image``: a frame is measured in pixels, a volume in mm."""
        if self.spacing is None and isinstance(image, MetaTensor) and image.ndim == 4:
            return [float(step) for step in image.pixdim]
        return self.spacing


def valid_region(image: torch.Tensor, valid: torch.Tensor | None = None) -> NDArray[np.bool_]:
    """The valid region of (C, H, W[, D]): ``valid`` (1, H, W[, D]) if given, without a frame's bars."""
    shape = tuple(image.shape[1:])
    known = np.ones(shape, bool) if valid is None else valid.bool().cpu().numpy().reshape(shape)
    if len(shape) == 2:
        inside = np.zeros(shape, bool)
        inside[content_box(plain(image))] = True
        known = known & inside
    return known


def relative_spacing(spacing: Sequence[float] | None, axes: int) -> NDArray[np.float64]:
    """The spacing in units of its finest axis; 1 for all axes without one.

    Raises:
        ConfigError: not one number above 0 for each axis.
    """
    steps = np.ones(axes) if spacing is None else np.asarray(spacing, dtype=np.float64)
    if steps.shape != (axes,) or not np.isfinite(steps).all() or steps.min() <= 0:
        found = str(None if spacing is None else tuple(spacing))
        raise ConfigError(f"a spacing of {axes} numbers above 0", found=found, remedy="Correct the spacing.")
    return steps / steps.min()


def _slic(
    pixels: NDArray[np.float32], grid: Sequence[int], compactness: float, known: NDArray[np.bool_]
) -> NDArray[np.int32]:
    """1 to n without gaps, 0 where not ``known``."""
    import SimpleITK as sitk

    method = sitk.SLICImageFilter()
    method.SetSuperGridSize(list(grid)[::-1])  # x first
    method.SetSpatialProximityWeight(compactness)
    method.SetMaximumNumberOfIterations(ITERATIONS)
    method.SetEnforceConnectivity(True)
    method.SetInitializationPerturbation(True)
    method.SetNumberOfThreads(1)  # data-loading processes share the cores already
    filled = np.where(known, pixels, np.float32(pixels[known].mean()))
    labels = sitk.GetArrayFromImage(method.Execute(sitk.GetImageFromArray(filled))).astype(np.int64)
    used = np.bincount(labels[known]) > 0
    numbers = np.cumsum(used)
    return np.where(known, numbers[np.minimum(labels, len(used) - 1)], 0).astype(np.int32)


def _known(pixels: NDArray[np.float32], valid: ArrayLike | None) -> NDArray[np.bool_]:
    if pixels.ndim not in (2, 3):
        found, remedy = f"{pixels.ndim} axes", "Take one channel, or their mean."
        raise GeometryError("a grey image of two or three axes", found=found, remedy=remedy)
    known = np.ones(pixels.shape, bool) if valid is None else np.asarray(valid, dtype=bool)
    if known.shape != pixels.shape:
        found, remedy = f"{known.shape} for {pixels.shape}", "Bring both to one grid."
        raise GeometryError("a valid region of the image's shape", found=found, remedy=remedy)
    if not known.any():
        remedy = "Check the image and its valid region."
        raise InputError("an image with valid pixels", found="none", remedy=remedy)
    return known


def _side(
    known: NDArray[np.bool_], unit: NDArray[np.float64], *, size: float | None, num_segments: int | None
) -> tuple[float, float]:
    """The side of a superpixel in pixels of the finest axis, and how many fit into the known region."""
    if size is not None and num_segments is not None:
        found, remedy = f"size {size} and num_segments {num_segments}", "Leave one of them out."
        raise ConfigError("the size of the superpixels or their number", found=found, remedy=remedy)
    extent = float(known.sum() * unit.prod())
    if num_segments is None:
        side = _positive("size", SIZE if size is None else size, least=1)
        return side, extent / side ** len(unit)
    wanted = _positive("num_segments", num_segments, least=1)
    return max(1.0, (extent / wanted) ** (1 / len(unit))), min(wanted, float(known.sum()))


def _positive(name: str, value: float, *, least: float = 0.0) -> float:
    number = float(value)
    if not (max(least, 1e-6) <= number < float("inf")):
        bound = f"of {least:g} or more" if least else "above 0"
        raise ConfigError(f"a finite {name} {bound}", found=str(value), remedy="Correct it.")
    return number
