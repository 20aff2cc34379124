"""How sure the network was, and colour that it has not learned from."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from pyraseg.pipeline.prediction.items.confidence import colour_fraction, confidence


def test_confidence_is_the_winners_mean_probability_over_the_foreground():
    scores = np.random.default_rng(0).normal(size=(3, 9, 7)).astype(np.float32)
    chances = torch.softmax(torch.from_numpy(scores), dim=0)
    best, winner = chances.max(dim=0)
    assert confidence(scores) == pytest.approx(float(best[winner > 0].mean()), rel=1e-5)


def test_without_foreground_there_is_none():
    scores = np.zeros((3, 4, 4), np.float32)
    scores[0] = 1
    assert confidence(scores) is None


def test_huge_scores_are_no_overflow():
    scores = np.full((2, 4, 4), -1e30, np.float32)
    scores[1] = 1e30
    assert confidence(scores) == 1.0


def test_grey_is_no_colour_whatever_its_brightness():
    grey = torch.rand(1, 8, 8, generator=torch.Generator().manual_seed(0))
    assert colour_fraction(grey.repeat(3, 1, 1)) == 0
    assert colour_fraction(grey) == 0


def test_the_coloured_part_is_counted():
    image = torch.full((3, 8, 8), 0.5)
    image[0, :4] = 1.0
    assert colour_fraction(image) == 0.5
