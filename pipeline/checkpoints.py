"""Checkpoints: the best network as ``model.pt``, the state of the last epoch as ``last.pt``, each whole or absent."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from ignite.engine import Engine, Events
from monai.engines import Trainer

from pipeline.files import atomic_write
from pipeline.networks import read_checkpoint

__all__ = ["BEST", "LAST", "Checkpoints", "read_facts", "save_checkpoint"]

BEST = "model.pt"
LAST = "last.pt"


def save_checkpoint(path: str | Path, content: Mapping[str, Any]) -> Path:
    """Write tensors and plain values, so that ``torch.load(weights_only=True)`` can read them.

    Raises:
        OutputError: the file cannot be written; what was there before stays.
    """
    with atomic_write(path) as file:
        torch.save(dict(content), file)
    return Path(path)


def read_facts(path: str | Path, declared: Mapping[str, Any]) -> dict[str, Any]:
    """What a checkpoint says of itself, else what the bundle's metadata declares.

    Args:
        path: a checkpoint of ours; one without facts (bare weights) and an absent one give the declared values, so that
            a bundle's network can be built before it is trained.
        declared: the bundle's metadata.

    Returns:
        ``label_names``, ``input_size`` and ``network`` (the keyword arguments of ``build_network``; without a ``name``
        it is the default network).
    """
    facts: dict[str, Any] = {
        "label_names": [segment["name"] for segment in declared["segments"]],
        "input_size": list(declared["preprocessing"]["size"]),
        "network": {**declared["network"], "in_channels": declared["preprocessing"]["in_channels"]},
    }
    content = read_checkpoint(path) if Path(path).is_file() else {}
    facts |= {name: content[name] for name in facts if name in content}
    facts["network"] = {**facts["network"], "out_channels": len(facts["label_names"])}
    return facts


class Checkpoints:
    """Ignite handler. On the trainer: ``last.pt`` after every epoch; on the evaluator: ``model.pt`` when the key metric
    rose.

    Args:
        folder: where both files go.
        network: saved under ``model`` in both.
        state: what else ``last.pt`` keeps, by name; objects with ``state_dict()``.
        facts: plain values that go into both, such as the label names.
    """

    def __init__(
        self, folder: str | Path, *, network: torch.nn.Module, state: Mapping[str, Any], facts: Mapping[str, Any]
    ) -> None:
        self.folder = Path(folder)
        self.network = network
        self.state = dict(state)
        self.facts = dict(facts)

    def attach(self, engine: Engine) -> None:
        engine.add_event_handler(
            Events.EPOCH_COMPLETED, self._save_last if isinstance(engine, Trainer) else self._save_best
        )

    def _save_last(self, engine: Engine) -> None:
        state = {name: value.state_dict() for name, value in self.state.items()}
        self._save(LAST, engine, state)

    def _save_best(self, engine: Engine) -> None:
        if engine.state.best_metric_epoch == engine.state.epoch:
            self._save(BEST, engine, {"best_metric": float(engine.state.best_metric)})

    def _save(self, name: str, engine: Engine, more: Mapping[str, Any]) -> None:
        content = {"model": self.network.state_dict(), "epoch": engine.state.epoch, **self.facts, **more}
        save_checkpoint(self.folder / name, content)
