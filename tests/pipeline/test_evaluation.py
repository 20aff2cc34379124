"""Scores follow the stated conventions and agree with MONAI where both define a value."""

import csv
import json
import math

import numpy as np
import pytest
import torch
from monai.metrics import compute_dice
from monai.networks import one_hot

from pipeline.evaluation import CaseScore, score_case, summarise, write_scores

NAMES = ["background", "kidney", "hydronephrosis"]


def row(*, group="g", case="c", label="kidney", reference=10, predicted=10, common=10):
    return CaseScore(case, group, label, reference, predicted, common)


def test_dice_equals_monai_on_random_label_maps():
    generator = torch.Generator().manual_seed(0)
    for _ in range(5):
        prediction, reference = torch.randint(0, 3, (2, 1, 17, 23), generator=generator)
        scores = score_case(prediction, reference, label_names=NAMES, case="c", group="g")
        maps = [one_hot(m[None], 3) for m in (prediction, reference)]
        expected = compute_dice(*maps, include_background=False)[0]
        assert [s.dice for s in scores] == pytest.approx(expected.tolist())


def test_a_missed_structure_is_dice_zero_and_counted():
    score = row(predicted=0, common=0)
    assert score.dice == 0
    assert score.missed
    assert not score.false_positive


def test_both_empty_is_left_out_and_no_false_positive():
    score = row(reference=0, predicted=0, common=0)
    assert math.isnan(score.dice)
    assert not score.false_positive


def test_a_prediction_without_reference_is_a_false_positive_and_has_no_dice():
    score = row(reference=0, predicted=3, common=0)
    assert score.false_positive
    assert math.isnan(score.dice)


def test_a_group_weighs_the_same_however_many_frames_it_has():
    scores = [row(group="large")] * 9 + [row(group="small", common=0)]
    summary = summarise(scores)
    assert summary["dice_kidney"] == pytest.approx(0.5)
    assert summary["frame_mean_dice_kidney"] == pytest.approx(0.9)
    assert summary["frame_median_dice_kidney"] == 1


def test_rates_count_over_the_cases_they_speak_of():
    scores = [row(), row(predicted=0, common=0), row(reference=0, common=0), row(reference=0, predicted=0, common=0)]
    summary = summarise(scores)
    assert summary["missed_rate_kidney"] == 0.5
    assert summary["false_positive_rate_kidney"] == 0.5


def test_a_class_that_no_case_shows_is_absent_and_not_perfect():
    summary = summarise([row(), row(label="hydronephrosis", reference=0, predicted=0, common=0)])
    assert math.isnan(summary["dice_hydronephrosis"])
    assert summary["mean_dice"] == 1


def test_the_table_and_the_summary_hold_every_case_and_no_nan(tmp_path):
    scores = [row(case="a", common=5), row(case="b", reference=0, predicted=0, common=0)]
    table, summary = write_scores(tmp_path, scores)
    with open(table) as file:
        rows = list(csv.DictReader(file))
    assert [r["case"] for r in rows] == ["a", "b"]
    assert rows[0]["dice"] == "0.500000"
    assert rows[1]["dice"] == ""
    content = json.loads(summary.read_text())
    assert content["dice_kidney"] == pytest.approx(0.5)
    assert all(value is None or np.isfinite(value) for value in content.values())
