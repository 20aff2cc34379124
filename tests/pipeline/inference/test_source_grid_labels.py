"""Scores on the network's grid become a label map on the grid of the source image."""

from __future__ import annotations

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from monai.data import CacheDataset
from monai.transforms import Compose, Flipd
from PIL import Image
from scipy import ndimage

from pyraseg.pipeline.inference import CleanUpLabelsd, SourceGridLabelsd
from pyraseg.transforms.frame.tissue import CropToTissue
from pyraseg.transforms.geometry.letterbox import Letterboxd
from pyraseg.transforms.io.frames import LoadFrame, LoadFramed
from tests.chains import frame_preprocessing, volume_preprocessing

NAMES = ["background", "kidney", "hydronephrosis"]
SHAPE = (70, 110)
RENAL = slice(25, 45), slice(40, 70)


@pytest.fixture
def frame(tmp_path) -> str:
    """A field of dark tissue, off the centre, with a bright rectangle in it."""
    picture = np.zeros(SHAPE, np.uint8)
    picture[12:62, 20:100] = np.random.default_rng(0).integers(40, 90, (50, 80))
    picture[RENAL] = 230
    Image.fromarray(picture).save(tmp_path / "frame.png")
    return str(tmp_path / "frame.png")


def load(frame: str, size: tuple[int, int], **options):
    preprocessing = frame_preprocessing(size=size, in_channels=1, **options)
    return preprocessing, preprocessing({"image": frame})


def scores_of(item, *, sharpness: float = 40.0):
    """What a network would say that calls bright pixels kidney: (3, h, w), with the trace of the image."""
    image = item["image"]
    kidney = (image - 0.6) * sharpness
    return torch.cat([-kidney, kidney, torch.full_like(image, -100.0)])


@pytest.mark.parametrize("size", [(64, 64), (96, 40), (200, 260), SHAPE])
@pytest.mark.parametrize("crop", [True, False])
def test_the_label_map_lies_on_the_source_grid_where_the_structure_is(frame, size, crop):
    preprocessing, item = load(frame, size, crop=crop)
    item["pred"] = scores_of(item)
    pred = SourceGridLabelsd("pred", preprocessing)(item)["pred"]
    assert pred.shape == (1, *SHAPE)
    expected = np.zeros(SHAPE, bool)
    expected[RENAL] = True
    found = np.asarray(pred)[0] == 1
    dice = 2 * (found & expected).sum() / (found.sum() + expected.sum())
    assert dice > 0.9
    assert set(np.unique(pred)) == {0, 1}


def test_what_was_cropped_away_is_background_whatever_the_network_prefers(frame):
    preprocessing, item = load(frame, (64, 64))
    always_kidney = torch.zeros_like(item["image"]).repeat(3, 1, 1)
    always_kidney[1] = 9.0
    item["pred"] = always_kidney
    pred = np.asarray(SourceGridLabelsd("pred", preprocessing)(item)["pred"])[0]
    assert set(np.unique(pred)) == {0, 1}
    top, left, bottom, right = CropToTissue().box(LoadFrame()(frame))
    assert 0 < (bottom - top) * (right - left) < pred.size
    inside = np.zeros(SHAPE, bool)
    inside[top:bottom, left:right] = True
    assert np.array_equal(pred == 1, inside)


