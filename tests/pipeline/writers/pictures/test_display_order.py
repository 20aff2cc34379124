"""Pictures show every volume the same way, however its axes are stored."""

from __future__ import annotations

from itertools import permutations, product

import numpy as np
import pytest

from pyraseg.pipeline.writers.pictures.montage import display_spacing, to_display

SHAPE = {"L": 4, "P": 5, "S": 6}
SPACING = {"L": 1.0, "P": 2.0, "S": 3.0}
RAS = {"L": (-1, 0, 0), "P": (0, -1, 0), "S": (0, 0, 1)}


def stored(order, signs):
    """A body whose values are its own (left, back, head) places, stored with other axes, and its affine."""
    body = np.arange(np.prod(list(SHAPE.values()))).reshape(tuple(SHAPE.values()))
    array = body.transpose(["LPS".index(axis) for axis in order])
    affine = np.eye(4)
    for place, (axis, sign) in enumerate(zip(order, signs, strict=True)):
        affine[:3, place] = sign * SPACING[axis] * np.array(RAS[axis])
        array = np.flip(array, place) if sign < 0 else array
    return body, array, affine


@pytest.mark.parametrize("order", list(permutations("LPS")), ids="".join)
def test_however_the_axes_are_stored_the_patient_is_shown_from_the_feet_with_the_left_on_the_right(order):
    for signs in product((1, -1), repeat=3):
        body, array, affine = stored(order, signs)
        assert np.array_equal(to_display(array, affine), body)
        assert display_spacing(affine) == pytest.approx((1, 2, 3))


def test_an_oblique_volume_is_shown_along_its_nearest_axes_and_not_resampled():
    body, array, affine = stored("SLP", (1, -1, 1))
    turn = np.array([[np.cos(0.3), -np.sin(0.3), 0], [np.sin(0.3), np.cos(0.3), 0], [0, 0, 1]])
    affine[:3, :3] = turn @ affine[:3, :3]
    assert np.array_equal(to_display(array, affine), body)
    assert display_spacing(affine) == pytest.approx((1, 2, 3))
