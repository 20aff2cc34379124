"""The reliability plot shows accuracy as the height of its bars and gives the same pixels again."""

from __future__ import annotations

import numpy as np
import pytest

from pyraseg.pipeline.evaluation.calibration import Reliability
from pyraseg.pipeline.writers.pictures.reliability import BAR, draw_reliability
from pyraseg.transforms.errors import ConfigError


def curve(accuracy: float, *, bins: int = 15) -> Reliability:
    share, value = np.zeros(bins), np.full(bins, np.nan)
    share[-1] = 1
    confidence = value.copy()
    confidence[-1], value[-1] = 0.97, accuracy
    return Reliability("kidney", share, confidence, value)


def bar_pixels(accuracy: float) -> int:
    return int((np.abs(draw_reliability([curve(accuracy)]).astype(int) - BAR).max(axis=2) < 30).sum())


def test_a_bar_is_as_tall_as_the_accuracy():
    assert bar_pixels(0.4) == pytest.approx(bar_pixels(0.8) / 2, rel=0.1)
    assert bar_pixels(0.0) == 0


def test_there_is_a_panel_for_each_curve_and_the_same_input_gives_the_same_pixels():
    one, four = (draw_reliability([curve(0.5)] * n) for n in (1, 4))
    assert four.shape[1] > 3.5 * one.shape[1]
    assert four.dtype == np.uint8
    assert np.array_equal(one, draw_reliability([curve(0.5)]))


def test_no_curve_is_refused():
    with pytest.raises(ConfigError):
        draw_reliability([])
