"""The metric scores what the evaluator's batches hold, cheaply unless asked, and all processes together."""

from __future__ import annotations

import pytest
import torch
from ignite.engine import Engine
from monai.data import MetaTensor

from pyraseg.pipeline.evaluation import SegmentationScores
from pyraseg.pipeline.losses import Float32DiceCELoss
from pyraseg.transforms.errors import DatalistError

NAMES = ["background", "kidney", "hydronephrosis"]
HARP = {"name": "harp", "measure": "harp", "segments": ["kidney", "hydronephrosis"]}


def item(seed: int, *, group: str = "g", **more):
    generator = torch.Generator().manual_seed(seed)
    prediction, label = torch.randint(0, 3, (2, 1, 12, 16), generator=generator)
    meta = {"spacing_mm": [0.5, 0.25]}
    return {
        "pred": prediction,
        "label": MetaTensor(label, meta=meta),
        "case": f"c{seed}",
        "group": group,
        **more,
    }


def test_only_the_counts_are_computed_unless_more_is_asked_for():
    cheap = SegmentationScores(NAMES)
    cheap.update([item(1)])
    full = SegmentationScores(NAMES, surfaces=True, quantities=[HARP], resamples=50)
    full.update([item(1, group="a"), item(2, group="b")])
    assert not [name for name in cheap.results().metrics() if "hd95" in name or "low" in name]
    assert cheap.results().document()["surface_tolerance"] == {}
    metrics = full.results().metrics()
    assert {"hd95_mm_kidney", "surface_dice_mm_kidney", "dice_low_kidney"} <= set(metrics)
    assert full.results().document()["quantities"]["harp"]["error"]["cases"] == 2


def test_its_value_is_the_mean_over_groups_and_a_reset_forgets():
    metric = SegmentationScores(NAMES)
    metric.update([item(1)])
    first = metric.compute()
    metric.update([item(2, group="h")])
    assert metric.compute() != first
    metric.reset()
    metric.update([item(1)])
    assert metric.compute() == first


def test_the_loss_of_validation_is_that_of_training_on_the_source_grid():
    loss = Float32DiceCELoss(softmax=True, to_onehot_y=True, squared_pred=True)
    metric = SegmentationScores(NAMES, loss=loss)
    logits = torch.randn(2, 3, 12, 16, generator=torch.Generator().manual_seed(0))
    items = [item(k, probabilities=torch.softmax(scores, dim=0)) for k, scores in enumerate(logits)]
    engine = Engine(lambda engine, batch: batch)
    metric.attach(engine, "val_mean_dice")
    engine.state.output = items
    metric.update(items)
    metric.completed(engine, "val_mean_dice")
    expected = [
        loss(scores[None], x["label"].as_tensor()[None]) for scores, x in zip(logits, items, strict=True)
    ]
    assert engine.state.metrics["val_loss"] == pytest.approx(float(sum(expected)) / 2, rel=1e-5)


def test_what_lies_outside_the_network_s_image_is_background_for_the_loss():
    loss = Float32DiceCELoss(softmax=True, to_onehot_y=True, squared_pred=True)
    metric = SegmentationScores(NAMES, loss=loss)
    nothing = {"label": MetaTensor(torch.zeros(1, 12, 16)), "pred": torch.zeros(1, 12, 16)}
    metric.update([{**item(1), **nothing, "probabilities": torch.zeros(3, 12, 16)}])
    assert metric.losses["c1"] < 0.7  # the Dice terms of two classes that are not there; no cross entropy


def test_probabilities_become_counts_of_confidence():
    probabilities = torch.softmax(torch.randn(3, 12, 16, generator=torch.Generator().manual_seed(0)), dim=0)
    metric = SegmentationScores(NAMES)
    metric.update([item(1, probabilities=probabilities)])
    (record,) = metric.confidences
    assert (record.case, record.group) == ("c1", "g")
    assert record.pixels[-1].sum() == 12 * 16
    assert 0 < metric.results().metrics()["ece_top_label"] < 1


def test_nothing_to_measure_on_is_refused():
    metric = SegmentationScores(NAMES)
    empty = {"pred": torch.zeros(1, 4, 4), "label": torch.zeros(1, 4, 4)}
    metric.update([empty])
    with pytest.raises(DatalistError):
        metric.compute()


def test_two_processes_see_every_case_once(monkeypatch):
    parts = [SegmentationScores(NAMES, quantities=[HARP], lesions=True) for _ in range(2)]
    for metric, seeds in zip(
        parts, ((1, 2, 3), (3, 4, 5)), strict=True
    ):  # one case twice, as a sampler pads them
        metric.update([item(seed, group=f"g{seed}") for seed in seeds])
    alone = SegmentationScores(NAMES, quantities=[HARP], lesions=True)
    alone.update([item(seed, group=f"g{seed}") for seed in range(1, 6)])
    records: list = []
    monkeypatch.setattr("pyraseg.pipeline.evaluation.metric.gather", lambda own: records.append(own) or [own])
    for metric in parts:
        metric.gather()
    monkeypatch.setattr("pyraseg.pipeline.evaluation.metric.gather", lambda own: records)
    for metric in parts:
        assert metric.compute() == pytest.approx(alone.compute())
        assert metric.compute() == pytest.approx(alone.compute())
    monkeypatch.undo()
    assert sorted(row.case for row in parts[0].rows) == sorted(row.case for row in alone.rows)
    assert parts[1].results().metrics() == pytest.approx(alone.results().metrics(), nan_ok=True)


def test_a_class_that_no_case_shows_is_named_at_the_first_validation_alone(caplog):
    metric = SegmentationScores(NAMES)
    label = torch.ones(1, 4, 4)
    for _ in range(2):
        metric.reset()
        metric.update([{"pred": label, "label": label, "case": "c"}])
        metric.completed(Engine(lambda *_: None), "val_mean_dice")
    said = [record.getMessage() for record in caplog.records]
    assert said == ["val: no case shows hydronephrosis: no score says how it is segmented"]
