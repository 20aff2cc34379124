"""A store with an experiment of two arms, two seeds each, made once; and fresh experiments in it for other
tests."""

from __future__ import annotations

from dataclasses import replace
from itertools import count
from pathlib import Path

import pytest

from tests.pipeline.comparison.runs import StoreOfRuns, evaluate

NUMBERS = count()


@pytest.fixture(scope="session")
def tables(tmp_path_factory) -> dict[str, Path]:
    """Folders of evaluations by name."""
    folder = tmp_path_factory.mktemp("evaluations")
    kinds = {"good 0": (0.3, 0), "good 1": (0.4, 1), "poor 0": (1.6, 2), "poor 1": (1.8, 3)}
    return {
        name.replace(" ", "_"): evaluate(folder / name.replace(" ", "_"), error=error, seed=seed)
        for name, (error, seed) in kinds.items()
    }


@pytest.fixture(scope="session")
def store(tmp_path_factory) -> StoreOfRuns:
    folder = tmp_path_factory.mktemp("store")
    return StoreOfRuns(f"sqlite:///{folder / 'mlruns.db'}", folder)


@pytest.fixture
def fresh(store) -> StoreOfRuns:
    """The same store, another experiment."""
    return replace(store, experiment=f"experiment {next(NUMBERS)}")


@pytest.fixture(scope="session")
def arms(store, tables) -> StoreOfRuns:
    """The experiment: attention cbam, which is good, and none, which is not."""
    for arm, attention in (("good", "cbam"), ("poor", "none")):
        for seed in (0, 1):
            store.training(f"{attention} seed {seed}", seed=seed, attention=attention)
            store.evaluation(
                f"test of {attention} {seed}", tables[f"{arm}_{seed}"], of=f"{attention} seed {seed}"
            )
    return store
