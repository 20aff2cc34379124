"""From tables to what is better: arms, refusals, and estimates that follow from the tables by hand."""

from __future__ import annotations

import math
import re
from dataclasses import replace
from importlib.resources import files

import numpy as np
import pytest

from pyraseg.pipeline.comparison.compare import compare
from pyraseg.pipeline.comparison.present.plots import agreement_plots, difference_plots
from pyraseg.pipeline.comparison.present.sections import sections
from pyraseg.pipeline.comparison.present.svg import legend_line
from pyraseg.pipeline.comparison.present.wording import verdicts
from pyraseg.pipeline.comparison.read.arms import make_arms, parse_arms
from pyraseg.pipeline.comparison.read.checks import require_comparable
from pyraseg.pipeline.comparison.read.runs import Run, TrainingData
from pyraseg.pipeline.comparison.read.settings import differing, flatten, run_settings
from pyraseg.pipeline.comparison.statistics.metrics import choose, higher_is_better, row_values, title
from pyraseg.transforms.errors import DatalistError, InputError, UsageError
from pyraseg.transforms.privacy import image_group


def row(
    case: str, group: str, dice: float, *, label: str = "kidney", reference: int = 100, **more: str
) -> dict[str, str]:
    predicted = 0 if dice == 0 else 90
    return {
        "case": case,
        "group": group,
        "class": label,
        "dice": f"{dice:.6f}" if reference else "",
        "iou": "",
        "sensitivity": "",
        "precision": "",
        "hd95": "2.0" if reference else "",
        "assd": "",
        "surface_dice": "",
        "distance_unit": "mm",
        "reference_pixels": str(reference),
        "predicted_pixels": str(predicted),
        "area_error_pixels": str(predicted - reference),
        "reference_size": "",
        "predicted_size": "",
        "size_error": "",
        "size_unit": "",
        "missed": str(int(predicted == 0 and reference > 0)),
        "false_positive": str(int(predicted > 0 and reference == 0)),
        **more,
    }


def run(
    name: str,
    dices: dict[tuple[str, str], float],
    *,
    seed: str = "0",
    settings: dict[str, str] | None = None,
    **more,
) -> Run:
    scores = tuple(row(case, group, dice) for (case, group), dice in dices.items())
    return Run(
        name, name, 0, scores=scores, seed=seed, trained_by=name, settings=settings or {"arm": name}, **more
    )


def dices(*values: float) -> dict[tuple[str, str], float]:
    """A case a group."""
    return {(f"case {i}", f"patient {i}"): value for i, value in enumerate(values)}


def compared(*runs: Run, **options):
    return compare(runs, experiment="x", resamples=200, **options)


BASE = np.linspace(0.5, 0.9, 8)


def test_the_mean_difference_is_taken_over_groups_and_seeds():
    """One patient with three cases weighs as much as another with one; the seeds' mean comes first."""
    cases = [("a1", "a"), ("a2", "a"), ("a3", "a"), ("b1", "b")]
    values = {"0": (0.5, 0.5, 0.5, 0.5), "1": (0.7, 0.7, 0.7, 0.7)}
    first = [
        run(f"x seed {seed}", dict(zip(cases, v, strict=True)), seed=seed, settings={"k": "x"})
        for seed, v in values.items()
    ]
    second = run("y", dict(zip(cases, (0.9, 0.8, 0.7, 0.6), strict=True)))
    found = compared(*first, second)
    (difference,) = found.differences
    assert (difference.arm, difference.against) == ("y", "x")
    assert difference.mean == pytest.approx((0.2 + 0.0) / 2)  # groups: 0.8 - 0.6 and 0.6 - 0.6
    assert (difference.wins, difference.ties, difference.losses) == (1, 1, 0)
    score = found.score("kidney", "dice", "x")
    assert score is not None
    assert score.seeds == pytest.approx((0.5, 0.7))
    assert score.seed_sd == pytest.approx(0.1 * math.sqrt(2))


def test_a_clear_difference_is_said_with_the_better_arm_first():
    found = compared(run("good", dices(*BASE)), run("poor", dices(*BASE - np.linspace(0.1, 0.2, 8))))
    ((kind, sentence),) = verdicts(found)
    assert kind == "better"
    assert "“good” is better than “poor”. good − poor: +0.150" in sentence


