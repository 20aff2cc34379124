"""The pooled scores are those of all cases at once; the spread is that of the folds."""

from __future__ import annotations

import statistics

import pytest
import torch

from pyraseg.pipeline.evaluation import Results, compare_lesions, score_case, write_results
from pyraseg.pipeline.experiments.pooling import pool, read_rows
from pyraseg.transforms.errors import DatalistError
from pyraseg.transforms.privacy import image_group
from tests.pipeline.experiments.cross_validation.pretender import FOLDS, row, write_rows


def folded(fold: int, *rows: dict[str, str]) -> list[dict[str, str]]:
    return [{"fold": str(fold), **each} for each in rows]


SCORES = (
    "dice",
    "iou",
    "precision",
    "sensitivity",
    "hd95",
    "assd",
    "surface_dice",
    "area_error",
    "volume_error",
)


CASES = [
    ("a1", "a", (0.5, 0.5), 4, 3),
    ("a2", "a", None, 4, 6),
    ("b1", "b", (2.0, 2.0, 2.0), 5, 4),
    ("c1", "c", (2.0, 2.0, 2.0), 5, 0),
    ("d1", "d", (2.0, 2.0, 2.0), 0, 2),
]


def evaluated(folder) -> Results:
    """An evaluation of five cases of four groups, written to ``folder``."""
    scores, lesions = [], []
    for case, group, spacing, reference, found in CASES:
        labels = [torch.zeros(1, *((8,) * len(spacing or (1, 1))), dtype=torch.uint8) for _ in range(2)]
        for label, depth in zip(labels, (reference, found), strict=True):
            label[:, :depth, 2:6] = 1
        names = {"label_names": ["background", "tumour"], "case": case, "group": group}
        scores += score_case(*labels[::-1], spacing_mm=spacing, surfaces=True, **names)
        if len(labels[0].shape) == 4:
            lesions += compare_lesions(*labels[::-1], spacing_mm=spacing, **names)
    results = Results(tuple(scores), lesions=tuple(lesions))
    write_results(folder, results)
    return results


class TestPool:
    def test_the_mean_over_folds_and_its_spread_are_of_the_folds_means_over_groups(self):
        rows = folded(0, row("a1", dice=0.2), row("a2", dice=0.4), row("b1", dice=0.9))
        rows += folded(1, row("c1", dice=0.8))
        spread = pool(rows)["over_folds"]["dice_kidney"]
        assert spread["values"] == pytest.approx([0.6, 0.8])
        assert spread["mean"] == pytest.approx(0.7)
        assert spread["sd"] == pytest.approx(statistics.stdev([0.6, 0.8]))

    def test_the_pool_weighs_every_group_alike_whatever_its_fold(self):
        rows = folded(0, row("a1", dice=0.2), row("a2", dice=0.4), row("b1", dice=0.9)) + folded(
            1, row("c1", dice=0.8)
        )
        dice = pool(rows)["pooled"]["classes"]["kidney"]["dice"]
        assert dice["group_mean"] == pytest.approx((0.3 + 0.9 + 0.8) / 3)
        assert dice["low"] <= dice["group_mean"] <= dice["high"]
        assert (dice["cases"], dice["groups"]) == (4, 3)

    def test_images_that_count_as_patients_are_called_so(self):
        assert pool(folded(0, row("a1")))["notes"] == []
        (note,) = pool(folded(0, row("a1", group=image_group("a.png"))))["notes"]
        assert note.startswith("Groups are single images")

    def test_the_mean_dice_is_over_the_classes(self):
        rows = folded(0, row("a1", dice=0.2), row("a1", dice=0.6, label="fluid"))
        summary = pool(rows)
        assert summary["pooled"]["mean_dice"] == pytest.approx(0.4)
        assert summary["over_folds"]["mean_dice"]["values"] == pytest.approx([0.4])

    def test_one_fold_has_no_spread_and_a_class_it_lacks_no_value(self):
        rows = folded(0, row("a1", dice=None, reference_pixels=0, predicted_pixels=0)) + folded(
            1, row("b1", dice=0.8)
        )
        spread = pool(rows)["over_folds"]["dice_kidney"]
        assert spread == {"mean": pytest.approx(0.8), "sd": None, "values": [None, pytest.approx(0.8)]}

    def test_missed_and_false_positive_cases_are_counted_over_all_folds(self):
        rows = folded(0, row("a1", dice=0.0, predicted_pixels=0, missed=1), row("b1"))
        rows += folded(1, row("c1", dice=None, reference_pixels=0, false_positive=1))
        kidney = pool(rows)["pooled"]["classes"]["kidney"]
        assert (kidney["missed_rate"], kidney["false_positive_rate"]) == (0.5, 1.0)
        assert kidney["cases"]["present"] == 2

    def test_millimetres_and_pixels_never_meet_in_one_mean(self):
        rows = folded(0, row("a1", hd95=2.0, distance_unit="mm"), row("b1", hd95=30.0, distance_unit="px"))
        classes = pool(rows)["pooled"]["classes"]["kidney"]
        assert classes["hd95_mm"]["group_mean"] == 2.0
        assert classes["hd95_px"]["group_mean"] == 30.0

    def test_the_pool_of_one_fold_says_what_its_evaluation_said(self, tmp_path):
        """Frames with and without calibration, volumes with lesions, a miss and a false alarm."""
        results = evaluated(tmp_path)
        pooled = pool(read_rows({0: tmp_path}, {0: [score.case for score in results.scores]}))["pooled"]
        for name, said in results.document()["classes"].items():
            again = pooled["classes"][name]
            assert again["cases"] == said["cases"]
            means = {
                metric: value["group_mean"] for metric, value in said.items() if metric.startswith(SCORES)
            }
            assert {metric: again[metric]["group_mean"] for metric in means} == pytest.approx(means, abs=1e-5)
        sensitivity = results.detection["tumour"].sensitivity.group_mean
        assert pooled["classes"]["tumour"]["lesion_sensitivity"]["group_mean"] == pytest.approx(sensitivity)


class TestReadRows:
    @pytest.mark.parametrize(
        ("cases", "found"),
        [
            (FOLDS[1][:1], "1 not measured, 0 of no fold, 0 rows twice"),
            ([*FOLDS[1], "x1"], "0 not measured, 1 of no fold, 0 rows twice"),
            ([*FOLDS[1], "c1"], "0 not measured, 0 of no fold, 1 rows twice"),
        ],
    )
    def test_a_case_that_is_not_measured_exactly_once_is_refused(self, tmp_path, cases, found):
        write_rows(tmp_path, [row(case) for case in cases])
        with pytest.raises(DatalistError, match=found):
            read_rows({1: tmp_path}, FOLDS)
