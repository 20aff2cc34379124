"""Soft labels: where a boundary crosses a superpixel, labels follow the distance to the boundary.

Source: CN111369576B; Li et al., Superpixel-Guided Label Softening for Medical Image Segmentation, MICCAI
2020, arXiv 2007.08897, equation 1.
"""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from typing import Any

import numpy as np
import torch
from monai.transforms import MapTransform, Transform
from numpy.typing import ArrayLike, NDArray
from scipy.ndimage import distance_transform_edt, find_objects

from pyraseg.transforms.augmentation.base import plain
from pyraseg.transforms.errors import ConfigError, GeometryError, LabelError
from pyraseg.transforms.labels.superpixels import COMPACTNESS, Superpixels, relative_spacing, valid_region

__all__ = ["SoftLabels", "SoftLabelsd", "soft_labels"]

Box = tuple[slice, ...]
TYPES = {"float32": torch.float32, "uint8": torch.uint8}
FLATTEST = 1e6  # scale at which float32 still distinguishes them
WIDEST = 50.0  # scale at which bytes still tell the hard class from others: by three steps at a distance of 1


def soft_labels(
    label: ArrayLike,
    superpixels: ArrayLike,
    num_classes: int,
    *,
    spacing: Sequence[float] | None = None,
    scale: float = 1.0,
    valid: ArrayLike | None = None,
) -> NDArray[np.float32]:
    """Soften a label map in the superpixels that its boundaries cross.

    ``q_k(i) = 1/2 * (d / (scale + |d|) + 1)`` in superpixels that lie partly in class k, with ``d`` the
    distance of pixel i to the nearest pixel centre on the other side, positive within the class (equation 1
    of the paper, where the scale is 1); 1 or 0 elsewhere. Then the classes are divided by their sum. The hard
    label's class keeps the highest value: before division it is above 1/2, and all others are below. The
    order of the classes does not matter.

    Args:
        label: whole numbers from 0 to ``num_classes - 1``, (H, W) or (D1, D2, D3).
        superpixels: whole numbers from 0, of the same shape; each number is one superpixel.
        num_classes: K, background included.
        spacing: of the axes; distances are in units of the finest one, or in pixels without it.
        scale: the distance with a label of 3/4; higher softens more; at most a million, beyond which float32
            no longer tells the classes apart.
        valid: where the label is known, of the same shape. Other pixels are 0 and make no boundary.

    Returns:
        float32 (K, *shape), the sum over K is 1 where valid and 0 elsewhere.

    Raises:
        ConfigError: ``scale`` or ``spacing`` out of range, or superpixels that are not whole numbers from 0.
        GeometryError: shapes that differ.
        LabelError: a label outside the classes.
    """
    classes, regions, known = _checked(label, superpixels, valid, num_classes)
    steps = relative_spacing(spacing, classes.ndim)
    limit = _checked_scale(scale, most=FLATTEST)
    soft = ((classes == np.arange(num_classes).reshape(-1, *[1] * classes.ndim)) & known).astype(np.float32)
    crossing = _crossing(classes, regions, known, num_classes)
    if not crossing.any():
        return soft
    boxes = find_objects(regions + 1, max_label=crossing.shape[0])
    for k in range(num_classes):
        pairs = zip(boxes, crossing[:, k], strict=True)
        if touched := [box for box, crosses in pairs if crosses and box is not None]:
            window = _window(touched, steps, classes.shape)
            here = crossing[regions[window], k] & known[window]
            distance = _signed_distance(classes[window] == k, known[window], steps)[here]
            soft[k][window][here] = 0.5 * (distance / (limit + np.abs(distance)) + 1)
    total = soft.sum(axis=0)
    return np.divide(soft, total, out=soft, where=total > 0)


class SoftLabels(Transform):
    """`soft_labels` of a picture and its label map, by its `superpixels`; letterbox bars are not valid.

    They are made once from the preprocessed frame, before augmentation, so they can be cached. Superpixels of
    an augmented frame would follow added speckle, differ between epochs, and cost some ten times as much as
    all augmentation. But zooming by a factor z makes d = 1 in equation 1 count as d = z.

    Args:
        num_classes: K, background included.
        size, num_segments, compactness, spacing: see `superpixels`; the spacing also applies to distances.
        scale: see `soft_labels`; at most 50.
        dtype: "float32", or "uint8" with 255 for 1: a quarter of the memory, rounded by at most 0.002; the
            hard label's class stays the highest. `pyraseg.pipeline.losses` accepts both.

    Raises:
        ConfigError: an option out of range.

    >>> image, label = torch.rand(1, 60, 80), torch.zeros(1, 60, 80, dtype=torch.uint8)
    >>> SoftLabels(num_classes=2, compactness=5.0)(image, label).shape
    torch.Size([2, 60, 80])
    """

    def __init__(
        self,
        num_classes: int,
        *,
        size: float | None = None,
        num_segments: int | None = None,
        compactness: float = COMPACTNESS,
        spacing: Sequence[float] | None = None,
        scale: float = 1.0,
        dtype: str = "float32",
    ) -> None:
        if dtype not in TYPES:
            raise ConfigError("a dtype of float32 or uint8", found=repr(dtype), remedy="Correct it.")
        self.num_classes = num_classes
        self.scale = _checked_scale(scale, most=WIDEST)
        self.dtype = dtype
        self.superpixels = Superpixels(
            size=size, num_segments=num_segments, compactness=compactness, spacing=spacing
        )

    def __call__(
        self, image: torch.Tensor, label: torch.Tensor, valid: torch.Tensor | None = None
    ) -> torch.Tensor:
        """(C, H, W[, D]) in [0, 1] and classes (1, H, W[, D]) to (K, H, W[, D]).

        Args:
            valid: (1, H, W[, D]), where the label is known; by default everywhere but in the bars.
        """
        known = torch.from_numpy(valid_region(image, valid))[None]
        regions = self.superpixels(image, known)
        soft = soft_labels(
            plain(label)[0].detach().cpu().numpy(),
            regions[0].numpy(),
            self.num_classes,
            spacing=self.superpixels.spacing_of(image),
            scale=self.scale,
            valid=known[0].numpy(),
        )
        if self.dtype == "uint8":
            return torch.from_numpy(np.rint(soft * 255).astype(np.uint8))
        return torch.from_numpy(soft)


