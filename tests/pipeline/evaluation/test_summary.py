"""The summary counts what it speaks of, and what no case shows is absent and not perfect."""

from __future__ import annotations

import math

import pytest

from pyraseg.pipeline.evaluation import CaseScore, Results
from pyraseg.pipeline.evaluation.result_files import report
from pyraseg.pipeline.evaluation.summary import flatten
from pyraseg.pipeline.evaluation.surfaces import SurfaceScores
from pyraseg.transforms.privacy import image_group


def row(*, group="g", label="kidney", reference=10, predicted=10, common=10, **more):
    return CaseScore("c", group, label, reference, predicted, common, **more)


MISSED, TRUE_NEGATIVE = {"predicted": 0, "common": 0}, {"reference": 0, "predicted": 0, "common": 0}
FALSE_POSITIVE = {"reference": 0, "predicted": 4, "common": 0}


def summarise(scores) -> dict[str, float]:
    return flatten(Results(tuple(scores)).classes)


def test_a_group_weighs_the_same_however_many_frames_it_has():
    summary = summarise([row(group="large")] * 9 + [row(group="small", common=0)])
    assert summary["dice_kidney"] == pytest.approx(0.5)
    assert summary["frame_mean_dice_kidney"] == pytest.approx(0.9)
    assert summary["frame_median_dice_kidney"] == 1


def test_rates_count_over_the_cases_they_speak_of():
    scores = [row(), row(**MISSED), row(), row(), row(**FALSE_POSITIVE), row(**TRUE_NEGATIVE)]
    summary = summarise(scores)
    assert summary["missed_rate_kidney"] == 0.25
    assert summary["false_positive_rate_kidney"] == 0.5
    cases = Results(tuple(scores)).classes["kidney"].document()["cases"]
    assert cases == {"present": 4, "absent": 2, "missed": 1, "false_positive": 1, "true_negative": 1}


def test_a_class_that_no_case_shows_is_absent_and_not_perfect():
    summary = summarise([row(), row(label="hydronephrosis", **TRUE_NEGATIVE)])
    assert math.isnan(summary["dice_hydronephrosis"])
    assert summary["mean_dice"] == 1
    assert math.isnan(summarise([row(**TRUE_NEGATIVE)])["mean_dice"])


def test_a_false_positive_changes_its_own_numbers_and_no_overlap():
    without, with_one = (summarise([row(common=5), *more]) for more in ([], [row(**FALSE_POSITIVE)]))
    assert with_one["dice_kidney"] == without["dice_kidney"] == 0.5
    assert with_one["precision_kidney"] == 0.5
    assert with_one["false_positive_area_pixels_kidney"] == 4


def test_millimetres_and_pixels_never_meet_in_one_mean():
    near, far = (
        SurfaceScores(hd95=value, assd=1.0, surface_dice=0.5, unit=unit)
        for value, unit in ((3, "mm"), (9, "px"))
    )
    summary = summarise([row(surfaces=near, spacing_mm=(0.5, 0.5)), row(surfaces=far)])
    assert (summary["hd95_mm_kidney"], summary["hd95_px_kidney"]) == (3, 9)


def test_intervals_join_the_flat_metrics_where_there_are_some():
    scores = [row(group=name, common=common) for name, common in (("a", 10), ("b", 5), ("c", 8))]
    flat = flatten(Results(tuple(scores), resamples=200).classes)
    assert flat["dice_low_kidney"] < flat["dice_kidney"] < flat["dice_high_kidney"]
    assert "dice_low_kidney" not in summarise(scores)


def test_what_the_numbers_cannot_say_stands_beside_them():
    alone = [row(group=image_group(name)) for name in ("a.png", "b.png")]
    results = Results((*alone, row(group="P1"), row(group="P1", label="fluid", **TRUE_NEGATIVE)))
    patients, absent = results.notes
    assert patients.startswith("Groups 2 of 3 are single images")
    assert absent == "No case shows fluid: no score says how it is segmented."
    assert results.document()["notes"] == list(results.notes)
    assert set(results.notes) < set(report(results).splitlines())
    assert Results((row(group="P1"),)).notes == ()