def test_of_a_distance_less_is_better():
    def distances(name: str, values) -> Run:
        rows = tuple(row(f"c{i}", f"p{i}", 0.5) | {"hd95": f"{v}"} for i, v in enumerate(values))
        return Run(name, name, 0, scores=rows, trained_by=name, settings={"arm": name})

    near, far = distances("near", range(1, 9)), distances("far", [2.5 * i for i in range(1, 9)])
    found = compared(near, far, metrics=["hd95"])
    ((kind, sentence),) = verdicts(found)
    assert found.metrics == ("hd95_mm",)
    assert kind == "better"
    assert "“near” is better than “far”. near − far: −6.75" in sentence
    assert (found.differences[0].wins, found.differences[0].losses) == (0, 8)  # of far


def test_no_difference_is_said_to_be_not_shown():
    jitter = np.array([0.01, -0.01, 0.012, -0.013, 0.02, -0.02, 0.003, -0.004])
    found = compared(run("one", dices(*BASE)), run("other", dices(*BASE + jitter)))
    ((kind, sentence),) = verdicts(found)
    assert kind == "none"
    assert "no difference of “other” and “one” is shown" in sentence


def test_where_mean_and_ranks_disagree_no_arm_is_called_better():
    d = np.array([0.01, 0.012, 0.013, 0.014, 0.015, 0.016, 0.017, 0.018, 0.019, 0.02, 0.021, -0.6])
    found = compared(run("one", dices(*[0.7] * 12)), run("other", dices(*0.7 + d)))
    assert found.differences[0].adjusted < 0.05
    ((kind, _),) = verdicts(found)
    assert kind == "unclear"


def test_where_one_seed_points_the_other_way_no_arm_is_called_better():
    """Two seeds in which both arms are alike, and one in which a training failed."""

    def arm(name: str, *offsets: float) -> list[Run]:
        return [
            run(f"{name} seed {seed}", dices(*BASE + offset), seed=str(seed), settings={"k": name})
            for seed, offset in enumerate(offsets)
        ]

    found = compared(*arm("sound", 0.0, 0.0, 0.0), *arm("failed", 0.01, 0.005, -0.45))
    (difference,) = found.differences
    assert difference.adjusted < 0.05
    assert difference.of_seeds == pytest.approx((0.01, 0.005, -0.45))
    ((kind, sentence),) = verdicts(found)
    assert kind == "unclear"
    assert "not to one side with every seed (+0.010, +0.005, −0.450)" in sentence

    found = compared(*arm("sound", 0.0, 0.0, 0.0), *arm("failed", -0.01, -0.005, -0.45))
    assert [kind for kind, _ in verdicts(found)] == ["better"]


def test_of_fewer_than_six_groups_nothing_is_tested_and_the_page_says_so():
    found = compared(run("one", dices(*BASE[:5])), run("other", dices(*BASE[:5] - 0.2)))
    assert math.isnan(found.differences[0].p)
    assert any("no p-values" in note for note in found.notes)
    ((kind, sentence),) = verdicts(found)
    assert kind == "untested"
    assert "fewer than 6 groups" in sentence


def test_holm_is_over_all_classes_metrics_and_pairs_of_the_page():
    found = compared(run("a", dices(*BASE)), run("b", dices(*BASE - 0.1)), run("c", dices(*BASE - 0.2)))
    assert [(d.arm, d.against) for d in found.differences] == [("b", "a"), ("c", "a"), ("c", "b")]
    assert [d.p for d in found.differences] == pytest.approx([2 / 2**8] * 3)
    assert [d.adjusted for d in found.differences] == pytest.approx([6 / 2**8] * 3)
    fewer = compared(
        run("a", dices(*BASE)), run("b", dices(*BASE - 0.1)), run("c", dices(*BASE - 0.2)), baseline="b"
    )
    assert [(d.arm, d.against) for d in fewer.differences] == [("a", "b"), ("c", "b")]


