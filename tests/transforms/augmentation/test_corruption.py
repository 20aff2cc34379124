"""Damaged frames: the image changes within its range, the label is the frame as it was, and the tissue is
found."""

from __future__ import annotations

import pytest
import torch
from monai.data import MetaTensor

from pyraseg.transforms.augmentation.corruption import RestorationPaird, TissueRegion, TissueRegiond
from pyraseg.transforms.errors import ConfigError
from pyraseg.transforms.geometry.letterbox import GREY
from tests.chains import frame_corruption

SIZE = (64, 80)


@pytest.fixture
def frame() -> torch.Tensor:
    """A bright disc with a black hole in it, on black, between grey bars above and below."""
    rows, columns = torch.meshgrid(torch.arange(48) - 24, torch.arange(80) - 40, indexing="ij")
    distance = torch.hypot(rows.float(), columns.float())
    picture = torch.where((distance < 22) & (distance > 8), 0.3 + 0.01 * (rows % 7), 0.0)
    image = torch.full((1, *SIZE), GREY)
    image[0, 8:56] = picture
    return image


def damaged(frame: torch.Tensor, *, seed: int = 0, **options) -> dict[str, torch.Tensor]:
    corruption = frame_corruption(SIZE, **options).set_random_state(seed)
    return corruption({"image": frame, "tissue": TissueRegion()(frame)})


def test_fluid_belongs_to_the_tissue_and_what_lies_beside_the_sector_does_not(frame):
    region = TissueRegion()(frame)
    assert region.shape == (1, *SIZE)
    assert region[0, 32, 40] == 1  # the hole's middle
    assert region[0, 30, 25] == 1
    assert region[0, 10, 2] == 0  # the picture's corner
    assert not region[:, :8].any()  # the bars
    assert not region[:, 56:].any()


def test_a_frame_without_brightness_has_no_tissue():
    assert not TissueRegion()(torch.zeros(1, *SIZE)).any()


def test_the_dictionary_form_adds_the_region_and_keeps_the_image(frame):
    item = TissueRegiond()({"image": frame, "case": "c1"})
    assert torch.equal(item["tissue"], TissueRegion()(frame))
    assert item["image"] is frame


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("seed", range(6))
def test_the_damage_keeps_shape_and_range(frame, seed, channels):
    item = damaged(frame, seed=seed, in_channels=channels)
    image, label = item["image"], item["label"]
    assert image.shape == (channels, *SIZE)
    assert label.shape == (2, *SIZE)
    assert (image.dtype, label.dtype) == (torch.float32, torch.float32)
    assert 0 <= float(image.min()) <= float(image.max()) <= 1
    assert not isinstance(image, MetaTensor)
    assert all(torch.equal(channel, image[0]) for channel in image)


@pytest.mark.parametrize("seed", range(6))
def test_the_damage_reaches_neither_the_frame_that_came_in_nor_the_label(frame, seed):
    before = frame.clone()
    tissue = TissueRegion()(frame)
    steps = list(frame_corruption(SIZE, probability=1.0).set_random_state(seed).transforms)
    taken = next(number for number, step in enumerate(steps) if isinstance(step, RestorationPaird))
    item = steps[taken]({"image": frame, "tissue": tissue})
    label = item["label"].clone()
    for step in steps[taken + 1 :]:
        item = step(item)
    assert torch.equal(frame, before)
    assert torch.equal(item["label"], label)
    assert torch.equal(label[:1], before)
    assert not torch.equal(item["image"][:1], before)


def test_without_damage_the_image_is_the_frame(frame):
    item = damaged(frame, probability=0.0)
    assert torch.equal(item["image"], frame.expand(3, -1, -1))
    assert torch.equal(item["label"][:1], frame)


def test_equal_seeds_damage_alike_and_others_do_not(frame):
    first, again, other = (damaged(frame, seed=seed)["image"] for seed in (1, 1, 2))
    assert torch.equal(first, again)
    assert not torch.equal(first, other)


@pytest.mark.parametrize("probability", [-0.1, 1.1])
def test_a_probability_that_is_none_is_refused(probability):
    with pytest.raises(ConfigError, match="from 0 to 1"):
        frame_corruption(SIZE, probability=probability)
