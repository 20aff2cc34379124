"""Self-supervised pretraining: a network restores damaged frames without labels; its backbone is kept.

``pyraseg.transforms.augmentation.corruption`` does the damage. The segmentation network itself is trained,
with the restored quantities in place of the classes, so the backbone learns under the attention blocks that
it will have later. It restores one value per cell of pixels, where speckle has averaged out.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from ignite.engine import Engine, Events
from torch import Tensor, nn

from pyraseg.pipeline.networks import CBAMResNetPSPNet
from pyraseg.pipeline.training.checkpoints import save_checkpoint
from pyraseg.pipeline.utils.errors import unwrap_monai_errors
from pyraseg.pipeline.utils.files import private_files
from pyraseg.transforms.errors import ConfigError

__all__ = [
    "ORIENTATIONS",
    "TARGETS",
    "BackboneFile",
    "RestorationLoss",
    "frame_facts",
    "pretrain",
]

ORIENTATIONS = 9  # bins of the half circle (Dalal and Triggs, CVPR 2005)
TARGETS = 1 + ORIENTATIONS  # output channels of a network that restores: brightness, then orientations
FACTS = ("spatial_dims", "in_channels", "depth", "stem")  # what decides whether a backbone's weights fit
# grey levels (of [0, 1]) a pixel: a cell whose gradients are far below shows no orientation
CONTRAST = 0.02


def pretrain(trainer: Any, tracker: Any, *, backbone: str | Path) -> None:
    """Run a MONAI trainer inside its MLflow run and store the backbone's file there.

    An error of this project comes out without MONAI's wrapping.
    """
    with private_files(), unwrap_monai_errors(), tracker:
        trainer.run()
        tracker.log_file(backbone, "checkpoints")


def frame_facts(frames: Sequence[Mapping[str, Any]], network: nn.Module) -> dict[str, int]:
    """Counts of the data and of the network for a run's parameters: no path and no name."""
    return {
        "training_frames": len(frames),
        "training_groups": len({item["group"] for item in frames}),
        "network_parameters": sum(parameter.numel() for parameter in network.parameters()),
    }


class RestorationLoss(nn.Module):
    """Mean squared errors of the restored brightness and orientations over the tissue's cells.

    Brightness is standardised over each frame's tissue (mean 0, variance 1), because the damage changes the
    gain; He et al., Masked Autoencoders, CVPR 2022, do so by patch. Orientations are a histogram of oriented
    gradients by cell, of norm 1 where there is contrast; Wei et al., MaskFeat, CVPR 2022, found that it
    teaches more than pixels. Either error is below 1 for a network that is better than the constant 0.

    Args:
        cell_size: s, pixels per side of a cell.
        orientation_weight: of the orientations' error; brightness has 1.

    Raises:
        ConfigError: a cell size below 1 or a negative weight.
    """

    def __init__(self, cell_size: int = 8, *, orientation_weight: float = 1.0) -> None:
        super().__init__()
        if cell_size < 1 or not 0 <= orientation_weight < math.inf:
            found = f"cell_size {cell_size}, orientation_weight {orientation_weight}"
            raise ConfigError(
                "a cell_size above 0 and a weight of 0 or more", found=found, remedy="Correct them."
            )
        self.cell_size = cell_size
        self.orientation_weight = orientation_weight

    def forward(self, restored: Tensor, label: Tensor) -> Tensor:
        """Restored (B, TARGETS, H, W) and label (B, 2, H, W), frame and tissue, to a scalar."""
        tissue = self._cells(label[:, 1:])
        frame = label[:, :1]
        target = torch.cat([_standardised(self._cells(frame), tissue), self._orientations(frame)], dim=1)
        errors = ((self._cells(restored) - target).square() * tissue).sum(dim=(0, 2, 3)) / tissue.sum().clamp(
            min=1e-6
        )
        return errors[0] + self.orientation_weight * errors[1:].sum()

    def _cells(self, x: Tensor) -> Tensor:
        """(B, C, H, W) to its means over cells (B, C, H/s, W/s), sizes rounded up."""
        return F.avg_pool2d(x, self.cell_size, ceil_mode=True)

    def _orientations(self, frame: Tensor) -> Tensor:
        """(B, 1, H, W) to histograms (B, ORIENTATIONS, H/s, W/s), each gradient by its length."""
        smooth = F.avg_pool2d(frame, 3, stride=1, padding=1, count_include_pad=False)
        padded = F.pad(smooth, (1, 1, 1, 1), mode="replicate")
        down = (padded[:, :, 2:, 1:-1] - padded[:, :, :-2, 1:-1]) / 2
        right = (padded[:, :, 1:-1, 2:] - padded[:, :, 1:-1, :-2]) / 2
        length = torch.hypot(down, right)
        angle = torch.atan2(down, right).remainder(math.pi) * (ORIENTATIONS / math.pi)
        bins = angle.long().clamp_(max=ORIENTATIONS - 1)
        votes = torch.zeros(frame.shape[0], ORIENTATIONS, *frame.shape[2:], device=frame.device)
        histogram = self._cells(votes.scatter_(1, bins, length))
        return histogram / torch.sqrt(
            histogram.square().sum(1, keepdim=True) + (CONTRAST / ORIENTATIONS) ** 2
        )


class BackboneFile:
    """Ignite handler: save the network's backbone for ``load_pretrained`` after every epoch.

    The file holds the state dict under ``state_dict``, with torchvision's names. Under ``backbone`` it holds
    the options that decide about shapes, so that ``load_pretrained`` can refuse another network.

    Args:
        path: the file.
        network: the one that is trained.
    """

    def __init__(self, path: str | Path, *, network: CBAMResNetPSPNet) -> None:
        self.path = Path(path)
        self.network = network

    def attach(self, engine: Engine) -> None:
        engine.add_event_handler(Events.EPOCH_COMPLETED, self)

    def __call__(self, engine: Engine) -> None:
        facts = {name: self.network.options[name] for name in FACTS}
        state = self.network.backbone.state_dict()
        save_checkpoint(self.path, {"state_dict": state, "backbone": facts, "epoch": engine.state.epoch})


def _standardised(values: Tensor, weight: Tensor) -> Tensor:
    """(B, 1, h, w) with mean 0 and variance 1 over each frame, weighted."""
    total = weight.sum(dim=(2, 3), keepdim=True).clamp(min=1e-6)
    centred = values - (values * weight).sum(dim=(2, 3), keepdim=True) / total
    variance = (centred.square() * weight).sum(dim=(2, 3), keepdim=True) / total
    return centred / torch.sqrt(variance + 1e-6)
