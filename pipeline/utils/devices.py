"""The device to compute on."""

from __future__ import annotations

import torch

from pyraseg.transforms.errors import ConfigError

__all__ = ["select_device"]


def select_device(name: str | torch.device) -> torch.device:
    """Check a device: ``auto`` (a GPU where there is one), a name, or a `torch.device`.

    Raises:
        ConfigError: an unknown name, or a GPU that is not there.
    """
    if name == "auto":
        return torch.device("cuda:0" if torch.cuda.is_available() else "cpu")
    try:
        device = torch.device(name)
    except RuntimeError as error:
        remedy = "Use --device auto, cpu or cuda:0."
        raise ConfigError("a device that torch knows", found=repr(name), remedy=remedy) from error
    if device.type == "cuda" and not torch.cuda.is_available():
        raise ConfigError(
            "a GPU that torch can use", found="none", remedy="Use --device cpu, or install torch for CUDA."
        )
    if device.type == "cuda" and (device.index or 0) >= torch.cuda.device_count():
        found = f"{torch.cuda.device_count()} GPUs, counted from 0"
        raise ConfigError(f"GPU number {device.index}", found=found, remedy="Use --device cuda:0.")
    return device
