"""A training within its MLflow run: how it ends, and what becomes of errors."""

from __future__ import annotations

import signal

import pytest
from monai.engines import SupervisedTrainer
from monai.handlers import ValidationHandler
from monai.transforms import Compose, Transform

from pyraseg.pipeline.training import Interruption, train
from pyraseg.pipeline.training.checkpoints import BEST, Checkpoints
from pyraseg.transforms.errors import InputError
from tests.pipeline.training.engines import constant, evaluator_scoring


class Recorder:
    """Stands where the tracker does: remembers how its block ended."""

    ended: object = "never"

    stored: object = None
    run_id = "run-1"

    def finished(self):
        return True

    def __enter__(self):
        return self

    def flush(self):
        pass

    def log_checkpoint(self, path):
        self.stored = path

    def log_trained(self, sha256, *, epoch):
        self.epoch = epoch

    def __exit__(self, kind, error, traceback):
        self.ended = error


class Failing(Transform):
    """A transform that meets an error."""

    def __init__(self, error: Exception) -> None:
        self.error = error

    def __call__(self, data):
        raise self.error


def failing(error: Exception) -> SupervisedTrainer:
    """A trainer whose data raise ``error``, which MONAI wraps."""
    trainer = constant(1.0)
    trainer.data_loader.dataset.transform = Compose([Failing(error)])
    return trainer


class Stopped:
    """A calibration during which the system asks the process to end."""

    def is_made(self, path):
        return False

    def make(self):
        signal.raise_signal(signal.SIGTERM)
        raise AssertionError("it went on")


def run(trainer: SupervisedTrainer, tracker: Recorder, folder, *, calibration=None) -> None:
    """Train with what a bundle's config puts around a trainer."""
    checkpoints = Checkpoints(folder, network=trainer.network, state={}, facts={})
    interruption = Interruption(checkpoints)
    evaluator = evaluator_scoring([0.5], val_handlers=[checkpoints])
    ValidationHandler(1, evaluator, epoch_level=True).attach(trainer)
    for handler in (checkpoints, interruption):
        handler.attach(trainer)
    options = {"interruption": interruption, "calibration": calibration}
    train(trainer, tracker, checkpoints=checkpoints, **options)


class TestTrain:
    def test_a_training_ends_within_its_tracked_run_which_gets_the_best_checkpoint(self, tmp_path):
        tracker, trainer = Recorder(), constant(1.0, epochs=2)
        run(trainer, tracker, tmp_path)
        assert trainer.state.epoch == 2
        assert tracker.stored == tmp_path / BEST
        assert tracker.ended is None

    def test_sigterm_while_it_calibrates_ends_its_run_as_ctrl_c_does(self, tmp_path):
        tracker = Recorder()
        with pytest.raises(KeyboardInterrupt):
            run(constant(1.0), tracker, tmp_path, calibration=Stopped())
        assert isinstance(tracker.ended, KeyboardInterrupt)

    def test_our_error_behind_a_wrapping_comes_out_as_itself_after_the_tracker_saw_it(self, tmp_path):
        ours = InputError("a frame", found="none", remedy="Check.")
        tracker = Recorder()
        with pytest.raises(InputError) as raised:
            run(failing(ours), tracker, tmp_path)
        assert raised.value is ours
        assert isinstance(tracker.ended, RuntimeError)

    def test_another_error_stays_what_it_is(self, tmp_path):
        with pytest.raises(RuntimeError, match="applying transform") as raised:
            run(failing(ValueError("of another kind")), Recorder(), tmp_path)
        assert isinstance(raised.value.__cause__, ValueError)