class SoftLabelsd(MapTransform):
    """`SoftLabels` in a dictionary, as a new entry beside image and label.

    Args:
        num_classes: K, background included.
        image_key, label_key: their sources.
        soft_key: the new entry.
        valid_key: an entry (1, H, W[, D]) that says where the label is known, if any.
        options: those of `SoftLabels`.

    >>> item = {"image": torch.rand(1, 60, 80), "label": torch.zeros(1, 60, 80, dtype=torch.uint8)}
    >>> SoftLabelsd(num_classes=2, compactness=5.0, dtype="uint8")(item)["soft_label"].shape
    torch.Size([2, 60, 80])
    """

    def __init__(
        self,
        num_classes: int,
        *,
        image_key: str = "image",
        label_key: str = "label",
        soft_key: str = "soft_label",
        valid_key: str | None = None,
        **options: Any,
    ) -> None:
        super().__init__([image_key, label_key])
        self.image_key, self.label_key = image_key, label_key
        self.soft_key, self.valid_key = soft_key, valid_key
        self.soft_labels = SoftLabels(num_classes, **options)

    def __call__(self, data: Mapping[Hashable, Any]) -> dict[Hashable, Any]:
        valid = None if self.valid_key is None else data[self.valid_key]
        return {**data, self.soft_key: self.soft_labels(data[self.image_key], data[self.label_key], valid)}


def _crossing(
    classes: NDArray[np.int64], regions: NDArray[np.int64], known: NDArray[np.bool_], num_classes: int
) -> NDArray[np.bool_]:
    """(superpixels, K): whether a superpixel lies partly inside and partly outside the class."""
    pairs = regions[known] * num_classes + classes[known]
    counts = np.bincount(pairs, minlength=(int(regions.max()) + 1) * num_classes).reshape(-1, num_classes)
    return (counts > 0) & (counts < counts.sum(axis=1, keepdims=True))


def _window(boxes: Sequence[Box], steps: NDArray[np.float64], shape: Sequence[int]) -> Box:
    """The box around the superpixels in ``boxes`` that contains the nearest pixels on the other side.

    A crossing superpixel has pixels on both sides, so none is further away than the superpixel's diagonal.
    """
    edges = np.array([[(part.start, part.stop) for part in box] for box in boxes])
    reach = np.sqrt((((edges[:, :, 1] - edges[:, :, 0]) * steps) ** 2).sum(axis=1).max())
    margin = np.ceil(reach / steps).astype(int)
    first = np.maximum(edges[:, :, 0].min(axis=0) - margin, 0)
    last = np.minimum(edges[:, :, 1].max(axis=0) + margin, shape)
    return tuple(slice(int(a), int(b)) for a, b in zip(first, last, strict=True))


def _signed_distance(
    inside: NDArray[np.bool_], known: NDArray[np.bool_], steps: NDArray[np.float64]
) -> NDArray[np.float64]:
    """The distance to the nearest known pixel on the other side, positive inside."""
    to_outside = distance_transform_edt(inside | ~known, sampling=steps)
    return np.where(inside, to_outside, -distance_transform_edt(~(inside & known), sampling=steps))


def _checked(
    label: ArrayLike, superpixels: ArrayLike, valid: ArrayLike | None, num_classes: int
) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.bool_]]:
    classes, regions = np.asarray(label), np.asarray(superpixels)
    known = np.ones(classes.shape, bool) if valid is None else np.asarray(valid, dtype=bool)
    if not classes.shape == regions.shape == known.shape:
        found, remedy = f"{classes.shape}, {regions.shape} and {known.shape}", "Bring them to one grid."
        raise GeometryError("label, superpixels and valid region of one shape", found=found, remedy=remedy)
    if regions.dtype.kind not in "iu" or (regions.size and regions.min() < 0):
        found = f"{regions.dtype} from {regions.min()}"
        remedy = "Take those of pyraseg.transforms.labels.superpixels."
        raise ConfigError("superpixels numbered from 0", found=found, remedy=remedy)
    values = classes[known]
    if not ((values >= 0) & (values < num_classes) & (values == np.round(values))).all():
        found, remedy = f"values from {values.min():g} to {values.max():g}", "Map the mask's values first."
        raise LabelError(f"classes from 0 to {num_classes - 1}", found=found, remedy=remedy)
    return np.where(known, classes, 0).astype(np.int64), regions.astype(np.int64), known


def _checked_scale(scale: float, *, most: float) -> float:
    if not 0 < float(scale) <= most:
        wanted = f"a scale above 0 and at most {most:g}"
        raise ConfigError(wanted, found=str(scale), remedy="The paper's is 1.")
    return float(scale)
