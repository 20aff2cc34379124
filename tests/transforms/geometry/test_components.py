"""Components of a volume found part by part are those of the whole."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import ndimage

from pyraseg.transforms.geometry.components import foreground_box, label_regions

SHAPES = [(40, 33), (1, 50, 120), (90, 33, 130), (16, 32, 112), (150, 5, 17)]


def sparse_map(shape, seed):
    """A few blobs and specks of two classes amid background, some of them neighbours."""
    generator = np.random.default_rng(seed)
    labels = np.zeros(shape, np.uint8)
    for _ in range(8):
        corner = [generator.integers(0, side) for side in shape]
        box = tuple(slice(c, c + generator.integers(1, 9)) for c in corner)
        labels[box] = np.where(generator.random(labels[box].shape) > 0.3, generator.integers(1, 3), 0)
    return labels


@pytest.mark.parametrize("shape", SHAPES)
def test_the_box_of_the_foreground_is_that_of_scipy_in_any_order_of_memory(shape):
    for seed in range(5):
        labels = sparse_map(shape, seed)
        (box,) = ndimage.find_objects((labels > 0).astype(np.uint8))
        assert foreground_box(labels) == box
        assert foreground_box(labels.T) == box[::-1]
        assert foreground_box(np.asfortranarray(labels) > 0) == box
    assert foreground_box(np.zeros(shape)) is None


@pytest.mark.parametrize("shape", SHAPES)
def test_every_component_lies_whole_in_one_region(shape):
    parts = 0
    for seed in range(5):
        labels = sparse_map(shape, seed)
        found = []
        for region in label_regions(labels):
            numbers, sizes, classes = region.components()
            assert np.array_equal(np.bincount(numbers.ravel())[1:], sizes[1:])
            assert all((region.labels[numbers == n] == classes[n]).all() for n in range(1, len(sizes)))
            found += zip(classes[1:].tolist(), sizes[1:].tolist(), strict=True)
            parts += 1
        expected = []
        for value in (1, 2):
            whole = ndimage.label(labels == value, np.ones((3,) * labels.ndim))[0]
            expected += [(value, size) for size in np.bincount(whole.ravel())[1:].tolist()]
        assert sorted(found) == sorted(expected)
    assert parts > 5 or len(shape) == 2  # some are divided


@pytest.mark.parametrize("shape", SHAPES)
def test_every_labelled_voxel_belongs_to_one_region_and_has_its_neighbours_beside_it(shape):
    labels = sparse_map(shape, 1)
    counted = labels.astype(np.int16)
    for region in label_regions(counted):
        region.labels[region.own & (region.labels > 0)] += 100
    assert np.array_equal(counted, np.where(labels, labels + np.int16(100), 0))
    for region in label_regions(labels):
        grown = ndimage.binary_dilation(region.own & (region.labels > 0), np.ones((3,) * labels.ndim))
        assert ((region.labels > 0) & grown <= region.own).all()


def test_without_foreground_a_volume_has_no_region():
    assert list(label_regions(np.zeros((20, 20, 20), np.uint8))) == []
