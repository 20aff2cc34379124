"""The frame that stands for a cine."""

from __future__ import annotations

import numpy as np

from pyraseg.pipeline.prediction.items.key_frame import key_frame, rule

NAMES = ("background", "kidney", "fluid")


def frames(kidney: list[int], fluid: list[int]) -> np.ndarray:
    return np.array([[1000 - k - f, k, f] for k, f in zip(kidney, fluid, strict=True)])


def test_the_largest_area_that_its_neighbours_share_counts_and_a_single_outlier_does_not():
    areas = frames([0] * 8, [0, 900, 0, 10, 40, 50, 30, 0])
    assert key_frame(areas, names=NAMES, segment="fluid") == 5


def test_at_a_tie_the_earlier_frame_counts():
    assert key_frame(frames([5] * 4, [7] * 4), names=NAMES, segment="fluid") == 0


def test_without_the_segment_all_segments_together_count():
    areas = frames([1, 5, 9, 8, 1], [0] * 5)
    for segment in ("fluid", "another", None):
        assert key_frame(areas, names=NAMES, segment=segment) in (2, 3)
    assert key_frame(areas, names=NAMES, segment="fluid") == key_frame(areas, names=NAMES, segment="kidney")


def test_a_single_frame_and_an_empty_cine_have_their_first():
    assert key_frame(frames([0], [0]), names=NAMES, segment="fluid") == 0
    assert key_frame(frames([0] * 3, [0] * 3), names=NAMES, segment="fluid") == 0


def test_the_rule_is_said_in_words():
    assert rule("fluid") == "frame with the largest area of fluid after a median over three frames"
    assert "segmented area" in rule(None)
