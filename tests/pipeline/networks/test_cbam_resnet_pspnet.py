"""The whole network: shapes and parameter counts of the patent's table, and what every variant keeps."""

import itertools

import pytest
import torch
from torch.utils.flop_counter import FlopCounterMode

from pyraseg.pipeline.networks import CBAMResNetPSPNet
from pyraseg.pipeline.networks.attention import ATTENTIONS
from pyraseg.pipeline.networks.resnet import DEPTHS, OUTPUT_STRIDES, STEMS
from pyraseg.transforms.errors import ConfigError

TABLE = {  # CN113409326A [0135]-[0142]
    "backbone.conv1.2": (64, 237, 237),
    "backbone.conv1.5": (64, 237, 237),
    "backbone.bn1": (128, 237, 237),
    "backbone.maxpool": (128, 119, 119),
    "attention_start.0.mlp": (128, 1, 1),
    "attention_start.1.conv": (1, 119, 119),
    "attention_start": (128, 119, 119),
    "backbone.layer1": (256, 119, 119),
    "backbone.layer2": (512, 60, 60),
    "backbone.layer3": (1024, 30, 30),
    "backbone.layer4": (2048, 30, 30),
    "attention_end.0.mlp": (2048, 1, 1),
    "attention_end.1.conv": (1, 30, 30),
    "attention_end": (2048, 30, 30),
    "pyramid.levels.0": (512, 30, 30),
    "pyramid.levels.3.pool": (2048, 6, 6),
    "pyramid": (4096, 30, 30),
    "head.0": (512, 30, 30),
    "head": (3, 30, 30),
    "": (3, 473, 473),
}


def meta(**options) -> CBAMResNetPSPNet:
    with torch.device("meta"):
        return CBAMResNetPSPNet(**options)


def parameters(**options) -> int:
    return sum(p.numel() for p in meta(**options).parameters())


def test_the_shapes_at_473_are_those_of_the_table():
    network, shapes = meta().eval(), {}
    for name, module in network.named_modules():
        module.register_forward_hook(
            lambda _m, _i, out, name=name: shapes.update({name: tuple(out.shape[1:])})
        )
    network(torch.empty(1, 3, 473, 473, device="meta"))
    assert {name: shapes[name] for name in TABLE} == TABLE


def test_the_parameter_counts_are_exact():
    assert parameters(attention="none") == 46_707_139
    assert parameters() == 47_233_671
    assert parameters(aux=True) - parameters() == 2_360_579
    assert parameters(stem="deep2") - parameters() == -36_992


def test_a_forward_at_473_takes_103_gigaflop():
    network = meta().eval()
    with FlopCounterMode(display=False) as counter:
        network(torch.empty(1, 3, 473, 473, device="meta"))
    assert counter.get_total_flops() / 1e9 == pytest.approx(103.1, abs=0.05)