def test_a_missed_structure_counts_as_zero_and_an_absent_one_not_at_all():
    def with_absent(name: str, values) -> Run:
        extra = (row("none", "patient 0", 0.5, reference=0),)
        return Run(
            name,
            name,
            0,
            scores=run(name, dices(*values)).scores + extra,
            trained_by=name,
            settings={"arm": name},
        )

    found = compared(with_absent("one", [0.8, *BASE[1:]]), with_absent("other", [0.0, *BASE[1:]]))
    score = found.score("kidney", "dice", "other")
    assert score is not None
    assert score.values.min() == 0
    assert score.cases == 8
    missed, wrong = (found.score("kidney", name, "other") for name in ("missed", "false_positive"))
    assert missed is not None
    assert wrong is not None
    assert (missed.mean, wrong.mean, wrong.cases) == (1 / 8, 1.0, 1)


def test_sizes_are_in_thirds_over_groups_and_other_columns_divide_too():
    def sized(name: str, shift: float) -> Run:
        rows = tuple(
            row(f"c{i}", f"p{i}", 0.8 - shift * i, reference=100 * (i + 1), scanner="A" if i < 2 else "B")
            | {"unlike": "0.5" if i < 2 else "1.5"}  # an evaluation's own
            for i in range(6)
        )
        return Run(name, name, 0, scores=rows, trained_by=name, settings={"arm": name})

    found = compared(sized("one", 0.0), sized("other", 0.1), factors={"site": {"p0": "north", "c5": "south"}})
    by_size = [s for s in found.subgroups if s.factor == "size"]
    assert [s.difference for s in by_size] == pytest.approx([-0.05, -0.25, -0.45])
    assert [s.groups for s in by_size] == [2, 2, 2]
    by_scanner = {s.level: s.difference for s in found.subgroups if s.factor == "scanner"}
    assert by_scanner == pytest.approx({"A": -0.05, "B": -0.35})
    assert {s.level: s.cases for s in found.subgroups if s.factor == "site"} == {"north": 1, "south": 1}
    assert {s.factor for s in found.subgroups} == {"size", "scanner", "site"}


def test_a_group_with_many_cases_does_not_set_the_thirds_alone():
    sizes = [*range(1000, 1100), 10, 20, 30, 40, 50, 60]
    groups = ["big"] * 100 + [f"p{i}" for i in range(6)]

    def made(name: str, dice: float) -> Run:
        rows = tuple(
            row(f"c{i:03}", g, dice, reference=size)
            for i, (size, g) in enumerate(zip(sizes, groups, strict=True))
        )
        return Run(name, name, 0, scores=rows, trained_by=name, settings={"arm": name})

    small = next(
        s for s in compared(made("one", 0.5), made("other", 0.6)).subgroups if s.level.endswith("30 px")
    )
    assert small.groups == 3


def test_worst_and_most_different_cases_are_of_different_groups():
    cases = {("a1", "a"): 0.1, ("a2", "a"): 0.2, **dices(*BASE)}
    found = compared(run("one", cases), run("other", dict.fromkeys(cases, 0.9)))
    worst = [w for w in found.worst if w.arm == "one"]
    assert [w.case for w in worst][:2] == ["a1", "case 0"]
    assert len({w.group for w in worst}) == len(worst) == 5
    assert found.most_different[0] == "a1"
    assert "a2" not in found.most_different


def test_other_cases_are_refused_with_the_run_that_has_them():
    one, other = run("one", dices(0.5, 0.6, 0.7)), run("other", dices(0.5, 0.6))
    with pytest.raises(
        DatalistError, match="'other \\(seed 0\\)': 0 of its cases are not there, 1 of the other's"
    ):
        require_comparable([one, other])


def test_another_group_and_another_reference_are_other_tests():
    one = run("one", dices(0.5, 0.6))
    moved = replace(
        one, name="moved", trained_by="moved", scores=(one.scores[0] | {"group": "patient 1"}, one.scores[1])
    )
    redrawn = replace(
        one,
        name="redrawn",
        trained_by="redrawn",
        scores=(one.scores[0] | {"reference_pixels": "99"}, one.scores[1]),
    )
    with pytest.raises(DatalistError, match="moved"):
        require_comparable([one, moved])
    with pytest.raises(DatalistError, match=r"'redrawn.*the reference of 1 cases and classes is another"):
        require_comparable([one, redrawn])


