"""The operating curve and the point that a rule chooses on it."""

from __future__ import annotations

import json
import math

import numpy as np
import pytest
import torch
from scipy.ndimage import gaussian_filter

from pyraseg.pipeline.experiments.operating_points import pool_operating_points
from pyraseg.pipeline.inference import CleanUpLabels, CleanUpLabelsd, trained_facts
from pyraseg.pipeline.inference.decision import Decision, OperatingPoint, decide
from pyraseg.pipeline.inference.source_grid import labels_of
from pyraseg.pipeline.networks.checkpoint import BEST, with_facts
from pyraseg.pipeline.training.checkpoints import save_checkpoint
from pyraseg.pipeline.trust.curve import RATES, SIZES, THRESHOLDS, Curve, trace_case, trace_used
from pyraseg.pipeline.trust.curve_table import read_table, write_table
from pyraseg.pipeline.trust.operating_point import (
    OperatingPoints,
    Rule,
    choose,
    curves_of,
    describe_point,
    read_rules,
)
from pyraseg.pipeline.writers.pictures.operating_curve import draw_operating_curves
from pyraseg.transforms.errors import CheckpointError, ConfigError

NAMES = ["background", "fluid"]
ARGMAX = THRESHOLDS.index(0.5)


def case(group: str, *, shown: bool, peak: float, side: int = 6, volume: bool = False) -> dict:
    """A case with a structure or without, and one square with the probability ``peak`` of it."""
    shape = (24, 24, 24) if volume else (24, 24)
    where = tuple(slice(8, 8 + side) for _ in shape)
    label, soft = torch.zeros(1, *shape), torch.full((1, *shape), 0.001)
    label[(0, *where)], soft[(0, *where)] = float(shown), peak
    return {"group": group, "case": group, "label": label, "probabilities": torch.cat([1 - soft, soft])}


def traces(cases, *, spacing_mm=None, clean_up=None):
    known = {"label_names": NAMES, "clean_up": clean_up, "spacing_mm": spacing_mm}
    return [trace_case(each, "fluid", **known) for each in cases]


def frames() -> list[dict]:
    """Structures that are seen with 0.97 and 0.6, and false ones with 0.55 and a small one with 0.97."""
    shown = [case("a", shown=True, peak=0.97), case("b", shown=True, peak=0.6)]
    return [*shown, case("c", shown=False, peak=0.55), case("d", shown=False, peak=0.97, side=2)]


class TestTheCurve:
    def test_is_what_deciding_and_cleaning_up_gives_at_each_threshold(self):
        names = ("background", "kidney", "hydronephrosis")
        noise = np.random.default_rng(2).normal(size=(3, 40, 40))
        scores = torch.from_numpy(np.stack([gaussian_filter(each, 2) for each in noise])).float() * 12
        item = {**case("a", shown=True, peak=0.6), "probabilities": scores.softmax(dim=0)}
        item["label"] = (scores[2:] > 1).float() * 2
        known = {"label_names": names, "spacing_mm": None}
        options = {"minimum_area": 0.002}
        trace = trace_case(item, names[2], clean_up=CleanUpLabels(names, **options), **known)
        for row, threshold in enumerate(THRESHOLDS):
            for column, size in enumerate(SIZES["frame"]):
                decision = Decision(names, {names[2]: OperatingPoint(threshold, size)})
                pred = labels_of(item["probabilities"], decision)[None]
                pred = CleanUpLabelsd("pred", names, options, decision=decision)({"pred": pred})["pred"]
                used = trace_used({**item, "pred": pred}, names[2], **known)
                for rate in ("missed", "dice"):
                    at = trace.values[rate][row, column]
                    assert used.values[rate][0, 0] == pytest.approx(at), (threshold, size)
        assert len(np.unique(trace.values["dice"][ARGMAX:])) > 5

    def test_never_misses_less_and_never_has_more_false_alarms_at_a_larger_size(self):
        curve = Curve.of(traces(frames()))
        assert (np.diff(curve.over_cases("missed"), axis=1) >= 0).all()
        assert (np.diff(curve.over_cases("false_alarms"), axis=1) <= 0).all()

    def test_is_over_cases_with_the_mean_over_groups_beside_it(self):
        cases = [case("a", shown=True, peak=0.97)] * 9 + [case("b", shown=True, peak=0.001)]
        rates = Curve.of(traces(cases)).rates((ARGMAX, 0), resamples=0)["missed"]
        assert (rates["mean"], rates["over_groups"], rates["groups"], rates["cases"]) == (0.1, 0.5, 2, 10)

    def test_has_no_rate_that_no_case_can_tell(self):
        rates = Curve.of(traces(frames()[:2])).rates((ARGMAX, 0), resamples=0)
        assert set(rates) == {"missed", "dice"}

    def test_of_a_volume_is_of_lesions(self):
        cases = [case(name, shown=name != "c", peak=0.6, volume=True) for name in "abc"]
        curve = Curve.of(traces(cases, spacing_mm=(1, 1, 1)))
        low, high = ((THRESHOLDS.index(t), 0) for t in (0.5, 0.7))
        at = curve.rates(low, resamples=0)
        assert (at["missed"]["mean"], at["missed"]["cases"]) == (0.0, 2)
        assert at["false_lesions"]["mean"] == pytest.approx(1 / 3)
        assert curve.rates(high, resamples=0)["missed"]["mean"] == 1.0

    def test_survives_its_table_and_folds_are_put_together(self, tmp_path):
        parts = [curves_of(traces(part)) for part in (frames()[:2], frames()[2:])]
        read = [read_table(write_table(tmp_path / f"{n}.csv", part))[0] for n, part in enumerate(parts)]
        joined, whole = Curve.join(read), Curve.of(traces(frames()))
        for rate in RATES:
            assert np.array_equal(joined.over_cases(rate), whole.over_cases(rate), equal_nan=True)


