"""An evaluation of volumes: quantities on the values of the source, lesions, the files of both."""

from __future__ import annotations

import json

import numpy as np
import pytest

from pyraseg.pipeline.comparison.statistics.metrics import row_values
from pyraseg.pipeline.evaluation import CaseResults, SegmentationScores
from pyraseg.pipeline.evaluation.quantities import image_units, source_values
from pyraseg.pipeline.evaluation.result_files import report
from pyraseg.transforms.errors import ConfigError
from tests.pipeline.evaluation.engines import TUMOUR, VOLUMES, Artifacts, evaluator, read, write_volume

VOXEL_ML = 0.036
UNITS = {"volume": "ml", "suv_max": "g/ml{SUVbw}", "suv_mean": "g/ml{SUVbw}", "total_lesion_glycolysis": "g"}
DECLARED = [{"name": name, "measure": name, "segments": ["tumour"]} for name in UNITS]


@pytest.fixture(scope="module")
def evaluated(tmp_path_factory):
    """The engine and the folder of two PET volumes, whose tumours are seen whole and in half."""
    source, folder = (tmp_path_factory.mktemp(name) for name in ("volumes", "results"))
    items = [
        write_volume(source, number, group=f"g{number}", seen=seen) for number, seen in enumerate((6, 3))
    ]
    metric = SegmentationScores(TUMOUR, surfaces=True, quantities=DECLARED, resamples=50)
    handler = CaseResults(Artifacts(), folder=folder)
    engine = evaluator(items, [handler], metric=metric, names=TUMOUR, preprocessing=VOLUMES)
    engine.run()
    return engine, folder


@pytest.fixture
def folder(evaluated):
    return evaluated[1]


def test_what_is_found_is_measured_on_the_source_s_values(folder):
    rows = {(row["case"], row["quantity"]): row for row in read(folder / "quantities.csv")}
    assert {quantity: row["unit"] for (_, quantity), row in rows.items()} == UNITS
    expected = {"volume": (96, 192), "suv_max": (12, 12), "suv_mean": (12, 8.5)}
    expected["total_lesion_glycolysis"] = (12 * 96 * VOXEL_ML, 8.5 * 192 * VOXEL_ML)
    expected["volume"] = (96 * VOXEL_ML, 192 * VOXEL_ML)
    for quantity, (predicted, reference) in expected.items():
        row = rows["c001", quantity]
        assert (float(row["predicted"]), float(row["reference"])) == pytest.approx(
            (predicted, reference), rel=1e-5
        )
        assert float(rows["c000", quantity]["error"]) == pytest.approx(0, abs=1e-5)


def test_the_table_and_the_summary_are_in_ml_and_mm(folder):
    half = read(folder / "cases.csv")[1]
    assert (half["size_unit"], half["distance_unit"]) == ("ml", "mm")
    assert float(half["size_error"]) == pytest.approx(-96 * VOXEL_ML, abs=1e-6)
    assert float(half["hd95"]) == pytest.approx(9.0)
    assert float(half["dice"]) == pytest.approx(2 / 3, abs=1e-6)
    summary = json.loads((folder / "summary.json").read_text(), parse_constant=pytest.fail)
    relative = summary["quantities"]["volume"]["relative_error"]
    assert relative["group_mean"] == pytest.approx(0.25)
    assert relative["low"] <= 0.25 <= relative["high"]


def test_lesions_have_their_own_table_and_summary(folder):
    rows = read(folder / "lesions.csv")
    assert [(row["case"], row["kind"], row["result"]) for row in rows] == [
        ("c000", "reference", "detected"),
        ("c000", "predicted", "on a lesion"),
        ("c001", "reference", "detected"),
        ("c001", "predicted", "on a lesion"),
    ]
    assert float(rows[3]["volume_ml"]) == pytest.approx(96 * VOXEL_ML, abs=1e-6)
    assert [int(row["common_voxels"]) for row in rows] == [192, 192, 96, 96]
    lesions = json.loads((folder / "summary.json").read_text())["lesions"]["classes"]["tumour"]
    assert (lesions["lesions"], lesions["detected"], lesions["sensitivity"]["group_mean"]) == (2, 2, 1.0)
    assert lesions["false_positives"]["group_mean"] == 0


def test_the_table_of_cases_has_their_lesions_so_that_arms_can_be_compared_by_them(folder):
    for row in read(folder / "cases.csv"):
        assert (row["lesion_sensitivity"], row["false_positive_lesions"]) == ("1.000000", "0")
        scores = row_values(row)
        assert (scores["lesion_sensitivity"], scores["false_positive_lesions"]) == (1.0, 0.0)


def test_the_tracker_and_the_report_have_the_lesions_too(evaluated):
    engine, _ = evaluated
    assert engine.state.metrics["val_lesion_sensitivity_tumour"] == 1.0
    assert engine.state.metrics["val_false_positive_lesion_volume_ml_tumour"] == 0.0
    lines = report(engine.state.results).splitlines()
    assert "tumour: 2 of 2 lesions detected" in lines
    assert len({len(line) for line in lines if line.startswith("  ")}) == 1


def test_the_masks_are_kept_on_the_source_grid(folder):
    masks = np.load(folder / "predictions.npz", allow_pickle=False)
    assert [int((masks[case] == 1).sum()) for case in ("c000", "c001")] == [192, 96]
    assert masks["c000"].shape == (20, 24, 14)


def test_without_surfaces_neither_lesions_nor_quantities_cost_a_validation_anything(tmp_path):
    item = write_volume(tmp_path, 0, group="g")
    metric = SegmentationScores(TUMOUR)
    evaluator([item], [], metric=metric, names=TUMOUR, preprocessing=VOLUMES).run()
    assert (metric.lesions, metric.quantities) == ([], [])
    assert metric.compute() == 1.0


def test_an_image_that_states_no_unit_is_in_the_one_that_the_quantities_need(tmp_path):
    item = write_volume(tmp_path, 0, group="g")
    values, unit = source_values(item["image"], case="c", unit="g/ml{SUVbw}")
    assert (values.shape, float(values.max()), unit) == ((20, 24, 14), 12.0, "g/ml{SUVbw}")
    assert source_values(item["image"], case="c", unit="HU")[1] == "[hnsf'U]"
    assert image_units(DECLARED) == {"g/ml{SUVbw}"}
    assert image_units(DECLARED[:1]) == set()
    with pytest.raises(ConfigError):
        image_units([{"name": "x", "measure": "unknown", "segments": ["tumour"]}])
