"""One evaluation of a checkpoint, tracked."""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from pyraseg.pipeline.evaluation.result_files import CaseResults
from pyraseg.pipeline.evaluation.tables import report
from pyraseg.pipeline.inference.trained import checkpoint_paths, load_checkpoints
from pyraseg.pipeline.utils.errors import unwrap_monai_errors

__all__ = ["evaluate"]

logger = logging.getLogger(__name__)


def evaluate(
    evaluator: Any, tracker: Any, *, checkpoint: str | Path | Sequence[str | Path], folder: str | Path
) -> None:
    """Load a checkpoint, run a MONAI evaluator inside a MLflow run of its own, write, log and report the
    results.

    The run's tag ``evaluated.sha256`` says which checkpoint was measured, as a training's
    ``checkpoint.sha256`` says which it made; of an ensemble, one digest a member.

    Args:
        evaluator: with `SegmentationScores` as its key metric.
        tracker: the run to log to.
        checkpoint: the weights; several for an ensemble.
        folder: for the files of `CaseResults`.

    Raises:
        CheckpointError: the checkpoint is missing or does not fit the network.
        OutputError: ``folder`` cannot be written.
    """
    load_checkpoints(evaluator.network, checkpoint)
    CaseResults(tracker, folder=folder).attach(evaluator)
    with unwrap_monai_errors(), tracker:
        tracker.log_tags({"evaluated.sha256": " ".join(map(_sha256, checkpoint_paths(checkpoint)))})
        evaluator.run()
    logger.info("%s", report(evaluator.state.results))


def _sha256(path: Path) -> str:
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
