"""From what a training logged to its curve in steps, or to the reason why it has none."""

from __future__ import annotations

import numpy as np
import pytest
from mlflow.entities import Metric

from pyraseg.pipeline.comparison.read.curves import Curve, read_curve
from pyraseg.pipeline.comparison.read.store import Store, StoredRun, open_store


def curve(dice, *, every: int = 10) -> Curve:
    return Curve(np.arange(1, len(dice) + 1) * every, np.array(dice))


def read(store, run_id: str):
    with open_store(store.uri) as opened:
        training = next(
            run for run in opened.runs(opened.experiment_id(store.experiment)) if run.run_id == run_id
        )
        return read_curve(opened, training)


def test_a_level_is_reached_at_the_first_validation_at_or_above_it():
    found = curve([0.2, 0.5, 0.72, 0.6, 0.8])
    assert found.reached(0.9 * 0.8) == 30  # which is 0.7200000000000001
    assert found.reached(0.5) == 20
    assert found.reached(0.1) == 10
    assert found.reached(0.55) == 30


def test_a_level_above_the_curve_is_never_reached_and_one_of_nothing_neither():
    found = curve([0.2, 0.5, 0.8])
    assert np.isnan(found.reached(0.81))
    assert np.isnan(curve([0.0, 0.0]).reached(0.9 * 0.0))
    assert np.isnan(found.reached(float("nan")))


def test_the_interval_counts_the_steps_before_the_first_validation():
    assert curve([0.1, 0.2], every=10).interval == 10
    assert Curve(np.array([40, 50, 55]), np.array([0.1, 0.2, 0.3])).interval == 40


@pytest.mark.parametrize(
    ("accumulated", "steps"), [(1, [7, 14, 21]), (2, [4, 8, 12]), (7, [1, 2, 3]), (99, [1, 2, 3])]
)
def test_epochs_are_counted_in_steps_of_the_optimiser(fresh, accumulated, steps):
    """Seven iterations an epoch: with two to a step, the seventh makes a step of its own."""
    run_id = fresh.add("a", params={"accumulation_steps": accumulated})
    fresh.validations(run_id, {1: 0.2, 2: 0.4, 3: 0.5}, iterations=21)
    found, why = read(fresh, run_id)
    assert found is not None
    assert found.steps.tolist() == steps
    assert found.dice.tolist() == [0.2, 0.4, 0.5]
    assert why == ""


def test_validations_that_left_out_epochs_stand_at_their_own_steps(fresh):
    run_id = fresh.add("a")
    fresh.validations(run_id, {10: 0.2, 20: 0.4, 25: 0.5}, iterations=50)
    found, _ = read(fresh, run_id)
    assert found is not None
    assert found.steps.tolist() == [20, 40, 50]


def test_of_an_epoch_that_a_resumed_run_logged_twice_the_last_written_counts(fresh):
    run_id = fresh.add("a")
    fresh.validations(run_id, {2: 0.3, 3: 0.4}, iterations=6, written=2000)
    fresh.validations(run_id, {1: 0.2, 2: 0.9, 3: 0.1}, written=1000)
    found, _ = read(fresh, run_id)
    assert found is not None
    assert found.steps.tolist() == [2, 4, 6]
    assert found.dice.tolist() == [0.2, 0.3, 0.4]


@pytest.mark.parametrize("turned", [False, True])
def test_a_server_may_hand_out_a_history_in_any_order(turned):
    class Client:
        def get_metric_history(self, run_id, metric):
            dice = [
                Metric("", v, written, e)
                for e, v, written in ((1, 0.2, 1), (2, 0.9, 2), (2, 0.3, 4), (3, 0.4, 5))
            ]
            found = dice if metric == "val_mean_dice" else [Metric("", 0.1, i, i) for i in range(1, 7)]
            return found[::-1] if turned else found

    found, _ = read_curve(Store(Client()), StoredRun("a", "a", "FINISHED", 0, {}, {}))
    assert found is not None
    assert found.steps.tolist() == [2, 4, 6]
    assert found.dice.tolist() == [0.2, 0.3, 0.4]


def test_a_validation_without_a_number_is_left_out(fresh):
    run_id = fresh.add("a")
    fresh.validations(run_id, {1: 0.2, 2: float("nan"), 3: 0.4}, iterations=3)
    found, _ = read(fresh, run_id)
    assert found is not None
    assert found.steps.tolist() == [1, 3]


@pytest.mark.parametrize(
    ("dice", "iterations", "more", "why"),
    [
        ({}, 10, {}, "logged 0 validations"),
        ({5: 0.5}, 10, {}, "logged 1 validations"),
        ({1: 0.2, 2: 0.5}, 0, {}, "too little to count the steps"),
        ({1: 0.2, 2: 0.5}, 9, {}, "too little to count the steps"),
        ({0: 0.2, 2: 0.5}, 10, {"params": {"accumulation_steps": "None"}}, "too little to count the steps"),
        ({1: 0.2, 2: 0.5}, 10, {"status": "KILLED"}, "is KILLED"),
    ],
)
def test_a_training_without_a_curve_has_a_reason(fresh, dice, iterations, more, why):
    run_id = fresh.add("a", **more)
    fresh.validations(run_id, dice, iterations=iterations)
    found, said = read(fresh, run_id)
    assert found is None
    assert why in said


def test_a_run_without_a_training_has_a_reason(store):
    with open_store(store.uri) as opened:
        found, why = read_curve(opened, None)
    assert found is None
    assert "no training" in why
