"""A result is judged by what its checkpoint learnt, and not at all by a checkpoint that learnt nothing."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from pyraseg.pipeline.trust import quality, unlike
from pyraseg.pipeline.trust.intervals import Spread
from pyraseg.pipeline.trust.judge import Judge
from pyraseg.pipeline.trust.quality import MapSums
from pyraseg.pipeline.trust.unlike import Unlike
from pyraseg.transforms.errors import CheckpointError

NAMES = ["background", "kidney"]
GROUPS = [str(n) for n in range(40)]


def facts(*, factor: float = 1.0) -> dict:
    """Features around 1, of an expected Dice that is believed, and an area that is off by up to 10 %."""
    features = 1 + 0.1 * np.random.default_rng(0).normal(size=(40, 4))
    areas = np.linspace(10, 50, 40)
    spread = Spread.fit(areas, areas * np.linspace(0.9, 1.0 + 0.1 * factor, 40), groups=GROUPS, unit="mm2")
    points = [[0.0, 0.0], [1.0, 1.0]]
    return {
        "unlike": Unlike.fit(features).with_threshold(features, GROUPS).facts(),
        "quality": {"classes": {"kidney": {"found": points, "absent": points}}, "threshold": 0.7},
        "intervals": {"quantities": {"area": spread.facts()}, "sizes": {}},
    }


def judge(*calibrations: dict) -> Judge:
    return Judge.of({"label_names": NAMES, "calibrations": list(calibrations)})


def sums(foreground: float) -> MapSums:
    soft = torch.full((2, 8, 8), 1 - foreground)
    soft[1] = foreground
    return MapSums.of(soft)


def judged(by: Judge, *, feature: float = 1.0, foreground: float = 0.9, members: int = 1):
    evidence = by.evidence(np.full(sum(by.features), feature, np.float32), sums(foreground))
    assert len(evidence.features) == (members if by.features else 0)
    return by.judge(evidence, found=[foreground > 0.5])


def test_what_is_like_the_training_and_sure_has_no_flag():
    found = judged(judge(facts()))
    assert found.flags == ()
    assert found.unlike < 1
    assert found.expected_dice["kidney"] == pytest.approx(0.947, abs=0.001)


def test_what_is_unlike_it_or_unsure_has_its_flag_whatever_else_holds():
    assert judged(judge(facts()), feature=0.0).flags == (unlike.FLAG,)
    assert judged(judge(facts()), foreground=0.52).flags == (quality.FLAG,)
    assert judged(judge(facts()), foreground=0.45).flags == (quality.FLAG,)  # not found, and nearly there


def test_a_checkpoint_that_learnt_nothing_says_nothing():
    for nothing in ({}, {"operating_point": {}}, {"unlike": {}, "quality": {}, "intervals": {}}):
        found = judged(judge(nothing), feature=0.0, foreground=0.52)
        assert (found.unlike, found.quality, found.flags) == (None, None, ())
        assert judge(nothing).around("area", 10.0) is None


def test_an_ensemble_has_the_mean_of_the_distances_and_the_widest_interval():
    one, both = judge(facts()), judge(facts(), facts(factor=5.0))
    assert judged(both, members=2, feature=0.5).unlike == pytest.approx(judged(one, feature=0.5).unlike)
    assert both.around("area", 20.0).high > one.around("area", 20.0).high
    assert both.around("area", 20.0).low == one.around("area", 20.0).low


def test_an_ensemble_with_a_member_that_learnt_nothing_says_nothing():
    found = judge(facts(), {})
    assert judged(found).flags == ()
    assert found.around("area", 20.0) is None


BROKEN = [
    {"unlike": {"mean": 3}},
    {"quality": {"classes": {"kidney": 1}}},
    {"intervals": {"quantities": {"area": {"low": 1}}}},
]


@pytest.mark.parametrize("broken", BROKEN)
def test_a_calibration_that_no_training_wrote_is_refused(broken):
    with pytest.raises(CheckpointError, match="a calibration that a training wrote"):
        judge(broken)
