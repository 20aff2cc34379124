"""An image that differs from the training images is far, in whatever the difference lies."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from pyraseg.pipeline.trust.unlike import FLAGGED, Unlike, spread


@pytest.fixture(scope="module")
def features() -> np.ndarray:
    """Forty features of 300 images that vary in six directions, and a little in all."""
    rng = np.random.default_rng(0)
    return 3 + rng.normal(size=(300, 6)) @ rng.normal(size=(6, 40)) + 0.05 * rng.normal(size=(300, 40))


def fitted(features: np.ndarray) -> Unlike:
    groups = [str(n // 2) for n in range(100)]
    return Unlike.fit(features[:100]).with_threshold(features[100:200], groups)


def test_images_like_those_of_the_training_are_flagged_about_as_often_as_wanted(features):
    flagged = float((fitted(features).ratios(features[200:]) > 1).mean())
    assert flagged <= 3 * FLAGGED


def test_a_direction_in_which_no_training_image_varied_is_seen(features):
    """A Mahalanobis distance within the main directions alone would be blind to it."""
    unlike = fitted(features)
    null = np.linalg.svd(unlike.components.T)[2][-1]
    along = unlike.components[:, 0]
    usual, odd = (features[200:201] + 4 * unlike.scale * direction for direction in (along, null))
    assert unlike.ratios(odd)[0] > 1
    assert unlike.ratios(odd)[0] > 1.5 * unlike.ratios(usual)[0]


def test_a_feature_vector_of_zeros_as_of_a_black_frame_is_far(features):
    assert fitted(features).ratios(np.zeros((1, 40)))[0] > 1


def test_a_constant_feature_and_few_images_give_finite_distances():
    few = np.random.default_rng(1).normal(size=(8, 40))
    few[:, 3] = 2.0
    assert np.isfinite(Unlike.fit(few).distances(np.zeros((2, 40)))).all()


def test_what_a_checkpoint_keeps_gives_the_same_ratios_loads_without_code_and_is_small(features, tmp_path):
    unlike = fitted(features)
    torch.save(unlike.facts(), tmp_path / "facts.pt")
    again = Unlike.from_facts(torch.load(tmp_path / "facts.pt", weights_only=True))
    np.testing.assert_allclose(again.ratios(features), unlike.ratios(features), rtol=0.02)
    assert (tmp_path / "facts.pt").stat().st_size < 20_000


def test_with_too_few_groups_for_a_share_the_threshold_is_the_farthest(features):
    unlike = Unlike.fit(features[:100]).with_threshold(features[100:110], ["a"] * 5 + ["b"] * 5)
    assert unlike.ratios(features[100:110]).max() == pytest.approx(1)


def test_items_are_spread_over_groups_and_over_the_length_of_each():
    items = [{"group": g, "n": n} for g, size in (("a", 100), ("b", 2), ("c", 1)) for n in range(size)]
    chosen = spread(items, most=8)
    assert [item["group"] for item in chosen[:5]] == ["a", "b", "c", "a", "b"]
    taken = sorted(item["n"] for item in chosen if item["group"] == "a")
    assert taken[0] == 0
    assert taken[-1] > 50
    assert len(spread(items, most=1000)) == 103
