"""The deterministic preprocessing that a bundle declares, one definition for training, evaluation and
inference."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from monai.transforms import Compose, Invertd

from pyraseg.transforms.errors import ConfigError
from pyraseg.transforms.frame.display import ScaleDisplayd, ToChannelsd
from pyraseg.transforms.frame.tissue import BlankOutsideTissued, CropToTissued
from pyraseg.transforms.geometry.letterbox import GREY, Letterboxd
from pyraseg.transforms.io.frames import LoadFramed
from pyraseg.transforms.io.volumes import LoadVolumed
from pyraseg.transforms.labels.label_values import CheckSameGridd, RemapLabelsd
from pyraseg.transforms.volume.preprocessing import volume_preprocessing, volume_view

__all__ = ["KINDS", "declared_preprocessing", "restoration", "source_view", "ultrasound_preprocessing"]

KINDS = ("frame", "volume")


def declared_preprocessing(
    declared: Mapping[str, Any],
    *,
    size: Sequence[int],
    in_channels: int = 1,
    label: str | None = None,
    label_map: Mapping[Any, int] | None = None,
    num_classes: int | None = None,
) -> Compose:
    """The preprocessing that "preprocessing" in a bundle's metadata.json declares, from file paths to network
    input.

    Args:
        declared: with ``kind``: "frame" (`ultrasound_preprocessing`: ``crop``, ``blank``) or "volume"
            (`volume_preprocessing`: ``spacing_mm``, ``intensity``).
        size, in_channels: of the network's input; they may differ from those declared.
        label, label_map, num_classes: as these.

    Raises:
        ConfigError: another kind, a kind that lacks something, or a volume network with several channels.
    """
    kind = declared.get("kind")
    options: dict[str, Any] = {
        "size": size,
        "label": label,
        "label_map": label_map,
        "num_classes": num_classes,
    }
    if kind == "frame":
        switches = {name: declared[name] for name in ("crop", "blank") if name in declared}
        return ultrasound_preprocessing(in_channels=in_channels, **switches, **options)
    missing = [name for name in ("spacing_mm", "intensity") if name not in declared]
    if kind != "volume" or missing or in_channels != 1:
        found = (
            f"{kind!r}" if kind != "volume" else f"no {missing[0]}" if missing else f"{in_channels} channels"
        )
        wanted = f'"preprocessing" of a kind among {", ".join(KINDS)}, a volume with spacing_mm, intensity, one channel'
        raise ConfigError(wanted, found=found, remedy="Correct the bundle's metadata.json.")
    return volume_preprocessing(spacing_mm=declared["spacing_mm"], intensity=declared["intensity"], **options)


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
    """From file paths to network input: ``image`` float32 (in_channels, *size) in [0, 1], whatever the other
    options.

    Args:
        size: (height, width) of the network's input; the frame is letterboxed into it.
        in_channels: 1 or 3.
        label: "network" (the label goes through crop and letterbox, for training), "source" (it stays on the
            source grid, where validation and evaluation measure) or None (inference: there is no label).
        label_map, num_classes: the label set, needed with a label (see ``RemapLabels``).
        crop: cut to the tissue region. blank: black out text and marks beside it.

    Raises:
        ConfigError: an unknown ``label``, or a label without ``num_classes``.
    """
    if label not in ("network", "source", None) or (label and num_classes is None):
        found = f"label={label!r}, num_classes={num_classes}"
        raise ConfigError(
            "label to be network, source or None, with num_classes", found=found, remedy="Correct it."
        )
    keys = ["image"] if label is None else ["image", "label"]
    moved = keys if label == "network" else ["image"]
    steps: list[Any] = [LoadFramed(keys)]
    if label is not None and num_classes is not None:
        steps += [RemapLabelsd("label", label_map, num_classes=num_classes), CheckSameGridd(keys)]
    if crop:
        steps.append(CropToTissued(moved))
    if blank:
        steps.append(BlankOutsideTissued("image"))
    steps += [ScaleDisplayd("image"), ToChannelsd("image", in_channels)]
    modes, fills = ["bilinear", "nearest"][: len(moved)], [GREY, 0.0][: len(moved)]
    return Compose([*steps, Letterboxd(moved, size, mode=modes, fill=fills)])


def source_view(preprocessing: Compose) -> Compose:
    """What shows a frame at its own resolution, cropped and blanked as ``preprocessing`` does it, for
    pictures.

    Returns:
        A dictionary transform: ``image`` a path in, float32 (C, H, W) in [0, 1] on the source grid out, black
        outside the tissue. Of a volume, (1, X, Y, Z) by the window that the network sees.
    """
    if any(isinstance(step, LoadVolumed) for step in preprocessing.transforms):
        return volume_view(preprocessing)
    kinds = {type(step) for step in preprocessing.transforms}
    steps: list[Any] = [LoadFramed("image")]
    steps += [kind("image") for kind in (CropToTissued, BlankOutsideTissued) if kind in kinds]
    view = Compose([*steps, ScaleDisplayd("image")])
    return Compose([view, restoration(view, keys="image")])


def restoration(preprocessing: Compose, *, keys: str) -> Invertd:
    """What brings an entry on the network's grid back to the source grid of its item's ``image``.

    Class probabilities (K, h, w) are resampled to (K, H, W); outside a crop all of them are 0, where argmax
    gives background.
    """
    return Invertd(
        keys=keys, transform=preprocessing, orig_keys="image", nearest_interp=False, to_tensor=True
    )
