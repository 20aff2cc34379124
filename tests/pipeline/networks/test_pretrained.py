"""Pretrained ResNet weights go into the backbone by name, and the report accounts for every tensor."""

import pytest
import torch

from pyraseg.pipeline.networks import CBAMResNetPSPNet, freeze_backbone, load_pretrained
from pyraseg.pipeline.networks.resnet import ResNet
from pyraseg.transforms.errors import CheckpointError, ConfigError


@pytest.fixture(scope="module")
def donor() -> ResNet:
    return ResNet(depth=18, stem="plain7")


def saved(donor, path, *, prefix="", nest=None):
    """A file as torchvision or a training program writes it, with its classifier."""
    state = {prefix + name: value for name, value in donor.state_dict().items()}
    state[prefix + "fc.weight"], state[prefix + "fc.bias"] = torch.zeros(1000, 512), torch.zeros(1000)
    torch.save(state if nest is None else {nest: state, "epoch": 1}, path)
    return path


@pytest.mark.parametrize(
    ("prefix", "nest"),
    [("", None), ("module.", "state_dict"), ("module.backbone.", "model"), ("encoder.", None)],
)
@pytest.mark.parametrize("attention", ["cbam", "none"])
def test_torchvision_weights_load_unchanged_whatever_the_attention(prefix, nest, attention, donor, tmp_path):
    network = CBAMResNetPSPNet(depth=18, stem="plain7", attention=attention)
    report = load_pretrained(network, saved(donor, tmp_path / "resnet.pth", prefix=prefix, nest=nest))
    assert report.loaded == tuple(sorted(donor.state_dict()))
    assert (report.adapted, dict(report.skipped), report.missing) == ((), {}, ())
    assert report.unexpected == ("fc.bias", "fc.weight")
    for name, value in network.backbone.state_dict().items():
        assert torch.equal(value, donor.state_dict()[name])


@pytest.mark.parametrize("channels", [1, 2, 6])
def test_a_grey_image_acts_as_the_same_image_in_rgb(channels, donor, tmp_path):
    network = CBAMResNetPSPNet(2, channels, depth=18, stem="plain7")
    report = load_pretrained(network, saved(donor, tmp_path / "resnet.pth"))
    grey = torch.randn(1, 1, 20, 20)
    assert report.adapted == ("conv1.weight",)
    torch.testing.assert_close(
        network.backbone.conv1(grey.expand(-1, channels, -1, -1)),
        donor.conv1(grey.expand(-1, 3, -1, -1)),
        rtol=1e-4,
        atol=1e-5,
    )


def test_another_stem_is_reported(donor, tmp_path):
    network = CBAMResNetPSPNet(depth=18)
    report = load_pretrained(network, saved(donor, tmp_path / "resnet.pth"))
    assert "conv1.weight" in report.unexpected
    assert {"conv1.0.weight", "conv1.6.weight"} <= set(report.missing)
    assert "bn1.weight" in report.skipped
    assert "layer1.0.conv1.weight" in report.skipped  # 128 input channels behind the deep stem
    assert "layer4.1.conv2.weight" in report.loaded


def test_every_tensor_of_the_file_is_accounted_for(donor, tmp_path):
    report = load_pretrained(CBAMResNetPSPNet(2, 1, depth=50), saved(donor, tmp_path / "resnet.pth"))
    names = [*report.loaded, *report.skipped, *report.unexpected]
    assert sorted(names) == sorted([*donor.state_dict(), "fc.weight", "fc.bias"])


def test_older_files_without_batch_counters_miss_nothing(donor, tmp_path):
    state = {
        name: value for name, value in donor.state_dict().items() if not name.endswith("num_batches_tracked")
    }
    torch.save(state, tmp_path / "old.pth")
    assert load_pretrained(CBAMResNetPSPNet(depth=18, stem="plain7"), tmp_path / "old.pth").missing == ()


@pytest.mark.parametrize("state", [torch.nn.Linear(2, 2).state_dict(), {"bn1.weight": torch.ones(128)}])
def test_a_file_that_matches_nothing_is_refused(state, tmp_path):
    torch.save(state, tmp_path / "other.pth")
    with pytest.raises(CheckpointError, match="no convolution"):
        load_pretrained(CBAMResNetPSPNet(depth=18), tmp_path / "other.pth")


def test_a_frozen_backbone_stays_and_the_rest_learns():
    network = CBAMResNetPSPNet(depth=18)
    freeze_backbone(network)
    network.train()
    before = {name: value.clone() for name, value in network.backbone.state_dict().items()}
    network(torch.randn(2, 3, 48, 48)).square().mean().backward()
    assert all(torch.equal(value, before[name]) for name, value in network.backbone.state_dict().items())
    assert all(parameter.grad is None for parameter in network.backbone.parameters())
    assert network.head[0].weight.grad.any()
    assert network.head.training


def test_only_a_network_with_a_backbone_can_be_frozen():
    with pytest.raises(ConfigError, match="found Linear"):
        freeze_backbone(torch.nn.Linear(2, 2))
