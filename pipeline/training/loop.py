"""One training inside one MLflow run, from its first step or from ``last.pt`` to its last step."""

from __future__ import annotations

import logging
import warnings
from pathlib import Path
from typing import Any

from tqdm.contrib.logging import logging_redirect_tqdm

from pyraseg.pipeline.networks import load_checkpoint, read_checkpoint
from pyraseg.pipeline.networks.checkpoint import facts_of
from pyraseg.pipeline.training.checkpoints import BEST, Checkpoints
from pyraseg.pipeline.training.classes_seen import ClassesSeen
from pyraseg.pipeline.training.stopping import Interruption
from pyraseg.pipeline.utils import distributed
from pyraseg.pipeline.utils.errors import unwrap_monai_errors
from pyraseg.pipeline.utils.files import private_files
from pyraseg.pipeline.utils.signals import signals_unwind

__all__ = ["train"]

logger = logging.getLogger(__name__)


def train(
    trainer: Any,
    tracker: Any,
    *,
    checkpoints: Checkpoints,
    interruption: Interruption,
    resume: bool = False,
    example: Any = None,
    calibration: Any = None,
) -> None:
    """Run a MONAI trainer inside its MLflow run; store the best checkpoint and the best network there.

    An error of this project comes out without MONAI's wrapping.

    Args:
        trainer: MONAI's trainer with its handlers.
        tracker: the MLflow run.
        checkpoints: one of the handlers.
        interruption: another handler, for Ctrl-C, SIGTERM and SIGUSR1.
        resume: go on from ``last.pt`` where there is one.
        example: an input (1, C, H, W) to store the network in MLflow with; None stores the checkpoint alone.
        calibration: what the best network learns from the validation split at the end (`Calibration`).

    Raises:
        KeyboardInterrupt: the training was stopped; everything is saved.
        CheckpointError: ``last.pt`` is of other data, another network or other labels.
    """
    with private_files(), unwrap_monai_errors(), logging_redirect_tqdm(), warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Num foregrounds 0")  # of images that show none of the classes
        if resume and checkpoints.restore(trainer):  # what cannot go on is refused before a run is opened
            logger.info("going on after epoch %d, step %d", trainer.state.epoch, trainer.state.iteration)
        complete = checkpoints.finished(trainer) and _is_calibrated(calibration, checkpoints)
        if complete and not distributed.any_rank(not tracker.finished()):
            logger.info("this training is complete; nothing is left to do")
            return
        with checkpoints, tracker:
            checkpoints.tracker = tracker
            with interruption.watching():
                ClassesSeen(checkpoints.facts.get("label_names", ())).attach(trainer)
                checkpoints.close_epoch(trainer)
                if not checkpoints.finished(trainer):
                    trainer.run()
            with signals_unwind():  # all is saved: a signal ends this at once
                if not distributed.any_rank(_is_calibrated(calibration, checkpoints)):
                    calibration.make()
                _store(tracker, checkpoints, example=example)


def _is_calibrated(calibration: Any, checkpoints: Checkpoints) -> bool:
    """Whether there is nothing to calibrate, or it is done, also by an earlier start of this training."""
    best = checkpoints.folder / BEST
    return calibration is None or not best.is_file() or calibration.is_made(best)


def _store(tracker: Any, checkpoints: Checkpoints, *, example: Any) -> None:
    """Log the best checkpoint and its network to MLflow, if there was a validation."""
    best = checkpoints.folder / BEST
    if not best.is_file():
        logger.warning(
            "no validation took place, so there is no %s: --val_interval is above --max_epochs", BEST
        )
    elif tracker.run_id is not None:
        _log(tracker, checkpoints, best=best, example=example)


def _log(tracker: Any, checkpoints: Checkpoints, *, best: Path, example: Any) -> None:
    sha256 = tracker.log_checkpoint(best)
    # what the network is; what it learnt of itself is for those who have this package
    facts = {k: v for k, v in facts_of(read_checkpoint(best)).items() if k != "calibration"}
    if example is not None:
        load_checkpoint(checkpoints.network, best)
        tracker.log_model(checkpoints.network, example, facts=facts, sha256=sha256)
    tracker.log_trained(sha256, epoch=facts.get("epoch", 0))
