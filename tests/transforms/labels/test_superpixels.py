"""Laws of SLIC superpixels and supervoxels: a partition of what is valid, by brightness, never a collapsed
one."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from monai.data import DataLoader, Dataset, MetaTensor
from scipy.ndimage import find_objects
from scipy.ndimage import label as components

from pyraseg.transforms.errors import ConfigError, GeometryError, InputError
from pyraseg.transforms.labels.superpixels import Superpixels, superpixels, valid_region

GREY = 128 / 255


def speckle(*shape: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).rayleigh(0.3, shape).clip(0, 1).astype(np.float32)


def step_edge(height: int = 90, width: int = 90) -> np.ndarray:
    """Dark left of a slanted line, bright right of it, and a little noise."""
    rows, columns = np.mgrid[:height, :width]
    edge = np.where(columns > 37 + rows / 8, 0.8, 0.2)
    return (edge + np.random.default_rng(1).normal(0, 0.02, edge.shape)).astype(np.float32)


@pytest.mark.parametrize("shape", [(120, 90), (48, 40, 24)], ids=str)
def test_they_are_numbered_from_1_without_a_gap_and_each_is_one_piece(shape):
    found = superpixels(speckle(*shape), size=12)
    assert found.dtype == np.int32
    assert found.shape == shape
    assert np.array_equal(np.unique(found), np.arange(1, found.max() + 1))
    assert all(components(found == number)[1] == 1 for number in range(1, found.max() + 1))


def test_about_a_thousand_of_15_pixels_are_the_default_at_473():
    assert 900 < superpixels(speckle(473, 473)).max() < 1100


@pytest.mark.parametrize("wanted", [1, 20, 100, 400])
def test_their_number_is_about_the_one_that_was_asked_for(wanted):
    assert superpixels(speckle(160, 200), num_segments=wanted).max() == pytest.approx(wanted, rel=0.25)


def test_they_follow_an_edge():
    image = step_edge()
    found, bright = superpixels(image, compactness=0.5), image > 0.5
    shares = np.bincount(found.ravel(), weights=bright.ravel())[1:] / np.bincount(found.ravel())[1:]
    assert (np.minimum(shares, 1 - shares) < 0.05).mean() > 0.95


def test_the_same_image_gives_the_same_superpixels_and_leaves_the_image_alone():
    image = speckle(100, 80)
    kept = image.copy()
    assert np.array_equal(superpixels(image), superpixels(image))
    assert np.array_equal(image, kept)


def test_what_is_not_valid_is_0_and_has_no_say():
    image, valid = step_edge(), np.zeros((90, 90), bool)
    valid[20:70] = True
    found = superpixels(image, valid=valid)
    assert np.array_equal(found > 0, valid)
    other = np.where(valid, image, 0.9)
    assert np.array_equal(superpixels(other, valid=valid), found)
    assert np.array_equal(superpixels(image[20:70]), found[20:70])


def test_a_valid_region_of_any_shape_is_kept_to():
    rows, columns = np.mgrid[:100, :100]
    disc = np.hypot(rows - 50, columns - 50) < 40
    image = speckle(100, 100)
    found = superpixels(image, valid=disc)
    assert np.array_equal(superpixels(np.where(disc, image, 0.9), valid=disc), found)
    assert np.array_equal(found > 0, disc)
    assert np.array_equal(np.unique(found[disc]), np.arange(1, found.max() + 1))


def test_supervoxels_are_as_long_as_wide_in_millimetres():
    found = superpixels(speckle(64, 64, 24), size=12, spacing=(1.0, 1.0, 3.0), compactness=2.0)
    extents = [[part.stop - part.start for part in box] for box in find_objects(found)]
    across, along, through = np.median(extents, axis=0) * (1.0, 1.0, 3.0)
    assert across == pytest.approx(through, rel=0.35)
    assert along == pytest.approx(across, rel=0.2)


def test_the_unit_of_the_spacing_says_nothing():
    image = speckle(40, 40, 16)
    assert np.array_equal(
        superpixels(image, size=10, spacing=(1, 1, 2.5)), superpixels(image, size=10, spacing=(0.4, 0.4, 1.0))
    )


class TestCollapse:
    """Speckle as strong as this makes fewer than half of the superpixels at a low compactness."""

    def test_it_is_an_error_with_a_remedy_where_it_is_not_to_be_repaired(self):
        with pytest.raises(InputError, match="collapsed") as raised:
            superpixels(speckle(150, 150), compactness=0.01, repair=False)
        assert "compactness" in raised.value.remedy

    def test_it_is_repaired_with_a_warning(self):
        image = speckle(150, 150)
        with pytest.warns(UserWarning, match="collapsed"):
            found = superpixels(image, compactness=0.01)
        assert found.max() >= 50

    @pytest.mark.filterwarnings("error")
    def test_a_compactness_that_holds_is_left_as_it_is(self):
        image = speckle(150, 150)
        assert np.array_equal(
            superpixels(image, compactness=0.5), superpixels(image, compactness=0.5, repair=False)
        )

    @pytest.mark.filterwarnings("error")
    @pytest.mark.parametrize("shape", [(1, 1), (5, 5), (15, 400), (29, 29), (31, 31), (3, 4, 5)], ids=str)
    @pytest.mark.parametrize("flat", [False, True])
    def test_small_narrow_and_flat_images_have_not_collapsed(self, shape, flat):
        image = np.full(shape, 0.4, np.float32) if flat else speckle(*shape)
        assert superpixels(image, repair=False).min() == 1


@pytest.mark.parametrize(
    "options",
    [
        {"size": 0},
        {"size": float("nan")},
        {"num_segments": 0},
        {"size": 15, "num_segments": 10},
        {"compactness": 0},
        {"compactness": float("inf")},
        {"spacing": (1, 0)},
        {"spacing": (1, 1, 1)},
    ],
    ids=str,
)
def test_options_out_of_range_are_refused(options):
    with pytest.raises(ConfigError):
        superpixels(speckle(30, 30), **options)
    if "spacing" not in options:
        with pytest.raises(ConfigError):
            Superpixels(**options)


def test_images_that_cannot_be_divided_are_refused():
    with pytest.raises(GeometryError, match="axes"):
        superpixels(speckle(3, 3, 3, 3))
    with pytest.raises(GeometryError, match="shape"):
        superpixels(speckle(30, 30), valid=np.ones((30, 31), bool))
    with pytest.raises(InputError, match="valid"):
        superpixels(speckle(30, 30), valid=np.zeros((30, 30), bool))
    with pytest.raises(InputError, match="finite"):
        superpixels(np.full((30, 30), np.nan))


def frame(bar: int = 12) -> torch.Tensor:
    """Three equal channels of speckle, 80 x 60, between grey bars."""
    image = torch.full((3, 80 + 2 * bar, 60), GREY)
    image[:, bar : bar + 80] = torch.from_numpy(speckle(80, 60))
    return image


def test_the_transform_leaves_letterbox_bars_out():
    found = Superpixels()(frame())
    assert found.shape == (1, 104, 60)
    assert not found[0, :12].any()
    assert not found[0, -12:].any()
    assert np.array_equal(found[0, 12:-12], superpixels(frame()[0, 12:-12].numpy()))
    assert np.array_equal(valid_region(frame()), (found[0] > 0).numpy())


def test_a_volume_s_spacing_is_that_of_its_metadata_and_a_frame_is_measured_in_pixels():
    volume = torch.from_numpy(speckle(40, 40, 16))[None]
    affine = torch.diag(torch.tensor([0.8, 0.8, 2.4, 1.0]))
    found = Superpixels(size=10)(MetaTensor(volume, affine=affine))
    assert np.array_equal(found[0], superpixels(volume[0].numpy(), size=10, spacing=(0.8, 0.8, 2.4)))
    image = frame(0)
    assert torch.equal(Superpixels()(MetaTensor(image, affine=affine)), Superpixels()(image))


def test_loading_processes_give_what_the_main_one_gives():
    images = [frame(bar) for bar in (0, 12, 12, 0)]
    here = [Superpixels()(image) for image in images]
    there = [batch[0] for batch in DataLoader(Dataset(images, Superpixels()), batch_size=1, num_workers=2)]
    assert all(torch.equal(a, b) for a, b in zip(here, there, strict=True))
