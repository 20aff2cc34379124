"""What a run logs: metrics, parameters, tags, files. All of it goes to the outbox, without waiting."""

from __future__ import annotations

import json
import logging
import re
import tempfile
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from ignite.engine import Engine, Events
from monai.engines import Trainer

from pyraseg.pipeline.tracking.logged_model import TRAINED
from pyraseg.pipeline.tracking.outbox import Outbox
from pyraseg.pipeline.utils.files import sha256_of

__all__ = ["RunLog", "now"]

logger = logging.getLogger(__name__)

NOT_A_KEY = re.compile(r"[^\w./: -]")  # what MLflow does not take in a metric's name


class RunLog:
    """The log methods of a tracker. They do nothing without an outbox (tracking off, run closed).

    As an Ignite handler: loss and learning rate of a trainer per iteration; per epoch its mean loss as
    ``train_loss`` and an evaluator's metrics. The trainer and the evaluator share it, so that validation
    metrics stand at the trainer's epoch.

    Raises:
        OutputError: from any method: a file cannot be read, or the disk is full.
    """

    def __init__(self) -> None:
        self._outbox: Outbox | None = None
        self._last_steps: dict[str, int] = {}  # of a resumed run, by metric
        self._trainer: Any = None
        self._losses = 0.0, 0  # of the present epoch: their sum and number

    def attach(self, engine: Engine) -> None:
        """Follow a trainer (loss, learning rate) or an evaluator (its metrics, at the trainer's epoch)."""
        if isinstance(engine, Trainer):
            self._trainer = engine
            engine.add_event_handler(Events.ITERATION_COMPLETED, self._iteration_completed)
        engine.add_event_handler(Events.EPOCH_COMPLETED, self._epoch_completed)

    def _iteration_completed(self, engine: Engine) -> None:
        output = engine.state.output
        loss = (output[0] if isinstance(output, list) else output)["loss"].item()
        rate = engine.optimizer.param_groups[0]["lr"]
        self._losses = (self._losses[0] + loss, self._losses[1] + 1)
        self.log_metrics({"loss": loss, "learning_rate": rate}, step=engine.state.iteration)

    def _epoch_completed(self, engine: Engine) -> None:
        step = self._trainer.state.epoch if self._trainer is not None else 0
        self.log_metrics(engine.state.metrics, step=step)
        if engine is self._trainer:
            total, number = self._losses
            if number == engine.state.epoch_length:  # else the epoch was resumed in its middle
                self.log_metrics({"train_loss": total / number}, step=step)
            self._losses = (0.0, 0)

    def log_metrics(self, metrics: Mapping[str, Any], *, step: int) -> None:
        """Log every scalar but NaN (a class without a case) and steps that a resumed run has."""
        if self._outbox is None:
            return
        scalars = {NOT_A_KEY.sub("_", k): float(v) for k, v in metrics.items() if np.ndim(v) == 0}
        new = {
            k: v for k, v in scalars.items() if np.isfinite(v) and step > self._last_steps.get(k, step - 1)
        }
        if new:
            self._outbox.append({"kind": "metrics", "step": step, "time": now(), "values": new})

    def log_tags(self, tags: Mapping[str, str]) -> None:
        """Set tags; their values are sent as they are."""
        if self._outbox is not None:
            self._append("tags", tags)

    def log_file(self, path: str | Path, folder: str = "") -> None:
        """Store the present content of a file as an artifact."""
        if self._outbox is not None:
            self._outbox.add_file(path, folder)

    def log_checkpoint(self, path: str | Path) -> str:
        """Store a checkpoint as ``checkpoints/<name>``, its SHA-256 as the tag ``checkpoint.sha256``.

        The file may be replaced afterwards, and must not be changed in place.

        Returns:
            The SHA-256; empty where nothing is logged.
        """
        if self._outbox is None:
            return ""
        sha256 = sha256_of(path)
        self._outbox.add_file(path, "checkpoints", link=True)
        self._append("tags", {TRAINED: sha256, "checkpoint.name": Path(path).name})
        return sha256

    def log_trained(self, sha256: str, *, epoch: int) -> None:
        """Make the checkpoint of this training a LoggedModel, with the validation metrics of its epoch."""
        if self._outbox is not None:
            self._outbox.append({"kind": "trained", "sha256": sha256, "epoch": epoch})

    def log_evaluated(self, sha256: str) -> None:
        """Give this run's metrics to the LoggedModel of the checkpoint that it has measured, if there is one.

        The tag ``evaluated.sha256`` names the checkpoint; an ensemble, which has one digest a member, is no
        model of MLflow's.
        """
        if self._outbox is not None:
            self._outbox.append({"kind": "evaluated", "sha256": sha256})

    def log_model(
        self, network: Any, example: Any, *, facts: Mapping[str, Any] | None = None, sha256: str = ""
    ) -> None:
        """Store the network as the MLflow model ``model``, which loads without pickle; see ``save_model``.

        For a network that torch cannot export, the tag ``model.export`` says so.

        Args:
            facts: as ``save_model``.
            sha256: of the checkpoint; its LoggedModel gets the network, too.
        """
        if self._outbox is None:
            return
        from pyraseg.pipeline.tracking.model import save_model

        with tempfile.TemporaryDirectory() as temporary:
            try:
                root = save_model(network, example, folder=Path(temporary) / "model", facts=facts)
            except (RuntimeError, TypeError, ValueError) as error:
                logger.warning("the network cannot be exported (%s): no MLflow model", type(error).__name__)
                self._append("tags", {"model.export": f"failed: {type(error).__name__}"})
                return
            for path in sorted(path for path in root.rglob("*") if path.is_file()):
                self._outbox.add_file(path, path.parent.relative_to(root.parent).as_posix(), link=True)
                if sha256:
                    within = path.parent.relative_to(root).as_posix().removeprefix(".")
                    self._outbox.add_file(path, within, link=True, model=sha256)
        self._append("tags", {"model.export": "pt2"})

    def log_image(self, image: np.ndarray, name: str) -> None:
        """Store an (H, W, 3) uint8 picture as an artifact; ``name`` ends in ``.png``."""
        if self._outbox is None:
            return
        from PIL import Image

        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / Path(name).name
            Image.fromarray(image).save(path)
            self._outbox.add_file(path, _folder_of(name), link=True)

    def log_json(self, content: Mapping[str, Any], name: str) -> None:
        """Store a JSON document as an artifact."""
        self.log_text(json.dumps(content, indent=1), name)

    def log_text(self, text: str, name: str) -> None:
        """Store a text file as an artifact."""
        if self._outbox is not None:
            self._outbox.add_text(text, _folder_of(name), name=Path(name).name)

    def _append(self, kind: str, values: Mapping[str, Any]) -> None:
        if values and self._outbox is not None:
            self._outbox.append({"kind": kind, "values": {key: str(value) for key, value in values.items()}})


def now() -> int:
    """Milliseconds since 1970, as MLflow counts."""
    return int(time.time() * 1000)


def _folder_of(name: str) -> str:
    folder = Path(name).parent.as_posix()
    return "" if folder == "." else folder