def test_a_run_that_was_trained_on_a_test_group_is_refused():
    seen = run("seen", dices(0.5, 0.6), data=TrainingData(groups=frozenset({"patient 1", "patient 7"})))
    with pytest.raises(DatalistError, match="1 of 2 that 'seen"):
        require_comparable([run("one", dices(0.5, 0.6)), seen])


def test_one_case_only_is_refused():
    with pytest.raises(DatalistError, match="at least two test cases"):
        require_comparable([run("one", dices(0.5)), run("other", dices(0.6))])


def test_a_table_of_something_else_is_refused():
    strange = Run("strange", "strange", 0, scores=({"case": "a"},))
    with pytest.raises(InputError, match="without class, dice"):
        require_comparable([strange, strange])
    empty = Run("empty", "empty", 0, scores=())
    with pytest.raises(InputError, match="any row"):
        require_comparable([empty, empty])


def test_runs_that_differ_in_the_seed_alone_are_one_arm():
    runs = [
        run(f"{arm} seed {s}", dices(*BASE), seed=str(s), settings={"a": arm})
        for s in (0, 1)
        for arm in ("se", "cbam")
    ]
    assert [(arm.name, len(arm.runs)) for arm in make_arms(runs)] == [("se", 2), ("cbam", 2)]
    assert [arm.name for arm in make_arms(runs, baseline="cbam")] == ["cbam", "se"]


def test_a_training_data_draw_for_each_seed_stays_in_its_arm_and_another_set_does_not():
    def drawn(arm: str, seed: int, digest: str, groups: str = "10") -> Run:
        data = TrainingData(digest=digest, training_groups=groups)
        return run(f"{arm} seed {seed}", dices(*BASE), seed=str(seed), settings={"a": arm}, data=data)

    draws = [drawn(arm, seed, f"draw {seed}") for arm in ("hard", "soft") for seed in (0, 1)]
    assert [len(arm.runs) for arm in make_arms(draws)] == [2, 2]
    more = [drawn("hard", seed, "all", "100") for seed in (0, 1)]
    assert [len(arm.runs) for arm in make_arms(draws[:2] + more)] == [2, 2]
    same_seed = [drawn("hard", 0, "one set"), drawn("hard", 0, "another")]
    assert [len(arm.runs) for arm in make_arms(same_seed)] == [1, 1]


def test_an_arm_without_a_name_of_its_own_is_called_by_its_settings():
    runs = [run(f"2026-01-0{d} 10:00:00", dices(*BASE), settings={"net::depth": str(18 * d)}) for d in (1, 2)]
    assert [arm.name for arm in make_arms(runs)] == ["depth 18", "depth 36"]


def test_runs_whose_training_is_unknown_are_arms_of_their_own():
    runs = [
        replace(run(name, dices(*BASE), settings={"same": "1"}), trained_by="") for name in ("one", "other")
    ]
    assert [arm.name for arm in make_arms(runs)] == ["one", "other"]


def test_several_runs_of_one_seed_in_an_arm_are_pointed_out():
    """Two files of pretrained weights are both "<path>" in the configs."""
    alike = [run(f"same {i}", dices(*BASE), settings={"pretrained": "<path>"}) for i in range(2)]
    found = compared(
        *alike, run("other", dices(*BASE)), arms={"same": ["same 0", "same 1"], "other": ["other"]}
    )
    assert any("several runs of one seed" in note for note in found.notes)


def test_a_run_named_in_two_arms_is_refused():
    runs = [replace(run(name, dices(*BASE)), training_id=f"id of {name}") for name in ("one", "other")]
    assert [arm.name for arm in make_arms(runs, named={"a": ["id of one"], "b": ["other"]})] == ["a", "b"]
    with pytest.raises(UsageError, match=r"'one.*in two"):
        make_arms(runs, named={"a": ["id of one"], "b": ["other", "one"]})


