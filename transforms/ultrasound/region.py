"""Cropping an ultrasound frame to its tissue, and blanking what is written around it."""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from typing import Any

import numpy as np
import torch
from monai.config import KeysCollection
from monai.data import MetaTensor
from monai.transforms import Crop, InvertibleTransform, MapTransform, Transform

from transforms.ultrasound.display import white_value
from transforms.ultrasound.tissue import bounding_box, tissue_mask

__all__ = ["BlankOutsideTissue", "BlankOutsideTissued", "CropToTissue", "CropToTissued", "find_tissue_box"]

Box = tuple[int, int, int, int]
TISSUE_BOX = "tissue_box"


class CropToTissue(Crop):
    """Crop a frame (C, H, W) to its tissue region; the inverse pads with 0.

    The region is the metadata's ``tissue_box`` (row0, column0, row1, column1; half-open, in pixels), which the reader
    takes from the region calibration (PS3.3 C.8.5.5); without it the tissue is found by its texture. Where nothing is
    found or the tissue fills the frame, the whole frame stays.
    """

    def __call__(self, img: torch.Tensor, box: Sequence[int] | None = None, **kwargs: Any) -> torch.Tensor:
        """Crop to ``box``, or to the box that `find_tissue_box` gives."""
        top, left, bottom, right = find_tissue_box(img) if box is None else box
        out = super().__call__(img, (slice(top, bottom), slice(left, right)), **kwargs)
        if isinstance(out, MetaTensor) and TISSUE_BOX in out.meta:
            out.meta[TISSUE_BOX] = [0, 0, bottom - top, right - left]
        return out

    def inverse(self, img: MetaTensor) -> MetaTensor:
        top, _, left, _ = img.applied_operations[-1]["extra_info"]["cropped"]
        height, width = (int(size) for size in img.shape[-2:])
        out = super().inverse(img)
        if TISSUE_BOX in out.meta:
            out.meta[TISSUE_BOX] = [int(top), int(left), int(top) + height, int(left) + width]
        return out


class CropToTissued(MapTransform, InvertibleTransform):
    """`CropToTissue` on the entries of a dictionary: one box, drawn from ``box_key``, for all of them."""

    def __init__(self, keys: KeysCollection, *, box_key: Hashable = "image", allow_missing_keys: bool = False) -> None:
        super().__init__(keys, allow_missing_keys)
        self.box_key = box_key
        self.cropper = CropToTissue()

    def __call__(self, data: Mapping[Hashable, Any]) -> dict[Hashable, Any]:
        item = dict(data)
        box = find_tissue_box(item[self.box_key])
        for key in self.key_iterator(item):
            item[key] = self.cropper(item[key], box)
        return item

    def inverse(self, data: Mapping[Hashable, Any]) -> dict[Hashable, Any]:
        item = dict(data)
        for key in self.key_iterator(item):
            item[key] = self.cropper.inverse(item[key])
        return item


class BlankOutsideTissue(Transform):
    """Set everything outside the tissue of a frame (C, H, W) to 0: burned-in text, scales, logos, caliper marks.

    The tissue is found in the pixels; with a ``tissue_box`` in the metadata, whatever lies outside of it goes as well,
    without one, the tissue's bounding box is stored as such, for `CropToTissue`. Fluid and shadows inside the tissue's
    outline stay. A frame that the tissue fills passes unchanged; in one without tissue, all that is drawn goes.
    """

    def __call__(self, img: torch.Tensor) -> torch.Tensor:
        mask = _find_mask(img)
        if isinstance(img, MetaTensor):
            top, left, bottom, right = _stated_box(img) or bounding_box(mask)
            inside = np.zeros_like(mask)
            inside[top:bottom, left:right] = True
            mask &= inside
        out = img if mask.all() else img * torch.as_tensor(mask, device=img.device)
        if isinstance(out, MetaTensor) and TISSUE_BOX not in out.meta:
            out = out.clone()
            out.meta[TISSUE_BOX] = [top, left, bottom, right]
        return out


class BlankOutsideTissued(MapTransform):
    """`BlankOutsideTissue` on the entries of a dictionary."""

    def __init__(self, keys: KeysCollection, *, allow_missing_keys: bool = False) -> None:
        super().__init__(keys, allow_missing_keys)
        self.blank = BlankOutsideTissue()

    def __call__(self, data: Mapping[Hashable, Any]) -> dict[Hashable, Any]:
        item = dict(data)
        for key in self.key_iterator(item):
            item[key] = self.blank(item[key])
        return item


def find_tissue_box(img: torch.Tensor) -> Box:
    """The tissue's (row0, column0, row1, column1) in a frame (C, H, W): from its metadata, else from its pixels."""
    return _stated_box(img) or bounding_box(_find_mask(img))


def _stated_box(img: torch.Tensor) -> Box | None:
    stated = img.meta.get(TISSUE_BOX) if isinstance(img, MetaTensor) else None
    if stated is None:
        return None
    top, left, bottom, right = (int(value) for value in stated)
    box = (max(top, 0), max(left, 0), min(bottom, int(img.shape[-2])), min(right, int(img.shape[-1])))
    return box if box[0] < box[2] and box[1] < box[3] else None


def _find_mask(img: torch.Tensor) -> np.ndarray:
    plain = img.as_tensor() if isinstance(img, MetaTensor) else torch.as_tensor(img)
    return tissue_mask((plain.to(torch.float32) / white_value(img)).clamp(0, 1).cpu().numpy())
