"""Laws of post-processing, in 2D and 3D."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from monai.data import MetaTensor
from scipy import ndimage

from pyraseg.pipeline.inference import CleanUpLabels, CleanUpLabelsd
from pyraseg.transforms.errors import ConfigError, GeometryError, LabelError

NAMES = ("background", "kidney", "hydronephrosis")
FIVE = (*NAMES, "cyst", "stone")
OFF = {"minimum_area": 0, "fill_holes": False, "fluid_in_kidney": False}
LARGEST = {"largest_component": True}
SHAPES = [(61, 47), (1, 40), (22, 19, 13)]


def random_map(shape, classes, *, smooth, seed):
    """A label map of many irregular components: the argmax of smooth noise, as a poor network would give."""
    generator = np.random.default_rng(seed)
    noise = [ndimage.gaussian_filter(generator.normal(size=shape), smooth) for _ in range(classes)]
    return np.argmax(noise, axis=0).astype(np.uint8)[None]


def kidney_with_fluid(shape=(60, 80)):
    """A kidney 30 x 50 with fluid 10 x 20 in it."""
    labels = np.zeros((1, *shape), np.uint8)
    labels[:, 10:40, 10:60] = 1
    labels[:, 20:30, 20:40] = 2
    return labels


@pytest.mark.parametrize("names", [NAMES[:2], NAMES, FIVE])
@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("smooth", [0.6, 2.0])
@pytest.mark.parametrize(
    "changed_options",
    [
        {},
        *({step: off} for step, off in OFF.items()),
        LARGEST,
        {**LARGEST, "fill_holes": False, "minimum_area": 0},
    ],
)
def test_applied_again_nothing_changes_and_no_class_is_invented(names, shape, smooth, changed_options):
    clean_up = CleanUpLabels(names, **{"minimum_area": 0.01, **changed_options})
    changed = 0
    for seed in range(4):
        labels = random_map(shape, len(names), smooth=smooth, seed=seed)
        once = clean_up(labels)
        changed += np.count_nonzero(once != labels)
        np.testing.assert_array_equal(clean_up(once), once)
        assert set(np.unique(once)) <= {0, *np.unique(labels)}
    assert changed or smooth > 1 or 1 in shape  # a rough map is never clean already, unless all of it is edge


@pytest.mark.parametrize("shape", SHAPES)
def test_switched_off_it_is_the_identity(shape):
    labels = random_map(shape, 3, smooth=0.6, seed=1)
    clean_up = CleanUpLabels(NAMES, **OFF)
    assert clean_up.steps == ()
    np.testing.assert_array_equal(clean_up(labels), labels)


@pytest.mark.parametrize("shape", SHAPES)
def test_no_component_below_the_minimum_is_left(shape):
    out = CleanUpLabels(NAMES, minimum_area=0.02)(random_map(shape, 3, smooth=1.0, seed=2))
    everywhere = np.ones((3,) * len(shape))
    for value in (1, 2):
        components, _ = ndimage.label(out[0] == value, everywhere)
        assert all(size >= 0.02 * out.size for size in np.bincount(components.ravel())[1:])


@pytest.mark.parametrize("shape", SHAPES)
def test_of_each_class_the_largest_component_alone_is_left(shape):
    labels = random_map(shape, 3, smooth=1.0, seed=2)
    everywhere = np.ones((3,) * len(shape))
    out = CleanUpLabels(NAMES, **{**OFF, **LARGEST})(labels)
    for value in (1, 2):
        before, after = (ndimage.label(each[0] == value, everywhere)[0] for each in (labels, out))
        sizes = np.bincount(before.ravel())[1:]
        assert after.max() == 1
        assert (after > 0)[np.isin(before, np.flatnonzero(sizes == sizes.max()) + 1)].sum() >= sizes.max()


def test_of_equal_components_one_is_left():
    labels = np.zeros((1, 60, 40, 50), np.uint8)
    for corner in (2, 30):
        labels[0, corner : corner + 5, 3:8, 40:45] = 1
    out = CleanUpLabels(NAMES, **{**OFF, **LARGEST})(labels)
    assert out.sum() == 125
    assert ndimage.label(out[0])[1] == 1


class TestMinimumVolume:
    CLEAN = {**OFF, "minimum_ml": 0.06}  # noqa: RUF012
    SPACING = (1.0, 2.0, 5.0)

    def labels(self):
        """Two components of 6 and 5 voxels, of 0.06 and 0.05 ml, far from each other."""
        array = np.zeros((1, 50, 40, 30), np.uint8)
        array[0, 2:8, 3, 3], array[0, 40:45, 30, 20] = 1, 1
        return array

    def test_a_component_of_less_volume_is_removed_and_one_of_just_as_much_stays(self):
        out = CleanUpLabels(NAMES, **self.CLEAN)(self.labels(), spacing_mm=self.SPACING)
        assert (out[0, 2:8].sum(), out.sum()) == (6, 6)

    def test_the_spacing_is_taken_from_the_metadata(self):
        clean_up = CleanUpLabelsd("pred", NAMES, self.CLEAN)
        for spacing, left in ((self.SPACING, 6), ((1.0, 1.0, 1.0), 0), ((5.0, 5.0, 5.0), 11)):
            item = {"pred": MetaTensor(torch.from_numpy(self.labels()), meta={"spacing_mm": list(spacing)})}
            assert clean_up(item)["pred"].sum() == left

    @pytest.mark.parametrize("spacing_mm", [None, (1.0, 1.0), (1.0, 0.0, 1.0)])
    def test_without_a_spacing_it_is_refused(self, spacing_mm):
        with pytest.raises(GeometryError, match="minimum_ml"):
            CleanUpLabels(NAMES, **self.CLEAN)(self.labels(), spacing_mm=spacing_mm)

    def test_a_frame_has_no_volume(self):
        with pytest.raises(GeometryError, match="found a frame"):
            CleanUpLabels(NAMES, **self.CLEAN)(kidney_with_fluid(), spacing_mm=(1, 1, 1))

    def test_a_negative_one_is_refused(self):
        with pytest.raises(ConfigError, match="minimum_ml"):
            CleanUpLabels(NAMES, minimum_ml=-1)


def test_a_component_of_exactly_the_minimum_stays():
    labels = np.zeros((1, 10, 10), np.uint8)
    labels[0, 2:4, 2:4] = 1
    assert CleanUpLabels(NAMES, minimum_area=0.04)(labels).sum() == 4
    assert CleanUpLabels(NAMES, minimum_area=0.041)(labels).sum() == 0


def test_a_speck_takes_the_class_around_it():
    labels = kidney_with_fluid()
    labels[0, 35:37, 50:52] = 2  # fluid amid the kidney
    labels[0, 24, 30] = 1  # kidney amid the fluid
    labels[0, 50, 70] = 1  # kidney on background
    np.testing.assert_array_equal(CleanUpLabels(NAMES, minimum_area=0.002)(labels), kidney_with_fluid())


def test_a_hole_takes_the_class_around_it_and_a_bay_stays_open():
    labels = kidney_with_fluid()
    labels[0, 32:36, 45:50] = 0
    labels[0, 23:26, 25:30] = 0
    labels[0, 10:15, 30:33] = 0  # open to the outside
    labels[0, 38:40, 20] = 0
    expected = kidney_with_fluid()
    expected[0, 10:15, 30:33] = expected[0, 38:40, 20] = 0
    np.testing.assert_array_equal(CleanUpLabels(NAMES)(labels), expected)


def test_a_hole_at_the_edge_of_the_frame_is_open():
    labels = np.ones((1, 20, 30), np.uint8)
    labels[0, 0, 5:8] = 0
    labels[0, 10, 10] = 0
    out = CleanUpLabels(NAMES)(labels)
    assert np.count_nonzero(out == 0) == 3


def test_fluid_enclosed_by_the_kidney_is_no_hole_of_it():
    np.testing.assert_array_equal(CleanUpLabels(NAMES)(kidney_with_fluid()), kidney_with_fluid())


def test_fluid_away_from_the_kidney_is_removed_and_fluid_that_touches_it_stays():
    labels = kidney_with_fluid()
    labels[0, 40:50, 30:40] = 2  # on the outer contour, in touch
    touching = labels.copy()
    labels[0, 52:58, 60:75] = 2
    np.testing.assert_array_equal(CleanUpLabels(NAMES)(labels), touching)
    np.testing.assert_array_equal(CleanUpLabels(NAMES, fluid_in_kidney=False)(labels), labels)


def test_fluid_in_touch_by_a_corner_alone_stays():
    labels = kidney_with_fluid()
    labels[0, 40:46, 60:70] = 2
    np.testing.assert_array_equal(CleanUpLabels(NAMES)(labels), labels)


def test_fluid_that_lies_in_the_filled_kidney_without_touching_it_stays():
    labels = kidney_with_fluid()
    labels[0, 18:32, 18:42] = 0
    labels[0, 20:30, 20:40] = 2  # a moat of background around the fluid
    out = CleanUpLabels(NAMES, fill_holes=False)(labels)
    np.testing.assert_array_equal(out, labels)
    assert np.all(CleanUpLabels(NAMES)(labels)[0, 10:40, 10:60] > 0)


def test_without_a_kidney_no_fluid_is_left():
    labels = kidney_with_fluid()
    labels[labels == 1] = 0
    assert not CleanUpLabels(NAMES)(labels).any()


def test_a_label_set_without_kidney_has_no_step_that_needs_it():
    two = CleanUpLabels(("background", "hydronephrosis"))
    assert two.steps == ("minimum_area", "fill_holes")
    labels = (kidney_with_fluid() == 2).astype(np.uint8)
    np.testing.assert_array_equal(two(labels), labels)
    assert CleanUpLabels(NAMES).steps == ("minimum_area", "fill_holes", "fluid_in_kidney")


def test_a_volume_is_cleared_in_three_dimensions():
    labels = np.zeros((1, 30, 30, 30), np.uint8)
    labels[0, 5:25, 5:25, 5:25] = 1
    labels[0, 10:15, 10:15, 10:15] = 0
    labels[0, 15:20, 18:20, 5:25] = (
        0  # a tunnel to the outside: no hole, though every slice between shows one
    )
    out = CleanUpLabels(NAMES)(labels)
    assert np.all(out[0, 10:15, 10:15, 10:15] == 1)
    assert not out[0, 15:20, 18:20].any()


def test_an_empty_map_stays_empty():
    assert not CleanUpLabels(NAMES)(np.zeros((1, 5, 7), np.uint8)).any()


@pytest.mark.parametrize("dtype", [torch.uint8, torch.int64, torch.float32])
def test_type_metadata_and_the_input_itself_are_kept(dtype):
    affine = torch.diag(torch.tensor([0.3, 0.2, 1.0, 1.0], dtype=torch.float64))
    source = MetaTensor(
        torch.from_numpy(random_map((30, 40), 3, smooth=1.0, seed=5)).to(dtype), affine=affine
    )
    before = source.clone()
    out = CleanUpLabels(NAMES, minimum_area=0.05)(source)
    assert isinstance(out, MetaTensor)
    assert out.dtype == dtype
    assert torch.equal(out.affine, affine)
    assert torch.equal(source, before)
    assert not torch.equal(out, before)


def test_the_dictionary_form_does_the_same_to_its_keys_alone():
    labels = random_map((30, 40), 3, smooth=1.0, seed=6)
    data = {"pred": labels, "label": labels, "case": "c1"}
    out = CleanUpLabelsd("pred", NAMES, {"minimum_area": 0.05})(data)
    np.testing.assert_array_equal(out["pred"], CleanUpLabels(NAMES, minimum_area=0.05)(labels))
    assert out["label"] is labels
    assert data["pred"] is labels


@pytest.mark.parametrize("minimum_area", [-0.1, 1, 45, float("nan")])
def test_a_minimum_area_that_is_no_fraction_is_refused(minimum_area):
    with pytest.raises(ConfigError):
        CleanUpLabels(NAMES, minimum_area=minimum_area)


@pytest.mark.parametrize("shape", [(5, 7), (3, 5, 7), (1, 0, 7), (1, 2, 3, 4, 5)])
def test_a_map_of_another_shape_is_refused(shape):
    with pytest.raises(GeometryError):
        CleanUpLabels(NAMES)(np.zeros(shape, np.uint8))


@pytest.mark.parametrize("value", [3, -1, 0.5, 257, float("nan")])
def test_a_value_that_is_no_class_is_refused(value):
    with pytest.raises(LabelError):
        CleanUpLabels(NAMES)(np.full((1, 5, 7), value))
