"""Before the first step: the output folder, the random seeds, the network's device, the run's facts."""

from __future__ import annotations

import errno
import logging
import os
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from monai.transforms import Compose
from monai.utils import set_determinism

from pyraseg.pipeline.bundle.preprocessing import differences, image_differences, sentence
from pyraseg.pipeline.networks import load_pretrained, read_checkpoint
from pyraseg.pipeline.networks.checkpoint import facts_of
from pyraseg.pipeline.training.checkpoints import LAST
from pyraseg.pipeline.utils import distributed
from pyraseg.pipeline.utils.devices import select_device
from pyraseg.pipeline.utils.errors import unwrap_monai_errors
from pyraseg.pipeline.utils.groups import images_as_groups
from pyraseg.transforms.errors import ConfigError, DatalistError, OutputError
from pyraseg.transforms.io.display_range import CONTRAST

__all__ = [
    "check_contrast",
    "check_output_dir",
    "data_facts",
    "require_same_images",
    "seed_everything",
    "shared_handler",
    "to_device",
]

LOOKED_AT, LOOKED_AT_3D = 32, 4

logger = logging.getLogger(__name__)


def check_output_dir(folder: str | Path, *, overwrite: bool = False, resume: bool = False) -> None:
    """Refuse a folder for a run's outputs, without touching it: the first file that is written makes it.

    Args:
        folder: new, or with hidden files at most.
        overwrite: accept files of an earlier run; they are replaced once this run has something to replace
            them with.
        resume: accept ``last.pt`` of the run to continue. A new folder is no error, so a scheduler can
            restart a job with one command.

    Raises:
        OutputError: it cannot be written, or holds files that this run must not touch.
    """
    folder = Path(folder).absolute()
    try:
        _require_writable(folder)
        in_use = folder.is_dir() and any(not entry.name.startswith(".") for entry in folder.iterdir())
    except OSError as error:
        raise OutputError(
            "an output folder that can be written",
            found=f"one that cannot ({error.strerror})",
            remedy="Name another with --output_dir.",
            path=folder,
        ) from error
    if not in_use or overwrite or not distributed.is_main() or (resume and (folder / LAST).is_file()):
        return
    if resume:
        found, remedy = (
            "one that holds other files and no last.pt",
            "Name that run's folder with --output_dir.",
        )
    else:
        found = "one that holds the results of an earlier run"
        remedy = (
            "Continue it with --resume true, replace it with --overwrite true, "
            "or name a new folder with --output_dir."
        )
    raise OutputError("an empty or new output folder", found=found, remedy=remedy, path=folder)


def _require_writable(folder: Path) -> None:
    """Raise OSError where the folder, or the nearest one above it that is there, cannot be written."""
    nearest = next(path for path in (folder, *folder.parents) if path.exists())
    if not nearest.is_dir():
        raise NotADirectoryError(errno.ENOTDIR, os.strerror(errno.ENOTDIR))
    if not os.access(nearest, os.W_OK | os.X_OK):
        raise PermissionError(errno.EACCES, os.strerror(errno.EACCES))


def require_same_images(
    facts: Mapping[str, Any], validation: Compose, *, inferer: Any, pretrained: str | None = None
) -> None:
    """Refuse a training whose network would see other images in validation.

    Pretrained weights that saw others are said in the log: to carry them over may be what is wanted.

    Args:
        facts: of its checkpoints.
        validation: the preprocessing of the validation.
        inferer: of the validation.
        pretrained: a file of weights, which may say what they saw; sizes may differ.

    Raises:
        ConfigError: training and validation differ.
        CheckpointError: the file of weights cannot be read.
    """
    if unequal := image_differences(facts, validation, inferer=inferer):
        raise ConfigError(
            f"validation images as those of training, {sentence(unequal, 0)}",
            found=sentence(unequal, 1),
            remedy="Override what both read, such as --spacing_mm or --input_size, or both.",
        )
    seen = facts_of(read_checkpoint(pretrained)) if pretrained else {}
    images = {name: seen[name] for name in ("preprocessing",) if name in seen}
    if unequal := differences(images, facts, besides=("size", "spatial_size")):
        logger.warning(
            "the pretrained weights saw other images, %s; here %s", sentence(unequal, 0), sentence(unequal, 1)
        )


