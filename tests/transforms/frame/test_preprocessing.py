"""One preprocessing for training, evaluation and inference, and the way back to the source grid."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from monai.data import DataLoader, MetaTensor, decollate_batch
from monai.data.utils import pickle_hashing
from PIL import Image

from pyraseg.pipeline.training.caching import CachedDataset
from pyraseg.transforms.errors import ConfigError, GeometryError, LabelError
from pyraseg.transforms.frame.source_view import restoration
from tests.chains import frame_preprocessing

ROOT = Path(__file__).resolve().parents[3]
SIZE = (96, 96)
LABELS = {"num_classes": 2, "label_map": {"0": 0, "255": 1}}


def write_case(folder, name, *, height=150, width=240, value=255):
    """Speckle in a block on black, and an asymmetric mask inside of it."""
    image = np.zeros((height, width), np.uint8)
    tissue = image[height // 6 : height - 10, width // 5 : width - 20]
    tissue[:] = np.random.default_rng(height).integers(60, 160, tissue.shape)
    mask = np.zeros((height, width), np.uint8)
    mask[height // 3 : height // 3 + 50, width // 3 : width // 3 + 70] = value
    mask[height // 3 + 50 : height // 3 + 70, width // 3 : width // 3 + 30] = value
    Image.fromarray(image).save(folder / f"{name}.png")
    Image.fromarray(mask).save(folder / f"{name}_mask.png")
    return {"image": str(folder / f"{name}.png"), "label": str(folder / f"{name}_mask.png"), "case": name}


def one_hot(item):
    return torch.nn.functional.one_hot(item["label"][0].long(), 2).permute(2, 0, 1).float()


def dice(a, b):
    return 2 * float((a & b).sum()) / float(a.sum() + b.sum())


def refusal(kind, item):
    with pytest.raises((RuntimeError, kind)) as raised:
        frame_preprocessing(size=SIZE, label="network", **LABELS)(item)
    error = raised.value if isinstance(raised.value, kind) else raised.value.__cause__  # MONAI wraps it
    assert isinstance(error, kind)
    return str(error)


@pytest.mark.parametrize("switches", [{}, {"crop": False}, {"blank": False}, {"in_channels": 1}], ids=str)
def test_the_image_is_the_same_whatever_the_label_is_for(tmp_path, switches):
    item = write_case(tmp_path, "a")
    options = {"size": SIZE, **switches}
    network, source = (
        frame_preprocessing(label=to, **options, **LABELS)(item) for to in ("network", "source")
    )
    none = frame_preprocessing(**options)(item)
    assert network["image"].shape == (switches.get("in_channels", 3), *SIZE)
    assert network["image"].dtype == torch.float32
    assert 0 <= float(network["image"].min()) < float(network["image"].max()) <= 1
    assert torch.equal(network["image"].as_tensor(), source["image"].as_tensor())
    assert torch.equal(network["image"].as_tensor(), none["image"].as_tensor())
    assert (network["label"].shape, source["label"].shape) == ((1, *SIZE), (1, 150, 240))


def test_image_and_label_stay_together_on_the_network_s_grid(tmp_path):
    item = write_case(tmp_path, "a")
    mask = Image.open(item["label"])
    lit = np.where(np.asarray(mask) > 0, 255, np.asarray(Image.open(item["image"])) // 8)
    Image.fromarray(lit.astype(np.uint8)).save(item["image"])
    seen = frame_preprocessing(size=SIZE, label="network", **LABELS)(item)
    inner = seen["image"][0] != seen["image"][0, 0, 0]  # without the bars
    assert dice((seen["image"][0] > 0.55) & inner, seen["label"][0] > 0) > 0.97


@pytest.mark.filterwarnings("error:Corrupt cache file")
def test_probabilities_come_back_to_the_source_grid_through_cache_and_batch(tmp_path):
    items = [write_case(tmp_path, "a"), write_case(tmp_path, "b", height=260, width=180)]
    masks = [np.asarray(Image.open(item["label"])) > 0 for item in items]
    for _ in ("filled", "read back by transforms made anew"):
        preprocessing = frame_preprocessing(size=SIZE, label="network", **LABELS)
        data = CachedDataset(items, preprocessing, cache_dir=tmp_path / "cache", track_meta=True)
        batch = next(iter(DataLoader(data, batch_size=2)))
        for item, mask in zip(decollate_batch(batch), masks, strict=True):
            pred = restoration(preprocessing, keys="pred")({**item, "pred": MetaTensor(one_hot(item))})[
                "pred"
            ]
            assert pred.shape == (2, *mask.shape)
            found = pred.argmax(dim=0).numpy() == 1
            assert dice(found, mask) >= 0.97  # a nearest label at a third of the resolution
            shift = np.mean(np.nonzero(found), axis=1) - np.mean(np.nonzero(mask), axis=1)
            assert np.abs(shift).max() < 0.5
            assert not found[0].any()  # cropped away: background


def test_the_affine_comes_back_with_the_grid(tmp_path):
    preprocessing = frame_preprocessing(size=SIZE)
    item = preprocessing(write_case(tmp_path, "a"))
    assert not np.allclose(item["image"].affine, np.eye(4))
    back = restoration(preprocessing, keys="pred")({**item, "pred": MetaTensor(torch.ones(2, *SIZE) / 2)})[
        "pred"
    ]
    np.testing.assert_allclose(back.affine, np.eye(4), atol=1e-9)


def test_the_cache_key_of_the_transforms_is_the_same_in_another_process():
    code = (
        "from monai.data.utils import pickle_hashing;"
        "from tests.chains import frame_preprocessing;"
        f"steps = frame_preprocessing(size={SIZE}, label='network', **{LABELS}).transforms;"
        "print(pickle_hashing(steps).decode())"
    )
    there = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=ROOT)
    here = frame_preprocessing(size=SIZE, label="network", **LABELS)
    assert there.stdout.split()[-1] == pickle_hashing(here.transforms).decode()
    other = frame_preprocessing(size=SIZE, label="network", num_classes=2, label_map={0: 1, 255: 0})
    assert pickle_hashing(other.transforms) != pickle_hashing(here.transforms)


def test_a_value_that_is_not_declared_is_refused_with_its_case(tmp_path):
    assert "7 in case a" in refusal(LabelError, write_case(tmp_path, "a", value=7))


def test_a_mask_of_another_size_is_refused_with_both_sizes(tmp_path):
    item = write_case(tmp_path, "a") | {"label": write_case(tmp_path, "b", height=100)["label"]}
    sentence = refusal(GeometryError, item)
    assert "150 x 240" in sentence
    assert "100 x 240 in case a" in sentence


@pytest.mark.parametrize("options", [{"in_channels": 2}, {"size": (0, 96)}, {"num_classes": 0}], ids=str)
def test_options_that_make_no_sense_are_refused(options):
    with pytest.raises(ConfigError):
        frame_preprocessing(**{"size": SIZE, "label": "network", **options})
