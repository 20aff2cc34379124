"""The residual stages: torchvision's names, stride against dilation, frozen statistics."""

import pytest
import torch

from pyraseg.pipeline.networks.resnet import ResNet

# Parameters of torchvision's models without their classifier (fc), from its documentation: 11,689,512 and so
# on.
TORCHVISION_COUNTS = {
    18: 11_689_512 - 513_000,
    34: 21_797_672 - 513_000,
    50: 25_557_032 - 2_049_000,
    101: 44_549_160 - 2_049_000,
    152: 60_192_808 - 2_049_000,
}


def spread(module: torch.nn.Module) -> torch.nn.Module:
    """Give the batch norms statistics of their own, so that an evaluation depends on them."""
    generator = torch.Generator().manual_seed(1)
    for norm in module.modules():
        if isinstance(norm, torch.nn.modules.batchnorm._BatchNorm):
            norm.running_mean.normal_(0, 0.1, generator=generator)
            norm.running_var.uniform_(0.5, 2, generator=generator)
    return module.eval()


@pytest.mark.parametrize(("depth", "count"), TORCHVISION_COUNTS.items())
def test_the_plain_stem_has_torchvisions_parameters(depth, count):
    with torch.device("meta"):
        network = ResNet(depth=depth, stem="plain7")
    assert sum(p.numel() for p in network.parameters()) == count


def test_names_and_shapes_are_torchvisions():
    with torch.device("meta"):
        state = ResNet(depth=50, stem="plain7").state_dict()
    shapes = {
        "conv1.weight": (64, 3, 7, 7),
        "bn1.running_mean": (64,),
        "layer1.0.conv1.weight": (64, 64, 1, 1),
        "layer1.0.downsample.0.weight": (256, 64, 1, 1),
        "layer1.0.downsample.1.num_batches_tracked": (),
        "layer3.5.conv2.weight": (256, 256, 3, 3),
        "layer4.2.bn3.bias": (2048,),
    }
    assert {name: tuple(state[name].shape) for name in shapes} == shapes
    assert len(state) == 318  # 320 of torchvision's without fc.weight and fc.bias


def test_layer4_at_output_stride_16_dilates_by_1_2_2():
    network = ResNet(depth=50, output_stride=16)
    assert [block.conv2.dilation[0] for block in network.layer4] == [1, 2, 2]
    assert {block.conv2.stride[0] for block in network.layer4} == {1}


@pytest.mark.parametrize("depth", [18, 50])
@pytest.mark.parametrize("size", [(70, 61), (33, 40, 35)])
@pytest.mark.parametrize("stride", [8, 16])
def test_dilation_computes_the_strided_networks_values_on_a_denser_grid(depth, size, stride):
    dims = len(size)
    torch.manual_seed(0)
    strided = spread(ResNet(dims, 1, depth=depth, output_stride=32))
    dilated = ResNet(dims, 1, depth=depth, output_stride=stride).eval()
    dilated.load_state_dict(strided.state_dict())
    x = torch.randn(1, 1, *size)
    step = 32 // stride
    with torch.no_grad():
        dense = dilated(x)[(..., *[slice(None, None, step)] * dims)]
        torch.testing.assert_close(dense, strided(x), rtol=1e-4, atol=1e-4)


def test_a_frozen_backbone_keeps_its_statistics_in_training():
    network = ResNet(depth=18)
    network.freeze()
    torch.nn.Sequential(network).train()
    before = {name: value.clone() for name, value in network.state_dict().items()}
    network(torch.randn(2, 3, 32, 32))
    assert not network.training
    assert not any(p.requires_grad for p in network.parameters())
    for name, value in network.state_dict().items():
        torch.testing.assert_close(value, before[name], msg=name)