def test_one_arm_only_is_refused_and_arms_can_be_named():
    runs = [run(f"a seed {s}", dices(*BASE), seed=str(s), settings={"a": "1"}) for s in range(4)]
    with pytest.raises(UsageError, match="at least two arms"):
        make_arms(runs)
    named = parse_arms(["first=a seed 0,a seed 1", "last=a seed 2, a seed 3"])
    arms = make_arms(runs, named=named)
    assert [(arm.name, len(arm.runs)) for arm in arms] == [("first", 2), ("last", 2)]
    with pytest.raises(UsageError, match="Did you mean 'a'"):
        make_arms([*runs, run("b", dices(*BASE))], baseline="aa")


@pytest.mark.parametrize("words", [["a"], ["a="], ["a=x", "a=y"], ["a=x", "b=x"], ["=x"]])
def test_arms_of_another_form_are_refused(words):
    with pytest.raises(UsageError):
        parse_arms(words)


def test_an_absent_metric_is_refused_with_the_nearest():
    known = ["dice", "iou", "hd95_mm", "hd95_px", "surface_dice_mm"]
    assert choose(["hd95", "dice"], known) == ["hd95_mm", "hd95_px", "dice"]
    with pytest.raises(UsageError, match="Did you mean dice"):
        choose(["dise"], known)


def test_metrics_know_which_way_is_better_and_their_names():
    assert all(map(higher_is_better, ("dice", "iou", "sensitivity", "precision", "surface_dice_mm")))
    assert not any(
        map(higher_is_better, ("hd95_mm", "assd_px", "missed", "false_positive", "size_error_mm2"))
    )
    assert [title(m) for m in ("hd95_mm", "surface_dice_px", "dice", "size_error_ml")] == [
        *("HD95, mm", "surface Dice, px", "Dice", "|size error|, ml"),
    ]
    assert row_values(row("a", "b", 0.0))["area_error_pixels"] == 100


def test_settings_leave_out_where_and_under_which_name_a_run_went():
    one = run_settings(
        {"seed": 0, "run_name": "a", "output_dir": "x", "depth": 18, "loss": {"b": [1, 2]}}, {"split": "test"}
    )
    assert one == {"depth": "18", "loss::b": "[1, 2]", "evaluation: split": "test"}
    other = one | {"depth": "50", "evaluation: depth": "50"}
    assert differing([one | {"evaluation: depth": "18"}, other]) == {"depth": ("18", "50")}
    assert differing([one, dict(one)]) == {}
    assert dict(flatten({"a": {}, "b": None})) == {"a": "{}", "b": "null"}


def test_no_two_pairs_of_arms_with_long_names_look_alike_in_the_plot_of_differences():
    arms = [f"attention={a},labels={b}" for a in ("none", "cbam") for b in ("hard", "soft")]
    endings = [f"a name that is much too long for the margin of a plot {i}" for i in range(4)]
    for names in (arms, endings):
        found = compared(*[run(name, dices(*BASE - i * 0.05)) for i, name in enumerate(names)])
        (plot,) = difference_plots(found)
        rows = "\n".join(re.findall(r'text-anchor="end"[^>]*>([^<]*)<', plot)).split("kidney\n")[1:]
        assert len(rows) == len(set(rows)) == 6


def test_what_the_runs_of_a_named_arm_differ_in_is_shown_too():
    """An arm that somebody has put together of two learning rates is not "all else the same" as one of the
    first."""
    mixed = [
        run(name, dices(*BASE), settings={"rate": rate, "net": "a"})
        for name, rate in (("A", "1"), ("B", "2"))
    ]
    other = run("C", dices(*BASE), settings={"rate": "1", "net": "b"})
    found = compared(*mixed, other, arms={"x": ["A", "B"], "y": ["C"]})
    assert found.settings == {"rate": ("1 or 2", "1"), "net": ("a", "b")}


def test_of_an_unknown_training_no_config_is_invented():
    known = [run(name, dices(*BASE), settings={"net": name, "rate": "1"}) for name in ("a", "b")]
    strange = replace(run("strange", dices(*BASE), settings={"evaluation: tta": "w"}), trained_by="")
    found = compared(*known, strange)
    assert found.settings == {"net": ("a", "b", "unknown"), "evaluation: tta": ("–", "–", "w")}
    (configs,) = sections(found)["configs"]
    assert configs.note == "All else that is known is the same."
    assert any("The training of a run is unknown" in note for note in found.notes)


