"""The learning rate's course, clipped gradients, averaged weights and a backbone that waits, on real
engines."""

from __future__ import annotations

import itertools

import pytest
import torch
from ignite.engine import Events

from pyraseg.pipeline.networks import CBAMResNetPSPNet
from pyraseg.pipeline.training import FrozenBackbone, GradientClipping, WarmupSchedule, WeightAverage
from pyraseg.transforms.errors import ConfigError
from tests.pipeline.training.engines import constant


def learning_rates(steps: int, **options) -> list[float]:
    """The learning rate of each step of an optimizer that starts from 1."""
    optimizer = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=1.0)
    scheduler = WarmupSchedule(optimizer, **options)
    rates = []
    for _ in range(steps):
        rates.append(optimizer.param_groups[0]["lr"])
        optimizer.step()
        scheduler.step()
    return rates


class TestWarmupSchedule:
    def test_the_rate_rises_evenly_from_nearly_nothing_to_the_full_one(self):
        rates = learning_rates(6, total_steps=20, warmup_steps=4)
        assert rates[:5] == pytest.approx([0.2, 0.4, 0.6, 0.8, 1.0])
        assert rates[5] < 1

    @pytest.mark.parametrize(
        ("decay", "halfway", "end"), [("poly", 0.5**0.9, 0.0), ("cosine", 0.5, 0.0), ("none", 1.0, 1.0)]
    )
    def test_the_decay_runs_from_the_warm_up_to_the_last_step(self, decay, halfway, end):
        rates = learning_rates(30, total_steps=24, warmup_steps=4, decay=decay)
        assert rates[4] == 1
        assert rates[14] == pytest.approx(halfway)
        assert rates[24:] == pytest.approx([end] * 6, abs=1e-12)
        assert all(later <= earlier for earlier, later in itertools.pairwise(rates[4:]))

    def test_the_power_bends_the_polynomial_decay(self):
        assert learning_rates(6, total_steps=10, warmup_steps=0, power=2)[5] == pytest.approx(0.25)

    def test_a_warm_up_longer_than_the_training_is_no_division_by_zero(self):
        assert learning_rates(3, total_steps=2, warmup_steps=2) == pytest.approx([1 / 3, 2 / 3, 1.0])

    def test_an_unknown_decay_is_refused_with_those_there_are(self):
        with pytest.raises(ConfigError, match=r"poly, cosine, none, found 'linear'"):
            learning_rates(1, total_steps=2, warmup_steps=0, decay="linear")


@pytest.mark.parametrize(("max_norm", "limited"), [(0.5, True), (1e9, False), (0, False)])
def test_gradient_clipping_limits_the_norm_that_the_optimizer_sees(max_norm, limited):
    network = torch.nn.Linear(1, 1, bias=False)
    torch.nn.init.constant_(network.weight, 1.0)
    trainer = constant(10.0, network=network, train_handlers=[GradientClipping(network, max_norm=max_norm)])
    norms = []
    trainer.add_event_handler(
        Events.ITERATION_COMPLETED, lambda: norms.append(network.weight.grad.norm().item())
    )
    trainer.run()
    assert norms == pytest.approx([0.5 if limited else 200.0] * 3, rel=1e-3)


def test_clipping_takes_the_accumulated_gradient_once_and_not_each_batch_s(monkeypatch):
    network = torch.nn.Linear(1, 1, bias=False)
    torch.nn.init.constant_(network.weight, 1.0)
    trainer = constant(
        10.0, network=network, train_handlers=[GradientClipping(network, max_norm=0.5)], accumulation_steps=2
    )
    norms = []
    trainer.add_event_handler(
        Events.ITERATION_COMPLETED, lambda: norms.append(network.weight.grad.norm().item())
    )
    trainer.run()
    assert norms == pytest.approx(
        [100.0, 0.5, 0.5], rel=1e-3
    )  # three batches: the last makes a step of its own


def test_accumulated_batches_move_the_weights_as_one_large_batch_does():
    moved = []
    for batch, accumulation in ((3, 1), (1, 3)):
        network = torch.nn.Linear(1, 1, bias=False)
        torch.nn.init.constant_(network.weight, 1.0)
        constant(2.0, network=network, lr=0.01, batch_size=batch, accumulation_steps=accumulation).run()
        moved.append(network.weight.item())
    assert moved[0] == pytest.approx(moved[1])
    assert moved[0] != 1.0


