"""Confidence is counted where the network has seen the image, and the error is that of the definition."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest
import torch

from pyraseg.pipeline.evaluation.calibration import BINS, TOP, count_confidence, pool

NAMES = ["background", "kidney", "hydronephrosis"]


def random_case(seed: int, *, shape=(20, 30), group="g", sharpness=1.0):
    generator = torch.Generator().manual_seed(seed)
    probabilities = torch.softmax(sharpness * torch.randn(3, *shape, generator=generator), dim=0)
    label = torch.randint(0, 3, (1, *shape), generator=generator)
    return probabilities, label, {"label_names": NAMES, "case": f"c{seed}", "group": group}


def count(seed: int, **options):
    probabilities, label, names = random_case(seed, **options)
    return count_confidence(probabilities, label, **names)


@pytest.mark.parametrize("shape", [(20, 30), (6, 7, 8)])
def test_the_error_of_each_class_and_of_the_top_label_is_that_of_the_definition(shape):
    probabilities, label, names = random_case(3, shape=shape, sharpness=3.0)
    curves = {curve.name: curve.error for curve in pool([count_confidence(probabilities, label, **names)])}
    p, truth = probabilities.flatten(1).double().numpy(), label.flatten().numpy()
    pairs = {name: (p[k], truth == k) for k, name in enumerate(NAMES)}
    pairs[TOP] = p.max(axis=0), truth == p.argmax(axis=0)
    for name, (confidence, right) in pairs.items():
        edges = np.linspace(0, 1, BINS + 1)
        expected = 0.0
        for low, high in pairwise(edges):
            inside = (confidence >= low) & ((confidence < high) | (high == 1))
            if inside.any():
                expected += inside.mean() * abs(right[inside].mean() - confidence[inside].mean())
        assert curves[name] == pytest.approx(expected, abs=1e-6)
    assert list(curves) == [*NAMES, TOP]


def test_a_volume_counted_in_pieces_gives_the_same_counts(monkeypatch):
    whole = count(1, shape=(6, 7, 8))
    monkeypatch.setattr("pyraseg.pipeline.evaluation.calibration.PIECE", 50)
    pieces = count(1, shape=(6, 7, 8))
    assert np.array_equal(pieces.pixels, whole.pixels)
    assert np.array_equal(pieces.correct, whole.correct)
    assert pieces.confidence == pytest.approx(whole.confidence)


def test_labels_drawn_from_the_probabilities_are_calibrated_and_overconfidence_is_not():
    generator = torch.Generator().manual_seed(0)
    logits = torch.randn(3, 200, 200, generator=generator)
    honest = torch.softmax(logits, dim=0)
    label = torch.multinomial(honest.flatten(1).T, 1, generator=generator).T.reshape(1, 200, 200)
    names = {"label_names": NAMES, "case": "c", "group": "g"}
    errors = [
        [curve.error for curve in pool([count_confidence(probabilities, label, **names)])]
        for probabilities in (honest, torch.softmax(4 * logits, dim=0))
    ]
    assert max(errors[0]) < 0.02
    assert errors[1][-1] > 0.2


def test_every_pixel_that_was_seen_is_counted_once_a_curve_and_no_other():
    probabilities, label, names = random_case(0)
    probabilities[:, :5] = 0
    record = count_confidence(probabilities, label, **names)
    assert record.pixels.sum(axis=1).tolist() == [15 * 30] * 4
    assert record.correct[:3].sum() == 15 * 30
    assert record.confidence[:3].sum() == pytest.approx(15 * 30, rel=1e-5)
    assert (record.correct <= record.pixels).all()


def test_certainty_lies_in_the_last_bin():
    probabilities = torch.zeros(3, 4, 4)
    probabilities[1] = 1
    record = count_confidence(probabilities, torch.ones(1, 4, 4), label_names=NAMES, case="c", group="g")
    assert record.pixels[1].tolist() == [0] * (BINS - 1) + [16]
    assert [curve.error for curve in pool([record])] == [0, 0, 0, 0]


def test_a_group_weighs_the_same_however_many_frames_it_has_unless_pixels_are_pooled():
    small, large = count(1, group="small"), [count(2, group="large", shape=(50, 60))] * 7
    alone = [{c.name: c.error for c in pool([one])}[TOP] for one in (small, large[0])]
    pooled = {c.name: c for c in pool([small, *large])}
    twice = {c.name: c for c in pool([small, *large[:1]])}
    assert pooled[TOP].error == pytest.approx(twice[TOP].error)
    by_pixel = {c.name: c.error for c in pool([small, *large], by_group=False)}[TOP]
    assert abs(by_pixel - alone[1]) < abs(pooled[TOP].error - alone[1])


def test_a_case_of_which_nothing_was_seen_counts_nothing():
    unseen = count_confidence(
        torch.zeros(3, 4, 4), torch.zeros(1, 4, 4), label_names=NAMES, case="c", group="g"
    )
    assert pool([unseen]) == ()
    assert pool([unseen, count(0)])[0].error == pool([count(0)])[0].error
