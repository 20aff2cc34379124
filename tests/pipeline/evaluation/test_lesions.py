"""Lesions are counted one by one: found, missed, and found where there is none."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from pyraseg.pipeline.evaluation.lesions import CaseLesions, Lesion, compare_lesions, summarise_lesions

NAMES = ["background", "tumour", "node"]
SHAPE = (30, 20, 12)


def volume(*boxes: tuple[slice, ...], value: int = 1) -> torch.Tensor:
    labels = np.zeros(SHAPE, np.uint8)
    for box in boxes:
        labels[box] = value
    return torch.from_numpy(labels)[None]


def box(x: int, *, size: int = 4) -> tuple[slice, ...]:
    return slice(x, x + size), slice(5, 5 + size), slice(3, 3 + size)


def compare(prediction, reference, **more) -> CaseLesions:
    return compare_lesions(prediction, reference, label_names=NAMES, case="c", group="g", **more)[0]


def case(detected: int, missed: int, *, group: str, spurious: int = 0) -> CaseLesions:
    reference = (Lesion(10, 8),) * detected + (Lesion(10, 0),) * missed
    return CaseLesions("c", group, "tumour", reference, (Lesion(4, 0),) * spurious, voxel_ml=0.5)


def test_each_lesion_is_found_or_missed_on_its_own_and_what_lies_elsewhere_is_a_false_positive():
    found = compare(volume(box(1), box(20)), volume(box(2), box(10)), spacing_mm=(2, 3, 5))
    assert found.reference == (Lesion(64, 48), Lesion(64, 0))
    assert found.detected == (True, False)
    assert found.false_positives == (Lesion(64, 0),)
    assert found.false_positive_ml == pytest.approx(64 * 30 / 1000)


@pytest.mark.parametrize(("planes", "hit"), [(0, False), (1, False), (2, True)])
def test_a_tenth_of_a_lesion_must_be_covered(planes, hit):
    reference = volume((slice(0, 16), slice(0, 4), slice(0, 4)))
    found = compare(volume((slice(0, planes), slice(0, 4), slice(0, 4))), reference)
    assert found.detected == (hit,)
    assert not found.false_positives


def test_exactly_a_tenth_is_enough():
    for tenth in range(1, 200):
        exact = CaseLesions(
            "c", "g", "tumour", (Lesion(10 * tenth, tenth), Lesion(10 * tenth + 1, tenth)), ()
        )
        assert exact.detected == (True, False)


def test_what_touches_a_lesion_is_no_false_positive_even_where_it_finds_none():
    found = compare(
        volume((slice(15, 30), slice(0, 4), slice(0, 4))), volume((slice(0, 16), slice(0, 4), slice(0, 4)))
    )
    assert (found.detected, found.false_positives) == ((False,), ())


def test_diagonal_neighbours_are_one_lesion_and_other_classes_are_none():
    diagonal = volume((0, 0, 0), (1, 1, 1), (2, 2, 2))
    assert [lesion.voxels for lesion in compare(diagonal, diagonal).reference] == [3]
    tumour, node = compare_lesions(
        volume(box(1)), volume(box(1), value=2), label_names=NAMES, case="c", group="g"
    )
    assert (tumour.reference, len(tumour.false_positives)) == ((), 1)
    assert (node.detected, node.predicted) == ((False,), ())


def test_cropping_changes_no_count():
    generator = torch.Generator().manual_seed(0)
    maps = [(torch.rand(1, 9, 8, 7, generator=generator) > 0.8).to(torch.uint8) for _ in range(2)]
    wide = [torch.nn.functional.pad(each, (3, 4, 0, 5, 6, 1)) for each in maps]
    assert compare(*maps) == compare(*wide)


def test_a_patient_with_many_lesions_weighs_as_much_as_one_with_a_single_one():
    summary = summarise_lesions([case(9, 0, group="a"), case(0, 1, group="b")], resamples=100)["tumour"]
    assert (summary.lesions, summary.detected) == (10, 9)
    assert summary.sensitivity.group_mean == pytest.approx(0.5)
    assert summary.sensitivity.frame_mean == pytest.approx(0.9)
    assert summary.sensitivity.low <= 0.5 <= summary.sensitivity.high


def test_false_positives_are_counted_over_all_cases_with_and_without_lesions():
    cases = [case(1, 0, group="a"), case(0, 0, group="b", spurious=3)]
    summary = summarise_lesions(cases)["tumour"]
    assert summary.false_positives.group_mean == pytest.approx(1.5)
    assert summary.false_positive_ml.group_mean == pytest.approx(3.0)
    assert summary.sensitivity.cases == 1


def test_without_any_lesion_sensitivity_is_absent_and_not_perfect():
    summary = summarise_lesions([case(0, 0, group="a")])["tumour"]
    assert math.isnan(summary.sensitivity.group_mean)
    assert set(summary.metrics()) == {
        "false_positive_lesions_tumour",
        "false_positive_lesion_volume_ml_tumour",
    }


def test_volumes_of_lesions_need_a_calibrated_volume():
    frame = torch.ones(1, 4, 4)
    assert compare(frame, frame, spacing_mm=(0.5, 0.5)).voxel_ml is None
    assert math.isnan(compare(volume(box(1)), volume()).false_positive_ml)
