"""How fast arms learn: figures by hand, what is never reached, what is absent, and what is said about it."""

from __future__ import annotations

import csv
import math
from dataclasses import replace

import numpy as np
import pytest

from pyraseg.pipeline.cli import main
from pyraseg.pipeline.comparison.present.sections import efficiency_tables
from pyraseg.pipeline.comparison.present.wording import lead, remarks
from pyraseg.pipeline.comparison.read.curves import Curve
from pyraseg.pipeline.comparison.read.runs import Arm, Run
from pyraseg.pipeline.comparison.statistics.efficiency import mean_curve, measure_efficiency


def run(name: str, dice=None, *, every: int = 10, **more) -> Run:
    curve = None if dice is None else Curve(np.arange(1, len(dice) + 1) * every, np.array(dice, dtype=float))
    return Run(name, name, 0, scores=(), trained_by=name, training_id=f"id of {name}", curve=curve, **more)


def arm(name: str, *curves, **more) -> Arm:
    return Arm(name, tuple(run(f"{name} seed {i}", dice, **more) for i, dice in enumerate(curves)))


HARD = arm(
    "hard", [0.2, 0.4, 0.6, 0.7, 0.8], [0.3, 0.5, 0.7, 0.8, 0.9]
)  # finals 0.8 and 0.9: the target is 0.765
SOFT = arm("soft", [0.5, 0.77, 0.8, 0.8, 0.8], [0.5, 0.6, 0.77, 0.8, 0.8])


def test_steps_to_the_own_final_and_to_the_baseline_s_follow_by_hand():
    found = measure_efficiency([HARD, SOFT])
    hard, soft = found.arms
    assert found.baseline == "hard"
    assert found.target == pytest.approx(0.9 * 0.85)
    assert (hard.final, hard.final_sd) == pytest.approx((0.85, 0.1 / math.sqrt(2)))
    assert [each.to_own_final for each in hard.runs] == [50, 50]  # 0.72 and 0.81
    assert [each.to_target for each in hard.runs] == [50, 40]
    assert (hard.to_target.mean, hard.to_target.least, hard.to_target.most, hard.to_target.never) == (
        45,
        40,
        50,
        0,
    )
    assert [each.to_own_final for each in soft.runs] == [20, 30]  # 0.72
    assert (soft.to_target.mean, soft.to_target.least, soft.to_target.most) == (25, 20, 30)
    assert soft.final_sd == pytest.approx(0)


def test_the_first_arm_is_the_baseline():
    assert measure_efficiency([SOFT, HARD]).target == pytest.approx(0.72)


def test_a_run_that_never_reaches_a_level_is_counted_and_not_averaged():
    slow = arm("slow", [0.2, 0.4, 0.5], [0.3, 0.7, 0.78])
    found = measure_efficiency([HARD, slow])
    steps = found.arms[1].to_target
    assert (steps.mean, steps.least, steps.most, steps.never, steps.runs) == (30, 30, 30, 1, 2)
    assert any(
        "“slow”: 1 of 2 runs never reach 90 % of the final of “hard”" in said for said in remarks(found)
    )
    arms, trainings, _ = efficiency_tables(found)
    assert arms.rows[1][0] == "slow"
    assert arms.rows[1][7:10] == ("30", "30 to 30", "1 of 2")
    assert [row[4] for row in trainings.rows] == ["50", "40", "never", "30"]


def test_an_arm_of_which_no_run_gets_there_has_no_mean():
    found = measure_efficiency([HARD, arm("slow", [0.2, 0.4], [0.3, 0.5])])
    steps = found.arms[1].to_target
    assert math.isnan(steps.mean)
    assert (steps.never, steps.runs) == (2, 2)
    assert efficiency_tables(found)[0].rows[1][7:10] == ("–", "–", "2 of 2")
    assert "“slow”: 2 of 2 runs never reach 90 % of the final of “hard”." in list(remarks(found))


def test_the_final_is_the_last_validation_and_a_run_that_ends_low_is_pointed_out():
    found = measure_efficiency([HARD, arm("fell", [0.3, 0.9, 0.5])])
    assert found.arms[1].final == 0.5
    assert any("“fell”: 1 of 1 runs end below 90 % of their own best" in said for said in remarks(found))
    assert not any("“hard”" in said and "own best" in said for said in remarks(found))


