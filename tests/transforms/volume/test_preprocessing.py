"""From a volume's file to the network's input, and where its voxels lie."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from pyraseg.transforms.frame.source_view import source_view
from tests.chains import volume_preprocessing
from tests.transforms.volumes import OBLIQUE, write_nifti

GRID = {"input_size": (12, 12, 12), "spacing_mm": (2.0, 2.0, 2.0), "window": [-100, 300]}


@pytest.fixture
def item(tmp_path):
    """A ball of 300 HU, 12 mm in radius, in water, on oblique and anisotropic voxels, and its mask."""
    affine = OBLIQUE @ np.diag([1.2, 1.5, 3.0, 1.0])
    index = np.stack(np.meshgrid(*(np.arange(n) for n in (30, 26, 14)), indexing="ij"), axis=-1)
    points = index @ affine[:3, :3].T + affine[:3, 3]
    centre = affine[:3, :3] @ [14, 12, 6] + affine[:3, 3]
    ball = np.linalg.norm(points - centre, axis=-1) <= 12
    image = write_nifti(tmp_path / "a_image.nii.gz", np.where(ball, 300, 0).astype(np.int16), affine)
    label = write_nifti(tmp_path / "a_mask.nii.gz", ball.astype(np.uint8), affine)
    return {"image": str(image), "label": str(label), "case": "c1"}, centre


def centroid(image: torch.Tensor, mask: np.ndarray) -> np.ndarray:
    affine = np.asarray(image.affine)
    return affine[:3, :3] @ np.argwhere(mask).mean(axis=0) + affine[:3, 3]


def test_a_structure_stays_where_it_is_in_the_patient(item):
    data, centre = item
    made = volume_preprocessing(**GRID, label="network")(dict(data))
    for mask in (np.asarray(made["image"])[0] > 0.6, np.asarray(made["label"])[0] == 1):
        assert np.linalg.norm(centroid(made["image"], mask) - centre) < 0.5
    assert torch.equal(made["image"].affine, made["label"].affine)


def test_the_grid_has_the_spacing_and_the_axes_of_the_patient(item):
    made = volume_preprocessing(**GRID)(dict(item[0]))["image"]
    affine = np.asarray(made.affine)
    assert np.allclose(np.linalg.norm(affine[:3, :3], axis=0), 2.0)
    assert (np.diag(affine)[:3] > 0).all()


def test_labels_keep_their_values_and_on_the_source_grid_every_voxel(item):
    data, _ = item
    made = volume_preprocessing(**GRID, label="network")(dict(data))
    source = volume_preprocessing(**GRID, label="source")(dict(data))
    assert made["label"].unique().tolist() == [0, 1]
    assert source["label"].shape == (1, 30, 26, 14)
    assert source["label"].dtype == torch.uint8


def test_a_volume_smaller_than_the_window_is_padded_with_air(item):
    made = volume_preprocessing(**{**GRID, "input_size": (40, 40, 40)})(dict(item[0]))["image"]
    assert made.shape == (1, 40, 40, 40)
    assert made[0, 0, 0, 0] == 0


def test_pictures_show_the_source_grid_in_the_network_s_window(item):
    view = source_view(volume_preprocessing(**GRID))({"image": item[0]["image"], "case": "c1"})["image"]
    assert view.shape == (1, 30, 26, 14)
    assert view.unique().tolist() == [0.25, 1.0]


def test_mr_scores_are_the_same_whatever_the_padding(tmp_path):
    values = np.random.default_rng(0).uniform(0, 900, (14, 12, 10)).astype(np.float32)
    values[:5] *= 0.02  # air
    path = write_nifti(tmp_path / "mr_image.nii.gz", values, np.diag([2.0, 2, 2, 1]))
    item = {"image": str(path), "case": "c1"}
    steps = [
        volume_preprocessing("mr_sarcoma", spacing_mm=(2.0, 2.0, 2.0), input_size=[side] * 3)
        for side in (8, 60)
    ]
    made = [np.asarray(each(dict(item))["image"])[0] for each in steps]
    margin = [(60 - side) // 2 for side in values.shape]
    inner = tuple(slice(start, start + side) for start, side in zip(margin, values.shape, strict=True))
    np.testing.assert_array_equal(made[1][inner], made[0])