class TestWeightAverage:
    def test_without_a_decay_the_network_itself_is_validated(self):
        network = torch.nn.Linear(1, 1)
        average = WeightAverage(network, decay=None)
        assert average.network is network
        assert average.state_dict() == {}

    def test_the_average_follows_the_written_recursion(self):
        network = torch.nn.Linear(1, 1, bias=False)
        torch.nn.init.constant_(network.weight, 1.0)
        average = WeightAverage(network, decay=0.9)
        trainer = constant(2.0, epochs=4, network=network, lr=0.02, train_handlers=[average])
        raw = []
        trainer.add_event_handler(Events.ITERATION_COMPLETED, lambda: raw.append(network.weight.item()))
        trainer.run()
        expected = raw[0]  # the first step's weights start the average
        for steps, weight in enumerate(raw[1:], start=1):
            decay = min(0.9, (1 + steps) / (10 + steps))
            expected = decay * expected + (1 - decay) * weight
        assert average.network.weight.item() == pytest.approx(expected, rel=1e-5)
        assert average.network.weight.item() != pytest.approx(raw[-1], rel=1e-3)

    def test_batch_norm_statistics_are_averaged_and_their_counter_is_taken_over(self):
        network = torch.nn.BatchNorm1d(1)
        average = WeightAverage(network, decay=0.5)
        constant(3.0, epochs=2, network=network, batch_size=3, train_handlers=[average]).run()
        assert 0 < average.network.running_mean.item() < network.running_mean.item()
        assert average.network.num_batches_tracked.item() == network.num_batches_tracked.item() == 2

    def test_a_restored_average_goes_on_as_if_nothing_had_been(self):
        networks = [torch.nn.Linear(1, 1, bias=False) for _ in range(2)]
        averages = [WeightAverage(network, decay=0.9) for network in networks]
        constant(2.0, epochs=2, network=networks[0], lr=0.02, train_handlers=[averages[0]]).run()
        networks[1].load_state_dict(networks[0].state_dict())
        averages[1].load_state_dict(averages[0].state_dict())
        for network, average in zip(networks, averages, strict=True):
            constant(2.0, epochs=1, network=network, lr=0.02, train_handlers=[average]).run()
        assert averages[0].network.weight.item() == averages[1].network.weight.item()

    @pytest.mark.parametrize("decay", [1.0, -0.1, 5])
    def test_a_decay_that_averages_nothing_is_refused(self, decay):
        with pytest.raises(ConfigError, match="ema_decay of at least 0 and below 1"):
            WeightAverage(torch.nn.Linear(1, 1), decay=decay)


class TestFrozenBackbone:
    def changed(self, epochs: int, frozen: int) -> tuple[bool, bool, bool]:
        """Whether the backbone's weights, its statistics and the head's weights moved."""
        network = CBAMResNetPSPNet(depth=18, in_channels=1, out_channels=2, dropout=0.0)
        before = {name: value.clone() for name, value in network.state_dict().items()}
        trainer = constant(
            1.0,
            epochs=epochs,
            network=network,
            lr=0.1,
            shape=(1, 32, 32),
            batch_size=3,
            train_handlers=[FrozenBackbone(network, epochs=frozen)],
        )
        trainer.run()
        moved = {n: not torch.equal(v, before[n]) for n, v in network.state_dict().items()}
        backbone = {n: m for n, m in moved.items() if n.startswith("backbone.")}
        statistics = any(m for n, m in backbone.items() if "running" in n)
        return (
            any(m for n, m in backbone.items() if "weight" in n),
            statistics,
            any(m for n, m in moved.items() if n.startswith("head.")),
        )

    def test_weights_and_statistics_stay_while_the_heads_learn(self):
        assert self.changed(epochs=1, frozen=1) == (False, False, True)

    def test_afterwards_everything_learns(self):
        assert self.changed(epochs=2, frozen=1) == (True, True, True)

    def test_a_network_without_a_resnet_is_refused_in_a_sentence(self):
        network = torch.nn.Linear(1, 1, bias=False)
        with pytest.raises(ConfigError, match="ResNet as its backbone"):
            constant(1.0, network=network, train_handlers=[FrozenBackbone(network, epochs=1)]).run()

    def test_a_negative_number_of_epochs_is_refused(self):
        with pytest.raises(ConfigError, match="frozen_epochs of 0 or more"):
            FrozenBackbone(torch.nn.Linear(1, 1), epochs=-1)
