"""A contour holds the pixels whose centres are in it, to the last one; and a mask's contours give the mask
back."""

from __future__ import annotations

from fractions import Fraction

import numpy as np
import pytest
from scipy.ndimage import gaussian_filter
from skimage.draw import polygon2mask
from skimage.measure import label

from pyraseg.transforms.dicom.labels.contours import fill_contours, trace_mask
from pyraseg.transforms.errors import GeometryError

SQUARE = np.array([[1, 1], [4, 1], [4, 3], [1, 3]])


def by_definition(polygons, shape):
    """The rule, pixel by pixel, in fractions."""
    mask = np.zeros(shape, bool)
    for x, y in np.ndindex(shape):
        odd = path = False
        for polygon in polygons:
            vertices = [(Fraction(a), Fraction(b)) for a, b in polygon]
            for (x1, y1), (x2, y2) in zip(vertices, vertices[1:] + vertices[:1], strict=True):
                between = min(x1, x2) <= x <= max(x1, x2) and min(y1, y2) <= y <= max(y1, y2)
                path |= between and (x2 - x1) * (y - y1) == (y2 - y1) * (x - x1)
                odd ^= (y1 > y) != (y2 > y) and x < x1 + (y - y1) * (x2 - x1) / ((y2 - y1) or 1)
        mask[x, y] = odd or path
    return mask


def test_random_polygons_are_filled_as_the_rule_says():
    generator = np.random.default_rng(0)
    for _ in range(120):
        steps = generator.choice([1, 2, 4, 8])  # of a pixel: many vertices and edges meet centres
        sizes = generator.integers(1, 7, generator.integers(1, 4))
        polygons = [generator.integers(-8, 40, (size, 2)) / steps for size in sizes]
        shape = tuple(generator.integers(1, 9, 2))
        np.testing.assert_array_equal(fill_contours(polygons, shape), by_definition(polygons, shape))


def test_off_centres_and_edges_it_is_what_scikit_image_fills():
    generator = np.random.default_rng(1)
    for _ in range(20):
        polygon = generator.uniform(-3, 33, (5, 2))
        np.testing.assert_array_equal(fill_contours([polygon], (30, 20)), polygon2mask((30, 20), polygon))


def test_pixels_on_the_path_belong_to_it_on_every_side():
    mask = fill_contours([SQUARE], (6, 5))
    assert mask.sum() == 12
    assert mask[1:5, 1:4].all()


def test_a_contour_through_pixel_centres_survives_the_rounding_of_decimals():
    np.testing.assert_array_equal(fill_contours([SQUARE + 1e-4], (6, 5)), fill_contours([SQUARE], (6, 5)))


def test_a_contour_in_a_contour_is_a_hole_and_one_in_that_an_island():
    rings = [[[a, a], [b, a], [b, b], [a, b]] for a, b in ((0.5, 9.5), (2.5, 7.5), (4.5, 5.5))]
    mask = fill_contours([np.array(ring) for ring in rings], (11, 11))
    assert mask.sum() == 81 - 25 + 1
    assert mask[5, 5]
    assert not mask[4, 5]


def test_a_channel_without_width_leaves_no_trace():
    keyhole = [[0.5, 0.5], [4.5, 0.5], [4.5, 2.5], [5.5, 3.5], [4.5, 4.5], [3.5, 3.5], [4.5, 2.5], [4.5, 0.5]]
    keyhole += [[8.5, 0.5], [8.5, 7.5], [0.5, 7.5]]
    outer = [[0.5, 0.5], [8.5, 0.5], [8.5, 7.5], [0.5, 7.5]]
    hole = [[4.5, 2.5], [5.5, 3.5], [4.5, 4.5], [3.5, 3.5]]
    np.testing.assert_array_equal(
        fill_contours([np.array(keyhole)], (10, 9)), fill_contours([np.array(outer), np.array(hole)], (10, 9))
    )


def test_what_lies_outside_the_image_is_cut_there():
    around = np.array([[-5.0, -5.0], [50.0, -5.0], [50.0, 50.0], [-5.0, 50.0]])
    assert fill_contours([around], (6, 5)).all()
    assert not fill_contours([around + 100], (6, 5)).any()
    assert not fill_contours([], (6, 5)).any()


@pytest.mark.parametrize("far", [np.nan, np.inf, 1e9])
def test_points_without_a_place_are_refused(far):
    with pytest.raises(GeometryError, match="without a place"):
        fill_contours([np.array([[0, 0], [far, 0], [0, 5]])], (6, 5))


def masks():
    """Noise of every density, down to one pixel, with pixels on the border and parts that touch at
    corners."""
    generator = np.random.default_rng(2)
    for _ in range(200):
        yield generator.random(generator.integers(1, 14, 2)) < generator.random()
    for blur in (1, 3):
        yield gaussian_filter(generator.random((70, 50)), blur) > 0.5


def test_the_contours_of_a_mask_give_it_back():
    for mask in masks():
        np.testing.assert_array_equal(fill_contours(trace_mask(mask), mask.shape), mask)


def test_there_is_one_contour_for_each_part_whatever_holes_it_has():
    for mask in masks():
        assert len(trace_mask(mask)) == label(mask, connectivity=1).max()


def test_no_contour_comes_near_a_pixel_centre():
    for mask in masks():
        for polygon in trace_mask(mask):
            for shift in ([0.3, 0], [-0.3, 0], [0, 0.3], [0, -0.3]):
                assert not (
                    fill_contours([polygon + shift], mask.shape) ^ fill_contours([polygon], mask.shape)
                ).any()


def test_holes_run_the_other_way_so_that_the_area_is_right():
    mask = np.zeros((30, 30), bool)
    mask[3:25, 4:26] = True
    mask[8:14, 8:14] = mask[16:20, 10:23] = False
    ((x, y),) = (polygon.T for polygon in trace_mask(mask))
    area = abs((x * np.roll(y, -1) - y * np.roll(x, -1)).sum()) / 2
    assert area == pytest.approx(mask.sum(), rel=0.01)


def test_vertices_rounded_to_pixels_are_pixels_of_the_mask():
    for mask in masks():
        for polygon in trace_mask(mask):
            assert mask[tuple(np.rint(polygon).astype(int).T)].all()


def test_a_straight_edge_has_no_vertices_within():
    mask = np.zeros((50, 40), bool)
    mask[5:45, 5:35] = True
    assert [len(polygon) for polygon in trace_mask(mask)] == [8]
