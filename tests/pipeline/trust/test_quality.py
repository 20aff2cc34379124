"""The Dice that is expected rises with what the probabilities say, and is what it was on validation."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from pyraseg.pipeline.trust.quality import Expected, MapSums, agreement, share_over_groups


def test_the_sums_of_the_parts_are_those_of_the_whole():
    soft = torch.rand(3, 8, 6, 5).softmax(dim=0)
    whole = MapSums.of(soft)
    parts = MapSums.of(soft[:, :3]) + MapSums.of(soft[:, 3:])
    for name in ("inside", "won", "mass", "peak"):
        np.testing.assert_allclose(getattr(parts, name), getattr(whole, name), rtol=1e-5)


def test_the_expected_dice_is_that_of_references_drawn_from_the_probabilities():
    rng = np.random.default_rng(0)
    foreground = torch.linspace(0, 1, 400).reshape(1, 20, 20)
    soft = torch.cat([1 - foreground, foreground])
    predicted = foreground[0].numpy() > 0.5
    dice = []
    for _ in range(200):
        reference = rng.random((20, 20)) < foreground[0].numpy()
        dice.append(agreement(predicted.sum(), reference.sum(), (predicted & reference).sum()))
    assert MapSums.of(soft).expected_dice()[1] == pytest.approx(np.mean(dice), abs=0.01)


def test_weights_before_the_argmax_change_what_is_won():
    soft = torch.tensor([[0.6, 0.4], [0.4, 0.6]])
    assert MapSums.of(soft).won.tolist() == [1, 1]
    assert MapSums.of(soft, torch.tensor([1.0, 0.2])).won.tolist() == [2, 0]


def test_the_curve_rises_and_corrects_a_network_that_is_too_sure():
    rng = np.random.default_rng(0)
    expected = rng.uniform(0.6, 1, 200)
    observed = np.clip(2 * expected - 1.1 + rng.normal(0, 0.05, 200), 0, 1)
    table = np.column_stack([expected, np.ones(200), np.ones(200)])
    curve = Expected.fit(table, observed, np.ones(200))
    qualities = [curve.quality(x, 1.0, True) for x in np.linspace(0, 1, 50)]
    assert (np.diff(qualities) >= 0).all()
    assert curve.quality(0.8, 1.0, True) == pytest.approx(0.5, abs=0.06)


def test_what_is_surer_than_any_validation_image_is_not_taken_for_better():
    table = np.column_stack([np.full(20, 0.9), np.ones(20), np.ones(20)])
    for observed in (np.full(20, 0.5), np.tile([0.0, 1.0], 10), np.tile([1.0, 0.0], 10)):
        curve = Expected.fit(table, observed, np.ones(20))
        assert curve.quality(0.99, 1.0, True) == pytest.approx(0.5)


def test_without_a_case_to_learn_from_the_probabilities_are_believed():
    curve = Expected.fit(np.zeros((0, 3)), [], [])
    assert curve.quality(0.7, 0.9, True) == pytest.approx(0.7)
    assert curve.quality(0.0, 0.3, False) == pytest.approx(0.7)


def test_an_absence_that_was_seen_is_right_and_one_that_was_not_is_wrong():
    assert [agreement(0, 0, 0), agreement(5, 0, 0), agreement(0, 5, 0)] == [1, 0, 0]


def test_no_more_than_the_share_is_flagged_where_all_values_differ():
    values = [n / 100 for n in range(100)]
    threshold = share_over_groups(values, [str(n) for n in range(100)], 0.2)
    assert sum(value <= threshold for value in values) == 20
