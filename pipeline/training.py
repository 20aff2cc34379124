"""What the bundles' training configs are made of, beyond MONAI's own components."""

from __future__ import annotations

import logging
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from ignite.engine import Engine, Events
from ignite.handlers import EarlyStopping as IgniteEarlyStopping
from monai.engines.utils import IterationEvents
from torch.optim.lr_scheduler import LambdaLR

from pipeline.config import cause
from pipeline.datalist import Datalist
from pipeline.networks import load_pretrained
from transforms.errors import ConfigError, OutputError

__all__ = [
    "EarlyStopping",
    "GradientClipping",
    "claim_folder",
    "data_facts",
    "place",
    "shared_handler",
    "train",
    "warmup_schedule",
]

logger = logging.getLogger(__name__)


def train(trainer: Any, tracker: Any, *, checkpoint: str | Path) -> None:
    """Run a MONAI trainer inside its MLflow run and store the best checkpoint there.

    An error of ours behind MONAI's wrappings comes out as itself.
    """
    try:
        with tracker:
            trainer.run()
            tracker.log_file(checkpoint, "checkpoints")
    except RuntimeError as error:
        ours = cause(error)
        if ours is None:
            raise
        raise ours from error


def claim_folder(folder: str | Path, *, overwrite: bool = False) -> Path:
    """Make ``folder`` for this run's outputs.

    Raises:
        OutputError: it cannot be written, or holds files already and ``overwrite`` is not set.
    """
    folder = Path(folder)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        probe = folder / ".writable"
        probe.touch()
        probe.unlink()
    except OSError as error:
        raise OutputError(
            "an output folder that can be written",
            found=f"one that cannot ({error.strerror})",
            remedy="Name another with --output_dir.",
            path=folder,
        ) from error
    if not overwrite and any(not entry.name.startswith(".") for entry in folder.iterdir()):
        raise OutputError(
            "an empty or new output folder",
            found="one that holds the results of an earlier run",
            remedy="Name a new one with --output_dir, or add --overwrite true to replace what is there.",
            path=folder,
        )
    return folder


def place(
    network: torch.nn.Module, device: torch.device, *, channels_last: bool = True, pretrained: str | None = None
) -> torch.nn.Module:
    """Load pretrained ResNet weights if a file is named, and move the network to its device and memory format."""
    if pretrained:
        logger.info("%s", load_pretrained(network, pretrained))
    if channels_last:
        volumes = any(parameter.ndim == 5 for parameter in network.parameters())
        layout = torch.channels_last_3d if volumes else torch.channels_last
        network.to(memory_format=layout)  # type: ignore[call-overload]  # missing in torch's annotations
    return network.to(device)


def data_facts(data: Datalist, network: torch.nn.Module) -> dict[str, Any]:
    """What a run's parameters say of its data and its network: counts and a digest, no path and no name."""
    counts = {f"{split}_frames": len(data.items(split)) for split in ("training", "validation", "test")}
    groups = {
        f"{split}_groups": len({i["group"] for i in data.items(split)}) for split in ("training", "validation", "test")
    }
    return {
        "dataset_digest": data.digest,
        **counts,
        **groups,
        "network_parameters": sum(p.numel() for p in network.parameters()),
    }


def warmup_schedule(
    optimizer: torch.optim.Optimizer,
    *,
    total_steps: int,
    warmup_steps: int,
    decay: str = "poly",
    power: float = 0.9,
) -> LambdaLR:
    """Linear warm-up from nearly 0, then ``poly`` ((1 - t)^power), ``cosine`` or no decay (``none``) until
    ``total_steps``.

    Raises:
        ConfigError: an unknown decay.
    """
    shapes: dict[str, Callable[[float], float]] = {
        "poly": lambda t: (1 - t) ** power,
        "cosine": lambda t: (1 + math.cos(math.pi * t)) / 2,
        "none": lambda t: 1.0,
    }
    if decay not in shapes:
        raise ConfigError(f"a decay among {', '.join(shapes)}", found=repr(decay), remedy="Correct --lr_decay.")

    def factor(step: int) -> float:
        if step < warmup_steps:
            return (step + 1) / (warmup_steps + 1)
        return shapes[decay](min(1.0, (step - warmup_steps) / max(1, total_steps - warmup_steps)))

    return LambdaLR(optimizer, factor)


def shared_handler(handler: Any) -> Any:
    """Give back ``handler``, which the trainer and the evaluator share.

    MONAI's ``check_properties`` looks for a ``_target_`` in each of the trainer's handlers and fails on a plain
    reference.
    """
    return handler


class GradientClipping:
    """Ignite handler: scale a step's gradients down to a total norm of ``max_norm`` (0 switches it off)."""

    def __init__(self, network: torch.nn.Module, *, max_norm: float) -> None:
        self.network = network
        self.max_norm = max_norm

    def attach(self, engine: Engine) -> None:
        if self.max_norm > 0:
            engine.add_event_handler(IterationEvents.BACKWARD_COMPLETED, self)

    def __call__(self, engine: Engine) -> None:
        torch.nn.utils.clip_grad_norm_(self.network.parameters(), self.max_norm)


class EarlyStopping:
    """Ignite handler for the trainer: stop when the evaluator's key metric has not risen for ``patience`` validations.

    MONAI's ``EarlyStopHandler`` wants the trainer at construction, which a config cannot give without a circular
    reference.

    Raises:
        ConfigError: a patience below 1.
    """

    def __init__(self, evaluator: Any, *, patience: int, interval: int = 1) -> None:
        if patience < 1:
            remedy = "Give --patience as many validations as --max_epochs to never stop early."
            raise ConfigError("a patience of 1 or more", found=str(patience), remedy=remedy)
        self.evaluator = evaluator
        self.patience = patience
        self.interval = interval

    def attach(self, engine: Engine) -> None:
        stopping = IgniteEarlyStopping(patience=self.patience, score_function=self._score, trainer=engine)
        engine.add_event_handler(Events.EPOCH_COMPLETED(every=self.interval), stopping)

    def _score(self, engine: Engine) -> float:
        state = self.evaluator.state
        return state.metrics[state.key_metric_name]
