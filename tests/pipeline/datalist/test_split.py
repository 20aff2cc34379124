"""Sharing out groups: the laws that hold whatever the sizes."""

from __future__ import annotations

import numpy as np
import pytest

from pyraseg.pipeline.datalist.split import assign_groups, check_fractions
from pyraseg.transforms.errors import DatalistError

PARTS = (0.7, 0.1, 0.2)


def skewed(groups: int = 300, seed: int = 0) -> np.ndarray:
    """Frames and frames with fluid: most groups of one, few very large."""
    generator = np.random.default_rng(seed)
    frames = np.ceil(generator.pareto(0.9, groups)).clip(1, 400).astype(int)
    return np.stack([frames, generator.binomial(frames, generator.random(groups))], axis=1)


def shares(counts: np.ndarray, chosen: list[int], parts: int) -> np.ndarray:
    return np.stack([counts[np.asarray(chosen) == part].sum(axis=0) for part in range(parts)]) / counts.sum(
        axis=0
    )


@pytest.mark.parametrize("seed", range(4))
def test_each_split_gets_its_share_of_frames_of_classes_and_of_groups(seed: int) -> None:
    counts = np.column_stack([skewed(), np.ones(300)])
    got = shares(counts, assign_groups(counts.tolist(), PARTS, seed=seed), 3)
    assert np.abs(got - np.asarray(PARTS)[:, None]).max() < 0.02


def test_folds_are_alike() -> None:
    counts = skewed(seed=3)
    assert counts[:, 0].max() / counts[:, 0].sum() < 0.2  # a group larger than a fold could not be shared out
    got = shares(counts, assign_groups(counts.tolist(), [0.2] * 5, seed=0), 5)
    assert np.abs(got - 0.2).max() < 0.02


def test_the_same_seed_gives_the_same_split_and_another_seed_another() -> None:
    counts = skewed(60).tolist()
    one, two, three = (assign_groups(counts, PARTS, seed=seed) for seed in (1, 1, 2))
    assert one == two
    assert one != three


def test_seeds_move_the_large_groups_too() -> None:
    counts = skewed(60)
    large = np.argsort(-counts[:, 0])[:8]
    placements = {
        tuple(np.asarray(assign_groups(counts.tolist(), PARTS, seed=seed))[large]) for seed in range(6)
    }
    assert len(placements) > 1


def test_no_split_is_left_empty_beside_one_giant_group() -> None:
    assert sorted(set(assign_groups([[488], [1], [1]], PARTS, seed=0))) == [0, 1, 2]


def test_a_class_that_no_frame_holds_does_no_harm() -> None:
    assert len(set(assign_groups([[3, 0], [2, 0], [1, 0], [1, 0]], PARTS, seed=0))) == 3


def test_too_few_groups_are_refused() -> None:
    with pytest.raises(DatalistError, match="2 groups"):
        assign_groups([[5], [5]], PARTS, seed=0)


@pytest.mark.parametrize("fractions", [(0.5, 0.5), (0.7, 0.2, 0.2), (0, 0.5, 0.6), (1.2, -0.1, -0.1), ()])
def test_fractions_that_are_no_parts_of_a_whole_are_refused(fractions: tuple[float, ...]) -> None:
    with pytest.raises(DatalistError, match="add up to 1"):
        check_fractions(fractions)
