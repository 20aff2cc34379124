"""Before a training, images whose greys look wrong are named."""

from __future__ import annotations

import logging

import numpy as np
import pytest
import torch
from monai.data import MetaTensor
from monai.transforms import Compose
from PIL import Image

from pyraseg.pipeline.training import check_contrast
from pyraseg.transforms import LoadFramed, ScaleDisplayd, VolumeIntensity
from pyraseg.transforms.errors import DatalistError, InputError

PREPARE = Compose([LoadFramed("image"), ScaleDisplayd("image")])
GREY = np.add.outer(np.arange(20), np.arange(30)) / 48


@pytest.fixture
def items(tmp_path):
    def write(*whites: float) -> list[dict[str, str]]:
        listed = []
        for number, white in enumerate(whites):
            path = tmp_path / f"{number}.png"
            Image.fromarray(np.clip(GREY * white, 0, 255).astype(np.uint8)).save(path)
            listed.append({"image": str(path), "case": f"case{number}"})
        return listed

    return write


def test_a_part_of_the_images_is_named_and_training_goes_on(items, caplog):
    with caplog.at_level(logging.WARNING):
        check_contrast(items(255, 200, 10, 255, 2000), PREPARE)
    assert "1 nearly black, 1 clipped, of 5 images looked at, first in case case2" in caplog.text


def test_good_images_are_passed_over_in_silence(items, caplog):
    check_contrast(items(255, 100), PREPARE)
    check_contrast([], PREPARE)
    assert caplog.text == ""


@pytest.mark.parametrize(("white", "fault"), [(12, "nearly black"), (0, "constant"), (2000, "clipped")])
def test_nobody_trains_on_such_images_alone(items, white, fault):
    with pytest.raises(DatalistError, match=f"4 {fault}, of 4 images looked at"):
        check_contrast(items(*[white] * 4), PREPARE)


def test_an_image_without_a_stated_range_ends_the_training_before_it_begins(tmp_path):
    Image.fromarray((GREY * 4095).astype(np.uint16)).save(tmp_path / "a.png")
    with pytest.raises(InputError, match=r"--reading \"\{'value_range': \[0, 4095\]\}\""):
        check_contrast([{"image": str(tmp_path / "a.png")}], PREPARE)


def test_a_volume_of_another_unit_than_the_window_s_is_clipped_or_constant():
    hounsfield = torch.linspace(-1000, 200, 6**3).reshape(1, 6, 6, 6)
    scale = VolumeIntensity(unit="HU", window=(-160, 240))
    faults = [
        scale(MetaTensor(values)).meta["contrast"]
        for values in (hounsfield, hounsfield + 1024, (hounsfield + 1000) / 1200, hounsfield - 2000)
    ]
    assert faults == ["", "clipped", "constant", "constant"]
