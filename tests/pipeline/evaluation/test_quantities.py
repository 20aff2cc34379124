"""Errors of clinical quantities are predicted minus reference, where both exist, and say why where they do
not."""

from __future__ import annotations

import math

import pytest
import torch

from pyraseg.pipeline.evaluation.quantities import compare_quantities, summarise_quantities

NAMES = ["background", "kidney", "hydronephrosis"]
DECLARED = [
    {"name": "fluid_area", "measure": "area", "segments": ["hydronephrosis"]},
    {"name": "phar", "measure": "phar", "segments": ["kidney", "hydronephrosis"]},
]


def frame(fluid: int) -> torch.Tensor:
    labels = torch.ones(1, 10, 10, dtype=torch.uint8)
    labels[0, 0, :fluid] = 2
    return labels


def compare(predicted: int, reference: int, *, names=NAMES, spacing=(0.5, 0.5), group="g"):
    return compare_quantities(
        frame(predicted),
        frame(reference),
        label_names=names,
        declared=DECLARED,
        spacing_mm=spacing,
        case="c",
        group=group,
    )


def test_an_error_is_predicted_minus_reference():
    area, phar = compare(8, 4)
    assert area.error == pytest.approx(1.0)
    assert phar.error == pytest.approx(92 / 8 - 96 / 4)
    assert (area.reason, phar.reason) == ("", "")


def test_what_either_lacks_has_no_error_and_says_where_and_why():
    _, phar = compare(0, 4)
    assert math.isnan(phar.error)
    assert phar.reason == "prediction: no fluid in the frame"
    area, _ = compare(3, 4, spacing=None)
    assert (math.isnan(area.error), area.reason) == (True, "the image is not calibrated")


def test_a_quantity_whose_segments_are_not_in_the_label_set_is_left_out():
    assert [row.reference.name for row in compare(1, 1, names=["background", "a", "hydronephrosis"])] == [
        "fluid_area"
    ]


def test_bias_cancels_and_the_absolute_error_does_not():
    rows = compare(8, 4, group="a") + compare(4, 8, group="b") + compare(0, 0, group="c")
    summary = summarise_quantities(rows, resamples=100)
    area, phar = summary["fluid_area"], summary["phar"]
    assert area.error.group_mean == pytest.approx(0)
    assert area.absolute_error.group_mean == pytest.approx(2 / 3)
    assert area.error.low < 0 < area.error.high
    assert (area.unit, phar.error.cases) == ("mm2", 2)
