"""The files hold every case of the best epoch and nothing that is not a number; their numbers agree."""

from __future__ import annotations

import csv
import json

import numpy as np
import pytest
import torch
from monai.data import MetaTensor
from PIL import Image

from pyraseg.pipeline.evaluation import CaseResults, CaseScore, Results, SegmentationScores, write_results
from pyraseg.pipeline.evaluation.result_files import pack, report, unpack, write_masks
from tests.pipeline.evaluation.engines import Artifacts, evaluator, read, write_case

FILES = {"cases.csv", "summary.json", "confidence.csv", "reliability.png", "predictions.npz"}


@pytest.fixture(scope="module")
def items(tmp_path_factory):
    folder = tmp_path_factory.mktemp("cases")
    return [write_case(folder, number, group=f"g{number}") for number in range(3)]


def dice_of(folder) -> list[float]:
    with open(folder / "cases.csv", newline="") as file:
        return [float(row["dice"]) for row in csv.DictReader(file)]


def test_a_packed_label_map_comes_back_in_two_and_three_dimensions(tmp_path):
    maps = {f"c{n}": torch.randint(0, 3, (1, 20, 30, 5)[: 3 + n]) for n in (0, 1)}
    masks = {case: pack(labels) for case, labels in maps.items()}
    stored = np.load(write_masks(tmp_path / "masks.npz", masks), allow_pickle=False)
    for case, labels in maps.items():
        assert np.array_equal(unpack(masks[case]), labels[0])
        assert np.array_equal(stored[case], labels[0])
        assert stored[case].dtype == np.uint8


def test_the_masks_written_are_those_that_the_table_measures(items, tmp_path):
    tracker = Artifacts()
    handler = CaseResults(tracker, folder=tmp_path, artifacts="validation")
    evaluator(items, [handler], probabilities="probabilities").run()
    assert {path.name for path in tmp_path.iterdir()} == FILES
    assert set(tracker.files) == {(name, "validation") for name in FILES}
    masks = np.load(tmp_path / "predictions.npz", allow_pickle=False)
    assert sorted(masks) == ["c000", "c001", "c002"]
    for item, dice in zip(items, dice_of(tmp_path), strict=True):
        predicted, reference = masks[item["case"]], np.asarray(Image.open(item["label"]))
        common = 2 * ((predicted == 1) & (reference == 1)).sum()
        assert common / ((predicted == 1).sum() + (reference == 1).sum()) == pytest.approx(dice, abs=1e-6)


def test_a_worse_epoch_leaves_the_best_one_s_files(items, tmp_path):
    tracker = Artifacts()
    engine = evaluator(items, [CaseResults(tracker, folder=tmp_path)])
    offsets, best = (-2.0, 4.0, 0.0), []
    for epoch, offset in enumerate(offsets, start=1):
        engine.network.offset.data.fill_(offset)
        engine.run(epoch)
        best.append(json.loads((tmp_path / "summary.json").read_text())["mean_dice"])
    assert best[0] == best[1] < best[2]
    assert len(tracker.files) == 2 * 3  # without probabilities: the table, the summary and the masks, twice


NAMES = ["background", "kidney", "hydronephrosis"]
DECLARED = [{"name": "harp", "measure": "harp", "segments": ["kidney", "hydronephrosis"]}]


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
    scores = CaseScore("a", "g", "kidney", 10, 10, 5), CaseScore("b", "g", "kidney", 0, 0, 0)
    table, summary = write_results(tmp_path, Results(scores))
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
