"""Display values lie in [0, 1] whatever was stored, with the channels that a network takes."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from monai.data import MetaTensor

from pyraseg.transforms.errors import ConfigError, InputError
from pyraseg.transforms.frame.display import ScaleDisplay, ScaleDisplayd, ToChannels, ToChannelsd


def frame(values, white=255.0, dtype=torch.uint8):
    return MetaTensor(torch.as_tensor(values).to(dtype), meta={"display_max": white, "case": "c1"})


@pytest.mark.parametrize(
    ("white", "dtype"), [(255, torch.uint8), (4095, torch.int32), (65535, torch.int32), (1, torch.float32)]
)
def test_white_is_one_and_black_is_zero_whatever_the_depth(white, dtype):
    scaled = ScaleDisplay()(frame([[[0, white]]], float(white), dtype))
    assert scaled.dtype == torch.float32
    assert scaled.tolist() == [[[0, 1]]]


def test_what_lies_beyond_white_is_white():
    assert ScaleDisplay()(frame([[[-5, 5000]]], 4095.0, torch.int32)).tolist() == [[[0, 1]]]


def test_scaling_twice_changes_nothing():
    once = ScaleDisplay()(frame([[[0, 51, 204]]]))
    assert torch.equal(ScaleDisplay()(once).as_tensor(), once.as_tensor())
    assert once.as_tensor().tolist() == [[pytest.approx([0, 0.2, 0.8])]]


def test_the_input_keeps_its_values_and_its_white():
    image = frame([[[0, 255]]])
    scaled = ScaleDisplay()(image)
    assert (image.meta["display_max"], scaled.meta["display_max"]) == (255, 1)
    assert image.tolist() == [[[0, 255]]]
    assert scaled.meta["case"] == "c1"


def test_a_grey_frame_is_repeated():
    image = frame(np.arange(6).reshape(1, 2, 3))
    tripled = ToChannels(3)(image)
    assert tripled.shape == (3, 2, 3)
    assert (tripled.as_tensor() == image.as_tensor()).all()


def test_a_colour_frame_becomes_its_luminance():
    image = frame(np.eye(3)[:, None, :], 1.0, torch.float32)  # a red, a green and a blue pixel
    assert ToChannels(1)(image).as_tensor().tolist() == [[pytest.approx([0.299, 0.587, 0.114])]]


def test_grey_survives_the_way_to_colour_and_back():
    image = frame(np.linspace(0, 1, 6).reshape(1, 2, 3), 1.0, torch.float32)
    assert torch.allclose(ToChannels(1)(ToChannels(3)(image)).as_tensor(), image.as_tensor())


@pytest.mark.parametrize("channels", [1, 3])
def test_a_frame_that_has_the_channels_passes(channels):
    image = frame(np.zeros((channels, 2, 3)))
    assert ToChannels(channels)(image) is image


def test_another_number_of_channels_is_refused():
    with pytest.raises(ConfigError, match="found 2"):
        ToChannels(2)
    with pytest.raises(InputError, match="found 4"):
        ToChannels(3)(frame(np.zeros((4, 2, 3))))


def test_the_dictionary_form_does_the_same_to_its_keys_alone():
    item = {"image": frame([[[0, 255]]]), "other": frame([[[0, 255]]])}
    seen = ToChannelsd("image", 3)(ScaleDisplayd("image")(item))
    assert torch.equal(seen["image"].as_tensor(), ToChannels(3)(ScaleDisplay()(item["image"])).as_tensor())
    assert seen["other"] is item["other"]
