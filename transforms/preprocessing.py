"""The one preprocessing of ultrasound frames for training, evaluation and inference, and the way back."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from monai.config import KeysCollection
from monai.transforms import Compose, EnsureTyped, Invertd
from monai.utils import ensure_tuple

from transforms.errors import ConfigError
from transforms.frames import LoadFramed
from transforms.labels import CheckSameGridd, MapLabelValuesd
from transforms.letterbox import Letterboxd
from transforms.ultrasound.display import ScaleDisplayd, ToChannelsd
from transforms.ultrasound.region import BlankOutsideTissued, CropToTissued

__all__ = ["restoration", "ultrasound_preprocessing"]

IMAGE, LABEL = "image", "label"
GRIDS = ("network", "source", None)
WHITE = 255


def ultrasound_preprocessing(
    *,
    size: Sequence[int] | int,
    in_channels: int = 3,
    label: str | None = "network",
    label_map: Mapping[Any, int] | None = None,
    num_classes: int | None = None,
    crop: bool = True,
    blank: bool = True,
    fill: float = 128,
) -> Compose:
    """From paths to an image (in_channels, \\*size), float32 in [0, 1], and a label map (1, h, w), uint8.

    Load, check, blank what lies outside the tissue, crop to it, scale, letterbox. The image comes out the same whatever
    ``label`` is.

    Args:
        size: (rows, columns) of the network's input in pixels.
        in_channels: 1 or 3.
        label: "network" takes the label map through crop and letterbox, for training; "source" leaves it on the
            source grid, where results are measured; None loads no label.
        label_map: mask value to class index, as the datalist declares it; None: mask values are class indices.
        num_classes: class indices lie below it.
        crop, blank: switch these steps off.
        fill: grey value of the letterbox's bars, of 255 (CN113409326A [0135]).

    Raises:
        ConfigError: an option outside its range.
    """
    if label not in GRIDS:
        raise ConfigError("label as network, source or null", found=repr(label), remedy="Choose one of them.")
    loaded = (IMAGE,) if label is None else (IMAGE, LABEL)
    moved = (IMAGE, LABEL) if label == "network" else (IMAGE,)
    steps: list[Any] = [LoadFramed(loaded)]
    if label is not None:
        steps += [MapLabelValuesd(LABEL, label_map, num_classes=num_classes), CheckSameGridd(loaded)]
    if blank:
        steps.append(BlankOutsideTissued(IMAGE))
    if crop:
        steps.append(CropToTissued(moved, box_key=IMAGE))
    modes, fills = ("bilinear", "nearest")[: len(moved)], (fill / WHITE, 0.0)[: len(moved)]
    steps += [
        ScaleDisplayd(IMAGE),
        ToChannelsd(IMAGE, in_channels),
        Letterboxd(moved, size, mode=modes, fill=fills),
        EnsureTyped(IMAGE, dtype=torch.float32),
    ]
    return Compose(steps)


def restoration(preprocessing: Compose, keys: KeysCollection = "pred") -> Invertd:
    """The transform that brings ``keys`` (K, h, w) back to the source grid (K, H, W) of the item's image.

    Class probabilities are resampled, not label maps: take the argmax afterwards. Where the preprocessing has cropped
    the frame, background has probability 1. The key "image" stands for the image itself, which is black there.
    """
    names = ensure_tuple(keys)
    return Invertd(
        keys=names,
        transform=preprocessing,
        orig_keys=IMAGE,
        nearest_interp=False,
        post_func=[None if name == IMAGE else _background_outside for name in names],
    )


def _background_outside(probabilities: torch.Tensor) -> torch.Tensor:
    """Padding leaves all classes at 0; background takes what no class has."""
    nothing = ~probabilities.any(dim=0)
    probabilities[0] = torch.where(nothing, torch.ones_like(probabilities[0]), probabilities[0])
    return probabilities
