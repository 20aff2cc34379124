"""What a network's encoder says of an image is the same whichever way the image went through it."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
import torch
from torch import nn

from pyraseg.pipeline.inference import Ensemble, SegmentationInferer
from pyraseg.pipeline.inference.backends import build_backend
from pyraseg.pipeline.inference.features import FeatureTap
from pyraseg.pipeline.networks import NETWORKS, build_network

CPU = torch.device("cpu")


class Small(nn.Module):
    """Its features are the mean of its image, times 1, 2, 3."""

    encoder_end = "encoder"

    def __init__(self, factor: float = 1.0) -> None:
        super().__init__()
        self.options = {"name": "small", "factor": factor}
        self.encoder = nn.Conv2d(1, 3, 1, bias=False)
        self.encoder.weight.data = factor * torch.arange(1.0, 4.0).reshape(3, 1, 1, 1)
        self.head = nn.Conv2d(3, 2, 1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.head(self.encoder(x))


def backend(network, **options):
    given = {"device": CPU, "amp": False, "input_size": (8, 8), "in_channels": 1, "weights_hash": "f" * 64}
    return build_backend(options.pop("name", "torch"), network=network, **{**given, **options})


def images(number: int = 3) -> torch.Tensor:
    return torch.arange(1.0, number + 1).reshape(-1, 1, 1, 1) * torch.ones(number, 1, 8, 8)


@pytest.mark.parametrize("name", NETWORKS)
@pytest.mark.parametrize("dims", [2, 3])
def test_every_network_has_features_and_the_same_scores_with_them(name, dims):
    torch.manual_seed(0)
    network = build_network(name, dims, in_channels=1, out_channels=2).eval()
    image = torch.rand(2, 1, *[32] * dims)
    with torch.no_grad():
        plain = network(image)
        tap = FeatureTap(network)
        tap.start()
        assert torch.equal(network(image), plain)
        (features,) = tap.take(2)
    assert features.shape[0] == 2
    assert features.shape[1] >= 64
    assert np.isfinite(features).all()


@pytest.mark.parametrize("flips", [None, ["w"], ["h", "w"]])
def test_each_image_of_a_batch_has_its_own_features_with_flips_and_members(flips):
    scored = backend(Ensemble([Small(), Small(10)]), tta_flips=flips)
    scored(images())
    wanted = np.outer([1, 2, 3], [1, 2, 3, 10, 20, 30])
    np.testing.assert_allclose(scored.features(3), wanted, rtol=1e-5)


@pytest.mark.parametrize("flips", [None, ["w"]])
def test_an_image_in_windows_has_the_mean_of_its_windows(flips):
    scored = backend(Small(), mode="sliding", input_size=(4, 4), tta_flips=flips)
    scored(images())
    np.testing.assert_allclose(scored.features(3), np.outer([1, 2, 3], [1, 2, 3]), rtol=1e-5)


def test_threads_do_not_see_each_other_s_images():
    scored = backend(Small())

    def run(number: int) -> np.ndarray:
        scored(images(number))
        return scored.features(number)

    with ThreadPoolExecutor(4) as pool:
        for number, features in enumerate(pool.map(run, range(1, 20)), start=1):
            np.testing.assert_allclose(features[:, 0], range(1, number + 1), rtol=1e-5)


def test_an_exported_network_gives_the_same_features(monkeypatch, tmp_path):
    pytest.importorskip("onnxruntime", reason="an optional library")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    network, exported = Small().eval(), backend(Small(), name="onnxruntime")
    exported(images())
    wanted = backend(network)
    wanted(images())
    np.testing.assert_allclose(exported.features(3), wanted.features(3), rtol=1e-5)


def test_a_network_that_does_not_name_its_encoder_has_none():
    scored = backend(nn.Conv2d(1, 2, 1))
    scored(images())
    assert scored.features(3).shape == (3, 0)


def test_nothing_is_kept_once_the_tap_is_closed():
    network = Small()
    tap = FeatureTap(network)
    tap.start()
    tap.close()
    SegmentationInferer(device="cpu", amp=False)(images(), network)
    assert tap.take(3)[0].shape == (3, 0)