def test_other_intervals_and_other_lengths_are_said():
    same = list(remarks(measure_efficiency([HARD, SOFT])))
    assert not any("apart" in said or "end after" in said for said in same)
    coarse = arm("coarse", [0.6, 0.8], every=25)
    found = list(remarks(measure_efficiency([HARD, coarse])))
    assert any("(“hard”: 10, “coarse”: 25)" in said and "apart" in said for said in found)
    assert not any("end after" in said for said in found)
    longer = arm("longer", [0.2] * 5 + [0.8], [0.2] * 6 + [0.8])
    found = list(remarks(measure_efficiency([HARD, longer])))
    assert any("(“hard”: 50, “longer”: 60 to 70)" in said and "end after" in said for said in found)
    assert not any("apart" in said for said in found)


def test_other_sizes_of_batches_are_said():
    wide = arm("wide", [0.2, 0.5, 0.6, 0.7, 0.8], settings={"batch_size": "32"})
    narrow = arm("narrow", [0.2, 0.5, 0.6, 0.7, 0.8], settings={"batch_size": "8"})
    assert any("batches" in said for said in remarks(measure_efficiency([wide, narrow])))
    assert not any("batches" in said for said in remarks(measure_efficiency([wide, wide])))


def test_a_level_reached_at_the_first_validation_is_said_to_be_reached_no_later():
    found = list(remarks(measure_efficiency([HARD, arm("quick", [0.8, 0.8, 0.8, 0.8, 0.8])])))
    assert [said for said in found if "first validation" in said] == [
        "“quick”: 1 of 1 runs reach a level at their first validation; how much earlier they did, nobody "
        "looked."
    ]


def test_a_run_without_a_curve_is_left_out_and_named():
    found = measure_efficiency([HARD, arm("soft", [0.5, 0.8], None)])
    assert [(each.arm, len(each.runs)) for each in found.arms] == [("hard", 2), ("soft", 1)]
    ((name, which, why),) = found.left_out
    assert (name, which) == ("soft", "soft seed 1")
    assert "no training" in why
    assert any("“soft”: 1 of 2 trainings have no curve" in said for said in remarks(found))


def test_without_the_baseline_s_curve_no_arm_is_measured_against_it():
    found = measure_efficiency([arm("hard", None), SOFT])
    assert math.isnan(found.target)
    assert [each.arm for each in found.arms] == ["soft"]
    assert found.arms[0].to_own_final.mean == 25
    assert any("“hard”, which has no curve" in said for said in remarks(found))
    assert not any("never" in said for said in remarks(found))
    assert "never" not in efficiency_tables(found)[1].rows[0]


def test_two_evaluations_of_one_training_are_one_training():
    """As with and without flips, put into one arm by hand: a seed does not become two."""
    first = run("soft seed 0", [0.5, 0.8])
    found = measure_efficiency([HARD, Arm("soft", (first, replace(first, run_id="b")))])
    assert len(found.arms[1].runs) == 1
    assert math.isnan(found.arms[1].final_sd)


def test_the_sentence_names_the_split_and_why_nothing_is_tested():
    found = measure_efficiency([HARD, SOFT])
    assert "on the validation split during training, not on the test split" in lead(found, split="test")
    assert "the unit here is the seed" in lead(found, split="test")
    assert "not on the" not in lead(found, split="validation")
    assert lead(measure_efficiency([arm("a", None), arm("b", None)]), split="test").startswith("Absent")


def test_the_mean_curve_lasts_as_long_as_all_runs():
    runs = measure_efficiency([arm("a", [0.2, 0.4, 0.6], [0.4, 0.6])]).arms[0].runs
    steps, dice = mean_curve(runs)
    assert steps.tolist() == [10, 20]
    assert dice == pytest.approx([0.3, 0.5])


def test_the_mean_curve_of_other_intervals_follows_straight_lines():
    fine, coarse = run("fine", [0.1, 0.2, 0.3, 0.4]), run("coarse", [0.2, 0.6], every=20)
    steps, dice = mean_curve(measure_efficiency([Arm("a", (fine, coarse))]).arms[0].runs)
    assert steps.tolist() == [20, 30, 40]
    assert dice == pytest.approx([(0.2 + 0.2) / 2, (0.3 + 0.4) / 2, (0.4 + 0.6) / 2])