# Every depth, and every attention with every stem, stride and dimension at least once; the full product takes
# minutes.
PAIRS = [*itertools.product((18, 34, 50), ATTENTIONS), (101, "cbam"), (152, "none")]
VARIANTS = [
    (depth, attention, list(STEMS)[i % 3], OUTPUT_STRIDES[(i + i // 3) % 3], 2 + i % 2)
    for i, (depth, attention) in enumerate(PAIRS)
]


def test_the_variants_cover_every_option():
    covered = [set(values) for values in zip(*VARIANTS, strict=True)]
    assert covered == [set(DEPTHS), set(ATTENTIONS), set(STEMS), set(OUTPUT_STRIDES), {2, 3}]


@pytest.mark.parametrize(("depth", "attention", "stem", "stride", "dims"), VARIANTS)
def test_every_variant_keeps_the_contract(depth, attention, stem, stride, dims):
    network = meta(
        spatial_dims=dims,
        in_channels=1,
        out_channels=4,
        depth=depth,
        attention=attention,
        stem=stem,
        output_stride=stride,
        aux=True,
    )
    seen = []
    network.pyramid.register_forward_hook(
        lambda _module, inputs, _output: seen.append(tuple(inputs[0].shape))
    )
    x = torch.empty(2, 1, *(70, 61, 33)[:dims], device="meta")
    size = tuple(x.shape[2:])
    assert (network.out_channels, network.output_stride) == (4, stride)
    assert network.train()(x).shape == (2, 2, 4, *size)
    assert network.eval()(x).shape == (2, 4, *size)
    assert set(seen) == {(2, network.backbone.out_channels, *(-(-n // stride) for n in size))}


@pytest.mark.parametrize(
    "options",
    [
        {"skips": [2, 1]},
        {"attention": "se", "stem": "plain7"},
        {"attention": "sam", "output_stride": 8, "skips": [1]},
    ],
)
def test_every_parameter_learns_from_a_batch_of_one(options):
    torch.manual_seed(0)
    network = CBAMResNetPSPNet(in_channels=1, depth=18, aux=True, dropout=0.0, **options).train()
    optimiser = torch.optim.SGD(network.parameters(), lr=0.1)
    for _ in range(2):  # the attention's first layers wait for their last ones, which start at 0
        optimiser.zero_grad()
        output = network(torch.randn(1, 1, 75, 70))
        torch.nn.functional.cross_entropy(output.flatten(0, 1), torch.randint(3, (2, 75, 70))).backward()
        optimiser.step()
    gradients = {name: p.grad for name, p in network.named_parameters()}
    assert all(g is not None and g.isfinite().all() for g in gradients.values())
    assert [name for name, g in gradients.items() if not g.any()] == []


def test_a_volume_trains():
    network = CBAMResNetPSPNet(3, 1, depth=18, aux=True).train()
    output = network(torch.randn(1, 1, 34, 33, 40))
    output.square().mean().backward()
    assert output.shape == (1, 2, 3, 34, 33, 40)
    assert all(p.grad.isfinite().all() for p in network.parameters() if p.grad is not None)


def test_attention_starts_neutral_and_the_classes_equally_likely():
    torch.manual_seed(0)
    network = CBAMResNetPSPNet(depth=18, out_channels=5).eval()
    features = torch.randn(1, 128, 6, 6)
    torch.testing.assert_close(network.attention_start(features), features * 0.25)
    probabilities = network(torch.randn(1, 3, 64, 64)).softmax(1)
    torch.testing.assert_close(probabilities, torch.full_like(probabilities, 0.2), atol=0.15, rtol=0)


def test_memory_format_changes_nothing_and_bfloat16_little():
    torch.manual_seed(0)
    network = CBAMResNetPSPNet(depth=18).eval()
    x = torch.randn(2, 3, 64, 72)
    with torch.no_grad():
        expected = network(x)
        last = network.to(memory_format=torch.channels_last)(x.to(memory_format=torch.channels_last))
        with torch.autocast("cpu", dtype=torch.bfloat16):
            half = network(x)
    torch.testing.assert_close(last, expected, rtol=1e-4, atol=1e-5)
    assert half.dtype == torch.bfloat16
    assert (half - expected).abs().max() < 0.05 * expected.abs().max()


def test_bfloat16_autocast_trains():
    network = CBAMResNetPSPNet(depth=18, aux=True).train()
    with torch.autocast("cpu", dtype=torch.bfloat16):
        loss = network(torch.randn(2, 3, 64, 64)).float().square().mean()
    loss.backward()
    assert all(p.grad.isfinite().all() for p in network.parameters() if p.grad is not None)


@pytest.mark.parametrize(
    ("option", "value", "remedy"),
    [
        ("depth", 51, "50"),
        ("depth", "50", "50"),
        ("attention", "CBAM", "'cbam'"),
        ("order", "channels_first", "'channel_first'"),
        ("output_stride", 12, "8"),
        ("stem", "deep", "'deep"),
        ("spatial_dims", 4, "3"),
        ("in_channels", 0, "in_channels"),
        ("in_channels", True, "in_channels"),
        ("out_channels", 2.0, "out_channels"),
        ("reduction", 0, "reduction"),
        ("dropout", 1.0, "dropout"),
        ("dropout", "0.1", "dropout"),
        ("bins", [], "bins"),
    ],
)
def test_a_wrong_value_is_refused_with_the_nearest_right_one(option, value, remedy):
    with pytest.raises(ConfigError) as caught:
        meta(**{option: value})
    assert option in caught.value.wanted
    assert repr(value) in caught.value.found
    assert remedy in caught.value.remedy


def test_in_a_new_network_features_speak_for_every_class_by_more_than_the_first_steps_undo():
    network = CBAMResNetPSPNet(depth=18, aux=True)
    first_steps = 100 * 0.0005  # Adam moves a weight by about the learning rate a step
    for head in (network.head, network.auxiliary):
        weights = head.get_parameter("4.weight").flatten(1)
        against, for_it = (weights[1:] - weights[0]).quantile(torch.tensor([0.15, 0.85]), dim=1)
        assert (against < -first_steps).all()
        assert (for_it > first_steps).all()
