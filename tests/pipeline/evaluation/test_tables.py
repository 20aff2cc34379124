"""The files hold every case, nothing that is not a number, and their numbers agree with one another."""

from __future__ import annotations

import csv
import json

import numpy as np
import pytest
import torch
from monai.data import MetaTensor

from pyraseg.pipeline.evaluation import CaseScore, Results, SegmentationScores, write_results, write_scores
from pyraseg.pipeline.evaluation.tables import report

NAMES = ["background", "kidney", "hydronephrosis"]
DECLARED = [{"name": "harp", "measure": "harp", "segments": ["kidney", "hydronephrosis"]}]


def read(path) -> list[dict[str, str]]:
    with open(path, newline="") as file:
        return list(csv.DictReader(file))


@pytest.fixture(scope="module")
def results() -> Results:
    """Five cases of three groups, the last one without fluid in its reference."""
    metric = SegmentationScores(NAMES, surfaces=True, quantities=DECLARED, resamples=100)
    for seed in range(5):
        generator = torch.Generator().manual_seed(seed)
        scores = torch.randn(3, 14, 18, generator=generator)
        label = torch.randint(0, 3 if seed < 4 else 2, (1, 14, 18), generator=generator)
        names = {"case": f"c{seed}", "group": f"g{seed % 3}"}
        pred, probabilities = scores.argmax(0, keepdim=True), scores.softmax(0)
        meta = {"spacing_mm": [0.5, 0.2]}
        metric.update(
            [{"pred": pred, "label": MetaTensor(label, meta=meta), "probabilities": probabilities, **names}]
        )
    return metric.results()


@pytest.fixture(scope="module")
def folder(results, tmp_path_factory):
    folder = tmp_path_factory.mktemp("results")
    names = [path.name for path in write_results(folder, results)]
    assert names == ["cases.csv", "summary.json", "quantities.csv", "confidence.csv"]
    return folder


def test_the_table_and_the_summary_hold_every_case_and_no_nan(tmp_path):
    scores = [CaseScore("a", "g", "kidney", 10, 10, 5), CaseScore("b", "g", "kidney", 0, 0, 0)]
    table, summary = write_scores(tmp_path, scores)
    rows = read(table)
    assert [row["case"] for row in rows] == ["a", "b"]
    assert rows[0]["dice"] == "0.500000"
    assert (rows[1]["dice"], rows[1]["hd95"], rows[1]["distance_unit"]) == ("", "", "")
    content = json.loads(summary.read_text(), parse_constant=pytest.fail)
    assert content["classes"]["kidney"]["dice"]["group_mean"] == 0.5
    assert content["classes"]["kidney"]["dice"]["low"] is None


def test_the_summary_s_means_are_those_of_the_table(folder):
    summary = json.loads((folder / "summary.json").read_text(), parse_constant=pytest.fail)
    for name in NAMES[1:]:
        rows = [row for row in read(folder / "cases.csv") if row["class"] == name and row["dice"]]
        groups = {row["group"] for row in rows}
        for metric, key in (("dice", "dice"), ("hd95", "hd95_mm"), ("size_error", "area_error_mm2")):
            means = [
                np.mean([float(row[metric]) for row in rows if row["group"] == group]) for group in groups
            ]
            entry = summary["classes"][name][key]
            assert entry["group_mean"] == pytest.approx(np.mean(means), abs=1e-5)
            assert entry["frame_mean"] == pytest.approx(
                np.mean([float(row[metric]) for row in rows]), abs=1e-5
            )
            assert entry["low"] <= entry["group_mean"] <= entry["high"]
    assert summary["classes"]["hydronephrosis"]["cases"]["false_positive"] == 1
    assert (summary["cases"], summary["groups"], summary["calibrated_cases"]) == (5, 3, 5)
    assert summary["interval"]["resamples"] == 100


def test_a_false_positive_has_its_area_and_no_overlap_in_the_table(folder):
    (row,) = [row for row in read(folder / "cases.csv") if row["false_positive"] == "1"]
    assert float(row["predicted_size"]) == pytest.approx(int(row["predicted_pixels"]) * 0.1)
    assert row["size_unit"] == "mm2"
    assert (row["dice"], row["hd95"], row["reference_pixels"]) == ("", "", "0")


def test_quantities_and_confidence_are_written_case_by_case(folder, results):
    quantities = read(folder / "quantities.csv")
    assert [row["case"] for row in quantities] == [f"c{n}" for n in range(5)]
    first = quantities[0]
    assert float(first["error"]) == pytest.approx(
        float(first["predicted"]) - float(first["reference"]), abs=1e-5
    )
    counts = read(folder / "confidence.csv")
    for case in range(5):
        top = [row for row in counts if row["case"] == f"c{case}" and row["curve"] == "top_label"]
        assert sum(int(row["pixels"]) for row in top) == 14 * 18


def test_the_error_of_calibration_follows_from_the_table(folder):
    rows = [row for row in read(folder / "confidence.csv") if row["curve"] == "kidney"]
    bins: dict[str, np.ndarray] = {}
    for row in rows:
        values = np.array([float(row[key]) for key in ("pixels", "confidence_sum", "correct")])
        bins[row["bin"]] = bins.get(row["bin"], np.zeros(3)) + values
    expected = sum(abs(correct - confidence) for _, confidence, correct in bins.values()) / (5 * 14 * 18)
    summary = json.loads((folder / "summary.json").read_text())
    assert summary["calibration"]["curves"]["kidney"]["ece_over_pixels"] == pytest.approx(expected, abs=1e-6)


def test_the_report_is_a_table_of_even_lines(results):
    lines = report(results).splitlines()
    assert lines[0] == "5 cases of 3 groups"
    rows = [line for line in lines if line.startswith("  ")]
    assert len({len(line) for line in rows}) == 1
    assert any(
        line.split()[:2] == ["dice", f"{results.classes['kidney'].metrics['dice'].group_mean:.3f}"]
        for line in rows
    )
