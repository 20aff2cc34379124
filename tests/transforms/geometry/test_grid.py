"""A volume's grid says where each voxel lies in the patient."""

from __future__ import annotations

import numpy as np
import pytest

from pyraseg.transforms.geometry.grid import VolumeGrid, find_turns, turned, turned_affine

C, S = np.cos(0.3), np.sin(0.3)
OBLIQUE = VolumeGrid(
    shape=(5, 4, 3),
    origin=(-10.0, 20.0, 30.0),
    row_direction=(C, 0.0, S),
    column_direction=(0.0, 1.0, 0.0),
    slice_direction=(-S, 0.0, C),
    spacing=(0.5, 2.0, 3.0),
)


def test_a_step_in_the_index_is_a_step_of_the_spacing_along_its_direction():
    steps = [(OBLIQUE.affine_lps @ [*index, 1])[:3] - OBLIQUE.origin for index in np.eye(3)]
    np.testing.assert_allclose(steps[0], np.array(OBLIQUE.row_direction) * 0.5)
    np.testing.assert_allclose(steps[1], np.array(OBLIQUE.column_direction) * 2)
    np.testing.assert_allclose(steps[2], np.array(OBLIQUE.slice_direction) * 3)


def test_the_origin_is_the_centre_of_the_first_voxel():
    np.testing.assert_array_equal(OBLIQUE.affine_lps @ [0, 0, 0, 1], [-10, 20, 30, 1])


def test_ras_differs_from_lps_in_the_signs_of_left_and_posterior():
    np.testing.assert_allclose(OBLIQUE.affine, np.diag([-1, -1, 1, 1]) @ OBLIQUE.affine_lps)
    np.testing.assert_array_equal(OBLIQUE.affine @ [0, 0, 0, 1], [10, -20, 30, 1])


def test_the_volume_of_a_voxel_is_the_determinant_of_its_affine():
    assert pytest.approx(abs(np.linalg.det(OBLIQUE.affine)) / 1000) == OBLIQUE.voxel_ml


@pytest.mark.parametrize(
    "turns", [[(0, 1), (1, 1), (2, 1)], [(2, -1), (0, 1), (1, -1)], [(1, 1), (0, -1), (2, 1)]]
)
def test_a_turned_grid_has_the_same_voxels_where_they_were(turns):
    grid = OBLIQUE.turned(turns)
    array = np.arange(60).reshape(OBLIQUE.shape)
    view = turned(array, turns)
    assert view.shape == grid.shape
    for index in ((0, 0, 0), (1, 2, 1)):
        (before,) = np.argwhere(array == view[index])
        np.testing.assert_allclose(
            grid.affine_lps @ [*index, 1], OBLIQUE.affine_lps @ [*before, 1], atol=1e-9
        )
    np.testing.assert_allclose(turned_affine(OBLIQUE.affine_lps, turns, OBLIQUE.shape), grid.affine_lps)
    moves = np.linalg.solve(OBLIQUE.affine_lps, grid.affine_lps)
    assert find_turns(moves[:3, :3]) == turns


def test_axes_between_those_of_an_array_or_of_other_steps_are_no_turns():
    assert find_turns(np.array([[C, 0, S], [0, 1, 0], [S, 0, C]])) is not None  # 17 degrees: who turns checks
    assert find_turns(np.array([[0.7, -0.7, 0], [0.7, 0.7, 0], [0, 0, 1]])) is None
    assert find_turns(np.diag([1, 1, 2])) is None
