"""From probabilities to classes: what a threshold means, where it comes from, and what is refused."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from monai.data import MetaTensor
from monai.transforms import Compose

from pyraseg.pipeline.inference import CleanUpLabels, CleanUpLabelsd, SourceGridLabelsd
from pyraseg.pipeline.inference.decision import Decision, OperatingPoint, class_weights, decide
from pyraseg.pipeline.inference.source_grid import argmax_channels, decided, source_labels
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


class TestAThreshold:
    @pytest.mark.parametrize("threshold", [0.05, 0.3, 0.5, 0.7, 0.99])
    def test_of_two_classes_is_the_probability_above_which_one_wins(self, threshold):
        soft = torch.rand(1, 50, 50, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
        soft = torch.cat([1 - soft, soft])
        labels = decided(soft, class_weights({"fluid": OperatingPoint(threshold)}, TWO))
        assert torch.equal(labels > 0, soft[1] > threshold)

    def test_of_a_half_is_the_argmax_bit_for_bit(self):
        soft = probabilities(3, 40, 40)
        points = {"fluid": OperatingPoint(0.5), "kidney": OperatingPoint(0.5, 0.1)}
        assert class_weights(points, THREE) is None
        assert torch.equal(decided(soft, None), argmax_channels(soft))

    def test_that_rises_only_takes_away_from_its_class(self):
        soft, before = probabilities(3, 40, 40), None
        for threshold in (0.1, 0.3, 0.5, 0.8):
            found = decided(soft, class_weights({"fluid": OperatingPoint(threshold)}, THREE)) == 2
            assert before is None or bool((before | ~found).all())
            before = found

    def test_leaves_pixels_to_the_best_of_the_other_classes(self):
        soft = probabilities(3, 40, 40)
        labels = decided(soft, class_weights({"fluid": OperatingPoint(0.9)}, THREE))
        others = labels != 2
        assert torch.equal(labels[others], argmax_channels(soft[:2])[others])

    @pytest.mark.parametrize("point", [{"threshold": 0}, {"threshold": 1.0}, {"threshold": "high"}])
    def test_outside_0_to_1_is_refused(self, point):
        with pytest.raises(ConfigError, match="threshold between 0 and 1"):
            OperatingPoint(**point)


class TestOnTheSourceGrid:
    decision = Decision(THREE, {"fluid": OperatingPoint(0.2)})

    def item(self) -> dict:
        preprocessing = Compose([Letterboxd("image", (16, 16))])
        item = preprocessing({"image": MetaTensor(torch.rand(1, 30, 50))})
        scores = torch.randn(3, 16, 16, generator=torch.Generator().manual_seed(3))
        return {"preprocessing": preprocessing, "item": {**item, "pred": scores}}

    def test_a_frame_has_the_same_labels_with_and_without_kept_probabilities(self):
        made = self.item()
        fast = SourceGridLabelsd("pred", made["preprocessing"], decision=self.decision)
        whole = SourceGridLabelsd("pred", made["preprocessing"], "soft", decision=self.decision)
        one, other = fast(made["item"]), whole(made["item"])
        assert torch.equal(one["pred"].as_tensor(), other["pred"].as_tensor())
        plain = SourceGridLabelsd("pred", made["preprocessing"])(made["item"])
        assert not torch.equal(one["pred"].as_tensor(), plain["pred"].as_tensor())

    def test_kept_probabilities_stay_the_network_s(self):
        made = self.item()
        steps = [
            SourceGridLabelsd("pred", made["preprocessing"], "soft", decision=decision)
            for decision in (None, self.decision)
        ]
        one, other = (step(made["item"])["soft"] for step in steps)
        assert torch.equal(one.as_tensor(), other.as_tensor())

    def test_a_volume_is_decided_as_its_probabilities_are(self):
        soft, weights = probabilities(3, 6, 7, 8).numpy(), self.decision.weights
        grid = {"source_affine": np.eye(4), "source_shape": (6, 7, 8)}
        labels = np.concatenate(
            [p for _, p in source_labels(soft, np.eye(4), **grid, weights=weights)], axis=-1
        )
        assert np.array_equal(labels, decided(torch.from_numpy(soft), weights).numpy())


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
        assert str(decide("trained", facts(met(0.7, 0.002)))) == "fluid above 0.7, from 0.002 of the frame"

    def test_leaves_the_argmax_to_a_class_whose_rule_was_not_met_and_says_so(self, caplog):
        assert decide("trained", facts({"fluid": {"met": False, "rule": {"missed": 0.1}}})).points == {}
        assert "did not meet the rule of fluid" in caplog.text

    @pytest.mark.parametrize("chosen", ["argmax", None])
    def test_takes_the_plain_argmax_on_request(self, chosen):
        assert decide(chosen, facts(met(0.7))).weights is None

    def test_takes_a_checkpoint_without_a_calibration_as_before(self):
        assert decide("trained", facts()).points == {}

    def test_refuses_members_that_disagree_and_says_what_helps(self):
        with pytest.raises(CheckpointError, match=r"fluid above 0.7 and fluid above 0.8.*--operating_point"):
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
