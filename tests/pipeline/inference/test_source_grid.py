"""From the network's grid to the source grid and not a voxel off."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from monai.data import MetaTensor
from monai.transforms import Compose, Orientation, Spacing

from pyraseg.pipeline.inference.source_grid import argmax_channels, source_labels, source_probabilities
from pyraseg.transforms.errors import GeometryError

OBLIQUE = np.array([[0.96, -0.28, 0.0, -31.0], [0.28, 0.96, 0.0, 12.0], [0.0, 0.0, 1.0, 5.0], [0, 0, 0, 1]])


def whole(parts) -> np.ndarray:
    return np.concatenate([part for _, part in parts], axis=-1)


def one_hot(labels: np.ndarray, classes: int) -> np.ndarray:
    return np.stack([labels == k for k in range(classes)]).astype(np.float32)


def turned(affine: np.ndarray, spacing, order, signs, shape) -> np.ndarray:
    """An affine with other spacings, whose axes are swapped and flipped."""
    scaled = affine @ np.diag([*spacing, 1.0])
    moves = np.zeros((4, 4))
    moves[3, 3] = 1
    for place, (axis, sign) in enumerate(zip(order, signs, strict=True)):
        moves[axis, place] = sign
        moves[axis, 3] = 0 if sign > 0 else shape[place] - 1
    return scaled @ moves


@pytest.mark.parametrize(
    ("order", "signs"), [((0, 1, 2), (1, 1, 1)), ((2, 0, 1), (1, -1, 1)), ((1, 0, 2), (-1, -1, -1))]
)
@pytest.mark.parametrize("slab", [1, 3, 16])
def test_on_the_same_voxels_labels_come_back_bit_for_bit_whatever_way_the_axes_run(order, signs, slab):
    shape = (5, 7, 9)
    labels = np.random.default_rng(0).integers(0, 3, shape).astype(np.uint8)
    source = turned(OBLIQUE, (1, 2, 3), order, signs, shape)
    inner = np.empty(tuple(shape[order.index(axis)] for axis in range(3)), np.uint8)
    for index in np.ndindex(shape):
        place = np.linalg.solve(OBLIQUE @ np.diag([1, 2, 3, 1]), source @ [*index, 1])[:3].round().astype(int)
        inner[tuple(place)] = labels[index]
    grid = OBLIQUE @ np.diag([1, 2, 3, 1])
    found = whole(source_labels(one_hot(inner, 3), grid, source_affine=source, source_shape=shape, slab=slab))
    assert np.array_equal(found, labels)


def test_probabilities_that_are_linear_in_space_come_back_exact():
    shape, source = (12, 10, 8), OBLIQUE @ np.diag([1.0, 1.5, 3.0, 1.0])
    image = MetaTensor(torch.zeros(1, *shape), affine=source)
    network = Compose([Orientation("LPS", labels=None), Spacing((2.0, 2.0, 2.0))])(image)
    grid = np.asarray(network.affine)
    index = np.stack(np.meshgrid(*(np.arange(n) for n in network.shape[1:]), indexing="ij"), axis=-1)
    slope = np.array([0.01, -0.02, 0.005])
    values = (index @ grid[:3, :3].T + grid[:3, 3]) @ slope
    found = whole(
        source_probabilities(values[None].astype(np.float32), grid, source_affine=source, source_shape=shape)
    )
    there = np.stack(np.meshgrid(*(np.arange(n) for n in shape), indexing="ij"), axis=-1)
    wanted = (there @ source[:3, :3].T + source[:3, 3]) @ slope
    middle = (slice(2, -2),) * 3
    assert np.allclose(found[0][middle], wanted[middle], atol=1e-4)


def test_labels_are_the_argmax_of_the_restored_probabilities():
    random = np.random.default_rng(1)
    values = random.random((3, 6, 6, 6)).astype(np.float32)
    values[0, :3] += 1  # a part that is background alone
    source = {"source_affine": np.diag([0.7, 0.9, 2.2, 1.0]), "source_shape": (17, 13, 6)}
    grid = np.diag([2.0, 2.0, 2.0, 1.0])
    soft = whole(source_probabilities(values, grid, **source))
    assert np.array_equal(whole(source_labels(values, grid, **source)), soft.argmax(axis=0))


def test_where_the_network_has_seen_nothing_there_is_background():
    values = one_hot(np.ones((4, 4, 4), int), 2)
    grid = np.eye(4)
    grid[:3, 3] = 10
    found = whole(source_labels(values, grid, source_affine=np.eye(4), source_shape=(30, 30, 30)))
    assert found[10:14, 10:14, 10:14].all()
    assert not found[:8].any()
    assert not found[..., 16:].any()


def test_a_memory_map_is_read_as_an_array_is(tmp_path):
    values = np.random.default_rng(2).random((2, 5, 6, 7)).astype(np.float32)
    np.save(tmp_path / "p.npy", values)
    source = {"source_affine": np.diag([1.5, 1.5, 1.5, 1.0]), "source_shape": (4, 4, 4)}
    mapped = np.load(tmp_path / "p.npy", mmap_mode="r")
    assert np.array_equal(
        whole(source_labels(mapped, np.eye(4), **source)), whole(source_labels(values, np.eye(4), **source))
    )


def test_grids_at_an_angle_are_refused():
    with pytest.raises(GeometryError, match="axes are parallel"):
        list(source_labels(np.zeros((2, 4, 4, 4)), OBLIQUE, source_affine=np.eye(4), source_shape=(4, 4, 4)))


def test_the_argmax_over_channels_is_torch_s_argmax_and_of_equals_the_first():
    values = torch.randint(0, 4, (5, 9, 8, 7)).float()
    assert torch.equal(argmax_channels(values).long(), values.argmax(dim=0))
    assert argmax_channels(torch.zeros(3, 2, 2)).unique().tolist() == [0]


def test_more_than_256_classes_have_room():
    values = torch.zeros(300, 2)
    values[299] = 1
    assert argmax_channels(values).tolist() == [299, 299]
