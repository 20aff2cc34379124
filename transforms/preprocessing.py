"""The deterministic preprocessing of ultrasound frames, one definition for training, evaluation and inference."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from monai.transforms import Compose, Invertd

from transforms.display import ScaleDisplayd, ToChannelsd
from transforms.errors import ConfigError
from transforms.frames import LoadFramed
from transforms.labels import CheckSameGridd, MapLabelValuesd
from transforms.letterbox import GREY, Letterboxd
from transforms.tissue import BlankOutsideTissued, CropToTissued

__all__ = ["restoration", "source_view", "ultrasound_preprocessing"]


def ultrasound_preprocessing(
    *,
    size: Sequence[int],
    in_channels: int = 3,
    label: str | None = None,
    label_map: Mapping[int, int] | None = None,
    num_classes: int | None = None,
    crop: bool = True,
    blank: bool = True,
) -> Compose:
    """From file paths to network input: ``image`` float32 (in_channels, *size) in [0, 1], whatever the other options.

    Args:
        size: (height, width) of the network's input; the frame is letterboxed into it.
        in_channels: 1 or 3.
        label: "network" (the label goes through crop and letterbox, for training), "source" (it stays on the source
            grid, where validation and evaluation measure) or None (inference: there is no label).
        label_map, num_classes: the label set, needed with a label (see ``MapLabelValues``).
        crop: cut to the tissue region. blank: black out text and marks beside it.

    Raises:
        ConfigError: an unknown ``label``, or a label without ``num_classes``.
    """
    if label not in ("network", "source", None) or (label and num_classes is None):
        found = f"label={label!r}, num_classes={num_classes}"
        raise ConfigError("label to be network, source or None, with num_classes", found=found, remedy="Correct it.")
    keys = ["image"] if label is None else ["image", "label"]
    moved = keys if label == "network" else ["image"]
    steps: list[Any] = [LoadFramed(keys)]
    if label is not None and num_classes is not None:
        steps += [MapLabelValuesd("label", label_map, num_classes=num_classes), CheckSameGridd(keys)]
    if crop:
        steps.append(CropToTissued(moved))
    if blank:
        steps.append(BlankOutsideTissued("image"))
    steps += [ScaleDisplayd("image"), ToChannelsd("image", in_channels)]
    modes, fills = ["bilinear", "nearest"][: len(moved)], [GREY, 0.0][: len(moved)]
    return Compose([*steps, Letterboxd(moved, size, mode=modes, fill=fills)])


def source_view(preprocessing: Compose) -> Compose:
    """What shows a frame at its own resolution, cropped and blanked as ``preprocessing`` does it, for pictures.

    Returns:
        A dictionary transform: ``image`` a path in, float32 (C, H, W) in [0, 1] on the source grid out, black outside
        the tissue.
    """
    kinds = {type(step) for step in preprocessing.transforms}
    steps: list[Any] = [LoadFramed("image")]
    steps += [kind("image") for kind in (CropToTissued, BlankOutsideTissued) if kind in kinds]
    view = Compose([*steps, ScaleDisplayd("image")])
    return Compose([view, restoration(view, keys="image")])


def restoration(preprocessing: Compose, *, keys: str) -> Invertd:
    """What brings an entry on the network's grid back to the source grid of its item's ``image``.

    Class probabilities (K, h, w) are resampled to (K, H, W); outside a crop all of them are 0, where argmax gives
    background.
    """
    return Invertd(keys=keys, transform=preprocessing, orig_keys="image", nearest_interp=False, to_tensor=True)
