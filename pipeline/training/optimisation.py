"""Learning rate schedule, gradient clipping, weight averaging and a frozen backbone."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

import torch
from ignite.engine import Engine, Events
from monai.engines.utils import IterationEvents
from monai.handlers import LrScheduleHandler
from monai.utils import CommonKeys
from torch import Tensor, nn
from torch.optim.lr_scheduler import LambdaLR
from torch.optim.swa_utils import AveragedModel

from pyraseg.pipeline.networks import freeze_backbone, unfreeze_backbone
from pyraseg.transforms.errors import ConfigError, RunError

__all__ = [
    "FiniteLoss",
    "FrozenBackbone",
    "GradientClipping",
    "ScheduleStep",
    "WarmupSchedule",
    "WeightAverage",
    "steps_now",
]


class WarmupSchedule(LambdaLR):
    """Warm up linearly from nearly 0, then decay to ``total_steps`` by "poly", "cosine" or "none".

    Raises:
        ConfigError: an unknown decay.
    """

    def __init__(
        self,
        optimizer: torch.optim.Optimizer,
        *,
        total_steps: int,
        warmup_steps: int,
        decay: str = "poly",
        power: float = 0.9,
    ) -> None:
        shapes: dict[str, Callable[[float], float]] = {
            "poly": lambda t: (1 - t) ** power,
            "cosine": lambda t: (1 + math.cos(math.pi * t)) / 2,
            "none": lambda t: 1.0,
        }
        if decay not in shapes:
            raise ConfigError(
                f"a decay among {', '.join(shapes)}", found=repr(decay), remedy="Correct --lr_decay."
            )
        self.total_steps = total_steps

        def factor(step: int) -> float:
            if step < warmup_steps:
                return (step + 1) / (warmup_steps + 1)
            return shapes[decay](min(1.0, (step - warmup_steps) / max(1, self.total_steps - warmup_steps)))

        super().__init__(optimizer, factor)


class ScheduleStep(LrScheduleHandler):
    """Ignite handler for the trainer: MONAI's, each iteration, to the end that the trainer will have.

    Clients set ``max_epochs`` of the trainer itself, a federated one anew in each round.
    """

    def __init__(self, lr_scheduler: Any) -> None:
        super().__init__(lr_scheduler, print_lr=False, epoch_level=False)

    def attach(self, engine: Engine) -> None:
        engine.add_event_handler(Events.STARTED, self._stretch)
        super().attach(engine)

    def _stretch(self, engine: Any) -> None:
        if isinstance(self.lr_scheduler, WarmupSchedule):
            self.lr_scheduler.total_steps = engine.state.max_epochs * engine.state.epoch_length


class GradientClipping:
    """Ignite handler: scale a step's gradients down to a total norm of ``max_norm`` (0 switches it off).

    Where gradients are accumulated over several batches, it clips their sum before the optimizer's step.
    """

    def __init__(self, network: nn.Module, *, max_norm: float) -> None:
        self.network = network
        self.max_norm = max_norm

    def attach(self, engine: Engine) -> None:
        if self.max_norm > 0:
            engine.add_event_handler(IterationEvents.BACKWARD_COMPLETED, self)

    def __call__(self, engine: Engine) -> None:
        if steps_now(engine):
            parameters = list(self.network.parameters())
            norm = nn.utils.get_total_norm([part.grad for part in parameters if part.grad is not None])
            if not norm <= self.max_norm:  # most are: a pass over all gradients less
                nn.utils.clip_grads_with_norm_(parameters, self.max_norm, norm)


class WeightAverage:
    """Ignite handler: an exponential moving average of the weights and of the batch norms' statistics.

    Validation and ``model.pt`` use the average; the raw weights go on learning. In the first steps the decay
    is ``(1 + n) / (10 + n)``, or the random start would dominate the average. Source: Polyak and Juditsky,
    SIAM J. Control Optim. 1992; the ramp is TensorFlow's.

    Args:
        network: the network that learns.
        decay: in [0, 1), 0.999 for long trainings, 0.99 for some hundred steps; None switches averaging off.

    Raises:
        ConfigError: a decay outside that range.
    """

    def __init__(self, network: nn.Module, *, decay: float | None) -> None:
        if decay is not None and not 0 <= decay < 1:
            raise ConfigError(
                "an ema_decay of at least 0 and below 1", found=str(decay), remedy="Use 0.99 or null."
            )
        self._raw = network
        self._average: Any = None
        if decay is not None:
            self._average = AveragedModel(network, multi_avg_fn=_ramped(decay), use_buffers=True)

    @property
    def network(self) -> nn.Module:
        """The network to validate and to save: the average, or the raw one where averaging is off."""
        return self._raw if self._average is None else self._average.module

    def attach(self, engine: Engine) -> None:
        if self._average is not None:
            engine.add_event_handler(Events.ITERATION_COMPLETED, self._update)

    def _update(self, engine: Engine) -> None:
        if steps_now(engine):
            self._average.update_parameters(self._raw)

    def state_dict(self) -> dict[str, Any]:
        return {} if self._average is None else self._average.state_dict()

    def load_state_dict(self, state: dict[str, Any]) -> None:
        if self._average is not None and state:
            self._average.load_state_dict(state)


class FrozenBackbone:
    """Ignite handler: freeze the ResNet, batch norm statistics included, for the first ``epochs`` epochs.

    It protects pretrained weights from the first gradients of random heads.
    """

    def __init__(self, network: nn.Module, *, epochs: int) -> None:
        if epochs < 0:
            raise ConfigError(
                "frozen_epochs of 0 or more", found=str(epochs), remedy="Use 0 to train all at once."
            )
        self.network = network
        self.epochs = epochs

    def attach(self, engine: Engine) -> None:
        if self.epochs:
            engine.add_event_handler(Events.EPOCH_STARTED, self)

    def __call__(self, engine: Engine) -> None:
        (freeze_backbone if engine.state.epoch <= self.epochs else unfreeze_backbone)(self.network)


def steps_now(engine: Any) -> bool:
    """Whether the optimizer steps in this iteration, by the rule of MONAI's ``SupervisedTrainer``."""
    done = (engine.state.iteration - 1) % engine.state.epoch_length + 1
    return done % engine.accumulation_steps == 0 or done == engine.state.epoch_length


def _ramped(decay: float) -> Callable[[Sequence[Tensor], Sequence[Tensor], Tensor | int], None]:
    @torch.no_grad()
    def average(averaged: Sequence[Tensor], current: Sequence[Tensor], steps: Tensor | int) -> None:
        weight = 1 - min(decay, (1 + int(steps)) / (10 + int(steps)))
        if averaged[0].is_floating_point():  # tensors come grouped by their type
            torch._foreach_lerp_(list(averaged), list(current), weight)
        else:
            torch._foreach_copy_(list(averaged), list(current))

    return average


class FiniteLoss:
    """Ignite handler for a MONAI trainer: refuse a loss of NaN or infinity before the backward pass.

    The network and ``last.pt`` still hold finite weights; another step would write NaN into both.

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
