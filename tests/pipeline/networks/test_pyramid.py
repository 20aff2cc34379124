"""Pyramid pooling: averages over grids, and a batch of one in training."""

import pytest
import torch
from torch.nn import functional

from pyraseg.pipeline.networks.pyramid import AdaptiveAveragePool, PyramidLevel, PyramidPooling, resize_like
from pyraseg.transforms.errors import ConfigError


@pytest.mark.parametrize("bins", [1, 2, 3, 6])
@pytest.mark.parametrize("size", [(7, 4, 13), (3, 9, 6), (1, 1, 2)])
def test_the_pool_of_a_volume_is_torchs(bins, size):
    x = torch.randn(2, 3, *size)
    torch.testing.assert_close(AdaptiveAveragePool(bins)(x), functional.adaptive_avg_pool3d(x, bins))


def test_a_level_is_pool_convolution_norm_relu_and_resampling():
    level = PyramidLevel(2, 8, out_channels=4, bins=3).eval()
    x = torch.randn(2, 8, 10, 11)
    pooled = functional.adaptive_avg_pool2d(x, 3)
    mixed = torch.einsum("oc,bchw->bohw", level.conv.weight[:, :, 0, 0], pooled) / (1 + level.norm.eps) ** 0.5
    expected = functional.interpolate(mixed.relu(), size=(10, 11), mode="bilinear", align_corners=False)
    torch.testing.assert_close(level(x), expected)


def test_the_input_comes_first_and_each_level_adds_its_share():
    pyramid = PyramidPooling(2, 10, bins=(1, 2, 3))
    x = torch.randn(2, 10, 7, 9)
    assert pyramid.out_channels == 10 + 3 * 3
    assert pyramid(x).shape == (2, 19, 7, 9)
    torch.testing.assert_close(pyramid(x)[:, :10], x)


def test_one_value_per_channel_is_normalised_by_the_running_statistics_in_training():
    level = PyramidLevel(2, 8, out_channels=4, bins=1)
    level.norm.running_mean.fill_(0.3)
    level.norm.running_var.fill_(2.0)
    x = torch.randn(1, 8, 5, 5)
    trained = level.train()(x)
    trained.sum().backward()
    assert level.conv.weight.grad.isfinite().all()
    torch.testing.assert_close(level.norm.running_mean, torch.full((4,), 0.3))
    torch.testing.assert_close(trained, level.eval()(x))


def test_more_values_are_normalised_by_the_batch():
    level = PyramidLevel(2, 8, out_channels=4, bins=1).train()
    level(torch.randn(2, 8, 5, 5))
    assert level.norm.num_batches_tracked == 1


def test_a_constant_stays_constant_at_any_size():
    for size in ((1, 1), (13, 7), (5, 6, 9)):
        x = torch.full((1, 2, *[3] * len(size)), 0.7)
        torch.testing.assert_close(resize_like(x, torch.empty(1, 1, *size)), torch.full((1, 2, *size), 0.7))


@pytest.mark.parametrize("bins", [(), 6, "1236", (0, 1), (1, 2.5), tuple(range(1, 10))])
def test_bins_that_are_no_grid_are_refused(bins):
    with pytest.raises(ConfigError, match="bins"):
        PyramidPooling(2, 8, bins=bins)
