"""Any network is chosen by its name, takes an image of any size, and is built again from its own options."""

from __future__ import annotations

import pytest
import torch
from monai.networks.nets import FlexibleUNet

from pyraseg.pipeline.networks import DEFAULT_NETWORK, NETWORKS, CBAMResNetPSPNet, build_network
from pyraseg.pipeline.networks.baselines import PaddedNetwork
from pyraseg.transforms.errors import ConfigError

BASELINES = [name for name in NETWORKS if name != DEFAULT_NETWORK]
SIZES = [(16, 16), (50, 61), (64, 32)]  # below, beside and at multiples of the strides
VOLUMES = {2: (50, 61), 3: (20, 33, 16)}


def network(name: str, dims: int = 2, **options) -> torch.nn.Module:
    torch.manual_seed(0)
    return build_network(name, dims, in_channels=1, out_channels=2, **options)


class TestEveryNetwork:
    @pytest.mark.parametrize("name", NETWORKS)
    def test_an_image_of_any_size_comes_back_as_logits_of_its_size(self, name):
        built = network(name).eval()
        with torch.no_grad():
            for size in SIZES:
                logits = built(torch.rand(1, 1, *size))
                assert logits.shape == (1, 2, *size)
                assert logits.isfinite().all()
                assert logits.min() < 0 < logits.max()  # no activation at the end

    @pytest.mark.parametrize(
        ("name", "dims"), [*((name, 2) for name in BASELINES), ("unet", 3), ("segresnet", 3)]
    )
    def test_a_step_of_training_reaches_every_parameter(self, name, dims):
        built = network(name, dims)
        built(torch.rand(1, 1, *VOLUMES[dims])).square().mean().backward()
        assert [n for n, p in built.named_parameters() if p.grad is None or not p.grad.isfinite().all()] == []

    @pytest.mark.parametrize("dims", [2, 3])
    def test_the_flexible_unet_computes_what_monai_s_own_does(self, dims):
        """Its shortcuts are replaced by ones that can be exported."""
        torch.manual_seed(0)
        original = FlexibleUNet(1, 2, "resnet34", spatial_dims=dims).eval()
        built = network("flexible_unet", dims, dropout=0.0).eval()
        built.network.load_state_dict(original.state_dict())
        image = torch.rand(1, 1, *[64] * dims)
        with torch.no_grad():
            assert torch.equal(built(image), original(image))

    @pytest.mark.parametrize("name", NETWORKS)
    def test_its_options_build_it_again(self, name):
        built = network(name, dropout=0.2).eval()
        assert built.options["name"] == name
        again = build_network(**built.options).eval()
        again.load_state_dict(built.state_dict())
        image = torch.rand(1, 1, 40, 40)
        with torch.no_grad():
            assert torch.equal(again(image), built(image))
        assert again.options == built.options

    @pytest.mark.parametrize("name", BASELINES)
    def test_torchscript_pads_and_cuts_as_the_module_does(self, name):
        eager = network(name).eval()
        scripted = torch.jit.script(eager)
        for size in SIZES:
            image = torch.rand(1, 1, *size)
            with torch.no_grad():
                assert torch.allclose(scripted(image), eager(image), atol=1e-5)

    @pytest.mark.parametrize(
        ("name", "side"), [("unet", 64), ("flexible_unet", 50)]
    )  # without padding, and with
    def test_an_exported_graph_takes_other_sizes_than_its_example(self, name, side):
        eager = network(name).eval()
        free = dict.fromkeys((0, 2, 3), torch.export.Dim.AUTO)
        exported = torch.export.export(
            eager, (torch.zeros(2, 1, side, side),), dynamic_shapes=(free,)
        ).module()
        for size in [(64, 64), (50, 70), (131, 33)]:
            image = torch.rand(3, 1, *size)
            with torch.no_grad():
                assert torch.allclose(exported(image), eager(image), atol=1e-5)

    @pytest.mark.parametrize("name", BASELINES)
    def test_dropout_is_passed_on(self, name):
        rates = [{m.p for m in network(name, dropout=p).modules() if hasattr(m, "p")} for p in (0.3, 0.0)]
        assert 0.3 in rates[0]
        assert rates[1] <= {0.0}


class TestTheDefault:
    def test_it_is_the_cbam_resnet_pspnet_with_all_its_options(self):
        built = network(DEFAULT_NETWORK, depth=18, aux=True, stem=None)
        assert isinstance(built, CBAMResNetPSPNet)
        assert (built.options["depth"], built.options["aux"], built.options["stem"]) == (18, True, "deep3")
        assert built(torch.rand(2, 1, 40, 40)).shape == (2, 2, 2, 40, 40)

    def test_options_without_a_name_are_its_own(self):
        """As in checkpoints from before there were names."""
        options = CBAMResNetPSPNet(depth=18).options
        built = build_network(**{name: value for name, value in options.items() if name != "name"})
        assert isinstance(built, CBAMResNetPSPNet)
        assert built.options == {"name": DEFAULT_NETWORK, **options}


class TestPaddedNetwork:
    def seen(self, *size: int, stride: int = 8) -> tuple[torch.Tensor, torch.Tensor]:
        """What the network within sees of an image, and the image."""
        inputs = []
        image = torch.rand(1, 1, *size)
        inner = torch.nn.Identity()
        inner.register_forward_hook(lambda module, args, output: inputs.append(args[0]))
        assert torch.equal(PaddedNetwork(inner, stride, options={})(image), image)
        return inputs[0], image

    def test_a_multiple_of_the_stride_passes_as_it_is(self):
        seen, image = self.seen(16, 24)
        assert torch.equal(seen, image)

    @pytest.mark.parametrize("size", [(17, 24), (3, 1), (16, 9, 20)])
    def test_the_border_is_repeated_up_to_a_multiple_and_to_two_strides(self, size):
        seen, image = self.seen(*size)
        assert all(side % 8 == 0 and side >= 16 for side in seen.shape[2:])
        index = torch.meshgrid(*(torch.arange(s) for s in seen.shape[2:]), indexing="ij")
        nearest = [i.clamp(max=side - 1) for i, side in zip(index, size, strict=True)]
        assert torch.equal(seen[0, 0], image[0, 0][tuple(nearest)])


class TestRefusals:
    def test_an_unknown_name_names_the_nearest(self):
        with pytest.raises(ConfigError, match=r"network name to be one of .*'flexible_unet'"):
            network("flexibleunet")

    @pytest.mark.parametrize("option", [{"depth": 18}, {"aux": True}, {"attention": "none"}])
    def test_an_option_of_the_default_network_is_not_dropped_in_silence(self, option):
        with pytest.raises(
            ConfigError, match=rf"options that the network unet has, found {next(iter(option))}"
        ):
            network("unet", **option)

    def test_options_that_are_not_set_are_no_obstacle(self):
        assert network("unet", depth=None, stem=None, aux=False).options.keys() == {
            "name",
            "spatial_dims",
            "in_channels",
            "out_channels",
            "dropout",
        }

    def test_an_option_that_no_network_has_is_refused(self):
        with pytest.raises(ConfigError, match="found width"):
            network(DEFAULT_NETWORK, width=3)

    @pytest.mark.parametrize(
        "wrong", [{"spatial_dims": 1}, {"in_channels": 0}, {"out_channels": "2"}, {"dropout": 1.0}], ids=str
    )
    @pytest.mark.parametrize("name", ["unet", DEFAULT_NETWORK])
    def test_a_value_out_of_its_range_is_refused(self, name, wrong):
        with pytest.raises(ConfigError, match=next(iter(wrong))):
            build_network(name, **wrong)