@pytest.fixture(scope="module")
def learned(store, tables, tmp_path_factory):
    """An experiment of two arms: two trainings with curves, and one of two whose curve is missing."""
    own = replace(store, experiment="learning")
    curves = {"cbam seed 0": [0.6, 0.75, 0.8], "cbam seed 1": [0.3, 0.7, 0.8], "none seed 0": [0.2, 0.4, 0.6]}
    for index, name in enumerate((*curves, "none seed 1")):
        run_id = own.training(name, seed=int(name[-1]), attention=name[:4])
        if name in curves:
            own.validations(run_id, dict(enumerate(curves[name], start=1)), iterations=15)
        own.evaluation(f"test of {name}", tables[("good_0", "good_1", "poor_0", "poor_1")[index]], of=name)
    return own, tmp_path_factory.mktemp("learned")


def compare(store, output, *options: str) -> int:
    where = ["--tracking_uri", store.uri, "--experiment", store.experiment, "--output", str(output)]
    return main(["compare", *where, "--resamples", "50", "--overwrite", *options])


def rows(output) -> list[dict[str, str]]:
    with open(output / "comparison.csv", newline="") as file:
        return list(csv.DictReader(file))


def test_the_part_stands_in_all_three_files(learned):
    store, output = learned
    assert compare(store, output) == 0
    found = {
        (row["arm"], row["metric"], row["against"]): row for row in rows(output) if row["kind"] == "training"
    }
    own, against = found["cbam", "steps_to_90_percent", ""], found["none", "steps_to_90_percent", "cbam"]
    assert (own["mean"], own["low"], own["high"], own["level"]) == ("12.5", "10", "15", "0 of 2")
    assert (against["mean"], against["factor"], against["level"]) == ("", "never", "1 of 1")
    assert (found["cbam", "final_dice", ""]["mean"], found["cbam", "final_dice", ""]["sd_over_seeds"]) == (
        "0.8",
        "0",
    )
    assert found["cbam", "validation_interval", ""]["high"] == "5"
    single = [row for row in rows(output) if (row["kind"], row["arm"]) == ("training_run", "cbam")]
    assert {row["level"] for row in single} == {"cbam seed 0", "cbam seed 1"}
    text = (output / "comparison.md").read_text()
    assert (
        "## Training efficiency\n\nMean Dice on the validation split during training, not on the test split"
        in text
    )
    assert "> “none”: 1 of 2 trainings have no curve and are left out." in text
    assert "| none | none seed 1 | its training logged 0 validations, and a curve takes 2 |" in text
    page = (output / "comparison.html").read_text()
    assert page.count('<g class="single"><title>cbam seed ') == 2
    assert page.count('<g class="whole"><title>') == 2
    assert "“none”: 1 of 2 trainings have no curve" in page


def test_the_baseline_that_is_asked_for_sets_the_level(learned, tmp_path):
    assert compare(learned[0], tmp_path, "--baseline", "none") == 0
    against = [row for row in rows(tmp_path) if row["kind"] == "training" and row["against"]]
    assert {(row["arm"], row["against"], row["mean"]) for row in against} == {
        ("none", "none", "15"),
        ("cbam", "none", "7.5"),
    }


def test_without_any_curve_the_part_says_why_and_the_comparison_stands(arms, tmp_path):
    assert compare(arms, tmp_path) == 0
    text = (tmp_path / "comparison.md").read_text()
    assert "“cbam” is better than “none”" in text
    assert "Absent: no run has a training with a curve" in text
    assert "its training logged 0 validations" in text
    assert not any(row["kind"].startswith("training") for row in rows(tmp_path))
    page = (tmp_path / "comparison.html").read_text()
    assert "Training efficiency" in page
    assert '<g class="single">' not in page


def test_a_run_whose_training_is_not_in_the_store_says_so(fresh, tables, tmp_path):
    fresh.evaluation("one", tables["good_0"], of=None)
    fresh.evaluation("other", tables["poor_0"], of=None)
    assert compare(fresh, tmp_path) == 0
    assert "the store has no training of what it measured" in (tmp_path / "comparison.html").read_text()
