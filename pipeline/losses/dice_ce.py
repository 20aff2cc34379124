"""Dice and cross entropy on hard labels, always in float32."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import torch
from monai.losses import DeepSupervisionLoss, DiceCELoss
from torch import Tensor, nn

from pyraseg.transforms.errors import ConfigError

__all__ = ["AuxiliaryLoss", "Float32DiceCELoss", "checked_weights"]


class Float32DiceCELoss(DiceCELoss):
    """MONAI's ``DiceCELoss``, always in float32: in bfloat16 a sum of p^2 over an image loses small terms.

    With ``softmax``, ``to_onehot_y``, ``squared_pred`` and ``include_background`` it is ``lambda_ce * CE +
    lambda_dice * mean_k(1 - 2 sum(y p) / (sum(y^2) + sum(p^2)))``, p the softmax. Source: CN113409326A
    [0127]-[0132].

    Args:
        lambda_dice, lambda_ce: weights of the two terms, not both 0.
        weight: one weight per class, background first, for both terms: CE is the weighted mean over the
            pixels, the Dice terms are multiplied by their class's weight and not renormalised.
        options: the other arguments of ``DiceCELoss``. With ``batch`` Dice is taken over the whole batch: an
            image without a class has a Dice term of nearly 1 for it, a batch rarely does.

    Raises:
        ConfigError: a weight that is negative or not finite, or both terms switched off.

    Example:
        >>> loss = Float32DiceCELoss(softmax=True, to_onehot_y=True, squared_pred=True)
        >>> round(loss(torch.zeros(1, 2, 4, 4), torch.zeros(1, 1, 4, 4)).item(), 3)  # ln 2 + (0.2 + 1) / 2
        1.293
    """

    def __init__(
        self,
        *,
        lambda_dice: float = 1.0,
        lambda_ce: float = 1.0,
        weight: Sequence[float] | None = None,
        **options: Any,
    ) -> None:
        checked_weights("the weights of Dice and cross entropy", (lambda_dice, lambda_ce))
        weights = None if weight is None else torch.tensor(checked_weights("the class weights", weight))
        super().__init__(lambda_dice=lambda_dice, lambda_ce=lambda_ce, weight=weights, **options)

    def forward(self, input: Tensor, target: Tensor) -> Tensor:
        """Logits (B, K, H, W[, D]) and labels 0 to K - 1, (B, 1, H, W[, D]), to a float32 scalar."""
        with torch.autocast(input.device.type, enabled=False):
            return super().forward(input.float().contiguous(), target)


class AuxiliaryLoss(DeepSupervisionLoss):
    """``loss(main) + weight * loss(auxiliary)`` of a stacked output; of a plain output, ``loss(main)``.

    Source of the weight: Zhao et al., PSPNet, CVPR 2017, section 4.2.

    Args:
        loss: of logits (B, K, H, W[, D]) and targets (B, 1 or more, H, W[, D]); moved to their device.
        weight: of the auxiliary output.

    Raises:
        ConfigError: ``weight`` is negative or not finite.

    Example:
        >>> hard = Float32DiceCELoss(softmax=True, to_onehot_y=True, squared_pred=True)
        >>> both, label = torch.zeros(1, 2, 2, 4, 4), torch.zeros(1, 1, 4, 4)
        >>> round(AuxiliaryLoss(hard, weight=0.4)(both, label).item(), 3)  # 1.4 times 1.293
        1.81
    """

    def __init__(self, loss: nn.Module, *, weight: float = 0.4) -> None:
        super().__init__(
            loss, weights=checked_weights("the weights of main and auxiliary loss", (1.0, weight))
        )

    def forward(self, input: Tensor, target: Tensor) -> Tensor:
        """Logits (B, 2, K, H, W[, D]) or (B, K, H, W[, D]), targets (B, 1 or more, H, W[, D]), to a scalar.

        A network with an auxiliary head gives the first, main logits first, in training only.
        """
        self.to(input.device)  # class weights: no config moves the loss to a device
        stacked = input.dim() == target.dim() + 1
        return super().forward(list(input.unbind(1)) if stacked else input, target)


def checked_weights(name: str, values: Sequence[float]) -> list[float]:
    """Return the values if they are valid weights.

    Raises:
        ConfigError: a value is negative or not finite, or all are 0.
    """
    numbers = [float(value) for value in values]
    if all(math.isfinite(number) and number >= 0 for number in numbers) and any(numbers):
        return numbers
    raise ConfigError(
        f"{name} to be 0 or more and not all 0",
        found=str(numbers),
        remedy="Set them to 1 to weigh all alike.",
    )