class TestTheChoice:
    curve = Curve.of(traces(frames()))

    def rates(self, rule: Rule) -> tuple[float, float]:
        at = choose(self.curve, rule)
        return self.curve.over_cases("missed")[at], self.curve.over_cases("false_alarms")[at]

    def test_meets_the_rule_with_the_best_other_rate(self):
        assert self.rates(Rule("false_alarms", 0.1)) == (0.0, 0.0)  # above 0.55 and larger than 2 x 2
        assert self.rates(Rule("missed", 0.5))[0] <= 0.5

    def test_is_held_against_cases_not_groups(self):
        false = [case("x", shown=False, peak=0.97), *(case("y", shown=False, peak=0.001) for _ in range(19))]
        curve = Curve.of(traces([*frames()[:2], *false]))
        assert curve.over_groups("false_alarms")[ARGMAX, 0] == 0.5
        assert choose(curve, Rule("false_alarms", 0.1)) == (ARGMAX, 0)

    def test_stays_with_the_argmax_where_nothing_is_better(self):
        curve = Curve.of(traces([case("a", shown=True, peak=0.97), case("b", shown=False, peak=0.001)]))
        assert choose(curve, Rule("missed", 0.1)) is None  # one group can break it
        more = [case(name, shown=name < "c", peak=0.97 if name < "c" else 0.001) for name in "abcd"]
        for rule in (Rule("missed", 0.1), Rule("false_alarms", 0.1)):
            assert choose(Curve.of(traces(more)), rule) == (ARGMAX, 0)

    def test_is_none_where_no_point_meets_the_rule(self):
        blind = [case(name, shown=True, peak=0.0005) for name in "ab"]
        found = describe_point(Curve.of(traces(blind)), Rule("missed", 0.1), resamples=10)
        assert (found["met"], "threshold" in found) == (False, False)
        assert found["argmax"]["missed"]["mean"] == 1.0

    def test_is_none_where_no_case_tells_what_it_costs(self):
        empty = [case(name, shown=False, peak=0.985) for name in "abcd"]
        found = describe_point(Curve.of(traces(empty)), Rule("false_alarms", 0.1), resamples=10)
        assert not found["met"]
        assert {point["missed"] for point in found["curve"]} == {None}
        assert draw_operating_curves({"fluid": found}).shape[2] == 3

    def test_that_finds_nothing_meets_no_rule(self):
        surer_of_what_is_false = [
            case(name, shown=name < "c", peak=0.6 if name < "c" else 0.985) for name in "abcd"
        ]
        curve = Curve.of(traces(surer_of_what_is_false))
        assert (curve.over_cases("false_alarms") == 0).any()
        assert choose(curve, Rule("false_alarms", 0.1)) is None

    def test_is_told_with_its_interval_and_a_picture(self):
        found = describe_point(self.curve, Rule("false_alarms", 0.1), resamples=50)
        assert found["met"]
        assert found["rates"]["missed"]["low"] is not None
        missed = [point["missed"] for point in found["curve"]]
        assert missed == sorted(set(missed))
        assert draw_operating_curves({"fluid": found}).shape[2] == 3


