"""Lengths of drawn shapes are those of the shapes, whatever the spacing, to within a pixel."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import ndimage
from skimage.measure import regionprops

from pyraseg.pipeline.measurement.lengths import feret_diameter, inscribed_diameter, wall_thickness

SPACINGS = [(0.5, 0.5), (0.25, 0.6), (1.0, 0.3)]


def disc(radius_mm: float, spacing, *, centre=(30.0, 30.0), size_mm: float = 60.0) -> np.ndarray:
    axes = [np.arange(0, size_mm, step) for step in spacing]
    grid = np.stack(np.meshgrid(*axes, indexing="ij"))
    return np.linalg.norm(grid - np.asarray(centre)[:, None, None], axis=0) <= radius_mm


@pytest.mark.parametrize("spacing", SPACINGS)
def test_a_disc_s_diameters_are_its_own(spacing):
    mask = disc(12.0, spacing)
    assert feret_diameter(mask, spacing) == pytest.approx(24, abs=max(spacing))
    assert inscribed_diameter(mask, spacing) == pytest.approx(24, abs=max(spacing))


def test_a_row_of_pixels_is_as_long_as_its_pixels_and_one_pixel_wide():
    for axis, length in ((0, 10 * 0.5), (1, 10 * 0.2)):
        mask = np.zeros((20, 20), bool)
        mask[(slice(5, 15), 3) if axis == 0 else (3, slice(5, 15))] = True
        assert feret_diameter(mask, (0.5, 0.2)) == pytest.approx(length, rel=0.05)
        assert inscribed_diameter(mask, (0.5, 0.2)) == pytest.approx((0.2, 0.5)[axis])


def test_without_spacing_the_feret_diameter_is_scikit_image_s():
    generator = np.random.default_rng(0)
    for _ in range(5):
        (top, left), (height, width) = generator.integers(1, 20, (2, 2))
        mask = np.zeros((40, 40), bool)
        mask[top : top + height, left : left + width] = True
        (region,) = regionprops(mask.astype(int))
        assert feret_diameter(mask, (1, 1)) == pytest.approx(region.feret_diameter_max)


def test_a_diagonal_is_measured_in_millimetres_and_not_in_pixels():
    mask = np.eye(30, dtype=bool)
    assert feret_diameter(mask, (0.3, 0.4)) == pytest.approx(30 * 0.5, abs=0.5)


@pytest.mark.parametrize("spacing", SPACINGS)
def test_the_wall_of_a_ring_has_one_thickness(spacing):
    cavity = disc(6.0, spacing)
    wall = disc(14.0, spacing) & ~cavity
    thickness = wall_thickness(wall, cavity, spacing)
    assert float(np.median(thickness)) == pytest.approx(8, abs=max(spacing))
    assert float(thickness.min()) == pytest.approx(8, abs=1.5 * max(spacing))


def test_a_cavity_off_the_centre_has_its_thinnest_wall_on_the_near_side():
    spacing = (0.5, 0.5)
    cavity = disc(5.0, spacing, centre=(30.0, 36.0))
    thickness = wall_thickness(disc(14.0, spacing) & ~cavity, cavity, spacing)
    assert float(thickness.min()) == pytest.approx(3, abs=0.75)
    assert float(np.median(thickness)) > 5


def test_a_hole_in_the_wall_is_not_the_outer_contour():
    spacing = (0.5, 0.5)
    cavity = disc(5.0, spacing)
    wall = disc(14.0, spacing) & ~cavity
    holed = wall & ~disc(2.0, spacing, centre=(30.0, 39.0))
    assert np.array_equal(wall_thickness(holed, cavity, spacing), wall_thickness(wall, cavity, spacing))


def test_where_there_is_no_wall_the_thickness_is_zero():
    cavity = disc(5.0, (0.5, 0.5))
    assert wall_thickness(np.zeros_like(cavity), cavity, (0.5, 0.5)).max() == 0
    assert wall_thickness(cavity, np.zeros_like(cavity), (0.5, 0.5)).size == 0


def depth_everywhere(mask, spacing):
    """Distances in mm of all points half a pixel apart to the outline, by the plain distance transform, two
    pixels of outside around."""
    finer = np.pad(mask, 2).astype(float)
    for axis in range(mask.ndim):
        finer = np.repeat(finer, 2, axis=axis)
        finer = (
            finer.take(range(finer.shape[axis] - 1), axis) + finer.take(range(1, finer.shape[axis]), axis)
        ) / 2
    return ndimage.distance_transform_edt(finer > 0.5, sampling=np.asarray(spacing) / 2), finer


@pytest.mark.parametrize("shape", [(61, 47), (1, 40), (9, 12, 10)])
@pytest.mark.parametrize("smooth", [0.6, 2.0, 5.0])
def test_lengths_of_random_masks_are_those_of_the_full_distance_transform(shape, smooth):
    generator = np.random.default_rng(0)
    for _ in range(5):
        spacing = tuple(generator.uniform(0.1, 1, len(shape)))
        noise = [ndimage.gaussian_filter(generator.normal(size=shape), smooth) for _ in range(3)]
        labels = np.argmax(noise, axis=0)
        wall, cavity = labels == 1, labels == 2
        if not cavity.any():
            continue
        assert inscribed_diameter(cavity, spacing) == pytest.approx(
            2 * depth_everywhere(cavity, spacing)[0].max()
        )
        depth, _ = depth_everywhere(ndimage.binary_fill_holes(wall | cavity), spacing)
        expected = depth[depth_everywhere(cavity, spacing)[1] == 0.5]
        np.testing.assert_allclose(wall_thickness(wall, cavity, spacing), expected, rtol=1e-9)
