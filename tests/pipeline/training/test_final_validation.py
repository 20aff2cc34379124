"""The last epoch is validated once, whatever the interval."""

import pytest
from ignite.engine import Events
from monai.handlers import ValidationHandler

from pyraseg.pipeline.training import FinalValidation
from tests.pipeline.training.engines import constant, evaluator_scoring


@pytest.mark.parametrize(
    ("epochs", "interval", "validated"), [(5, 2, [2, 4, 5]), (4, 2, [2, 4]), (3, 5, [3]), (2, 1, [1, 2])]
)
def test_the_last_epoch_is_validated_once_in_every_case(epochs, interval, validated):
    evaluator = evaluator_scoring([0.5])
    seen = []
    evaluator.add_event_handler(Events.EPOCH_COMPLETED, lambda engine: seen.append(engine.state.epoch))
    handlers = [
        ValidationHandler(interval, evaluator, epoch_level=True),
        FinalValidation(evaluator, interval=interval),
    ]
    constant(1.0, epochs, train_handlers=handlers).run()
    assert seen == validated
