"""One loss for the main and the auxiliary output of a network."""

from __future__ import annotations

from monai.losses import DeepSupervisionLoss
from torch import Tensor, nn

from pyraseg.pipeline.losses.weights import checked_weights

__all__ = ["AuxiliaryLoss"]


class AuxiliaryLoss(DeepSupervisionLoss):
    """``loss(main) + weight * loss(auxiliary)`` of a stacked output; of a plain output, ``loss(main)``.

    Source of the weight: Zhao et al., PSPNet, CVPR 2017, section 4.2.

    Args:
        loss: takes logits (B, K, H, W[, D]) and targets (B, 1 or more, H, W[, D]); it is moved to their
            device.
        weight: of the auxiliary output.

    Raises:
        ConfigError: ``weight`` is negative or not finite.
    """

    def __init__(self, loss: nn.Module, *, weight: float = 0.4) -> None:
        super().__init__(
            loss, weights=checked_weights("the weights of main and auxiliary loss", (1.0, weight))
        )

    def forward(self, input: Tensor, target: Tensor) -> Tensor:
        """Logits (B, 2, K, H, W[, D]), main first, or (B, K, H, W[, D]), and targets (B, 1 or more, H, W[,
        D]), to a scalar.

        A network with an auxiliary head gives the first in training and the second in evaluation.
        """
        self.to(input.device)  # class weights: no config places the loss
        stacked = input.dim() == target.dim() + 1
        return super().forward(list(input.unbind(1)) if stacked else input, target)
