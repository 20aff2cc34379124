"""The pass over the validation split at a training's end, and what it leaves in ``model.pt``."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from itertools import chain
from pathlib import Path
from typing import Any, Protocol

from ignite.engine import Events
from monai.engines import SupervisedEvaluator
from monai.transforms import Compose

from pyraseg.pipeline.inference.decision import TRAINED, Decision, decide
from pyraseg.pipeline.inference.trained import CALIBRATION
from pyraseg.pipeline.networks import load_checkpoint, read_checkpoint
from pyraseg.pipeline.networks.checkpoint import BEST, facts_of
from pyraseg.pipeline.trust.evidence import TakeEvidence
from pyraseg.pipeline.utils.distributed import gather, is_main

__all__ = ["Calibration", "Calibrator"]


logger = logging.getLogger(__name__)


class Calibrator(Protocol):
    """One thing that is learnt from the validation split.

    Attributes:
        name: of its entry in the facts.
        uses_point: whether it sees the labels of the operating points, instead of the argmax's.
        settings: plain values that its facts depend on; with others they are made anew.
        records: what it keeps of each case, small; of several processes they are put together.
    """

    name: str
    uses_point: bool
    settings: Mapping[str, Any]
    records: list[Any]

    def check(self, items: Any) -> Iterator[str]:
        """Say, before a training, what the validation split cannot give.

        Args:
            items: this process's part of it, a data set; every process asks.
        """

    def add(self, item: Mapping[str, Any]) -> None:
        """See a case: ``pred`` and ``label`` (1, H, W[, D]), ``probabilities`` (K, H, W[, D]), its ``image``
        with metadata, its ``source`` path, ``evidence``, ``case`` and ``group``, all on the source grid but
        the image."""

    def facts(self) -> dict[str, Any]:
        """Plain values, or small tensors, for the checkpoint."""

    def write(self, folder: Path, facts: Mapping[str, Any]) -> list[Path]:
        """Write files for people, of the facts, and return their paths."""


class Calibration:
    """Learn from the validation split how far a trained network can be relied on; keep it in ``model.pt``.

    The best network goes over the split, with the inferer and the postprocessing of the validation. First the
    operating points are found; then the other calibrators see what they make of each case, since warnings and
    intervals are of what is delivered. Those that ``learn`` see training items, too. What they find joins the
    facts of ``model.pt`` as ``calibration``: the label names, the input size, and an entry for each
    calibrator.

    Args:
        calibrators: by what they find; see `Calibrator`.
        checkpoints: of the training (`Checkpoints`).
        validator: MONAI's evaluator of the training; its network gets the best weights.
        postprocessing: of the validation; it keeps ``probabilities``.
        tracker: the MLflow run, which gets the calibrators' files as artifacts below ``calibration``.
        training: a loader of training items, with the preprocessing of the validation; None for none.
    """

    def __init__(
        self,
        calibrators: Iterable[Calibrator],
        *,
        checkpoints: Any,
        validator: Any,
        postprocessing: Compose,
        tracker: Any,
        training: Any = None,
    ) -> None:
        self.calibrators = list(calibrators)
        self.checkpoints = checkpoints
        self.validator = validator
        self.postprocessing = postprocessing
        self.tracker = tracker
        self.training = training

    @property
    def facts(self) -> dict[str, Any]:
        """What the calibration is made with; with other values it is made anew."""
        inferer, stated = self.validator.inferer, self.checkpoints.facts
        read = ("mode", "overlap") if inferer.mode == "sliding" else ("mode",)
        settings: dict[str, Any] = {name: getattr(inferer, name) for name in read}
        settings["flips"] = list(inferer.tta_flips)
        settings |= {each.name: dict(each.settings) for each in self.calibrators}
        return {**{name: stated[name] for name in ("label_names", "input_size")}, "settings": settings}

    def check(self) -> None:
        """Let each calibrator say, before hours of training, what the validation split cannot give it."""
        for calibrator in self.calibrators:
            for lacking in calibrator.check(self.validator.data_loader.dataset):
                if is_main():
                    logger.warning("%s", lacking)

    def is_made(self, path: str | Path) -> bool:
        """Whether a checkpoint has this calibration, made with these settings."""
        made = facts_of(read_checkpoint(path)).get(CALIBRATION)
        return isinstance(made, Mapping) and {k: made.get(k) for k in self.facts} == self.facts

    def make(self) -> None:
        """Calibrate the best network. Every process calls it, with its part of the split.

        Raises:
            OutputError: ``model.pt`` or the calibrators' files cannot be written.
        """
        folder = self.checkpoints.folder
        load_checkpoint(self.validator.network, folder / BEST)
        logger.info("calibrating the best network on the validation split")
        found: dict[str, Any] = {}
        for uses_point in (False, True):
            chosen = [each for each in self.calibrators if each.uses_point is uses_point]
            self._see(chosen, self._decision(found))
            (facts, *_) = gather({each.name: each.facts() for each in chosen} if is_main() else {})
            found |= facts
        if is_main():
            self.checkpoints.add_facts({CALIBRATION: {**self.facts, **found}})
            for calibrator in self.calibrators:
                for path in calibrator.write(folder / CALIBRATION, found[calibrator.name]):
                    self.tracker.log_file(path, CALIBRATION)
        gather(None)  # nobody goes on before the file is there

    def _decision(self, found: Mapping[str, Any]) -> Decision:
        """The operating points found so far."""
        return decide(TRAINED, {**self.facts, "calibrations": [found]})

    def _see(self, calibrators: Sequence[Calibrator], decision: Decision) -> None:
        """Show the training items, then the validation items, to some calibrators."""
        for calibrator in calibrators:
            calibrator.records = []
        learning = [each for each in calibrators if hasattr(each, "learn")]
        if learning and self.training is not None:
            self._run(self.training, decision, [each.learn for each in learning])
        if calibrators:
            self._run(self.validator.data_loader, decision, [each.add for each in calibrators])
        for calibrator in calibrators:
            calibrator.records = list(chain.from_iterable(gather(calibrator.records)))

    def _run(self, loader: Any, decision: Decision, show: Sequence[Callable[[Any], None]]) -> None:
        steps = [
            step.at(decision) if hasattr(step, "at") else step for step in self.postprocessing.transforms
        ]
        evaluator = SupervisedEvaluator(
            device=self.validator.inferer.device,
            val_data_loader=loader,
            network=self.validator.network,
            inferer=self.validator.inferer,
            postprocessing=Compose(steps),
            val_handlers=[TakeEvidence(decision.weights)],
        )
        paths = {str(item["case"]): item["image"] for item in loader.dataset.data}

        def add(engine: Any) -> None:
            for batch, output in zip(engine.state.batch, engine.state.output, strict=True):
                item = {**batch, **output, "source": paths[str(batch["case"])]}
                for each in show:
                    each(item)

        evaluator.add_event_handler(Events.ITERATION_COMPLETED, add)
        evaluator.run()