def test_probabilities_and_not_labels_are_resampled(frame):
    """Between a sure pixel and an unsure one the border lies nearer to the unsure one; labels would put it
    midway."""
    preprocessing, item = load(frame, (5, 8), crop=False, blank=False)
    scores = torch.zeros_like(item["image"]).repeat(2, 1, 1)
    scores[0], scores[1] = 8.0, -8.0  # sure of background
    scores[:, :, 4:] = torch.tensor([0.0, 0.2])[:, None, None]  # hardly sure of kidney
    item["pred"] = scores
    pred = np.asarray(SourceGridLabelsd("pred", preprocessing)(item)["pred"])[0]
    midway = SHAPE[1] // 2
    first = int(np.flatnonzero(pred[SHAPE[0] // 2])[0])
    assert first >= midway + 4


def test_the_bundle_s_clean_up_runs_on_the_source_grid(frame):
    preprocessing, item = load(frame, (64, 64))
    scores = scores_of(item)
    scores[0, 20, 50], scores[1, 20, 50] = -9.0, 9.0  # a speck beside the structure
    results = {}
    for name, options in {"plain": None, "clean": {"minimum_area": 0.01}}.items():
        item["pred"] = scores.clone()
        post = Compose([SourceGridLabelsd("pred", preprocessing), CleanUpLabelsd("pred", NAMES, options)])
        results[name] = np.asarray(post(dict(item))["pred"])
    assert ndimage.label(results["plain"][0] == 1)[1] == 2
    assert ndimage.label(results["clean"][0] == 1)[1] == 1
    assert results["clean"].shape == (1, *SHAPE)


def test_an_item_from_a_cache_restores_like_a_fresh_one(frame):
    preprocessing, fresh = load(frame, (64, 64))
    cached = CacheDataset([{"image": frame}], preprocessing, num_workers=0, progress=False)[0]
    maps = []
    for item in (fresh, cached):
        item["pred"] = scores_of(item)
        maps.append(SourceGridLabelsd("pred", preprocessing)(item)["pred"])
    assert torch.equal(torch.as_tensor(maps[0]), torch.as_tensor(maps[1]))


def test_the_probabilities_are_left_on_the_source_grid_and_their_argmax_is_the_label_map(frame):
    preprocessing, item = load(frame, (64, 64))
    item["pred"] = scores_of(item, sharpness=3.0)
    out = SourceGridLabelsd("pred", preprocessing, "probabilities")(item)
    probabilities = out["probabilities"]
    assert probabilities.shape == (3, *SHAPE)
    assert torch.equal(probabilities.argmax(0), out["pred"][0].long())
    total = probabilities.sum(0)
    seen = total > 0
    assert 0 < int(seen.sum()) < seen.numel()
    assert torch.allclose(total[seen], torch.ones(int(seen.sum())), atol=1e-5)


def test_without_being_asked_for_no_probabilities_are_kept(frame):
    preprocessing, item = load(frame, (64, 64))
    item["pred"] = scores_of(item)
    assert set(SourceGridLabelsd("pred", preprocessing)(item)) == set(item)


def smooth_scores(item, *, lean: float, seed: int):
    """Scores (3, h, w) whose argmax has many irregular regions, some of them at the edges; ``lean`` to
    background."""
    generator = np.random.default_rng(seed)
    size = item["image"].shape[1:]
    noise = [ndimage.gaussian_filter(generator.normal(size=size), 2.5) * 20 for _ in range(3)]
    noise[0] += lean
    return torch.from_numpy(np.stack(noise).astype(np.float32))


def restored_by_torch(item, scores):
    """Class probabilities (3, H, W) brought back in the plainest way: softmax, cut, ``F.interpolate``, zeros
    around."""
    record = item["image"].applied_operations
    (high, wide), (top, left) = record[-1]["extra_info"]["scaled"], record[-1]["extra_info"]["offset"]
    inner, size = scores.softmax(0)[:, top : top + high, left : left + wide], record[-1]["orig_size"]
    shrinks = size[0] < high or size[1] < wide
    picture = F.interpolate(inner[None], list(size), mode="bilinear", align_corners=False, antialias=shrinks)[
        0
    ]
    above, below, before, after = record[0]["extra_info"]["cropped"] if len(record) == 2 else (0, 0, 0, 0)
    return F.pad(picture, (before, after, above, below))


@pytest.mark.parametrize("size", [(64, 64), (37, 53), (96, 40), (200, 260), SHAPE, (9, 9)])
@pytest.mark.parametrize("crop", [True, False])
@pytest.mark.parametrize("lean", [-99.0, 0.0, 3.0, 99.0])
def test_the_label_map_is_the_argmax_of_all_probabilities_wherever_it_is_not_a_tie(frame, size, crop, lean):
    preprocessing, item = load(frame, size, crop=crop)
    for seed in range(3):
        scores = item["pred"] = smooth_scores(item, lean=lean, seed=seed)
        expected = restored_by_torch(item, scores)
        highest, second = expected.sort(0, descending=True).values[:2]
        decided = (highest - second > 1e-6) | (highest == 0)
        assert decided.float().mean() > 0.999
        pred = SourceGridLabelsd("pred", preprocessing)(item)["pred"][0].as_tensor()
        assert torch.equal(pred[decided].long(), expected.argmax(0)[decided])


@pytest.mark.parametrize("size", [(64, 64), (37, 53), (200, 260)])
@pytest.mark.parametrize("lean", [0.0, 3.0])
def test_asking_for_probabilities_changes_no_pixel_of_the_label_map_and_nothing_of_its_header(
    frame, size, lean
):
    preprocessing, item = load(frame, size)
    for seed in range(3):
        item["pred"] = smooth_scores(item, lean=lean, seed=seed)
        alone = SourceGridLabelsd("pred", preprocessing)(item)["pred"]
        asked = SourceGridLabelsd("pred", preprocessing, "p")(item)
        assert torch.equal(alone.as_tensor(), asked["pred"].as_tensor())
        assert torch.equal(asked["p"].argmax(0), alone[0].long())
        assert torch.equal(alone.affine, asked["p"].affine)


def test_a_label_map_is_of_bytes_and_carries_the_source_s_header(frame):
    preprocessing, item = load(frame, (64, 64))
    item["pred"] = scores_of(item)
    pred = SourceGridLabelsd("pred", preprocessing)(item)["pred"]
    source = LoadFrame()(frame)
    assert pred.dtype == torch.uint8
    assert torch.allclose(pred.affine, source.affine)
    assert pred.meta["spacing_source"] == source.meta["spacing_source"]


def test_another_chain_than_crop_and_letterbox_is_undone_in_full(frame):
    preprocessing = Compose(
        [LoadFramed("image"), Flipd("image", spatial_axis=1), Letterboxd("image", (64, 64))]
    )
    item = preprocessing({"image": frame})
    item["pred"] = torch.zeros(2, 64, 64)
    item["pred"][0], item["pred"][1, :, :32] = 0.5, 1.0  # the left half of the mirrored frame
    pred = SourceGridLabelsd("pred", preprocessing)(item)["pred"]
    assert pred.shape == (1, *SHAPE)
    assert np.array_equal(np.unique(np.nonzero(np.asarray(pred[0]))[1]), np.arange(SHAPE[1] // 2, SHAPE[1]))


@pytest.mark.parametrize(("modality", "dice"), [("ct", 0.96), ("mr", 0.97), ("pet", 0.98)])
def test_a_perfect_prediction_of_a_real_volume_loses_no_more_than_resampling_costs(
    shared_data, modality, dice
):
    folder = shared_data / "sarcoma" / modality
    names = {"image": "STS_002_image.nii.gz", "label": "STS_002_mask.nii.gz"}
    item = {key: str(folder / name) for key, name in names.items()}
    made, source = (
        volume_preprocessing(f"{modality}_sarcoma", label=where)(dict(item))
        for where in ("network", "source")
    )
    scores = F.one_hot(made["label"][0].as_tensor().long(), 2).movedim(-1, 0) * 20.0
    post = SourceGridLabelsd("pred", Compose([]), "probabilities")
    found = post({**source, "pred": scores})
    predicted, reference = found["pred"].as_tensor() > 0, source["label"].as_tensor() > 0
    assert 2 * (predicted & reference).sum() / (predicted.sum() + reference.sum()) >= dice
    assert torch.equal(found["probabilities"].argmax(dim=0)[None], found["pred"].as_tensor().long())
    assert torch.allclose(found["pred"].affine, source["label"].affine.double())