def test_what_is_measured_on_any_other_split_was_not_trained_on_either():
    """The validation split of one datalist may be among what another trained on."""
    one = run("one", dices(0.5, 0.6))
    data = TrainingData(groups=frozenset({"patient 0", "patient 1"}), trained_on=frozenset({"patient 1"}))
    seen = run("seen", dices(0.5, 0.6), data=data)
    validated = replace(seen, data=TrainingData(groups=frozenset({"patient 0"})))
    with pytest.raises(
        DatalistError, match="validation groups that no run has seen in training, found 1 of 2 that"
    ):
        require_comparable([one, seen], split="validation")
    require_comparable([one, validated], split="validation")  # each chose its best epoch by them
    with pytest.raises(DatalistError, match="external groups that no run has seen in training or validation"):
        require_comparable([one, validated], split="external")
    require_comparable([one, seen], split="training")


@pytest.mark.parametrize("change", [{"dice": "x"}, {"area_error_pixels": None}, {"missed": ""}])
def test_a_damaged_table_is_refused_with_its_run(change):
    good = run("good", dices(*BASE))
    bad = replace(run("bad", dices(*BASE)), scores=[*good.scores[:-1], {**good.scores[-1], **change}])
    with pytest.raises(InputError, match="a damaged one of 'bad'"):
        require_comparable([good, bad])
    older = replace(bad, scores=[{k: v for k, v in r.items() if k != "distance_unit"} for r in good.scores])
    with pytest.raises(InputError, match="a damaged one of 'bad'"):
        require_comparable([good, older])


def test_subgroups_of_other_names_are_refused_and_those_of_many_levels_left_out():
    runs = [run("one", dices(*np.linspace(0.5, 0.9, 14))), run("other", dices(*np.linspace(0.4, 0.7, 14)))]
    with pytest.raises(InputError, match="the cases or groups of the runs, found none of them"):
        compared(*runs, factors={"scanner": {"Doe^Jane": "A", "Roe": "B"}})
    names = {f"patient {i}": f"Doe {i}" for i in range(14)}
    scanners = {f"patient {i}": "AB"[i % 2] for i in range(14)}
    found = compared(*runs, factors={"name": names, "scanner": scanners})
    assert {s.factor for s in found.subgroups} == {"size", "scanner"}
    assert not any("Doe" in s.level for s in found.subgroups)
    assert any("“name” of --subgroups has more than 12 values" in note for note in found.notes)


def test_the_thirds_of_small_structures_have_limits_above_0():
    def lesions(name: str, shift: float) -> Run:
        sizes = [
            {"reference_size": f"{0.05 * (i + 1):.2f}", "size_error": "0.1", "size_unit": "ml"}
            for i in range(9)
        ]
        rows = tuple(row(f"c{i}", f"p{i}", 0.5 + shift, **size) for i, size in enumerate(sizes))
        return Run(name, name, 0, scores=rows, trained_by=name, settings={"arm": name})

    levels = {
        s.level.rpartition("\t")[2] for s in compared(lesions("one", 0), lesions("other", 0.1)).subgroups
    }
    assert levels == {"small, up to 0.15 ml", "middle, up to 0.3 ml", "large, above 0.3 ml"}


def test_so_many_arms_that_nobody_reads_the_page_are_refused_unless_one_is_the_baseline():
    runs = [run(f"arm {i}", dices(*BASE[:2])) for i in range(33)]
    with pytest.raises(
        UsageError, match=r"at most 500 tests on one page, found 528 between 33 arms.*--baseline"
    ):
        compared(*runs)
    assert len(compared(*runs, baseline="arm 3").differences) == 32


def test_a_run_that_is_in_no_named_arm_is_said_to_be_left_out():
    found = compared(*[run(n, dices(*BASE)) for n in "abc"], arms={"x": ["a"], "y": ["b"]})
    assert found.left_out == (("c", "it is in none of --arms"),)