def seed_everything(seed: int, *, deterministic: bool = False) -> None:
    """Seed Python, NumPy, torch and MONAI.

    Args:
        deterministic: also forbid torch algorithms that are not reproducible, and cuDNN's benchmark: slower
            on a GPU. A CPU with a fixed number of threads gives the same bits either way.

    Raises:
        RuntimeError: later, from torch, for an operation without a deterministic form on the device.
    """
    if deterministic:
        os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")  # asked for by torch's documentation
    set_determinism(seed, use_deterministic_algorithms=deterministic)
    torch.backends.cudnn.deterministic = deterministic
    torch.backends.cudnn.benchmark = not deterministic


def to_device(
    network: torch.nn.Module,
    device: torch.device | str,
    *,
    channels_last: bool = True,
    pretrained: str | None = None,
) -> torch.nn.Module:
    """Load pretrained ResNet weights if a file is named; move the network to its device and memory format.

    Raises:
        ConfigError: a device that is not there.
    """
    device = select_device(device)
    if pretrained:
        logger.info("%s", load_pretrained(network, pretrained))
    if channels_last:
        volumes = any(parameter.ndim == 5 for parameter in network.parameters())
        layout = torch.channels_last_3d if volumes else torch.channels_last
        network.to(memory_format=layout)  # type: ignore[call-overload]  # missing in torch's annotations
    return network.to(device)


def check_contrast(items: Sequence[Mapping[str, Any]], transform: Callable[..., Any]) -> None:
    """Prepare some images and name those that are nearly black, constant or clipped (`contrast_fault`).

    So nobody trains through a night on images that were read by another range of values than theirs.

    Args:
        items: of a datalist. `LOOKED_AT` of them, or `LOOKED_AT_3D` volumes, are taken from all parts of it.
        transform: from an item to the network's input, without anything random.

    Raises:
        DatalistError: all images looked at are like that.
        InputError: one cannot be read, or does not say which of its values are black and white.
    """
    chosen = [items[n] for n in np.linspace(0, len(items) - 1, LOOKED_AT, dtype=int)] if items else []
    faults: dict[str, str] = {}
    with unwrap_monai_errors():
        for seen, item in enumerate(chosen if distributed.is_main() else []):
            image = transform(dict(item))["image"]
            faults[str(image.meta["case"])] = str(image.meta.get(CONTRAST, ""))
            if image.ndim == 4 and seen + 1 == LOOKED_AT_3D:
                break
    if not (poor := {case: fault for case, fault in faults.items() if fault}):
        return
    kinds = ", ".join(f"{count} {fault}" for fault, count in Counter(poor.values()).items())
    found = f"{kinds}, of {len(faults)} images looked at"
    if len(poor) == len(faults):
        remedy = "Correct their greys, or the reading option value_range where it was declared."
        raise DatalistError("images with contrast", found=found, remedy=remedy)
    logger.warning("the images' greys: %s, first in case %s", found, next(iter(poor)))


def data_facts(data: Any, network: torch.nn.Module) -> dict[str, Any]:
    """Parameters of a run from its datalist and its network: counts, a digest and how it is read."""
    splits = ("training", "validation", "test")
    groups = {split: {item["group"] for item in data.items(split)} for split in splits}
    return {
        "dataset_digest": data.digest,
        **{f"{split}_frames": len(data.items(split)) for split in splits},
        **{f"{split}_groups": len(groups[split]) for split in splits},
        "images_as_groups": images_as_groups(set().union(*groups.values())),  # whose patient nobody named
        "reading": data.reading.given,
        "network_parameters": sum(p.numel() for p in network.parameters()),
    }


def shared_handler(handler: Any) -> Any:
    """Return ``handler``, which the trainer and the evaluator share.

    MONAI's ``check_properties`` wants a ``_target_`` in each handler and fails on a plain reference.
    """
    return handler
