"""A loss that is no number ends the training before it reaches the weights."""

from __future__ import annotations

import pytest
import torch

from pyraseg.pipeline.training import FiniteLoss
from pyraseg.transforms.errors import RunError
from tests.pipeline.training.engines import constant


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_the_training_stops_and_the_weights_are_as_they_were(value):
    network = torch.nn.Linear(1, 1, bias=False)
    before = network.weight.detach().clone()
    trainer = constant(value, network=network, lr=0.1, train_handlers=[FiniteLoss()])
    with pytest.raises(RunError, match="in step 1"):
        trainer.run()
    assert torch.equal(network.weight, before)


def test_a_finite_loss_goes_on():
    trainer = constant(1.0, network=torch.nn.Linear(1, 1, bias=False), train_handlers=[FiniteLoss()])
    trainer.run()
    assert trainer.state.iteration > 0
