"""Mask values become class indices, or are refused; image and mask share one grid."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from monai.data import MetaTensor
from PIL import Image

from pyraseg.transforms.errors import ConfigError, GeometryError, LabelError
from pyraseg.transforms.io.frames import LoadFramed
from pyraseg.transforms.labels.label_values import CheckSameGridd, RemapLabels, RemapLabelsd


def mask(*values, dtype=torch.uint8):
    return torch.tensor([[list(values)]], dtype=dtype)


def test_values_become_the_classes_that_the_map_names():
    mapped = RemapLabels({0: 0, 255: 1, 128: 2}, num_classes=3)(mask(0, 255, 128, 255))
    assert mapped.tolist() == [[[0, 1, 2, 1]]]
    assert mapped.dtype == torch.uint8


def test_several_values_may_share_a_class():
    assert RemapLabels({0: 0, 1: 0, 2: 1}, num_classes=2)(mask(0, 1, 2)).tolist() == [[[0, 0, 1]]]


def test_without_a_map_the_values_are_the_classes():
    assert RemapLabels(None, num_classes=3)(mask(0, 2, 1)).tolist() == [[[0, 2, 1]]]


def test_json_s_keys_are_text():
    assert RemapLabels({"0": 0, "255": 1}, num_classes=2)(mask(0, 255)).tolist() == [[[0, 1]]]


def test_equal_maps_in_another_order_are_one_transform():
    assert RemapLabels({255: 1, 0: 0}, num_classes=2).label_map == {0: 0, 255: 1}
    assert list(RemapLabels({255: 1, 0: 0}, num_classes=2).label_map) == [0, 255]


@pytest.mark.parametrize("dtype", [torch.int16, torch.int32, torch.int64, torch.float32, torch.float64])
def test_every_number_type_holds_values(dtype):
    assert RemapLabels({0: 0, 255: 1}, num_classes=2)(mask(0, 255, dtype=dtype)).tolist() == [[[0, 1]]]


def test_a_negative_value_can_be_declared():
    assert RemapLabels({-1: 0, 0: 1}, num_classes=2)(mask(-1, 0, dtype=torch.int16)).tolist() == [[[0, 1]]]


@pytest.mark.parametrize(
    ("values", "dtype", "said"),
    [
        ((0, 7), torch.uint8, "7 in case c1"),
        ((0, -1), torch.int16, "-1 in case c1"),
        ((0, 0.5), torch.float32, "0.5 in case c1"),
        ((0, float("nan")), torch.float32, "nan in case c1"),
        (tuple(range(3, 63)), torch.uint8, "3, 4, 5, 6, 7, 8, 9, 10, 11, 12, ... in case c1"),
    ],
)
def test_a_value_that_is_not_declared_is_named_and_refused(values, dtype, said):
    label = MetaTensor(mask(*values, dtype=dtype), meta={"case": "c1"})
    with pytest.raises(LabelError) as refusal:
        RemapLabels({0: 0, 255: 1}, num_classes=2)(label)
    assert f"found {said}." in str(refusal.value)
    assert "among 0, 255" in str(refusal.value)


def test_a_colour_mask_is_refused():
    with pytest.raises(LabelError, match="3 x 4 x 5"):
        RemapLabels(None, num_classes=2)(torch.zeros(3, 4, 5))


@pytest.mark.parametrize(
    ("label_map", "classes", "found"),
    [
        ({0: 0, 255: 2}, 2, "found 2"),
        ({0: 0, 255: -1}, 2, "found -1"),
        ({"0": 0, "fluid": 1}, 2, "something else"),
        ({0: 0, 255: 1.5}, 2, "something else"),
        ({0: 0, 255: None}, 2, "something else"),
        ({0: 0, "0": 1}, 2, "something else"),
        ({}, 2, "an empty one"),
        (None, 0, "found 0"),
        (None, 257, "found 257"),
    ],
)
def test_a_label_map_that_makes_no_sense_is_refused_before_the_first_image(label_map, classes, found):
    with pytest.raises(ConfigError, match=found):
        RemapLabels(label_map, num_classes=classes)


def test_metadata_stays_and_the_input_is_left_as_it_was():
    label = MetaTensor(mask(0, 255), meta={"case": "c1"}, affine=torch.diag(torch.tensor([2.0, 3, 1, 1])))
    mapped = RemapLabels({0: 0, 255: 1}, num_classes=2)(label)
    assert isinstance(mapped, MetaTensor)
    assert (mapped.meta["case"], mapped.affine.diag().tolist()) == ("c1", [2, 3, 1, 1])
    assert label.tolist() == [[[0, 255]]]


@pytest.mark.parametrize(
    ("stored", "label_map"),
    [
        (lambda wet: Image.fromarray(wet), {0: 0, 1: 1}),  # one bit a pixel
        (lambda wet: Image.fromarray(wet.astype(np.uint8) * 255), {0: 0, 255: 1}),
        (lambda wet: Image.fromarray(wet.astype(np.uint16) * 40000), {0: 0, 40000: 1}),
        (
            lambda wet: Image.fromarray(wet.astype(np.uint8)).convert("P", palette=Image.Palette.ADAPTIVE),
            None,
        ),
    ],
    ids=["1 bit", "8 bits", "16 bits", "palette"],
)
def test_a_png_of_any_depth_is_a_mask(tmp_path, stored, label_map):
    wet = np.zeros((6, 9), bool)
    wet[1:3, 2:8] = True
    picture = stored(wet)
    picture.save(tmp_path / "mask.png")
    if label_map is None:  # the palette's order is the writer's
        label_map = {int(np.asarray(picture)[0, 0]): 0, int(np.asarray(picture)[1, 2]): 1}
    steps = LoadFramed("label"), RemapLabelsd("label", label_map, num_classes=2)
    item = {"label": str(tmp_path / "mask.png")}
    for step in steps:
        item = step(item)
    assert (item["label"].numpy() == wet[None]).all()


def test_entries_of_one_grid_pass_whatever_their_channels():
    item = {"image": torch.zeros(3, 4, 5), "label": torch.zeros(1, 4, 5)}
    assert CheckSameGridd(("image", "label"))(item) == item


def test_entries_of_two_grids_are_refused_with_both_sizes():
    item = {"image": MetaTensor(torch.zeros(3, 4, 5), meta={"case": "c1"}), "label": torch.zeros(1, 5, 4)}
    with pytest.raises(GeometryError, match=r"a label of the image's size, 4 x 5, found 5 x 4 in case c1"):
        CheckSameGridd(("image", "label"))(item)
