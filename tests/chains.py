"""The chains of transforms that the bundles' configs list, built by MONAI as in a run."""

from __future__ import annotations

import copy
import functools
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from monai.bundle import ConfigParser
from monai.transforms import Compose

from pyraseg.pipeline.utils.errors import unwrap_monai_errors

__all__ = ["frame_augmentation", "frame_corruption", "frame_preprocessing", "volume_preprocessing"]

BUNDLES = Path(__file__).resolve().parents[1] / "bundles"
FRAMES = "us_hydronephrosis"
# By what becomes of the label: it goes onto the network's grid, stays on its own, or is not there
PREPROCESSING = {
    "network": ("train", "train::deterministic_transforms"),
    "source": ("train", "validate::preprocessing"),
    None: ("inference", "preprocessing"),
}


def frame_preprocessing(
    *,
    size: Sequence[int],
    in_channels: int = 3,
    label: str | None = None,
    label_map: Mapping[Any, int] | None = None,
    num_classes: int = 2,
    crop: bool = True,
    blank: bool = True,
) -> Compose:
    """That of the ultrasound bundle; ``crop`` and ``blank``: with CropToTissued, with BlankOutsideTissued."""
    file, section = PREPROCESSING[label]
    values = {"input_size": size, "inference_size": size, "in_channels": in_channels}
    parser = _parser(FRAMES, file, values | _classes(label_map, num_classes))
    left_out = {"CropToTissued": not crop, "BlankOutsideTissued": not blank}
    steps = parser[f"{section}::transforms"]
    kept = [step for step in steps if not left_out.get(step["_target_"].rpartition(".")[2])]
    parser[f"{section}::transforms"] = kept
    return _built(parser, section)


def volume_preprocessing(
    bundle: str = "ct_sarcoma",
    *,
    label: str | None = None,
    label_map: Mapping[Any, int] | None = None,
    num_classes: int = 2,
    window: Sequence[float] | None = None,
    **values: Any,
) -> Compose:
    """That of a volume bundle; ``values`` are overrides, of ``input_size`` and ``spacing_mm``."""
    file, section = PREPROCESSING[label]
    parser = _parser(bundle, file, values | _classes(label_map, num_classes))
    if window is not None:
        parser[f"{section}::transforms"][-1]["window"] = window
    return _built(parser, section)


def frame_augmentation(
    keys: Sequence[str] = ("image", "label"), *, probability: float = 0.5, soft_keys: Sequence[str] = ()
) -> Compose:
    """That of the ultrasound bundle, for an image, label maps and soft labels."""
    modes = ["bilinear", *["nearest"] * (len(keys) - 1), *["soft"] * len(soft_keys)]
    moved = {"train::keys": [*keys, *soft_keys], "train::modes": modes}
    parser = _parser(FRAMES, "train", {"augmentation_probability": probability, **moved})
    return _built(parser, "train::random_transforms")


def frame_corruption(size: Sequence[int], *, in_channels: int = 3, probability: float = 0.5) -> Compose:
    """The damage that pretraining on ultrasound frames does, from ``image`` and ``tissue`` on."""
    values = {"input_size": size, "in_channels": in_channels, "corruption_probability": probability}
    return _built(_parser(FRAMES, "pretrain", values), "train::random_transforms")


def _classes(label_map: Mapping[Any, int] | None, num_classes: int) -> dict[str, Any]:
    return {
        "data": SimpleNamespace(label_map=label_map, reading=None),
        "label_names": ["a class"] * num_classes,
    }


def _parser(bundle: str, file: str, values: Mapping[str, Any]) -> ConfigParser:
    parser = ConfigParser(copy.deepcopy(_config(bundle, file)))
    parser.update({"imports": None, "weights": "absent.pt", **values})
    return parser


def _built(parser: ConfigParser, section: str) -> Compose:
    with unwrap_monai_errors():
        chain = parser.get_parsed_content(section)
    assert isinstance(chain, Compose)
    return chain


@functools.cache
def _config(bundle: str, file: str) -> dict[str, Any]:
    return ConfigParser.load_config_file(BUNDLES / bundle / "configs" / f"{file}.yaml")
