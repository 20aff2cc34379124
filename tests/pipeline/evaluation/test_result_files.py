"""Of the best epoch every case's results are on the disk and with the tracker, and of no other."""

from __future__ import annotations

import csv
import json

import numpy as np
import pytest
import torch
from PIL import Image

from pyraseg.pipeline.evaluation import CaseResults
from pyraseg.pipeline.evaluation.result_files import pack, unpack, write_masks
from tests.pipeline.evaluation.engines import Artifacts, evaluator, write_case

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
