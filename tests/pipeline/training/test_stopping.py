"""No more progress ends a training."""

from __future__ import annotations

import pytest
from monai.handlers import ValidationHandler

from pyraseg.pipeline.training import EarlyStopping
from pyraseg.transforms.errors import ConfigError
from tests.pipeline.training.engines import constant, evaluator_scoring


@pytest.mark.parametrize(
    ("scores", "patience", "interval", "stopped_after"),
    [
        ([0.5, 0.4, 0.3], 2, 1, 3),
        ([0.5, 0.4, 0.6, 0.6, 0.6], 2, 1, 5),  # an equal score is no better one
        ([0.5, 0.4, 0.3], 2, 3, 9),
        ([0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 0.91, 0.92, 0.93], 1, 1, 12),
    ],
)
def test_early_stopping_ends_a_training_after_so_many_validations_without_a_rise(
    scores, patience, interval, stopped_after
):
    evaluator = evaluator_scoring(scores)
    trainer = constant(
        1.0,
        epochs=12,
        train_handlers=[
            ValidationHandler(interval=interval, validator=evaluator, epoch_level=True),
            EarlyStopping(evaluator, patience=patience, interval=interval),
        ],
    )
    trainer.run()
    assert trainer.state.epoch == stopped_after


def test_a_patience_of_nothing_is_refused():
    with pytest.raises(ConfigError, match="patience of 1 or more, found 0"):
        EarlyStopping(evaluator_scoring([0.5]), patience=0)
