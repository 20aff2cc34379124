"""An ensemble is the mean of what its members say of a pixel, whatever they are and however they go over the
image."""

from __future__ import annotations

import gc
import weakref

import pytest
import torch

from pyraseg.pipeline.inference.ensemble import (
    Ensemble,
    EnsembleInferer,
    build,
    checkpoint_paths,
    load_checkpoints,
    log_mean_probability,
    read_facts,
)
from pyraseg.pipeline.inference.inferer import make_inferer
from pyraseg.pipeline.networks import build_network
from pyraseg.pipeline.training.checkpoints import save_checkpoint
from pyraseg.transforms.errors import CheckpointError

CPU = torch.device("cpu")
IMAGE = torch.rand(2, 1, 40, 48, generator=torch.Generator().manual_seed(1))
MODES = [("whole", {}), ("sliding", {"roi_size": (32, 32)})]
METADATA = {
    "segments": [{"name": "background"}, {"name": "kidney"}],
    "preprocessing": {"size": [32, 32], "in_channels": 1},
    "network": {"depth": 18},
}


def scores(*shape: int, seed: int = 0, scale: float = 5.0) -> torch.Tensor:
    return scale * torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def member(seed: int, name: str = "unet") -> torch.nn.Module:
    torch.manual_seed(seed)
    return build_network(name, in_channels=1, out_channels=2).eval()


def infer(network: torch.nn.Module, mode: str = "whole", **options) -> torch.Tensor:
    with torch.no_grad():
        return make_inferer(mode, device=CPU, amp=False, **options)(IMAGE, network)


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
    @pytest.mark.parametrize(("mode", "options"), MODES)
    def test_members_of_several_architectures_are_averaged_as_each_would_be_alone(self, mode, options):
        members = [member(0), member(1, "segresnet")]
        alone = torch.stack([infer(each, mode, **options).softmax(1) for each in members]).mean(0)
        assert torch.allclose(infer(Ensemble(members), mode, **options).softmax(1), alone, atol=1e-5)

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
        inferer = EnsembleInferer(lambda inputs, network: calls.append(network) or network(inputs))
        members = [torch.nn.Conv2d(1, 2, 1) for _ in range(3)]
        inferer(IMAGE, Ensemble(members))
        assert calls == members


def stored(folder, *names: str, **facts) -> list:
    """A checkpoint for each network named, with these facts."""
    paths = []
    for seed, name in enumerate(names):
        network = member(seed, name)
        content = {
            "label_names": ["background", "kidney"],
            "input_size": [32, 32],
            "network": network.options,
        }
        content |= {"model": network.state_dict()} | facts
        paths.append(save_checkpoint(folder / f"{len(list(folder.glob('*.pt')))}.pt", content))
    return paths


class TestCheckpoints:
    def test_several_are_built_and_loaded_into_an_ensemble_in_their_order(self, tmp_path):
        paths = stored(tmp_path, "unet", "segresnet")
        network = build(read_facts(paths, METADATA))
        load_checkpoints(network, [str(path) for path in paths])
        expected = Ensemble([member(0, "unet"), member(1, "segresnet")])
        assert torch.allclose(infer(network.eval()), infer(expected), atol=1e-6)

    def test_one_is_built_and_loaded_as_itself(self, tmp_path):
        (path,) = stored(tmp_path, "unet")
        for given in (path, str(path), [path]):
            network = build(read_facts(given, METADATA))
            load_checkpoints(network, given)
            assert torch.equal(infer(network.eval()), infer(member(0)))

    def test_before_any_training_the_metadata_speaks(self, tmp_path):
        facts = read_facts(tmp_path / "none.pt", METADATA)
        assert facts["networks"] == [facts["network"]]
        assert (facts["network"]["depth"], facts["network"]["in_channels"]) == (18, 1)

    def test_a_folder_of_folds_is_its_best_checkpoints_in_the_order_of_the_folds(self, tmp_path):
        for fold in (10, 2, 0):
            save_checkpoint(tmp_path / f"fold_{fold}" / "model.pt", {"model": {}})
            save_checkpoint(tmp_path / f"fold_{fold}" / "last.pt", {"model": {}})
        assert [path.parent.name for path in checkpoint_paths(tmp_path)] == ["fold_0", "fold_2", "fold_10"]
        assert checkpoint_paths(tmp_path / "fold_2") == [tmp_path / "fold_2" / "model.pt"]

    def test_a_folder_without_any_is_refused(self, tmp_path):
        with pytest.raises(CheckpointError, match=r"a folder with model\.pt") as raised:
            checkpoint_paths(tmp_path)
        assert str(tmp_path) not in str(raised.value)

    @pytest.mark.parametrize(
        ("facts", "sentence"),
        [
            (
                {"label_names": ["background", "fluid"]},
                "label set, background, kidney .* found background, fluid",
            ),
            ({"input_size": [64, 32]}, "input size, 32, 32 .* found 64, 32"),
            ({"network": {"name": "unet", "in_channels": 3}}, "number of input channels, 1 .* found 3"),
        ],
    )
    def test_those_that_were_trained_differently_are_refused(self, tmp_path, facts, sentence):
        paths = stored(tmp_path, "unet") + stored(tmp_path, "unet", **facts)
        with pytest.raises(CheckpointError, match=sentence) as raised:
            read_facts(paths, METADATA)
        assert raised.value.path == str(paths[1])

    def test_one_that_is_missing_among_several_is_said(self, tmp_path):
        paths = [*stored(tmp_path, "unet"), tmp_path / "none.pt"]
        with pytest.raises(CheckpointError, match="no such file"):
            read_facts(paths, METADATA)

    def test_no_checkpoint_and_another_number_than_members_are_refused(self, tmp_path):
        (path,) = stored(tmp_path, "unet")
        with pytest.raises(CheckpointError, match="found none"):
            read_facts([], METADATA)
        with pytest.raises(CheckpointError, match="2 checkpoints, one a network, found 1"):
            load_checkpoints(Ensemble([member(0), member(1)]), path)
