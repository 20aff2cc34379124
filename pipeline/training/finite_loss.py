"""A loss that is no number ends the training before it reaches the weights."""

from __future__ import annotations

import math
from typing import Any

from ignite.engine import Engine
from monai.engines import IterationEvents
from monai.utils import CommonKeys

from pyraseg.transforms.errors import RunError

__all__ = ["FiniteLoss"]


class FiniteLoss:
    """Ignite handler for a MONAI trainer: refuse a loss of NaN or infinity before its gradients are taken.

    The weights of the last step are still good, and ``last.pt`` of the last epoch is as well; going on would
    write NaN into both.

    Raises:
        RunError: when the loss is computed.
    """

    def attach(self, engine: Engine) -> None:
        engine.add_event_handler(IterationEvents.LOSS_COMPLETED, self)

    def __call__(self, engine: Any) -> None:
        loss = engine.state.output[CommonKeys.LOSS].item()
        if not math.isfinite(loss):
            raise RunError(
                "a loss that is a finite number",
                found=f"{loss} in step {engine.state.iteration}",
                remedy="Try a lower --learning_rate, or --amp false; last.pt of the epoch before is good.",
            )
