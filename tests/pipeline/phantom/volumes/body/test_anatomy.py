"""The body is a body, lesions lie within it with the volume that they claim, and each modality shows it its
way."""

from __future__ import annotations

import numpy as np
import pytest

from pyraseg.pipeline.phantom.identity import draw_identity
from pyraseg.pipeline.phantom.volumes.body.anatomy import draw_body, paint
from pyraseg.pipeline.phantom.volumes.body.lesions import SITES
from pyraseg.pipeline.phantom.volumes.body.shapes import grid_points
from pyraseg.pipeline.phantom.volumes.body.tissues import Tissue
from pyraseg.pipeline.phantom.volumes.mr import MrExamination
from pyraseg.pipeline.phantom.volumes.pet import PetExamination
from pyraseg.transforms.geometry.grid import Vector, VolumeGrid


def grid_around(centre: Vector, half_mm: float, spacing: float) -> VolumeGrid:
    count = int(2 * half_mm / spacing) + 1
    origin = tuple(float(value - half_mm) for value in centre)
    axes = ((1.0, 0.0, 0.0), (0.0, 1.0, 0.0), (0.0, 0.0, 1.0))
    return VolumeGrid((count,) * 3, origin, *axes, (spacing,) * 3)


@pytest.mark.parametrize("place", range(len(SITES)), ids=lambda place: SITES[place].name)
def test_a_lesion_has_the_volume_that_it_claims_and_lies_within_the_body(place):
    body = draw_body(np.random.default_rng(place), place, scale=(0.9, 1), both_sides=False)
    (lesion,) = body.lesions
    centre = tuple(value * body.scale for value in lesion.body.centre)
    grid = grid_around(centre, 1.6 * max(lesion.body.semi_axes), 1.8)
    painted = paint(body, grid)
    assert np.count_nonzero(painted.lesions) * grid.voxel_ml == pytest.approx(lesion.volume_ml, rel=0.02)
    core = np.count_nonzero(painted.cores) / np.count_nonzero(painted.lesions)
    assert core == pytest.approx(lesion.core_share, abs=0.02)
    assert (painted.tissue[painted.lesions > 0] != Tissue.AIR).all()
    assert not any(painted.lesions[edge].any() for edge in (0, -1))


def test_the_whole_body_has_every_tissue_and_no_bone_outside_of_it():
    body = draw_body(np.random.default_rng(0), 0, scale=(0.9, 0.9), both_sides=True)
    axes = ((1.0, 0.0, 0.0), (0.0, 1.0, 0.0), (0.0, 0.0, 1.0))
    grid = VolumeGrid((72, 48, 200), (-180.0, -120.0, -250.0), *axes, (5.0, 5.0, 5.0))
    painted = paint(body, grid)
    assert set(np.unique(painted.tissue).tolist()) == {int(tissue) for tissue in Tissue}
    assert np.unique(painted.lesions).tolist() == [0, 1, 2]
    ends = painted.tissue[[0, -1]]
    assert not ends.any()
    inside = np.count_nonzero(painted.tissue) * grid.voxel_ml / 1000
    assert 0.6 < inside / body.weight_kg < 1.1  # litres without arms and lower legs, against kilogrammes


def test_brain_heart_and_bladder_are_hot_and_the_thigh_is_not():
    rng = np.random.default_rng(1)
    body = draw_body(rng, 1, scale=(0.85, 0.85), both_sides=False)
    axes = ((1.0, 0.0, 0.0), (0.0, 1.0, 0.0), (0.0, 0.0, 1.0))
    grid = VolumeGrid((60, 44, 170), (-147.0, -107.0, -150.0), *axes, (5.0, 5.0, 5.0))
    painted = paint(body, grid)
    identity = draw_identity(rng, 0, seed=0, patient_name=None)
    suv = PetExamination.draw(rng, body, 0, identity).render(painted, body, grid, rng)
    mean = {tissue: suv[painted.tissue == tissue].mean() for tissue in Tissue}
    assert min(mean[Tissue.GREY_MATTER], mean[Tissue.URINE]) > 4
    assert mean[Tissue.MYOCARDIUM] > mean[Tissue.LIVER] > 1.5 > mean[Tissue.MUSCLE] > 0.4
    assert suv.min() >= 0


def test_a_bias_field_is_smooth_and_changes_the_brightness():
    rng = np.random.default_rng(1)
    body = draw_body(rng, 1, scale=(0.9, 0.9), both_sides=False)
    grid = grid_around((0.0, 0.0, 100.0), 150, 10)
    identity = draw_identity(rng, 0, seed=0, patient_name=None)
    bias = MrExamination.draw(rng, body, 0, identity).bias(grid)
    assert bias.max() / bias.min() > 1.2
    assert all(np.abs(np.diff(np.log(bias), axis=axis)).max() < 0.05 for axis in range(3))


def test_points_of_a_grid_are_its_voxel_centres():
    axes = ((0.6, 0.8, 0.0), (-0.8, 0.6, 0.0), (0.0, 0.0, 1.0))
    grid = VolumeGrid((4, 5, 6), (10.0, -20.0, 30.0), *axes, (2.0, 3.0, 4.0))
    points = np.broadcast_arrays(*grid_points(grid))
    index = (3, 2, 5)
    expected = (grid.affine_lps @ [*index, 1])[:3]
    np.testing.assert_allclose([axis[index] for axis in points], expected, rtol=1e-6)
