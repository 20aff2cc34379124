"""The letterbox keeps the aspect ratio, shifts nothing, and its inverse restores the source grid."""

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from monai.data import DataLoader, Dataset, MetaTensor, decollate_batch
from monai.transforms import Compose, Invertd

from pyraseg.transforms.errors import ConfigError
from pyraseg.transforms.geometry.letterbox import GREY, Letterbox, Letterboxd, letterbox_shape, resample

SHAPES = [(768, 1024), (300, 200), (100, 473), (61, 47), (473, 473)]


def blob(rows, columns, *, row=0.4, column=0.6):
    """An asymmetric smooth mask (1, H, W), a disc with a bump."""
    r, c = np.mgrid[0:rows, 0:columns]
    size = min(rows, columns)
    disc = (r - row * rows) ** 2 + (c - column * columns) ** 2 < (0.25 * size) ** 2
    bump = (r - (row * rows + 0.2 * size)) ** 2 + (c - column * columns) ** 2 < (0.1 * size) ** 2
    return torch.from_numpy(disc | bump)[None].float()


def centroid(weights):
    w = np.asarray(weights[0], dtype=float)
    r, c = np.mgrid[0 : w.shape[0], 0 : w.shape[1]]
    return np.array([(r * w).sum(), (c * w).sum()]) / w.sum()


def test_the_patent_s_example_gives_its_sizes():
    assert letterbox_shape((768, 1024), (473, 473)) == ((354, 473), (59, 0))
    box = Letterbox((473, 473))(torch.zeros(3, 768, 1024))
    grey = torch.isclose(box[0, :, 0].as_tensor(), torch.tensor(GREY))
    assert int(grey[:59].sum()) == 59
    assert int(grey[59 : 59 + 354].sum()) == 0
    assert int(grey[59 + 354 :].sum()) == 60


def test_a_size_that_fits_is_left_alone():
    image = torch.rand(3, 40, 40)
    assert torch.equal(Letterbox((40, 40))(image).as_tensor(), image)


@pytest.mark.parametrize("shape", SHAPES)
def test_the_inverse_restores_the_source_grid_and_the_mask(shape):
    mask = blob(*shape)
    box = Letterbox((160, 160))
    there = box(MetaTensor(torch.cat([1 - mask, mask])), fill=0.0)
    back = box.inverse(there)
    assert back.shape == (2, *shape)
    restored = (back.argmax(0) > 0).as_tensor()
    dice = 2 * (restored & (mask[0] > 0)).sum() / (restored.sum() + mask.sum())
    assert dice >= 0.99


@pytest.mark.parametrize("shape", SHAPES)
def test_nothing_shifts_by_a_part_of_a_pixel(shape):
    mask = blob(*shape)
    box = Letterbox((160, 160))
    back = box.inverse(box(MetaTensor(mask), fill=0.0))
    assert np.abs(centroid(back) - centroid(mask)).max() < 0.1


@pytest.mark.parametrize("shape", SHAPES)
def test_the_affine_places_the_picture_where_the_source_was(shape):
    affine = torch.diag(torch.tensor([0.3, 0.2, 1.0, 1.0], dtype=torch.float64))
    mask = MetaTensor(blob(*shape), affine=affine)
    box = Letterbox((160, 160))
    there = box(mask, fill=0.0)
    at_source = affine.numpy() @ np.array([*centroid(mask), 0, 1])
    at_box = there.affine.numpy() @ np.array([*centroid(there), 0, 1])
    assert np.abs(at_source - at_box).max() < 0.1 * 0.3
    assert torch.allclose(box.inverse(there).affine, affine)


def test_labels_keep_their_values_and_their_type():
    label = torch.randint(0, 3, (1, 90, 120), dtype=torch.uint8)
    there = Letterbox((64, 64), mode="nearest", fill=0)(label)
    assert there.dtype == torch.uint8
    assert set(torch.unique(there).tolist()) <= {0, 1, 2}


def test_probabilities_find_their_way_back_after_collating_frames_of_different_sizes():
    keys = ["image"]
    pipeline = Compose([Letterboxd(keys, (64, 64))])
    items = [{"image": MetaTensor(torch.rand(1, rows, columns))} for rows, columns in ((100, 80), (50, 120))]
    batch = next(iter(DataLoader(Dataset(items, pipeline), batch_size=2)))
    batch["pred"] = MetaTensor(torch.rand(2, 3, 64, 64))
    undo = Invertd(keys="pred", transform=pipeline, orig_keys="image", nearest_interp=False)
    shapes = [tuple(undo(item)["pred"].shape) for item in decollate_batch(batch)]
    assert shapes == [(3, 100, 80), (3, 50, 120)]


def test_an_impossible_size_or_mode_is_refused():
    with pytest.raises(ConfigError, match="above 0"):
        Letterbox((0, 10))
    with pytest.raises(ConfigError, match="bilinear or nearest"):
        Letterbox((10, 10), mode="cubic")


@pytest.mark.parametrize(
    ("size", "shape"), [((31, 40), (97, 211)), ((31, 40), (31, 40)), ((1, 7), (3, 8)), ((5, 1), (5, 90))]
)
def test_resampling_is_torch_s_within_rounding(size, shape):
    values = torch.rand(3, *size)
    expected = F.interpolate(values[None], list(shape), mode="bilinear", align_corners=False)[0]
    assert torch.allclose(resample(values, shape), expected, rtol=0, atol=3e-7)


def test_a_window_of_a_resampled_grid_has_the_bits_of_the_whole():
    values, shape = torch.rand(3, 31, 40), (97, 211)
    whole = resample(values, shape)
    for window in (
        (slice(0, 1), slice(210, 211)),
        (slice(13, 60), slice(5, 200)),
        (slice(90, 97), slice(0, 211)),
    ):
        assert torch.equal(resample(values, shape, window=window), whole[(slice(None), *window)])


def test_between_four_pixels_where_a_channel_is_the_greatest_it_is_the_greatest():
    values = torch.rand(3, 23, 29)
    values[0] = values.amax(0)
    assert bool((resample(values, (301, 77)) <= resample(values, (301, 77))[0]).all())
