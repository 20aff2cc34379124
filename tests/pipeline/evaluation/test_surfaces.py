"""Surface distances equal MONAI's metrics and a plain distance transform, on any grid, and misses cost the
most."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from monai.metrics import HausdorffDistanceMetric, SurfaceDiceMetric, SurfaceDistanceMetric
from scipy import ndimage

from pyraseg.pipeline.evaluation.surfaces import surface_scores
from pyraseg.transforms.errors import ConfigError, GeometryError

GRIDS = [
    ((40, 56), None),
    ((40, 56), (0.31, 0.31)),
    ((64, 33), (0.2, 0.74)),
    ((18, 24, 12), None),
    ((18, 24, 9), (0.7, 0.7, 2.5)),
]
TOLERANCE = {"mm": 1.237, "px": 2.311}  # no distance between two pixels of these grids


def blobs(seed: int, shape: tuple[int, ...], *, touching: bool) -> tuple[np.ndarray, np.ndarray]:
    """Two random shapes of several parts, alike and not the same, at the array's borders if ``touching``."""
    generator = np.random.default_rng(seed)
    first = ndimage.gaussian_filter(generator.normal(size=shape), 3)
    second = first + 0.3 * ndimage.gaussian_filter(generator.normal(size=shape), 2)
    masks = first > np.quantile(first, 0.8), second > np.quantile(second, 0.8)
    if not touching:
        inner = np.zeros(shape, bool)
        inner[(slice(3, -3),) * len(shape)] = True
        masks = masks[0] & inner, masks[1] & inner
    assert any(mask.take(0, axis).any() for mask in masks for axis in range(mask.ndim)) is touching
    return masks


def of_monai(prediction, reference, spacing):
    unit = "px" if spacing is None else "mm"
    metrics = (
        HausdorffDistanceMetric(percentile=95, directed=False),
        SurfaceDistanceMetric(symmetric=True),
        SurfaceDiceMetric(class_thresholds=[TOLERANCE[unit]], include_background=True),
    )
    maps = [torch.from_numpy(mask)[None, None].float() for mask in (prediction, reference)]
    for metric in metrics:
        metric.include_background = True
    return [float(metric(*maps, spacing=spacing)) for metric in metrics]


def of_distance_transforms(prediction, reference, spacing):
    """From their definitions, on the whole arrays."""
    limit = TOLERANCE["px" if spacing is None else "mm"]
    edges = [mask ^ ndimage.binary_erosion(mask) for mask in (prediction, reference)]
    to = [ndimage.distance_transform_edt(~edge, sampling=spacing) for edge in edges]
    there, back = to[1][edges[0]], to[0][edges[1]]
    both = np.concatenate([there, back])
    return [max(np.quantile(there, 0.95), np.quantile(back, 0.95)), both.mean(), (both <= limit).mean()]


@pytest.mark.parametrize("touching", [True, False])
@pytest.mark.parametrize(("shape", "spacing"), GRIDS)
def test_values_equal_monai_and_a_distance_transform(shape, spacing, touching):
    for seed in range(4):
        masks = blobs(seed, shape, touching=touching)
        found = surface_scores(*masks, spacing_mm=spacing, tolerance=TOLERANCE)
        values = [found.hd95, found.assd, found.surface_dice]
        assert values == pytest.approx(of_monai(*masks, spacing), rel=1e-5)
        assert values == pytest.approx(of_distance_transforms(*masks, spacing), rel=1e-5)
        assert found.hd95 > found.assd > 0


def test_hd95_is_the_greater_of_the_two_directions_and_not_of_both_pooled():
    reference = np.zeros((60, 60), bool)
    reference[10:50, 10:50] = True
    prediction = reference.copy()
    prediction[55:59, 55:59] = True  # 7 % of the prediction's surface, 4 % of both surfaces
    assert surface_scores(prediction, reference).hd95 > 7


def test_a_mask_is_at_no_distance_from_itself():
    mask = blobs(0, (40, 56), touching=True)[0]
    found = surface_scores(mask, mask, spacing_mm=(0.3, 0.7))
    assert (found.hd95, found.assd, found.surface_dice, found.unit) == (0, 0, 1, "mm")


@pytest.mark.parametrize(
    ("shape", "spacing", "diagonal"),
    [((30, 40), None, 50.0), ((30, 40), (0.2, 0.2), 10.0), ((10, 20, 5), (3.0, 2.0, 12.0), math.sqrt(6100))],
)
def test_a_missed_structure_lies_the_image_s_diagonal_away(shape, spacing, diagonal):
    empty, reference = np.zeros(shape, bool), np.zeros(shape, bool)
    reference[(slice(2, 4),) * len(shape)] = True
    found = surface_scores(empty, reference, spacing_mm=spacing)
    assert (found.hd95, found.assd) == pytest.approx((diagonal, diagonal))
    assert found.surface_dice == 0


@pytest.mark.parametrize("predicted", [True, False])
def test_without_a_reference_there_is_no_distance(predicted):
    assert surface_scores(np.full((9, 9), predicted), np.zeros((9, 9), bool)) is None


def test_a_larger_tolerance_never_lowers_surface_dice():
    masks = blobs(1, (40, 56), touching=True)
    scores = [surface_scores(*masks, tolerance={"px": limit}).surface_dice for limit in (0, 1, 2, 4, 100)]
    assert scores == sorted(scores)
    assert scores[-1] == 1


def test_what_cannot_be_compared_is_refused():
    mask = np.ones((8, 8), bool)
    with pytest.raises(GeometryError, match="one shape"):
        surface_scores(mask, np.ones((8, 9), bool))
    with pytest.raises(GeometryError, match="each axis"):
        surface_scores(mask, mask, spacing_mm=(1.0, 1.0, 1.0))
    with pytest.raises(ConfigError, match="tolerance in px"):
        surface_scores(mask, mask, tolerance={"mm": 1.0})
