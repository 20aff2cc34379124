"""Contours of one region and plane: nested ones are holes and islands, all else is united."""

from __future__ import annotations

import numpy as np
import pytest

from pyraseg.transforms.dicom.labels.contours import fill_contours
from pyraseg.transforms.dicom.labels.nesting import draw_contours

SHAPE = (40, 30)


def box(left, top, right, bottom):
    return np.array([[left, top], [right, top], [right, bottom], [left, bottom]], float)


def disc(x, y, radius):
    angles = np.linspace(0, 2 * np.pi, 60, endpoint=False)
    return np.column_stack([x + radius * np.cos(angles), y + radius * np.sin(angles)])


def test_of_rings_that_lie_in_each_other_it_is_the_exclusive_or_to_the_voxel():
    generator = np.random.default_rng(0)
    for _ in range(30):
        radii = np.sort(generator.uniform(1, 14, 4))
        radii = radii[np.diff(radii, append=20) > 0.7]
        rings = [disc(*generator.uniform(14.9, 15.1, 2), radius) for radius in radii]
        rings += [disc(35, generator.uniform(5, 25), 3)]
        generator.shuffle(rings)
        mask, repeated, overlap = draw_contours(rings, SHAPE)
        np.testing.assert_array_equal(mask, fill_contours(rings, SHAPE))
        assert (repeated, overlap) == (0, False)


def test_what_overlaps_in_part_is_united():
    generator = np.random.default_rng(1)
    for _ in range(20):
        one = disc(15, 15, generator.uniform(6, 9))
        other = one + generator.uniform((4, -3), (9, 3))
        expected = fill_contours([one], SHAPE) | fill_contours([other], SHAPE)
        mask, _, overlap = draw_contours([other, one], SHAPE)
        np.testing.assert_array_equal(mask, expected)
        assert overlap


def test_a_hole_in_one_of_two_that_overlap_is_no_hole_in_the_other():
    left, right, hole = box(1, 1, 20, 20), box(15, 1, 35, 20), box(10, 5, 17, 10)
    mask, _, overlap = draw_contours([left, right, hole], SHAPE)
    expected = fill_contours([left, hole], SHAPE) | fill_contours([right], SHAPE)
    np.testing.assert_array_equal(mask, expected)
    assert overlap
    both = box(16, 5, 19, 10)  # inside the two of them
    mask, _, _ = draw_contours([left, right, both], SHAPE)
    assert not mask[17:19, 6:10].any()


@pytest.mark.parametrize("shift", [0, 0.005, 0.06])
def test_a_contour_that_comes_twice_but_for_rounding_counts_once(shift):
    one = disc(15.2, 14.7, 9)
    mask, repeated, overlap = draw_contours([one, np.roll(one[::-1], 7, axis=0) + shift], SHAPE)
    np.testing.assert_array_equal(mask, fill_contours([one], SHAPE))
    assert (repeated, overlap) == (1, False)


def test_a_hole_that_touches_the_outline_is_a_hole():
    outer, hole = box(1, 1, 20, 20), box(5, 1, 9, 12)
    for rounding in (0, 0.01, -0.01):
        mask, _, _ = draw_contours([outer, hole + rounding], SHAPE)
        assert not mask[6:9, 2:12].any()


def test_an_island_in_a_hole_that_a_keyhole_joins_is_no_hole():
    outer, hole = box(1.5, 1.5, 20.5, 20.5), box(5.5, 5.5, 15.5, 15.5)
    keyholed = np.concatenate([outer, outer[:1], hole, hole[:1]])
    island = box(8.5, 8.5, 12.5, 12.5)
    mask, _, overlap = draw_contours([keyholed, island], SHAPE)
    assert mask.sum() == 19 * 19 - 10 * 10 + 4 * 4
    assert not overlap


def test_a_tiny_contour_beside_or_in_a_large_one_changes_at_most_its_own_voxel():
    large = box(4.5, 4.5, 14.5, 14.5)
    for tiny, voxels in ((box(20.3, 20.3, 20.4, 20.4), 100), (box(8.3, 8.3, 8.4, 8.4), 100)):
        assert draw_contours([large, tiny], SHAPE)[0].sum() == voxels


def test_outlines_along_the_sides_of_pixels_hold_the_same_voxels_when_they_shrink_a_little():
    outer, hole = box(3.5, 2.5, 20.5, 18.5), box(7.5, 6.5, 12.5, 11.5)
    inward = np.array([[1, 1], [-1, 1], [-1, -1], [1, -1]]) * 0.02
    mask, _, _ = draw_contours([outer + inward, hole - inward], SHAPE)
    np.testing.assert_array_equal(mask, fill_contours([outer, hole], SHAPE))
    assert mask.sum() == 17 * 16 - 25


def test_a_contour_far_larger_than_the_image_is_cut_there():
    around, inner = box(-900.5, -900.5, 900.5, 900.5), box(-10.5, -10.5, 19.5, 60.5)
    mask, _, overlap = draw_contours([around, inner], SHAPE)
    assert mask[20:].all()
    assert not mask[:20].any()
    assert not overlap
