"""Load a pretrained ResNet into the backbone, and freeze the backbone."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from torch import Tensor, nn

from pyraseg.pipeline.networks.checkpoint import WRAPPERS, find_state, read_checkpoint, strip_prefixes
from pyraseg.pipeline.networks.resnet import ResNet
from pyraseg.transforms.errors import CheckpointError, ConfigError

__all__ = ["PretrainedReport", "freeze_backbone", "load_pretrained", "unfreeze_backbone"]

PREFIXES = (*WRAPPERS, "model.", "network.", "backbone.", "encoder.")
FIRST_CONVOLUTIONS = ("conv1.weight", "conv1.0.weight")
RGB = 3
COUNTER = "num_batches_tracked"  # absent from older files; without effect at a fixed momentum


@dataclass(frozen=True)
class PretrainedReport:
    """The outcome of ``load_pretrained``: sorted names of the backbone's parameters and buffers.

    Attributes:
        loaded: copied from the file.
        adapted: loaded with input channels that were changed from RGB.
        skipped: in the file and in the backbone, but not copied, with the reason.
        missing: in the backbone only, left as they were.
        unexpected: in the file only (``fc.weight`` of a classifier, say).

    Example:
        >>> PretrainedReport(("conv1.weight",), (), {}, (), ("fc.weight",)).unexpected
        ('fc.weight',)
    """

    loaded: tuple[str, ...]
    adapted: tuple[str, ...]
    skipped: Mapping[str, str]
    missing: tuple[str, ...]
    unexpected: tuple[str, ...]


def load_pretrained(network: nn.Module, path: str | Path) -> PretrainedReport:
    """Copy the weights of a ResNet's file into ``network.backbone``, or into ``network`` without one.

    The names are torchvision's, after "module.", "backbone.", "encoder." and the like. Nothing is downloaded,
    and no code in the file runs. Of an RGB first convolution the sum over the channels is kept for another
    number of them, so a grey image acts as it did in RGB.

    Args:
        network: changed in place, unless an error is raised.
        path: a file written by ``torch.save``.

    Raises:
        CheckpointError: no such file, no state dict in it, or nothing in it fits; or a file of
            ``pyraseg.pipeline.training.pretraining`` has other options than the network's backbone.

    Example:
        >>> torch.save(ResNet(2, 3, depth=18).state_dict(), f"{folder}/resnet.pt")
        >>> report = load_pretrained(ResNet(2, 1, depth=18), f"{folder}/resnet.pt")
        >>> report.adapted, report.missing
        (('conv1.0.weight',), ())
    """
    backbone = getattr(network, "backbone", network)
    own = backbone.state_dict()
    content = read_checkpoint(path)
    _refuse_another_backbone(content, network, path=path)
    given = {strip_prefixes(name, PREFIXES): value for name, value in find_state(content, path=path).items()}
    fitting = {name: _adapt(name, given[name], own[name]) for name in own.keys() & given.keys()}
    loaded = {name: value for name, value in fitting.items() if value.shape == own[name].shape}
    if not any(value.dim() > 1 for value in loaded.values()):
        raise CheckpointError(
            "weights of a ResNet like the network's backbone",
            found=f"{len(given)} tensors, {len(fitting)} with its names, no convolution with its shapes",
            remedy="Choose a file of the same depth and stem, with torchvision's parameter names.",
            path=path,
        )
    backbone.load_state_dict(loaded, strict=False)
    return PretrainedReport(
        loaded=tuple(sorted(loaded)),
        adapted=tuple(sorted(name for name in loaded if loaded[name] is not given[name])),
        skipped={
            name: f"shape {tuple(given[name].shape)} in the file, {tuple(own[name].shape)} in the network"
            for name in sorted(fitting.keys() - loaded.keys())
        },
        missing=tuple(sorted(name for name in own.keys() - given.keys() if not name.endswith(COUNTER))),
        unexpected=tuple(sorted(given.keys() - own.keys())),
    )


def freeze_backbone(network: nn.Module) -> None:
    """Freeze the backbone: no gradients, and batch norms that use and keep their running statistics.

    The attention blocks, the pyramid and the heads go on learning.

    Raises:
        ConfigError: the network has no ``ResNet`` as its ``backbone``.

    Example:
        >>> from pyraseg.pipeline.networks import build_network
        >>> network = build_network(depth=18)
        >>> for change in (freeze_backbone, unfreeze_backbone):
        ...     change(network)
        ...     any(weight.requires_grad for weight in network.backbone.parameters())
        False
        True
    """
    _resnet(network).freeze()


def unfreeze_backbone(network: nn.Module) -> None:
    """Undo ``freeze_backbone``; its errors and its example are those."""
    _resnet(network).unfreeze()


def _resnet(network: nn.Module) -> ResNet:
    backbone = getattr(network, "backbone", None)
    if isinstance(backbone, ResNet):
        return backbone
    raise ConfigError(
        "a network with a ResNet as its backbone",
        found=type(network).__name__,
        remedy="Freeze a CBAMResNetPSPNet.",
    )


def _refuse_another_backbone(content: Any, network: nn.Module, *, path: str | Path) -> None:
    """Refuse a file of ours with other backbone options; RGB weights fit any number of channels."""
    given = content.get("backbone") if isinstance(content, Mapping) else None
    own = getattr(network, "options", None)
    if not isinstance(given, Mapping) or not isinstance(own, Mapping):
        return
    differing = [name for name in given if name in own and own[name] != given[name]]
    if given.get("in_channels") == RGB and "in_channels" in differing:
        differing.remove("in_channels")
    if differing:
        options = " ".join(f"--{name} {given[name]}" for name in differing)
        raise CheckpointError(
            "a pretrained backbone with " + ", ".join(f"{name} {own[name]}" for name in differing),
            found="one with " + ", ".join(f"{name} {given[name]}" for name in differing),
            remedy=f"Build the network with {options}, or pretrain one like it.",
            path=path,
        )


def _adapt(name: str, value: Tensor, own: Tensor) -> Tensor:
    """Fit RGB weights (O, 3, ...) of the first convolution to the input channels; leave all others."""
    if name not in FIRST_CONVOLUTIONS or value.dim() != own.dim():
        return value
    channels = own.shape[1]
    if value.shape[1] != RGB or channels == RGB:
        return value
    mean = value.sum(dim=1, keepdim=True) / channels
    return mean.expand(-1, channels, *value.shape[2:]).contiguous()