def test_a_class_that_few_groups_show_has_its_intervals_called_too_narrow():
    def half(name: str, shift: float) -> Run:
        values = np.linspace(0.4, 0.8, 24) + shift
        rows = [row(f"c{i}", f"p{i}", value) for i, value in enumerate(values)]
        rows += [
            row(f"c{i}", f"p{i}", v, label="fluid", reference=100 * (i < 8)) for i, v in enumerate(values)
        ]
        return Run(name, name, 0, scores=tuple(rows), trained_by=name, settings={"arm": name})

    notes = compared(half("one", 0), half("other", 0.1)).notes
    assert [note for note in notes if "too narrow" in note] == [
        "fluid is measured in 8 of the 24 groups: its intervals, which are percentiles of a bootstrap, are "
        "too narrow."
    ]


def test_images_that_count_as_patients_are_called_so():
    def alone(name: str, shift: float) -> Run:
        rows = [row(f"c{i}", image_group(f"{i}.png"), 0.5 + i / 100 + shift) for i in range(24)]
        return Run(name, name, 0, scores=tuple(rows), trained_by=name, settings={"arm": name})

    assert compared(alone("one", 0), alone("other", 0.1)).notes[0].startswith("Groups are single images")


@pytest.mark.parametrize("form", ["cbam_seed_{}", "cbam-seed-{}", "cbam seed {}", "cbam_seed{}", "cbam, s{}"])
def test_an_arm_is_called_by_its_runs_name_without_the_seed_however_it_is_written(form):
    runs = [run(form.format(s), dices(*BASE), seed=str(s), settings={"net": "a"}) for s in (0, 1)]
    assert [arm.name for arm in make_arms([*runs, run("reseed 3", dices(*BASE))])] == ["cbam", "reseed 3"]


def test_the_lines_of_many_arms_differ_in_colour_or_dashes():
    style = files("pyraseg.pipeline.comparison.present").joinpath("comparison.css").read_text()
    lines = [legend_line(index) for index in range(16)]
    assert len(set(lines)) == 16
    assert set(re.findall(r"var\((--\w+)\)", " ".join(lines))) <= set(re.findall(r"(--a\d):", style))


def test_what_an_arm_misses_is_counted_beside_its_agreement():
    """A length of nothing is no difference: an arm that finds half of the structures may agree well on
    those."""

    def lengths(name: str, predicted: list[str]) -> Run:
        rows = [
            {
                "case": f"case {i}",
                "group": f"patient {i}",
                "quantity": "length",
                "unit": "mm",
                "predicted": value,
            }
            | {"reference": "10", "error": str(float(value) - 10) if value else "", "reason": ""}
            for i, value in enumerate(predicted)
        ]
        return replace(run(name, dices(*BASE)), quantities=rows)

    runs = lengths("all", ["11"] * 8), lengths("half", ["10.1"] * 4 + [""] * 4), lengths("none", [""] * 8)
    found = compared(*runs)
    counts = [("all", 8, 0), ("half", 4, 4), ("none", 0, 8)]
    assert [(a.arm, a.agreement.cases, a.missed) for a in found.agreements] == counts
    (table,) = sections(found)["agreement"]
    assert [row[table.columns.index("missed")] for row in table.rows] == ["0", "4", "8"]
    assert len(list(agreement_plots(found.agreements))) == 2


def test_two_arms_that_missed_everything_are_not_called_equal():
    nothing = dices(*[0.0] * 8)
    ((kind, sentence),) = verdicts(compared(run("one", nothing), run("other", nothing)))
    assert kind == "unclear"
    assert "both missed it in every case" in sentence
    assert "no difference" not in sentence
    elsewhere = tuple({**row, "predicted_pixels": "50", "missed": "0"} for row in run("", nothing).scores)
    beside = [replace(run(name, nothing), scores=elsewhere) for name in ("one", "other")]
    assert next(verdicts(compared(*beside)))[0] == "unclear"
    found = compared(run("one", nothing), run("other", dices(*[0.0] * 7, 0.1)))
    ((kind, _),) = verdicts(found)
    assert kind == "none"
