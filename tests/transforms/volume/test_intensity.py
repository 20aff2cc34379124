"""Intensities of volumes as a bundle declares them."""

from __future__ import annotations

import pytest
import torch
from monai.data import MetaTensor

from pyraseg.transforms.errors import ConfigError, InputError
from pyraseg.transforms.volume.intensity import VolumeIntensity, VolumeIntensityd

WINDOW = {"unit": "HU", "window": (-160, 240)}


def volume(values, **meta) -> MetaTensor:
    return MetaTensor(torch.tensor(values, dtype=torch.float32).reshape(1, -1, 1, 1), meta=meta)


def test_a_window_maps_its_bounds_to_0_and_1_and_clips_beyond():
    scaled = VolumeIntensity(**WINDOW)(volume([-1000, -160, 40, 240, 3000], unit="HU"))
    assert scaled.flatten().tolist() == [0, 0, 0.5, 1, 1]


def test_the_body_has_mean_0_and_deviation_1_however_much_air_is_around_it():
    body = torch.linspace(400, 800, 2000)
    for air in (100, 5000):
        image = volume([*[0.0] * air, *body.tolist()], unit="")
        scores = VolumeIntensity(unit="", body_z_score=(-9, 9))(image).flatten()[air:]
        assert scores.mean().abs() < 1e-4
        assert (scores.std() - 1).abs() < 1e-4


def test_padding_changes_no_score_of_the_volume_bit_for_bit():
    generator = torch.Generator().manual_seed(0)
    body = torch.rand(1, 9, 10, 11, generator=generator) * 900
    body[:, :3] *= 0.02  # air
    scale = VolumeIntensity(unit="", body_z_score=(-4, 4))
    for sides in ((1, 2, 3), (20, 30, 40)):  # to 99 % of zeros
        padded = torch.nn.functional.pad(body, [each for side in sides for each in (side, side)])
        inner = tuple(slice(side, -side) for side in reversed(sides))
        assert torch.equal(scale(padded)[:, *inner], scale(body))


def test_the_percentile_is_the_body_s_however_much_noisy_air_is_around_it():
    generator = torch.Generator().manual_seed(0)
    body = 100 + 700 * torch.rand(1, 2000, 1, 1, generator=generator)
    means = []
    for air in (0, 2000, 400_000):
        noise = 10 * torch.rand(1, air, 1, 1, generator=generator)
        means.append(
            VolumeIntensity(unit="", body_z_score=(-9, 9))(torch.cat([noise, body], 1))[:, air:].mean()
        )
    assert max(map(abs, means)) < 0.01


def test_standard_scores_do_not_know_the_scanner_s_gain():
    image = torch.rand(1, 8, 8, 8) + 0.5
    scale = VolumeIntensity(unit="", body_z_score=(-4, 4))
    assert torch.allclose(scale(image), scale(image * 37), atol=1e-4)


def test_pictures_are_in_0_to_1_either_way():
    for way in ({"window": (0, 15)}, {"body_z_score": (-4, 4)}):
        shown = VolumeIntensity(unit="", display=True, **way)(torch.rand(1, 8, 8, 8) * 30)
        assert 0 <= shown.min() <= shown.max() <= 1


def test_a_volume_in_another_unit_is_refused_and_one_without_is_taken_at_its_word():
    with pytest.raises(InputError, match=r"wanted a volume in HU, found g/ml\{SUVbw\} in case c1"):
        VolumeIntensity(**WINDOW)(volume([1, 2], unit="g/ml{SUVbw}", case="c1"))
    assert VolumeIntensity(**WINDOW)(volume([1, 2])).shape == (1, 2, 1, 1)


def test_a_volume_without_contrast_is_refused():
    for value in (0.0, 7.0):
        with pytest.raises(InputError, match="a volume with contrast"):
            VolumeIntensity(unit="", body_z_score=(-4, 4))(torch.full((1, 4, 4, 4), value))


@pytest.mark.parametrize("declared", [{}, {"window": (0, 1), "body_z_score": (0, 1)}, {"window": (1, 0)}])
def test_a_declaration_that_is_none_is_refused(declared):
    with pytest.raises(ConfigError):
        VolumeIntensity(unit="HU", **declared)


def test_the_dictionary_form_leaves_the_label_alone():
    label = torch.ones(1, 2, 1, 1)
    item = VolumeIntensityd("image", **WINDOW)({"image": volume([0, 1], unit="HU"), "label": label})
    assert item["label"] is label


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
@pytest.mark.parametrize("options", [WINDOW, {"unit": "", "body_z_score": (-5, 5)}])
def test_a_voxel_that_is_no_number_is_refused_before_it_is_clipped(value, options):
    image = volume([1.0, 2.0, 300.0, value], case="c_9")
    with pytest.raises(InputError, match="finite values, found others in case c_9"):
        VolumeIntensity(**options)(image)


def test_numbers_too_large_for_a_deviation_have_no_contrast_that_can_be_told():
    with pytest.raises(InputError, match="contrast"):
        VolumeIntensity(unit="", body_z_score=(-5, 5))(volume([1e38, 2e38, 3e38, 1e30]))
