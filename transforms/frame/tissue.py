"""Crop a 2D ultrasound frame to its tissue and blank burned-in text outside, as MONAI transforms."""

from __future__ import annotations

from collections.abc import Hashable, Mapping
from typing import Any

import numpy as np
import torch
from monai.config import KeysCollection
from monai.data import MetaTensor
from monai.transforms import Crop, InvertibleTransform, MapTransform, Transform
from monai.utils import TraceKeys
from numpy.typing import NDArray

from pyraseg.transforms.dictionary import DictionaryTransform
from pyraseg.transforms.errors import GeometryError, InputError
from pyraseg.transforms.frame.tissue_mask import Tissue, find_tissue, search_tissue

__all__ = ["BlankOutsideTissue", "BlankOutsideTissued", "CropToTissue", "CropToTissued"]

BOX, CLEAR = "tissue_box", "tissue_clear"
Box = tuple[int, int, int, int]


class CropToTissue(Crop):
    """Crop a frame (C, H, W) to its tissue.

    The box is the metadata's ``tissue_box`` (row0, column0, row1, column1, half-open, from DICOM's region
    calibration) within the image; without one, the bounding box of `find_tissue`; else the whole frame. The
    affine's origin moves with the first pixel, and ``tissue_box`` is converted to the crop's pixels.

    The inverse pads with 0, also class probabilities (K, h, w), whose argmax is then 0, the background.

    Args:
        margin: pixels added on every side of a box that is not from ``tissue_box``.

    >>> frame = MetaTensor(torch.rand(1, 60, 80), meta={"tissue_box": [10, 20, 50, 70]})
    >>> CropToTissue()(frame).shape
    torch.Size([1, 40, 50])
    """

    def __init__(self, margin: int = 0) -> None:
        super().__init__()
        self.margin = margin

    @property
    def requires_current_data(self) -> bool:
        """True: the box depends on the pixels, so pending operations must come first."""
        return True

    def box(self, image: torch.Tensor) -> Box:
        """The box to which ``image`` (C, H, W) is cropped; never empty.

        Raises:
            GeometryError: the image does not have three axes.
        """
        given = _given_box(image)
        if given is not None:
            return given
        mask = find_tissue(_array(image), _display_max(image))
        high, wide = mask.shape
        rows, columns = np.flatnonzero(mask.any(axis=1)), np.flatnonzero(mask.any(axis=0))
        top, left = max(int(rows[0]) - self.margin, 0), max(int(columns[0]) - self.margin, 0)
        bottom, right = int(rows[-1]) + 1 + self.margin, int(columns[-1]) + 1 + self.margin
        return top, left, min(bottom, high), min(right, wide)

    def __call__(self, img: torch.Tensor, box: Box | None = None, lazy: bool | None = None) -> torch.Tensor:
        """Crop ``img`` to ``box``, by default its own."""
        top, left, bottom, right = self.box(img) if box is None else box
        cropped = super().__call__(img, (slice(top, bottom), slice(left, right)), lazy)
        _shift_box(cropped, -top, -left)
        return cropped

    def inverse(self, img: MetaTensor) -> MetaTensor:
        """Pad with 0 to the source's grid."""
        top, _, left, _ = self.get_most_recent_transform(img)[TraceKeys.EXTRA_INFO]["cropped"]
        restored = super().inverse(img)
        _shift_box(restored, int(top), int(left))
        return restored


class CropToTissued(MapTransform, InvertibleTransform):
    """`CropToTissue` on the entries of a dictionary, all with the box of the image.

    Args:
        keys: entries (C, H, W) on one grid.
        image_key: the entry that determines the box.
        margin: see `CropToTissue`.
        allow_missing_keys: skip keys that an item lacks.

    >>> frame = MetaTensor(torch.rand(1, 60, 80), meta={"tissue_box": [10, 20, 50, 70]})
    >>> item = {"image": frame, "label": torch.zeros(1, 60, 80)}
    >>> CropToTissued(["image", "label"])(item)["label"].shape
    torch.Size([1, 40, 50])
    """

    def __init__(
        self,
        keys: KeysCollection,
        image_key: str = "image",
        *,
        margin: int = 0,
        allow_missing_keys: bool = False,
    ) -> None:
        super().__init__(keys, allow_missing_keys)
        self.image_key = image_key
        self.margin = margin
        self.cropper = CropToTissue(margin)

    def __call__(self, data: Mapping[Hashable, Any]) -> dict[Hashable, Any]:
        """Crop every entry.

        Raises:
            GeometryError: an entry is of another size than the image, or is no frame (C, H, W).
        """
        item = dict(data)
        size, box = tuple(item[self.image_key].shape[1:]), self.cropper.box(item[self.image_key])
        for key in self.key_iterator(item):
            _check_frame(item[key])
            if tuple(item[key].shape[1:]) != size:
                wanted = f"entries of the image's size, {size[0]} x {size[1]}"
                found = " x ".join(map(str, item[key].shape[1:]))
                remedy = "Check that image and label belong together."
                raise GeometryError(wanted, found=found, remedy=remedy)
            item[key] = self.cropper(item[key], box)
        return item

    def inverse(self, data: Mapping[Hashable, Any]) -> dict[Hashable, Any]:
        """Pad every entry with 0 to the source's grid."""
        item = dict(data)
        for key in self.key_iterator(item):
            item[key] = self.cropper.inverse(item[key])
        return item


