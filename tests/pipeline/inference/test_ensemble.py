"""An ensemble is the mean of what its members say of a pixel, whatever they are and however they go over the
image."""

from __future__ import annotations

import gc
import weakref

import pytest
import torch
from monai.inferers import SlidingWindowInferer

from pyraseg.pipeline.inference import Ensemble, SegmentationInferer
from pyraseg.pipeline.inference.ensemble import log_mean_probability
from pyraseg.pipeline.networks import build_network

CPU = torch.device("cpu")
IMAGE = torch.rand(2, 1, 40, 48, generator=torch.Generator().manual_seed(1))
MODES = [("whole", {}), ("sliding", {"roi_size": (32, 32)})]


def scores(*shape: int, seed: int = 0, scale: float = 5.0) -> torch.Tensor:
    return scale * torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def member(seed: int, name: str = "unet") -> torch.nn.Module:
    torch.manual_seed(seed)
    return build_network(name, in_channels=1, out_channels=2).eval()


def infer(network: torch.nn.Module, mode: str = "whole", **options) -> torch.Tensor:
    with torch.no_grad():
        return SegmentationInferer(mode, device=CPU, amp=False, **options)(IMAGE, network)


class TestLogMeanProbability:
    def test_its_softmax_is_the_mean_of_the_probabilities(self):
        given = [scores(2, 3, 8, 9, seed=seed) for seed in range(4)]
        expected = torch.stack([score.softmax(1) for score in given]).mean(0)
        assert torch.allclose(log_mean_probability(given).softmax(1), expected, atol=1e-6)
        assert torch.allclose(log_mean_probability(given).exp(), expected, atol=1e-6)

    def test_one_alone_keeps_its_probabilities(self):
        given = scores(1, 3, 4, 4, 5)
        assert torch.allclose(log_mean_probability([given]).softmax(1), given.softmax(1), atol=1e-6)

    def test_the_order_does_not_matter_and_a_shift_of_one_s_scores_neither(self):
        a, b = scores(1, 3, 8, 8, seed=1), scores(1, 3, 8, 8, seed=2)
        expected = log_mean_probability([a, b])
        assert torch.allclose(log_mean_probability([b, a]), expected, atol=1e-5)
        assert torch.allclose(log_mean_probability([a + 50, b]), expected, atol=1e-4)

    def test_probabilities_are_averaged_and_not_scores(self):
        """One member that is sure outweighs two that are in doubt by no more than a third."""
        sure, doubt = torch.tensor([100.0, 0.0]), torch.tensor([0.0, 0.4])
        mean = log_mean_probability([each.reshape(1, 2, 1, 1) for each in (sure, doubt, doubt)]).softmax(1)
        assert float(mean[0, 0]) == pytest.approx((1 + 2 / (1 + torch.tensor(0.4).exp().item())) / 3)

    def test_a_class_that_all_rule_out_stays_finite(self):
        given = scores(1, 3, 8, 8) + torch.tensor([0.0, -500.0, 0.0]).reshape(1, 3, 1, 1)
        assert log_mean_probability([given, given]).isfinite().all()

    def test_one_score_is_held_at_a_time(self):
        alive: list[weakref.ref] = []

        def passes():
            for seed in range(4):
                gc.collect()
                assert sum(ref() is not None for ref in alive) == 0
                score = scores(1, 2, 4, 4, seed=seed)
                alive.append(weakref.ref(score))
                yield score
                del score

        log_mean_probability(passes())
        assert len(alive) == 4


class TestEnsemble:
    def test_members_of_several_architectures_are_averaged_as_each_would_be_alone(self):
        members = [member(0), member(1, "segresnet")]
        alone = torch.stack([infer(each).softmax(1) for each in members]).mean(0)
        assert torch.allclose(infer(Ensemble(members)).softmax(1), alone, atol=1e-5)

    def test_by_windows_the_mean_of_each_window_is_blended(self):
        pair = Ensemble([member(0), member(1, "segresnet")])
        with torch.no_grad():
            wanted = SlidingWindowInferer((32, 32), overlap=0.5, mode="gaussian")(IMAGE, pair)
        assert torch.allclose(infer(pair, "sliding", roi_size=(32, 32)), wanted, atol=1e-4)

    @pytest.mark.parametrize(("mode", "options"), MODES)
    def test_a_member_repeated_changes_nothing(self, mode, options):
        one = member(0)
        found = infer(Ensemble([one, one, one]), mode, **options).softmax(1)
        assert torch.allclose(found, infer(one, mode, **options).softmax(1), atol=1e-6)

    def test_a_network_that_is_none_passes_as_it_is(self):
        one = member(0)
        with torch.no_grad():
            assert torch.equal(infer(one), one(IMAGE))

    def test_the_module_s_own_forward_is_the_same_mean(self):
        both = Ensemble([member(0), member(1)]).eval()
        with torch.no_grad():
            assert torch.allclose(both(IMAGE), infer(both), atol=1e-5)

    def test_each_member_runs_once_an_image(self):
        calls = []
        members = [torch.nn.Conv2d(1, 2, 1) for _ in range(3)]
        for each in members:
            each.register_forward_hook(lambda module, *_: calls.append(module))
        infer(Ensemble(members))
        assert calls == members