class TestRules:
    def read(self, declared, names=NAMES):
        return read_rules(declared, label_names=names, known=["background", "kidney", "fluid"])

    def test_of_a_class_that_this_label_set_lacks_are_passed_over_with_a_sentence(self, caplog):
        with caplog.at_level("INFO"):
            assert self.read({"kidney": {"missed": 0.1}, "fluid": {"missed": 0.1}}) == {
                "fluid": Rule("missed", 0.1)
            }
        assert "no kidney" in caplog.text

    @pytest.mark.parametrize(
        ("declared", "sentence"),
        [
            ({"fluid": {"false_alarms": 1.5}}, "false_alarms of fluid from 0 to 1, found 1.5"),
            ({"fluid": {"missed": -0.1}}, "from 0 to 1"),
            ({"fluid": {"missed": math.nan}}, "from 0 to 1"),
            ({"fluid": {"missed": "few"}}, "from 0 to 1"),
            ({"fluid": {"mised": 0.1}}, "one of missed, false_alarms, false_lesions, found mised"),
            ({"fluid": {"missed": 0.1, "false_alarms": 0.1}}, "with one of"),
            ({"fluid": 0.1}, "found 0.1"),
            ({"bladder": {"missed": 0.1}}, 'classes among fluid, found "bladder"'),
            ("argmax", "mapping of classes"),
        ],
    )
    def test_that_mean_nothing_are_refused(self, declared, sentence):
        with pytest.raises(ConfigError, match=sentence):
            self.read(declared)

    def check(self, cases, rule: str) -> list[str]:
        rules = {"fluid": {rule: 0.1}}
        points = OperatingPoints(rules, label_names=NAMES, segments=[], cleanup=None)
        return list(points.check(cases))

    def test_that_the_validation_split_cannot_meet_are_named_before_the_training(self):
        cases = [case(name, shown=name < "c", peak=0.5) for name in "abcd"]
        assert self.check(cases, "false_alarms") == []
        (lacking,) = self.check(cases[:3], "false_alarms")
        assert "needs validation cases without it of 2 groups (patients) or more, and there are 1" in lacking
        (lacking,) = self.check(cases[1:], "false_alarms")
        assert "needs validation cases with it of 2 groups (patients) or more, and there are 1" in lacking
        assert self.check(cases[:2], "missed") == []

    def test_of_lesions_are_refused_for_frames_before_the_training(self):
        with pytest.raises(ConfigError, match="as images are frames, found false_lesions"):
            self.check(frames(), "false_lesions")


class TestManyNetworks:
    """The common operating points of a cross-validation's networks."""

    def fold(self, output, number: int, cases, rule) -> None:
        folder = output / f"fold_{number}"
        points = OperatingPoints({"fluid": rule}, label_names=NAMES, segments=[], cleanup=None)
        for each in cases:
            points.add(each)
        facts = {"label_names": NAMES, "input_size": [24, 24], "settings": {points.name: points.settings}}
        facts |= {points.name: points.facts()}
        network = {"in_channels": 1}
        stated = {"label_names": NAMES, "input_size": [24, 24], "network": network, "calibration": facts}
        save_checkpoint(folder / BEST, with_facts({"weight": torch.ones(1)}, stated))
        points.write(folder / "calibration", facts[points.name])

    def test_rest_on_all_folds_and_are_found_beside_them(self, tmp_path):
        rule = {"false_alarms": 0.1}
        easy = [case(name, shown=name < "g", peak=0.97 if name < "g" else 0.001) for name in "efgh"]
        self.fold(tmp_path, 0, frames(), rule)
        self.fold(tmp_path, 1, easy, rule)
        known = {"label_names": NAMES, "input_size": [24, 24], "network": {"in_channels": 1}}
        with pytest.raises(CheckpointError, match="members of one operating point"):
            decide("trained", trained_facts(tmp_path, **known))
        path = pool_operating_points([tmp_path / "fold_0", tmp_path / "fold_1"], tmp_path)
        assert path is not None
        decision = decide("trained", trained_facts(tmp_path, **known))
        found = json.loads(path.read_text())["fluid"]
        assert decision.points["fluid"].threshold == found["threshold"]
        assert (found["groups"], found["met"]) == (8, True)
        one = trained_facts(tmp_path / "fold_1" / BEST, **known)
        assert decide("trained", one).points["fluid"].threshold == 0.5
