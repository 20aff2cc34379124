"""The attention units compute CBAM's formulas."""

import pytest
import torch
from torch.nn import functional

from pyraseg.pipeline.networks.attention import (
    ATTENTIONS,
    ChannelAttention,
    SpatialAttention,
    attention_block,
)
from pyraseg.transforms.errors import ConfigError


@pytest.fixture
def features() -> torch.Tensor:
    return torch.randn(2, 32, 9, 7, generator=torch.Generator().manual_seed(0))


def test_channel_attention_is_the_sigmoid_of_one_mlp_on_both_pools(features):
    unit = ChannelAttention(2, 32, reduction=8)
    first, second = (layer.weight[:, :, 0, 0] for layer in (unit.mlp[0], unit.mlp[2]))

    def mlp(pooled):
        return functional.relu(pooled @ first.T) @ second.T

    weights = torch.sigmoid(mlp(features.mean((2, 3))) + mlp(features.flatten(2).max(2).values))
    torch.testing.assert_close(unit(features), features * weights[:, :, None, None])


def test_squeeze_and_excitation_leaves_the_maximum_out(features):
    unit = attention_block("se", 2, channels=32)
    shuffled = features.flatten(2).mean(2)[..., None, None].expand_as(features)  # same averages, other maxima
    torch.testing.assert_close(unit.attention_map(features), unit.attention_map(shuffled))
    with_maximum = attention_block("cam", 2, channels=32)
    assert not torch.allclose(with_maximum.attention_map(features), with_maximum.attention_map(shuffled))


def test_spatial_attention_is_the_sigmoid_of_a_7x7_convolution_of_mean_and_maximum(features):
    unit = SpatialAttention(2, 32)
    pooled = torch.stack([features.mean(1), features.max(1).values], dim=1)
    weights = torch.sigmoid(functional.conv2d(pooled, unit.conv.weight, padding=3))
    assert unit.conv.weight.shape == (1, 2, 7, 7)
    torch.testing.assert_close(unit(features), features * weights)


def test_the_order_says_which_unit_comes_first(features):
    channel, spatial = ChannelAttention(2, 32), SpatialAttention(2, 32)
    for order, units in (("channel_first", (channel, spatial)), ("spatial_first", (spatial, channel))):
        block = attention_block("cbam", 2, channels=32, order=order)
        for own, unit in zip(block, units, strict=True):
            own.load_state_dict(unit.state_dict())
        torch.testing.assert_close(block(features), units[1](units[0](features)))
    assert not torch.allclose(channel(spatial(features)), spatial(channel(features)))


@pytest.mark.parametrize(
    ("name", "count"), [("none", 0), ("se", 2 * 32 * 2), ("cam", 128), ("sam", 98), ("cbam", 226)]
)
def test_the_units_have_the_formulas_parameters_and_no_bias(name, count):
    assert sum(p.numel() for p in attention_block(name, 2, channels=32).parameters()) == count


@pytest.mark.parametrize("name", ATTENTIONS)
@pytest.mark.parametrize("shape", [(2, 32, 5, 6), (1, 32, 5, 4, 3)])
def test_a_block_keeps_the_shape_in_2d_and_3d(name, shape):
    assert attention_block(name, len(shape) - 2, channels=32)(torch.randn(shape)).shape == shape


def test_a_misspelt_attention_names_the_nearest():
    with pytest.raises(ConfigError, match="'cbam'"):
        attention_block("cbm", 2, channels=32)


def test_a_reduction_above_the_channels_is_refused():
    with pytest.raises(ConfigError, match="at most 8"):
        attention_block("se", 2, channels=8, reduction=16)


def test_the_gradients_of_a_kernel_wider_than_the_volume_are_the_same_in_bfloat16():
    unit = SpatialAttention(3, 4).to(memory_format=torch.channels_last_3d)
    image = torch.randn(2, 4, 3, 3, 3, generator=torch.Generator().manual_seed(0))
    gradients = []
    for dtype in (torch.float32, torch.bfloat16):
        for _ in range(5):
            nobody_wrote = [
                torch.full((size,), float("nan")) for size in (343, 686, 1000, 4096) for _ in range(20)
            ]
            del nobody_wrote
            unit.zero_grad()
            with torch.autocast("cpu", dtype=torch.bfloat16, enabled=dtype is torch.bfloat16):
                unit(image).sum().backward()
            gradients.append(unit.conv.weight.grad.clone())
    assert all(torch.allclose(gradients[0], other, atol=0.05, rtol=0.1) for other in gradients[1:])
