"""Laws of the ultrasound augmentation, on synthetic frames."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from monai.data import DataLoader, Dataset, MetaTensor
from monai.transforms import Compose

from pyraseg import transforms as aug
from pyraseg.transforms.errors import ConfigError
from tests.chains import frame_augmentation

GREY = 128 / 255
ARRAY = {
    "gain": aug.RandGain,
    "attenuation": aug.RandDepthAttenuation,
    "speckle": aug.RandSpeckle,
    "shadow": aug.RandAcousticShadow,
    "flip": aug.RandHorizontalFlip,
    "affine": aug.RandFrameAffine,
}
DICTIONARY = {
    "gain": aug.RandGaind,
    "attenuation": aug.RandDepthAttenuationd,
    "speckle": aug.RandSpeckled,
    "shadow": aug.RandAcousticShadowd,
    "flip": aug.RandHorizontalFlipd,
    "affine": aug.RandFrameAffined,
}
INTENSITY = ("gain", "attenuation", "speckle", "shadow")
every = pytest.mark.parametrize("name", ARRAY)
every_intensity = pytest.mark.parametrize("name", INTENSITY)


def frame(height: int = 96, width: int = 80, *, bar: int = 0) -> torch.Tensor:
    """Three different channels of noise, smooth enough to survive resampling; grey bars above and below."""
    coarse = torch.rand(1, 3, height // 8, width // 8, generator=torch.Generator().manual_seed(5))
    image = torch.nn.functional.interpolate(coarse, (height, width), mode="bicubic")[0].clamp(0, 1)
    if bar:
        image[:, :bar] = image[:, -bar:] = GREY
    return image


def label(height: int = 96, width: int = 80) -> torch.Tensor:
    """Nested, asymmetric shapes of the classes 1 and 2."""
    classes = torch.zeros(1, height, width)
    classes[0, 20:70, 15:60] = 1
    classes[0, 30:50, 20:40] = 2
    return classes


def item(**options: int) -> dict[str, torch.Tensor]:
    return {"image": frame(**options), "label": label()}


@every
def test_at_probability_0_nothing_changes_not_even_the_object(name: str) -> None:
    image = frame()
    transform = ARRAY[name](0.0).set_random_state(0)
    assert all(transform(image) is image for _ in range(5))


def test_the_whole_augmentation_at_probability_0_is_the_identity_bit_for_bit() -> None:
    before = item(bar=8)
    after = frame_augmentation(probability=0.0).set_random_state(0)(before)
    assert all(torch.equal(before[key], after[key]) for key in before)


@every
def test_at_probability_1_the_image_changes_and_the_input_does_not(name: str) -> None:
    image = frame(bar=8)
    kept = image.clone()
    changed = ARRAY[name](1.0).set_random_state(0)(image)
    assert not torch.equal(changed, image)
    assert torch.equal(image, kept)


@every
def test_the_probability_is_the_share_of_items_that_change(name: str) -> None:
    image = frame(32, 32)
    transform = ARRAY[name](0.3).set_random_state(3)
    share = np.mean([transform(image) is not image for _ in range(600)])
    assert share == pytest.approx(0.3, abs=0.06)


@every
def test_equal_seeds_give_equal_results_and_other_seeds_others(name: str) -> None:
    image = frame()
    first, again, other = (ARRAY[name](0.7).set_random_state(seed) for seed in (1, 1, 2))
    runs = [torch.stack([transform(image) for _ in range(6)]) for transform in (first, again, other)]
    assert torch.equal(runs[0], runs[1])
    assert not torch.equal(runs[0], runs[2])


@every
def test_the_dictionary_form_equals_the_array_form_under_one_seed(name: str) -> None:
    image = frame()
    array, dictionary = ARRAY[name](0.7), DICTIONARY[name]("image", 0.7)
    array.set_random_state(4)
    dictionary.set_random_state(4)
    for _ in range(6):
        assert torch.equal(array(image), dictionary({"image": image})["image"])


@every
def test_what_was_drawn_can_be_applied_again(name: str) -> None:
    image = frame()
    transform = ARRAY[name](1.0).set_random_state(0)
    assert torch.equal(transform(image), transform(image, randomize=False))


@pytest.mark.parametrize("bar", [0, 12])
@pytest.mark.parametrize("white", [False, True])
def test_the_image_stays_within_0_and_1_and_finite(bar: int, white: bool) -> None:
    """Extremes too: an image of nothing but black and white pixels."""
    before = item(bar=bar)
    before["image"] = before["image"].round() if white else before["image"]
    augment = frame_augmentation(probability=0.8).set_random_state(0)
    for _ in range(30):
        image = augment(before)["image"]
        assert image.dtype == torch.float32
        assert image.shape == before["image"].shape
        assert torch.isfinite(image).all()
        assert image.min() >= 0
        assert image.max() <= 1


@pytest.mark.parametrize("dtype", [torch.float32, torch.uint8, torch.int64])
def test_the_label_keeps_its_values_and_its_dtype(dtype: torch.dtype) -> None:
    before = {"image": frame(), "label": label().to(dtype)}
    augment = frame_augmentation(probability=1.0).set_random_state(0)
    for _ in range(20):
        after = augment(before)["label"]
        assert after.dtype == dtype
        assert after.shape == before["label"].shape
        assert set(after.unique().tolist()) == {0, 1, 2}


@every_intensity
def test_intensity_transforms_leave_the_label_untouched(name: str) -> None:
    before = item()
    after = DICTIONARY[name]("image", 1.0).set_random_state(0)(before)
    assert after["label"] is before["label"]


@pytest.mark.parametrize("shape", [(96, 80), (80, 96)])
@pytest.mark.parametrize("name", ["flip", "affine"])
def test_image_and_label_move_together(name: str, shape: tuple[int, int]) -> None:
    """The label painted into the image lands where the label lands, to the pixels on its edge."""
    painted = label(*shape)
    transform = DICTIONARY[name](("image", "label"), 1.0).set_random_state(0)
    for _ in range(10):
        after = transform({"image": (painted > 0).float().expand(3, -1, -1), "label": painted})
        # Outside is grey, a hair above one half, hence the threshold.
        image, moved = after["image"][0] > 0.6, after["label"][0] > 0
        assert moved.sum() > 500
        assert 2 * (image & moved).sum() / (image.sum() + moved.sum()) > 0.97


@pytest.mark.parametrize("shape", [(60, 120), (120, 60)])
def test_a_disc_stays_a_disc_of_the_drawn_size_on_a_frame_that_is_not_square(shape: tuple[int, int]) -> None:
    rows, columns = torch.meshgrid(*(torch.arange(n) - (n - 1) / 2 for n in shape), indexing="ij")
    disc = (rows.hypot(columns) <= 15).float()[None]
    affine = aug.RandFrameAffine(1.0, rotation=15, scale=(1.2, 1.2), translation=0, mode="nearest")
    rows, columns = torch.nonzero(affine.set_random_state(0)(disc)[0], as_tuple=True)
    assert int(rows.max() - rows.min()) + 1 == pytest.approx(36, abs=1.1)
    assert int(columns.max() - columns.min()) + 1 == pytest.approx(36, abs=1.1)


@pytest.mark.parametrize("shape", [(96, 80), (80, 96)])
@pytest.mark.parametrize("name", ["flip", "affine"])
def test_the_affine_says_where_each_pixel_came_from(name: str, shape: tuple[int, int]) -> None:
    """An image of its own world coordinates: reading it through the new affine gives them back."""
    spacing = np.diag([0.5, 0.25, 1.0, 1.0])
    grid = np.stack(np.meshgrid(*(np.arange(n) for n in shape), [0], [1], indexing="ij"), -1)[:, :, 0, 0]
    world = torch.from_numpy((grid @ spacing.T)[..., :2].transpose(2, 0, 1) / 64).float()
    moved = ARRAY[name](1.0).set_random_state(0)(MetaTensor(world, affine=torch.from_numpy(spacing)))
    expected = (grid @ moved.affine.numpy().T)[..., :2].transpose(2, 0, 1) / 64
    inner = np.s_[:, 25:-25, 25:-25]  # clear of what came in from outside
    np.testing.assert_allclose(moved.numpy()[inner], expected[inner], atol=1e-3)


@every
def test_a_meta_tensor_keeps_its_metadata_and_the_input_its_affine(name: str) -> None:
    image = MetaTensor(frame(), affine=torch.diag(torch.tensor([0.3, 0.2, 1, 1])), meta={"case": "c1"})
    before = image.affine.clone()
    plain, meta = (ARRAY[name](1.0).set_random_state(0)(x) for x in (image.as_tensor(), image))
    assert isinstance(meta, MetaTensor)
    assert not isinstance(plain, MetaTensor)
    assert torch.equal(meta.as_tensor(), plain)
    assert meta.meta["case"] == "c1"
    assert torch.equal(image.affine, before)
    assert torch.equal(meta.affine, before) == (name in INTENSITY)


def test_what_comes_in_from_outside_is_grey_in_the_image_and_background_in_the_label() -> None:
    affine = aug.RandFrameAffined(("image", "label"), 1.0, rotation=0, scale=(0.5, 0.5), translation=0)
    after = affine.set_random_state(0)({"image": torch.ones(3, 40, 40), "label": torch.ones(1, 40, 40)})
    assert torch.allclose(after["image"][:, :9], torch.tensor(GREY))
    assert torch.equal(after["image"][:, 11:29, 11:29], torch.ones(3, 18, 18))
    assert not after["label"][:, :9].any()


@every_intensity
@pytest.mark.parametrize("turned", [False, True])
def test_letterbox_bars_keep_their_grey(name: str, turned: bool) -> None:
    image = frame(bar=10)
    image = image.transpose(1, 2).contiguous() if turned else image
    changed = ARRAY[name](1.0).set_random_state(0)(image)
    image, changed = (x.transpose(1, 2) if turned else x for x in (image, changed))
    assert torch.equal(changed[:, :10], image[:, :10])
    assert torch.equal(changed[:, -10:], image[:, -10:])
    assert not torch.equal(changed[:, 10:-10], image[:, 10:-10])


def test_gain_and_gamma_are_a_power_law_that_leaves_black_black() -> None:
    image = torch.tensor([0.0, 0.04, 0.25, 0.64, 1.0]).reshape(1, 1, 5)
    exact = aug.RandGain(1.0, gain=(0.9, 0.9), gamma=(0.5, 0.5))(image)
    assert torch.allclose(exact.flatten(), torch.tensor([0.0, 0.18, 0.45, 0.72, 0.9]))


def test_gain_never_swaps_dark_and_bright() -> None:
    image = torch.linspace(0, 1, 256).reshape(1, 16, 16)
    transform = aug.RandGain(1.0).set_random_state(0)
    assert all((transform(image).flatten().diff() >= 0).all() for _ in range(20))


def test_attenuation_follows_the_rows_and_keeps_the_middle() -> None:
    image = torch.full((3, 101, 20), 0.4)
    weaker = aug.RandDepthAttenuation(1.0, slope=(1.0, 1.0))(image)
    assert torch.equal(weaker, weaker[:1, :, :1].expand_as(weaker))
    assert (weaker[0, :, 0].diff() < 0).all()
    assert weaker[0, 50, 0] == pytest.approx(0.4)
    assert weaker[0, 0, 0] / weaker[0, -1, 0] == pytest.approx(np.e, rel=1e-4)


def test_speckle_keeps_the_mean_is_wider_across_the_beam_and_equal_in_all_channels() -> None:
    image = torch.full((3, 200, 200), 0.4)
    noisy = aug.RandSpeckle(1.0, strength=(0.2, 0.2)).set_random_state(0)(image)
    assert torch.equal(noisy[0], noisy[2])
    assert noisy.mean() == pytest.approx(0.4, abs=0.005)
    assert 0.1 < noisy.std() / 0.4 < 0.2
    values = noisy[0] - noisy[0].mean()
    along, across = (values[2:] * values[:-2]).mean(), (values[:, 2:] * values[:, :-2]).mean()
    assert across > 1.5 * along > 0


def test_speckle_is_multiplicative() -> None:
    transform = aug.RandSpeckle(1.0).set_random_state(0)
    bright = transform(torch.full((1, 40, 40), 0.4))
    dark = transform(torch.full((1, 40, 40), 0.1), randomize=False)
    assert torch.allclose(bright, 4 * dark)


def test_a_shadow_darkens_a_soft_edged_part_below_its_onset_and_brightens_nothing() -> None:
    image = torch.full((1, 200, 200), 0.8)
    transform = aug.RandAcousticShadow(1.0).set_random_state(0)
    for _ in range(20):
        shadow = 1 - transform(image)[0] / 0.8
        assert shadow.min() > -1e-6
        assert 0.3 - 1e-3 < shadow.max() < 0.76
        assert not shadow[:9].any()
        assert 0.005 < (shadow > 0.1).float().mean() < 0.5
        assert shadow[-1].max() > 0.9 * shadow.max()  # it goes on to the bottom
        assert shadow.diff(dim=0).abs().max() < 0.2
        assert shadow.diff(dim=1).abs().max() < 0.4


def test_the_flip_reverses_columns_and_never_rows() -> None:
    image = frame()
    flip = aug.RandHorizontalFlip(0.5).set_random_state(0)
    results = [flip(image) for _ in range(20)]
    assert {torch.equal(r, image.flip(2)) for r in results} == {True, False}
    assert all(torch.equal(r, image) or torch.equal(r, image.flip(2)) for r in results)


def test_a_compose_around_it_is_deterministic_under_one_seed() -> None:
    before = item(bar=8)
    runs = []
    for seed in (7, 7, 8):
        pipeline = Compose([frame_augmentation()])
        pipeline.set_random_state(seed)
        runs.append(torch.stack([pipeline(before)["image"] for _ in range(5)]))
    assert torch.equal(runs[0], runs[1])
    assert not torch.equal(runs[0], runs[2])


def test_worker_processes_draw_differently_and_repeat_under_one_seed() -> None:
    def images() -> torch.Tensor:
        torch.manual_seed(11)
        data = Dataset([item()] * 4, frame_augmentation(probability=1.0).set_random_state(0))
        return torch.cat([batch["image"] for batch in DataLoader(data, batch_size=1, num_workers=2)])

    first, again = images(), images()
    assert torch.equal(first, again)
    assert len({image.sum().item() for image in first}) == 4


def test_missing_label_entries_and_further_labels_are_taken_as_the_keys_say() -> None:
    three = {**item(), "soft": label()}
    after = frame_augmentation(("image", "label", "soft"), probability=1.0).set_random_state(0)(three)
    assert torch.equal(after["label"], after["soft"])
    assert "label" not in frame_augmentation(("image",), probability=1.0)({"image": frame()})
    lenient = aug.RandFrameAffined(("image", "label"), 1.0, allow_missing_keys=True)
    assert set(lenient({"image": frame()})) == {"image"}
    with pytest.raises(KeyError):
        aug.RandFrameAffined(("image", "label"), 1.0)({"image": frame()})


@pytest.mark.parametrize(
    "make",
    [
        lambda: frame_augmentation(probability=1.5),
        lambda: aug.RandGain(gain=(1.2, 0.8)),
        lambda: aug.RandGain(gamma=(0.0, 1.0)),
        lambda: aug.RandAcousticShadow(strength=(0.5, 1.5)),
        lambda: aug.RandSpeckle(grain=(0, 4)),
        lambda: aug.RandFrameAffine(rotation=-1),
        lambda: aug.RandFrameAffined("image", mode="cubic"),
    ],
)
def test_parameters_out_of_range_are_refused(make) -> None:
    with pytest.raises(ConfigError):
        make()
