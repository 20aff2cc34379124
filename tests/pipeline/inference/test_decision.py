"""From probabilities to classes: what a threshold means, where it comes from, and what is refused."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from monai.data import MetaTensor
from monai.transforms import Compose
from scipy.ndimage import gaussian_filter
from skimage.measure import label

from pyraseg.pipeline.inference import CleanUpLabels, CleanUpLabelsd, SourceGridLabelsd
from pyraseg.pipeline.inference.clean_up import keep_strong
from pyraseg.pipeline.inference.decision import Decision, OperatingPoint, class_weights, decide
from pyraseg.pipeline.inference.source_grid import argmax_channels, decided, labels_of, source_labels
from pyraseg.transforms.errors import CheckpointError, ConfigError
from pyraseg.transforms.geometry.letterbox import Letterboxd

TWO, THREE = ("background", "fluid"), ("background", "kidney", "fluid")


def facts(*points: dict, names=THREE, size=(64, 64)) -> dict:
    calibrations = [{"operating_point": each} for each in points] or [{}]
    return {"label_names": list(names), "input_size": list(size), "calibrations": calibrations}


def met(threshold: float, smallest: float = 0.0) -> dict:
    return {"fluid": {"met": True, "threshold": threshold, "smallest": smallest, "rule": {"missed": 0.1}}}


def probabilities(classes: int, *shape: int) -> torch.Tensor:
    return torch.rand(classes, *shape, generator=torch.Generator().manual_seed(1)).softmax(dim=0)


def smooth(classes: int, *shape: int) -> torch.Tensor:
    """Probabilities with components of many sizes and peaks."""
    noise = np.random.default_rng(1).normal(size=(classes, *shape))
    scores = [gaussian_filter(each, 1.5) for each in noise]
    return torch.from_numpy(np.stack(scores) * 8).float().softmax(dim=0)


class TestAThreshold:
    @pytest.mark.parametrize("threshold", [0.05, 0.3, 0.5, 0.7, 0.99])
    def test_of_two_classes_is_the_probability_above_which_one_wins(self, threshold):
        soft = torch.rand(1, 50, 50, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
        soft = torch.cat([1 - soft, soft])
        labels = decided(soft, class_weights({"fluid": threshold}, TWO))
        assert torch.equal(labels > 0, soft[1] > threshold)

    def test_of_a_half_is_the_argmax_bit_for_bit(self):
        soft = probabilities(3, 40, 40)
        decision = Decision(THREE, {"fluid": OperatingPoint(0.5), "kidney": OperatingPoint(0.5, 0.1)})
        assert (decision.weights, decision.seeds) == (None, None)
        assert torch.equal(decided(soft, None), argmax_channels(soft))

    def test_that_rises_only_takes_away_from_its_class(self):
        soft, before = probabilities(3, 40, 40), None
        for threshold in (0.1, 0.3, 0.5, 0.8):
            found = decided(soft, class_weights({"fluid": threshold}, THREE)) == 2
            assert before is None or bool((before | ~found).all())
            before = found

    def test_leaves_pixels_to_the_best_of_the_other_classes(self):
        soft = probabilities(3, 40, 40)
        labels = decided(soft, class_weights({"fluid": 0.9}, THREE))
        others = labels != 2
        assert torch.equal(labels[others], argmax_channels(soft[:2])[others])

    @pytest.mark.parametrize("point", [{"threshold": 0}, {"threshold": 1.0}, {"threshold": "high"}])
    def test_outside_0_to_1_is_refused(self, point):
        with pytest.raises(ConfigError, match="threshold between 0 and 1"):
            OperatingPoint(**point)


class TestAThresholdAboveAHalf:
    @pytest.mark.parametrize("shape", [(60, 60), (30, 30, 30)])
    def test_keeps_the_components_of_the_argmax_that_reach_it_as_they_are(self, shape):
        soft = smooth(2, *shape)
        for threshold in (0.55, 0.6, 0.7, 0.9):
            found = labels_of(soft, Decision(TWO, {"fluid": OperatingPoint(threshold)})).numpy()
            fluid, numbers = soft[1].numpy(), label(soft[1].numpy() > 0.5, connectivity=len(shape))
            kept = np.isin(numbers, np.unique(numbers[fluid > threshold])) & (numbers > 0)
            assert np.array_equal(found > 0, kept)

    def test_gives_what_goes_to_the_class_around_it(self):
        fluid = torch.zeros(30, 30)
        fluid[5:9, 5:9], fluid[20:24, 20:24] = 0.6, 0.6  # in the kidney, and on background
        kidney = torch.zeros(30, 30)
        kidney[2:12, 2:12] = 1.0
        soft = torch.stack([(1 - fluid) * (1 - kidney), (1 - fluid) * kidney, fluid])
        labels = labels_of(soft, Decision(THREE, {"fluid": OperatingPoint(0.8)}))
        assert torch.equal(labels == 1, kidney > 0)
        assert set(labels.unique().tolist()) == {0, 1}

    def test_never_adds_a_pixel_whatever_the_others_thresholds(self):
        soft = smooth(3, 60, 60)
        for kidney in (0.2, 0.5, 0.7):
            points = {"kidney": OperatingPoint(kidney)}
            before = labels_of(soft, Decision(THREE, {**points, "fluid": OperatingPoint(0.5)})) == 2
            for threshold in (0.6, 0.7, 0.8):
                found = labels_of(soft, Decision(THREE, {**points, "fluid": OperatingPoint(threshold)})) == 2
                assert bool((before | ~found).all())

    def test_needs_a_bit_of_the_label_map(self):
        with pytest.raises(ConfigError, match="at most 128 classes"):
            Decision(tuple(map(str, range(129))), {"1": OperatingPoint(0.6)})


@pytest.mark.parametrize("threshold", [0.2, 0.9])
class TestOnTheSourceGrid:
    @pytest.fixture
    def decision(self, threshold) -> Decision:
        return Decision(THREE, {"fluid": OperatingPoint(threshold)})

    def item(self) -> dict:
        preprocessing = Compose([Letterboxd("image", (16, 16))])
        item = preprocessing({"image": MetaTensor(torch.rand(1, 30, 50))})
        scores = torch.randn(3, 16, 16, generator=torch.Generator().manual_seed(3))
        return {"preprocessing": preprocessing, "item": {**item, "pred": scores}}

    def test_a_frame_has_the_same_labels_with_and_without_kept_probabilities(self, decision):
        made = self.item()
        fast = SourceGridLabelsd("pred", made["preprocessing"], decision=decision)
        whole = SourceGridLabelsd("pred", made["preprocessing"], "soft", decision=decision)
        one, other = fast(made["item"]), whole(made["item"])
        assert torch.equal(one["pred"].as_tensor(), other["pred"].as_tensor())
        plain = SourceGridLabelsd("pred", made["preprocessing"])(made["item"])
        assert not torch.equal(one["pred"].as_tensor(), plain["pred"].as_tensor())

    def test_kept_probabilities_stay_the_network_s(self, decision):
        made = self.item()
        steps = [
            SourceGridLabelsd("pred", made["preprocessing"], "soft", decision=each)
            for each in (None, decision)
        ]
        one, other = (step(made["item"])["soft"] for step in steps)
        assert torch.equal(one.as_tensor(), other.as_tensor())

    def test_a_volume_in_slabs_is_decided_as_its_probabilities_are(self, decision):
        soft = smooth(3, 20, 21, 22)
        grid = {"source_affine": np.eye(4), "source_shape": (20, 21, 22), "slab": 5, "decision": decision}
        labels = np.concatenate([p for _, p in source_labels(soft.numpy(), np.eye(4), **grid)], axis=-1)
        keep_strong(labels)
        assert np.array_equal(labels, labels_of(soft, decision).numpy())
        meta = {"original_affine": np.eye(4), "spatial_shape": np.array([20, 21, 22])}
        item = {"image": MetaTensor(torch.zeros(1, 20, 21, 22), meta=meta), "pred": soft.log()}
        assert np.array_equal(
            SourceGridLabelsd("pred", Compose([]), decision=decision)(item)["pred"][0], labels
        )
        assert not np.array_equal(labels, argmax_channels(soft).numpy())


class TestASmallestSize:
    def squares(self) -> np.ndarray:
        labels = np.zeros((1, 100, 100), np.uint8)
        labels[0, 5:10, 5:10] = 2  # 25 pixels
        labels[0, 40:50, 40:50] = 2  # 100 pixels
        labels[0, 80:84, 80:84] = 1  # 16 pixels
        return labels

    def test_takes_away_smaller_components_of_its_class_alone(self):
        options = {"minimum_area": 0.0, "fluid_in_kidney": False}
        cleaned = CleanUpLabels(THREE, **options, smallest={"fluid": 0.005})(self.squares())
        assert (int((cleaned == 2).sum()), int((cleaned == 1).sum())) == (100, 16)

    def test_counts_without_any_other_clean_up(self):
        decision = Decision(THREE, {"fluid": OperatingPoint(0.5, 0.005)})
        cleaned = CleanUpLabelsd("pred", THREE, None, decision=decision)({"pred": self.squares()})["pred"]
        assert (int((cleaned == 2).sum()), int((cleaned == 1).sum())) == (100, 16)

    def test_is_in_ml_in_volumes(self):
        labels = np.zeros((1, 20, 20, 20), np.uint8)
        labels[0, :4, :4, :4], labels[0, 10:, 10:, 10:] = 1, 1  # 64 and 1000 voxels of 0.001 ml
        clean_up = CleanUpLabels(TWO, minimum_area=0.0, smallest={"fluid": 0.1})
        assert int(np.sum(clean_up(labels, spacing_mm=(1, 1, 1)))) == 1000


class TestDecide:
    def test_takes_the_checkpoint_s_point_where_its_rule_was_met(self):
        assert str(decide("trained", facts(met(0.7, 0.002)))) == "fluid peak above 0.7, from 0.002 (frame)"

    def test_leaves_the_argmax_to_a_class_whose_rule_was_not_met_and_says_so(self, caplog):
        assert decide("trained", facts({"fluid": {"met": False, "rule": {"missed": 0.1}}})).points == {}
        assert "no point was found for the rule of fluid" in caplog.text

    @pytest.mark.parametrize("chosen", ["argmax", None])
    def test_takes_the_plain_argmax_on_request(self, chosen):
        assert decide(chosen, facts(met(0.7))).weights is None

    def test_takes_a_checkpoint_without_a_calibration_as_before(self):
        assert decide("trained", facts()).points == {}

    def test_refuses_members_that_disagree_and_says_what_helps(self):
        with pytest.raises(CheckpointError, match=r"above 0.7 and fluid peak above 0.8.*--operating_point"):
            decide("trained", facts(met(0.7), met(0.8)))
        assert decide("argmax", facts(met(0.7), met(0.8))).points == {}

    @pytest.mark.parametrize(
        ("chosen", "sentence"),
        [
            ({"bladder": {"threshold": 0.6}}, 'classes among kidney, fluid, found "bladder"'),
            ({"fluid": {"limit": 0.6}}, "smallest and threshold for fluid"),
            ({"fluid": 0.6}, "for fluid, found 0.6"),
            ("best", "trained, argmax or a mapping"),
        ],
    )
    def test_refuses_what_it_does_not_know(self, chosen, sentence):
        with pytest.raises(ConfigError, match=sentence):
            decide(chosen, facts())

    @pytest.mark.parametrize("stored", [{"fluid": {"met": True, "threshold": "$1"}}, {"fluid": 3}, [1]])
    def test_refuses_what_no_training_has_stored(self, stored):
        with pytest.raises(CheckpointError, match="operating_point"):
            decide("trained", facts(stored))
