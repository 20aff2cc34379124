"""Scores of a case follow the stated conventions and agree with MONAI where both define a value."""

from __future__ import annotations

import math

import pytest
import torch
from monai.data import MetaTensor
from monai.metrics import DiceMetric, MeanIoU, compute_confusion_matrix_metric, get_confusion_matrix
from monai.networks import one_hot

from pyraseg.pipeline.evaluation import CaseScore, score_case
from pyraseg.pipeline.evaluation.scores import source_spacing

NAMES = ["background", "kidney", "hydronephrosis"]


def row(*, reference=10, predicted=10, common=10, **more):
    return CaseScore("c", "g", "kidney", reference, predicted, common, **more)


@pytest.mark.parametrize("shape", [(1, 17, 23), (1, 9, 8, 7)])
def test_overlaps_equal_monai_on_random_label_maps(shape):
    generator = torch.Generator().manual_seed(0)
    for _ in range(5):
        prediction, reference = torch.randint(0, 3, (2, *shape), generator=generator)
        scores = score_case(prediction, reference, label_names=NAMES, case="c", group="g")
        maps = [one_hot(m[None], 3) for m in (prediction, reference)]
        dice, iou = (metric(include_background=False)(*maps)[0].tolist() for metric in (DiceMetric, MeanIoU))
        confusion = get_confusion_matrix(*maps, include_background=False)[0]
        assert [s.dice for s in scores] == pytest.approx(dice)
        assert [s.iou for s in scores] == pytest.approx(iou)
        for name in ("sensitivity", "precision"):
            expected = compute_confusion_matrix_metric(name, confusion).tolist()
            assert [getattr(s, name) for s in scores] == pytest.approx(expected)


def test_a_volume_counted_in_pieces_gives_the_same_counts(monkeypatch):
    maps = torch.randint(0, 3, (2, 1, 9, 8, 7), generator=torch.Generator().manual_seed(0))
    whole = score_case(*maps, label_names=NAMES, case="c", group="g")
    monkeypatch.setattr("pyraseg.pipeline.evaluation.scores.PIECE", 50)
    assert score_case(*maps, label_names=NAMES, case="c", group="g") == whole


def test_a_missed_structure_is_zero_and_counted():
    score = row(predicted=0, common=0)
    assert (score.dice, score.iou, score.sensitivity) == (0, 0, 0)
    assert score.missed
    assert not score.false_positive
    assert math.isnan(score.precision)
    assert score.values()["area_error_pixels"] == -10


def test_both_empty_is_left_out_and_no_false_positive():
    score = row(reference=0, predicted=0, common=0)
    assert math.isnan(score.dice)
    assert not score.false_positive
    assert not score.missed
    assert score.values() == {}


def test_a_prediction_without_reference_is_a_false_positive_with_its_area_and_has_no_dice():
    score = row(reference=0, predicted=30, common=0, spacing_mm=(0.5, 0.2))
    assert score.false_positive
    assert all(math.isnan(value) for value in (score.dice, score.iou, score.sensitivity, score.precision))
    assert score.values() == {"false_positive_area_pixels": 30, "false_positive_area_mm2": pytest.approx(3)}


def test_sizes_are_square_millimetres_in_frames_millilitres_in_volumes_and_pixels_always():
    frame = row(predicted=16, common=8, spacing_mm=(0.5, 0.4)).values()
    volume = row(predicted=16, common=8, spacing_mm=(2.0, 5.0, 10.0)).values()
    bare = row(predicted=16, common=8).values()
    assert frame["area_error_mm2"] == pytest.approx(6 * 0.2)
    assert volume["volume_error_ml"] == pytest.approx(0.6)
    assert [values["area_error_pixels"] for values in (frame, bare)] == [6, 6]
    assert not [name for name in bare if name.endswith(("mm2", "ml", "mm"))]


def test_surfaces_are_compared_when_asked_for_and_carry_their_unit():
    label = torch.zeros(1, 20, 30, dtype=torch.uint8)
    label[0, 5:15, 5:20] = 1
    maps = {
        "prediction": label.roll(1, 2),
        "reference": label,
        "label_names": NAMES,
        "case": "c",
        "group": "g",
    }
    kidney, fluid = score_case(**maps, surfaces=True, spacing_mm=(1.0, 0.5))
    assert kidney.values()["hd95_mm"] == pytest.approx(0.5)
    assert fluid.surfaces is None
    assert "hd95_px" in score_case(**maps, surfaces=True)[0].values()
    assert score_case(**maps)[0].surfaces is None


class TestSpacing:
    def item(self, image: dict, label: dict | None = None, *, shape=(1, 4, 4), affine=None):
        return {
            "image": MetaTensor(torch.zeros(3, 2, 2), meta=image),
            "label": MetaTensor(torch.zeros(shape), affine=affine, meta=label or {}),
        }

    def test_a_frame_s_is_stated_by_its_image_or_its_label_and_never_guessed(self):
        assert source_spacing(self.item({"spacing_mm": [0.2, 0.3]}, {"spacing_mm": [1.0, 1.0]})) == (0.2, 0.3)
        assert source_spacing(self.item({}, {"spacing_mm": [torch.tensor(0.5), 0.25]})) == (0.5, 0.25)
        assert source_spacing(self.item({"spacing_source": "none"})) is None

    def test_a_volume_s_is_in_its_label_s_affine(self):
        affine = torch.diag(torch.tensor([-0.7, 0.7, 2.5, 1.0], dtype=torch.float64))
        assert source_spacing(self.item({}, shape=(1, 4, 4, 4), affine=affine)) == pytest.approx(
            (0.7, 0.7, 2.5)
        )
        uncalibrated = {"spacing_source": "none"}
        assert source_spacing(self.item({}, uncalibrated, shape=(1, 4, 4, 4), affine=affine)) is None
