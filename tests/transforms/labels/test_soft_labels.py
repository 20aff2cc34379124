"""Soft labels hold the worked values of equation 1, symmetry and the argmax law, in 2D and 3D."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy.ndimage import distance_transform_edt

from pyraseg.transforms import RandFrameAffined, RandHorizontalFlipd
from pyraseg.transforms.errors import ConfigError, GeometryError, LabelError
from pyraseg.transforms.labels.soft_labels import SoftLabels, SoftLabelsd, soft_labels
from pyraseg.transforms.labels.superpixels import superpixels
from tests.chains import frame_augmentation

GREY = 128 / 255
WORKED = {1: 0.75, 2: 0.8333, 3: 0.875, 5: 0.9167, 10: 0.9545}  # |d| to q inside; the complement outside
ONE = np.ones((1, 40), int)  # a line of 40 pixels, all one superpixel


def half_line() -> np.ndarray:
    """Class 0 in columns 0 to 19, class 1 from 20 on."""
    return (np.arange(40) >= 20).astype(int)[None]


def noise(*shape: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).rayleigh(0.3, shape).clip(0, 1).astype(np.float32)


def shapes(height: int = 96, width: int = 112) -> np.ndarray:
    """A ring of class 1 about class 2, class 3 touching both, on 0."""
    rows, columns = np.mgrid[:height, :width]
    radius = np.hypot(rows - 45, (columns - 50) / 1.3)
    label = np.where(radius < 14, 2, np.where(radius < 30, 1, 0))
    label[40:50, 58:90] = 3
    return label


def by_definition(label, regions, num_classes, *, spacing=None, scale=1.0, valid=None):
    """Equation 1 pixel by pixel from whole-image distance transforms."""
    known = np.ones(label.shape, bool) if valid is None else valid
    soft = np.zeros((num_classes, *label.shape))
    unit = None if spacing is None else np.array(spacing) / min(spacing)
    for k in range(num_classes):
        inside, outside = (label == k) & known, (label != k) & known
        to_outside, to_inside = (distance_transform_edt(~other, sampling=unit) for other in (outside, inside))
        signed = np.where(inside, to_outside, -to_inside)
        for number in np.unique(regions[known]):
            here = (regions == number) & known
            crosses = inside[here].any() and outside[here].any()
            d = signed[here]
            soft[k][here] = 0.5 * (d / (scale + abs(d)) + 1) if crosses else inside[here]
    total = soft.sum(0)
    return np.where(total > 0, soft / np.where(total > 0, total, 1), 0)


@pytest.mark.parametrize(("distance", "value"), WORKED.items())
def test_the_worked_values_of_equation_1(distance, value):
    soft = soft_labels(half_line(), ONE, 2)
    assert soft[1, 0, 20 + distance - 1] == pytest.approx(value, abs=5e-5)
    assert soft[0, 0, 20 + distance - 1] == pytest.approx(1 - value, abs=5e-5)
    assert soft[1, 0, 20 - distance] == pytest.approx(1 - value, abs=5e-5)
    assert soft[0, 0, 20 - distance] == pytest.approx(value, abs=5e-5)


@pytest.mark.parametrize("scale", [0.5, 1.0, 4.0])
def test_the_scale_is_the_distance_of_three_quarters(scale):
    soft = soft_labels(half_line(), ONE, 2, scale=scale)
    distance = np.arange(1, 21)
    np.testing.assert_allclose(soft[1, 0, 20:], 0.5 * (distance / (scale + distance) + 1), rtol=1e-6)


def test_a_superpixel_that_no_boundary_crosses_keeps_the_hard_label():
    regions = np.repeat([[1, 2, 3, 4]], 10, axis=1)
    edge = (np.arange(40) >= 25).astype(int)[None]
    soft = soft_labels(edge, regions, 2)
    assert np.array_equal(soft[1, 0, :20], np.zeros(20))
    assert np.array_equal(soft[1, 0, 30:], np.ones(10))
    assert ((soft[1, 0, 20:30] > 0) & (soft[1, 0, 20:30] < 1)).all()


def test_where_boundary_and_superpixels_agree_nothing_is_softened():
    regions = np.repeat([[1, 2]], 20, axis=1)
    soft = soft_labels(half_line(), regions, 2)
    assert np.array_equal(soft, np.stack([half_line() == 0, half_line() == 1]).astype(np.float32))


@pytest.mark.parametrize("spacing", [None, (1.0, 1.0), (0.4, 0.6)])
@pytest.mark.parametrize("masked", [False, True])
def test_it_is_the_definition_pixel_by_pixel(spacing, masked):
    label = shapes()
    regions = superpixels(noise(*label.shape), compactness=1.0, size=9)
    valid = np.ones(label.shape, bool)
    if masked:
        valid[:20] = valid[:, 75:] = False
    soft = soft_labels(label, regions, 4, spacing=spacing, scale=1.5, valid=valid)
    np.testing.assert_allclose(
        soft, by_definition(label, regions, 4, spacing=spacing, scale=1.5, valid=valid), atol=1e-6
    )


def test_the_nearest_pixel_of_the_other_side_may_lie_in_a_superpixel_that_no_boundary_crosses():
    label = ((np.arange(40) >= 10) & (np.arange(40) < 19)).astype(int)[None]
    regions = np.repeat([[1, 2, 3, 4]], 10, axis=1)
    soft = soft_labels(label, regions, 2)
    assert soft[1, 0, 10] == pytest.approx(0.75)
    np.testing.assert_allclose(soft, by_definition(label, regions, 2), atol=1e-6)


def test_a_volume_is_the_definition_with_distances_in_its_finest_spacing():
    rows, columns, slices = np.mgrid[:28, :26, :12]
    label = (np.sqrt((rows - 14) ** 2 + (columns - 12) ** 2 + (3 * (slices - 6)) ** 2) < 9).astype(int)
    spacing = (0.7, 0.7, 2.1)
    regions = superpixels(noise(*label.shape), size=8, spacing=spacing)
    soft = soft_labels(label, regions, 2, spacing=spacing)
    np.testing.assert_allclose(soft, by_definition(label, regions, 2, spacing=spacing), atol=1e-6)
    assert np.allclose(soft[1][(label == 1) & (soft[1] < 1)].min(), 0.75)
    inside = soft_labels(label, np.zeros(label.shape, int), 2, spacing=spacing)[1]
    assert inside[14, 12, 6] == pytest.approx(0.5 * (9 / 10 + 1), abs=0.01)


@pytest.mark.parametrize("seed", range(6))
def test_the_classes_sum_to_1_and_the_hard_label_is_never_flipped(seed):
    rng = np.random.default_rng(seed)
    label = rng.integers(0, 5, (12, 14)).repeat(5, 0).repeat(4, 1)
    label[rng.random(label.shape) < 0.1] = 4  # single pixels, too
    regions = superpixels(noise(*label.shape, seed=seed), size=rng.integers(4, 20), compactness=1.0)
    scale = (0.3, 1.0, 20.0, 1e3, 1e6, 1e6)[seed]
    soft = soft_labels(label, regions, 5, scale=scale)
    np.testing.assert_allclose(soft.sum(0), 1, atol=1e-6)
    assert soft.min() >= 0
    assert np.array_equal(soft.argmax(0), label)
    second, first = np.sort(soft, axis=0)[-2:]
    assert (first > second).all()  # no ties with it, so the order of the classes decides nothing


def test_it_does_not_depend_on_the_order_of_the_classes_nor_on_the_numbers_of_the_superpixels():
    label, order = shapes(), np.array([2, 0, 3, 1])
    regions = superpixels(noise(*label.shape), size=10)
    soft = soft_labels(label, regions, 4)
    np.testing.assert_allclose(soft_labels(order[label], regions, 4)[order], soft, atol=1e-7)
    numbers = np.random.default_rng(0).permutation(regions.max() + 1) + 7
    assert np.array_equal(soft_labels(label, numbers[regions], 4), soft)


@pytest.mark.parametrize("axis", [0, 1])
def test_a_mirror_image_has_mirrored_soft_labels(axis):
    label = shapes()
    regions = superpixels(noise(*label.shape), size=10)
    mirrored = soft_labels(np.flip(label, axis), np.flip(regions, axis), 4)
    np.testing.assert_allclose(mirrored, np.flip(soft_labels(label, regions, 4), axis + 1), atol=1e-7)


def test_classes_at_one_distance_share_alike():
    label = np.array([[1, 1, 1, 0, 0, 0, 2, 2, 2]])
    soft = soft_labels(label, np.ones_like(label), 3)
    assert soft[1, 0, 4] == pytest.approx(soft[2, 0, 4])
    np.testing.assert_allclose(soft[1], soft[2][:, ::-1], atol=1e-7)


def test_what_is_not_valid_is_0_and_is_no_boundary():
    label, valid = half_line(), np.ones((1, 40), bool)
    valid[0, :25] = False
    soft = soft_labels(label, ONE, 2, valid=valid)
    assert not soft[:, ~valid].any()
    assert np.array_equal(soft[1, valid], np.ones(15))  # the boundary is out of sight
    values = np.where(valid, label, 250)
    assert np.array_equal(soft_labels(values, ONE, 2, valid=valid), soft)


def test_a_label_of_one_class_or_an_absent_class_stays_hard():
    soft = soft_labels(np.zeros((20, 20), np.uint8), np.ones((20, 20), int), 3)
    assert np.array_equal(soft[0], np.ones((20, 20)))
    assert not soft[1:].any()


@pytest.mark.parametrize(
    ("change", "error"),
    [
        ({"scale": 0}, ConfigError),
        ({"scale": float("nan")}, ConfigError),
        ({"scale": float("inf")}, ConfigError),
        ({"scale": 1e8}, ConfigError),  # all classes would be 1/2 in float32
        ({"spacing": (1, -1)}, ConfigError),
        ({"superpixels": -ONE}, ConfigError),
        ({"superpixels": ONE / 2}, ConfigError),
        ({"superpixels": ONE[:, 1:]}, GeometryError),
        ({"valid": np.ones((2, 40), bool)}, GeometryError),
        ({"label": half_line() + 1}, LabelError),
        ({"label": half_line() / 2}, LabelError),
    ],
)
def test_arguments_that_make_no_sense_are_refused(change, error):
    arguments = {"label": half_line(), "superpixels": ONE, "num_classes": 2}
    with pytest.raises(error):
        soft_labels(**arguments | change)


class TestTransforms:
    """Picture and label in, an entry of its own out."""

    def item(self, bar: int = 10) -> dict[str, torch.Tensor]:
        label = shapes()
        image = torch.full((3, 96 + 2 * bar, 112), GREY)
        image[:, bar : bar + 96] = torch.from_numpy(0.2 * noise(96, 112) + 0.2 * label)
        classes = torch.zeros(1, 96 + 2 * bar, 112, dtype=torch.uint8)
        classes[0, bar : bar + 96] = torch.from_numpy(label)
        return {"image": image, "label": classes}

    def test_they_are_those_of_the_picture_between_its_bars(self):
        item = self.item()
        soft = SoftLabels(4, size=10)(item["image"], item["label"])
        assert soft.dtype == torch.float32
        assert not soft[:, :10].any()
        assert not soft[:, -10:].any()
        grey = item["image"][:, 10:-10].mean(0).numpy()
        wanted = soft_labels(shapes(), superpixels(grey, size=10), 4)
        np.testing.assert_allclose(soft[:, 10:-10], wanted, atol=1e-6)

    def test_the_dictionary_form_adds_its_entry_and_changes_none(self):
        item = self.item()
        after = SoftLabelsd(4, size=10)(item)
        assert set(after) == {"image", "label", "soft_label"}
        assert all(after[key] is item[key] for key in item)
        assert torch.equal(after["soft_label"], SoftLabels(4, size=10)(item["image"], item["label"]))

    def test_an_ignored_region_is_left_out(self):
        item = self.item(0)
        item["valid"] = torch.ones(1, 96, 112, dtype=torch.bool)
        item["valid"][:, 30:60, 30:60] = False
        soft = SoftLabelsd(4, valid_key="valid")(item)["soft_label"]
        assert torch.equal(soft.sum(0) > 0.5, item["valid"][0])

    @pytest.mark.parametrize("scale", [0.2, 1.0, 50.0])
    def test_bytes_keep_the_argmax_and_are_off_by_half_a_step(self, scale):
        item = self.item()
        options = {"size": 14, "compactness": 1.0, "scale": scale}
        exact = SoftLabels(4, **options)(item["image"], item["label"])
        coarse = SoftLabels(4, dtype="uint8", **options)(item["image"], item["label"])
        assert coarse.dtype == torch.uint8
        assert (coarse / 255 - exact).abs().max() <= 0.5 / 255 + 1e-6
        assert torch.equal(coarse.argmax(0)[10:-10], item["label"][0, 10:-10].long())
        assert ((exact.amax(0) < 1)[10:-10]).any()

    @pytest.mark.parametrize(
        "options", [{"scale": 51}, {"dtype": "float16"}, {"size": 0}, {"compactness": -1}]
    )
    def test_options_out_of_range_are_refused(self, options):
        with pytest.raises(ConfigError):
            SoftLabelsd(3, **options)


class TestAugmentation:
    """Soft labels move with the image."""

    @pytest.fixture
    def item(self):
        made = TestTransforms().item()
        return SoftLabelsd(4, size=10, dtype="uint8")(made)

    def test_a_flip_reverses_them_exactly(self, item):
        after = RandHorizontalFlipd(["image", "label", "soft_label"], 1.0)(item)
        assert torch.equal(after["soft_label"], item["soft_label"].flip(2))

    @pytest.mark.parametrize("dtype", [torch.uint8, torch.float32])
    def test_they_land_where_the_hard_label_lands(self, item, dtype):
        if dtype == torch.float32:
            item = {**item, "soft_label": item["soft_label"] / 255}
        transform = frame_augmentation(probability=1.0, soft_keys=["soft_label"]).set_random_state(0)
        whole = 255 if dtype == torch.uint8 else 1.0
        for _ in range(8):
            after = transform(item)
            soft = after["soft_label"]
            assert soft.dtype == dtype
            assert soft.shape == item["soft_label"].shape
            known = soft.float().sum(0) > 0.99 * whole
            assert known.float().mean() > 0.4
            assert (soft.argmax(0) == after["label"][0])[
                known
            ].float().mean() > 0.98  # half a pixel at the edges
            assert torch.allclose(soft.float().sum(0)[known], torch.tensor(float(whole)), rtol=0.01)

    def test_bytes_are_rounded_to_the_nearest(self, item):
        moved = [
            RandFrameAffined("soft_label", 1.0, mode="soft").set_random_state(2)({"soft_label": value})[
                "soft_label"
            ]
            for value in (item["soft_label"], item["soft_label"].float())
        ]
        assert (moved[0].float() - moved[1]).abs().max() <= 0.5 + 1e-3

    def test_what_comes_in_from_outside_is_known_of_no_class(self, item):
        affine = RandFrameAffined(
            ["image", "soft_label"],
            1.0,
            rotation=0,
            scale=(0.5, 0.5),
            translation=0,
            mode=["bilinear", "soft"],
        )
        after = affine.set_random_state(0)(item)
        assert not after["soft_label"][:, :28].any()
        assert not after["soft_label"][:, :, :27].any()
        assert after["soft_label"].any()

    def test_image_and_label_are_what_they_are_without_them(self, item):
        plain = {key: item[key] for key in ("image", "label")}
        runs = [
            frame_augmentation(probability=1.0, soft_keys=keys).set_random_state(5)(value)
            for keys, value in (((), plain), (["soft_label"], item))
        ]
        assert torch.equal(runs[0]["image"], runs[1]["image"])
        assert torch.equal(runs[0]["label"], runs[1]["label"])