class BlankOutsideTissue(Transform):
    """Set what lies outside a frame's tissue (`find_tissue`, within ``tissue_box`` where there is one) to 0.

    This removes burned-in names, scales, caliper marks and logos beside the sector. Where the two aims
    conflict, tissue wins: text stays if it touches or overlaps the sector or lies in its convex hull. Where
    no sector is found, the whole ``tissue_box``, or frame, stays; the metadata's ``tissue_clear`` is False
    then, and no picture of the frame should be shared. This does not replace a check by eye.

    Apply it to the loaded or cropped frame, before any resampling: ``tissue_box`` is in pixels.

    >>> BlankOutsideTissue()(torch.rand(1, 60, 80)).shape
    torch.Size([1, 60, 80])
    """

    def __call__(self, img: torch.Tensor) -> torch.Tensor:
        """Blank a frame (C, H, W); the input is not changed.

        Raises:
            GeometryError: the image does not have three axes.
        """
        tissue = _tissue(img)
        mask = torch.from_numpy(tissue.mask).to(img.device)
        blanked = torch.where(mask, img, torch.zeros((), dtype=img.dtype, device=img.device))
        if isinstance(blanked, MetaTensor):
            blanked.meta[CLEAR] = tissue.clear
        return blanked


class BlankOutsideTissued(DictionaryTransform):
    """`BlankOutsideTissue` on the entries of a dictionary, each by its own tissue: images, not labels.

    >>> BlankOutsideTissued("image")({"image": torch.rand(1, 60, 80)})["image"].shape
    torch.Size([1, 60, 80])
    """

    form = BlankOutsideTissue


def _tissue(image: torch.Tensor) -> Tissue:
    box = _given_box(image)
    array, white = _array(image), _display_max(image)
    if box is None:
        return search_tissue(array, white)
    mask = np.zeros(array.shape[1:], dtype=bool)
    inside = slice(box[0], box[2]), slice(box[1], box[3])
    tissue = search_tissue(array[:, *inside], white, boxed=True)
    mask[inside] = tissue.mask
    return Tissue(mask, tissue.clear)


def _given_box(image: torch.Tensor) -> Box | None:
    """The metadata's box within the image; None without one, or where they do not overlap."""
    _check_frame(image)
    given = image.meta.get(BOX) if isinstance(image, MetaTensor) else None
    if given is None:
        return None
    limits = (*image.shape[1:], *image.shape[1:])
    top, left, bottom, right = (min(max(int(at), 0), limit) for at, limit in zip(given, limits, strict=True))
    return (top, left, bottom, right) if top < bottom and left < right else None


def _shift_box(image: Any, down: int, right: int) -> None:
    if isinstance(image, MetaTensor) and image.meta.get(BOX) is not None:
        shift = (down, right, down, right)
        image.meta[BOX] = [int(at) + by for at, by in zip(image.meta[BOX], shift, strict=True)]


def _array(image: torch.Tensor) -> NDArray[Any]:
    plain = image.as_tensor() if isinstance(image, MetaTensor) else image
    return plain.detach().cpu().numpy()


def _display_max(image: torch.Tensor) -> float:
    """The value shown as white: the metadata's, else 255 for bytes and 1 for fractions, as in torchvision.

    Raises:
        InputError: whole numbers of more bits without metadata.
    """
    given = image.meta.get("display_max") if isinstance(image, MetaTensor) else None
    if given is not None:
        return float(given)
    if image.dtype == torch.uint8 or image.is_floating_point():
        return 255.0 if image.dtype == torch.uint8 else 1.0
    remedy = "Load frames with LoadFramed, or set display_max."
    raise InputError("metadata with display_max, the value of white", found="none", remedy=remedy)


def _check_frame(image: Any) -> None:
    if (axes := getattr(image, "ndim", 0)) != 3:
        remedy = "Load frames with LoadFramed."
        raise GeometryError("a frame of three axes (C, H, W)", found=f"{axes} axes", remedy=remedy)
