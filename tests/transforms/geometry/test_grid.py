"""A volume's grid says where each voxel lies in the patient."""

from __future__ import annotations

import numpy as np
import pytest

from pyraseg.transforms.geometry.grid import VolumeGrid

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
