"""How sure the network was, which frame stands for a cine, and what a person is sent to look at."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from pyraseg.pipeline.bundle.metadata import Review
from pyraseg.pipeline.prediction.items.quality import (
    colour_fraction,
    confidence,
    key_frame,
    key_frame_rule,
    review_flags,
)

NAMES = ("background", "kidney", "fluid")
REVIEW = Review(
    low_confidence=0.7, expected=("tumour",), area_mm2={"tumour": (50, 900)}, volume_ml={"tumour": (1, 20)}
)


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
    assert key_frame_rule("fluid") == "frame with the largest area of fluid after a median over three frames"
    assert "segmented area" in key_frame_rule(None)


def flags(voxels: int, **given) -> tuple[str, ...]:
    facts = {"spacing_mm": None, "confidence": 0.9, "voxel_ml": 0.01, **given}
    return review_flags(
        REVIEW, label_names=("background", "tumour"), areas=np.array([10_000, voxels]), **facts
    )


def test_a_volume_is_judged_by_its_ml():
    assert flags(500) == ()
    assert flags(99) == flags(2001) == ("implausible tumour volume",)


def test_a_volume_without_what_is_expected_says_so_and_has_no_size():
    assert flags(0, confidence=None) == ("no tumour found",)


def test_a_frame_is_judged_by_its_area():
    assert flags(99, voxel_ml=None, spacing_mm=(1.0, 1.0)) == ()
    assert flags(99, voxel_ml=None, spacing_mm=(0.5, 0.5)) == ("implausible tumour area",)
    assert flags(99, voxel_ml=None) == ()


def test_low_confidence_is_flagged():
    assert flags(500, confidence=0.69) == ("low confidence",)


def test_strange_greys_are_a_flag():
    assert flags(500, contrast="nearly black") == ("nearly black",)
