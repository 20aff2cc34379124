"""Engines of a one-weight network, as small as MONAI allows."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from ignite.metrics import Average
from monai.data import DataLoader, Dataset
from monai.engines import SupervisedEvaluator, SupervisedTrainer

CPU = torch.device("cpu")


def constant(
    value: float,
    epochs: int = 1,
    *,
    network: torch.nn.Module | None = None,
    lr: float = 0.0,
    batch_size: int = 1,
    shape: Sequence[int] = (1,),
    **options,
) -> SupervisedTrainer:
    """A trainer of a one-weight network, or of ``network``, on three items that hold ``value`` everywhere."""
    network = torch.nn.Linear(1, 1, bias=False) if network is None else network
    items = [{"image": torch.full(tuple(shape), value), "label": torch.zeros(tuple(shape))} for _ in range(3)]
    return SupervisedTrainer(
        device=CPU,
        max_epochs=epochs,
        train_data_loader=DataLoader(Dataset(items), batch_size=batch_size, num_workers=0),
        network=network,
        optimizer=torch.optim.SGD(network.parameters(), lr=lr),
        loss_function=lambda output, target: (output - target).square().mean(),
        decollate=False,
        **options,
    )


def evaluator_scoring(scores: list[float], **options) -> SupervisedEvaluator:
    """An evaluator whose key metric is the next of ``scores`` on each run; beyond the list, the last of
    them."""
    remaining = iter(scores)
    return SupervisedEvaluator(
        device=CPU,
        val_data_loader=DataLoader(Dataset([{"image": torch.zeros(1)}]), batch_size=1, num_workers=0),
        network=torch.nn.Identity(),
        key_val_metric={"score": Average(output_transform=lambda _: next(remaining, scores[-1]))},
        **options,
    )
