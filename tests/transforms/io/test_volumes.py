"""Volumes and the labels on their voxels."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from pyraseg.transforms.errors import ConfigError, GeometryError, LabelError
from pyraseg.transforms.geometry.grid import VolumeGrid
from pyraseg.transforms.io.volumes import LoadVolume, LoadVolumed, put_on_grid
from tests.transforms.dicom.label_cases import contour, write_structures
from tests.transforms.volumes import OBLIQUE, write_nifti

SHAPE = (6, 5, 4)


def flipped(affine: np.ndarray) -> np.ndarray:
    """The same voxels stored with the second axis the other way round."""
    moves = np.diag([1.0, -1.0, 1.0, 1.0])
    moves[1, 3] = SHAPE[1] - 1
    return affine @ moves


@pytest.fixture
def files(tmp_path):
    random = np.random.default_rng(0)
    labels = random.integers(0, 2, SHAPE).astype(np.uint8)
    image = write_nifti(tmp_path / "a_image.nii.gz", random.random(SHAPE).astype(np.float32), OBLIQUE)
    label = write_nifti(tmp_path / "a_mask.nii.gz", labels, OBLIQUE)
    return {"image": str(image), "label": str(label), "case": "c1"}, labels


def test_the_metadata_say_where_the_voxels_lie_and_nothing_of_the_file(files, tmp_path):
    image = LoadVolume()(files[0]["image"], "c1")
    assert image.shape == (1, *SHAPE)
    assert image.dtype == torch.float32
    assert np.allclose(image.affine, OBLIQUE, atol=1e-6)
    assert np.allclose(image.meta["spacing_mm"], 1, atol=1e-6)
    assert image.meta["case"] == "c1"
    assert str(tmp_path) not in str(image.meta)


def test_labels_lie_on_the_image_whichever_way_their_axes_are_stored(files, tmp_path):
    data, labels = files
    turned = write_nifti(tmp_path / "b_mask.nii.gz", labels[:, ::-1], flipped(OBLIQUE))
    for path in (data["label"], str(turned)):
        loaded = LoadVolumed(["image", "label"], num_classes=2)({**data, "label": path})
        assert np.array_equal(loaded["label"][0], labels)
        assert torch.equal(loaded["label"].affine, loaded["image"].affine)


@pytest.mark.parametrize("shift", [0.01, 1.0])
def test_labels_at_another_place_are_refused_by_the_case_s_name(files, tmp_path, shift):
    moved = OBLIQUE.copy()
    moved[0, 3] += shift
    other = write_nifti(tmp_path / "b_mask.nii.gz", files[1], moved)
    with pytest.raises(GeometryError, match="at another place, spacing or angle, in case c1"):
        LoadVolumed(["image", "label"], num_classes=2)({**files[0], "label": str(other)})


def test_a_value_that_nobody_declared_is_refused(files, tmp_path):
    other = write_nifti(tmp_path / "b_mask.nii.gz", files[1] * 7, OBLIQUE)
    with pytest.raises(LabelError, match="7 in case c1"):
        LoadVolumed(["image", "label"], num_classes=2)({**files[0], "label": str(other)})
    loaded = LoadVolumed(["image", "label"], label_map={0: 0, 7: 1}, num_classes=2)(
        {**files[0], "label": str(other)}
    )
    assert np.array_equal(loaded["label"][0], files[1])


def test_a_drawn_label_needs_the_series_that_it_was_drawn_on(files, tmp_path):
    grid = VolumeGrid((8, 6, 5), (0, 0, 0), (1, 0, 0), (0, 1, 0), (0, 0, 1), spacing=(1, 1, 1))
    square = contour(grid, [(1, 1), (5, 1), (5, 4), (1, 4)], at=2)
    path = write_structures(tmp_path / "structures.dcm", {1: ("tumour", [square])})
    with pytest.raises(GeometryError, match=r"found a NIfTI image, in case .* Name the folder of the series"):
        LoadVolumed(["image", "label"], num_classes=2)({**files[0], "label": str(path)})


def test_labels_need_the_number_of_classes(files):
    with pytest.raises(ConfigError):
        LoadVolumed(["image", "label"])(files[0])


def test_swapped_axes_are_a_view_of_the_same_memory():
    array = np.arange(24).reshape(2, 3, 4)
    swap = np.eye(4)[[2, 0, 1, 3]]
    placed = put_on_grid(array, np.eye(4), shape=(4, 2, 3), grid_affine=swap.T)
    assert np.shares_memory(placed, array)
    assert placed.shape == (4, 2, 3)
