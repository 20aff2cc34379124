"""A batch goes through the network whole or by windows, flipped or not, in the precision asked for."""

from __future__ import annotations

import pytest
import torch
from monai.data import MetaTensor

from pyraseg.pipeline.inference import Ensemble, SegmentationInferer
from pyraseg.pipeline.inference.inferer import mixed_precision
from pyraseg.pipeline.networks import CBAMResNetPSPNet
from pyraseg.transforms.errors import ConfigError, InputError

CPU = torch.device("cpu")


@pytest.fixture(scope="module")
def network() -> CBAMResNetPSPNet:
    torch.manual_seed(0)
    return CBAMResNetPSPNet(depth=18, in_channels=1, out_channels=2).eval()


@pytest.fixture(scope="module")
def image() -> torch.Tensor:
    return torch.rand(2, 1, 48, 64, generator=torch.Generator().manual_seed(1))


def infer(mode: str, image: torch.Tensor, network: torch.nn.Module, **options) -> torch.Tensor:
    with torch.no_grad():
        return SegmentationInferer(mode, device=CPU, amp=False, **options)(image, network)


class TestModes:
    def test_a_window_of_the_image_s_size_gives_what_the_whole_image_gives(self, network, image):
        whole = infer("whole", image, network)
        sliding = infer("sliding", image, network, roi_size=(48, 64))
        assert torch.allclose(whole, sliding, atol=1e-5)

    @pytest.mark.parametrize("size", [(100, 70), (40, 90), (30, 30)])
    def test_windows_cover_an_image_of_any_size(self, network, size):
        image = torch.rand(1, 1, *size, generator=torch.Generator().manual_seed(2))
        scores = infer("sliding", image, network, roi_size=(48, 64))
        assert scores.shape == (1, 2, *size)
        assert scores.isfinite().all()

    @pytest.mark.parametrize("overlap", [0.0, 0.25, 0.5])
    def test_windows_leave_no_seam_where_the_network_looks_at_a_pixel_alone(self, overlap):
        image = torch.rand(1, 1, 100, 70, generator=torch.Generator().manual_seed(3))
        pointwise = torch.nn.Conv2d(1, 2, kernel_size=1)
        sliding = infer("sliding", image, pointwise, roi_size=(32, 32), overlap=overlap)
        assert torch.allclose(sliding, infer("whole", image, pointwise), atol=1e-5)

    def test_another_mode_is_refused(self):
        with pytest.raises(ConfigError, match="whole or sliding, found 'tiled'"):
            SegmentationInferer("tiled", device=CPU)


class Seen(torch.nn.Module):
    """A convolution that remembers what it was given and what it computed in."""

    def __init__(self, dims: int = 2) -> None:
        super().__init__()
        self.conv = (torch.nn.Conv2d if dims == 2 else torch.nn.Conv3d)(3, 2, 1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        self.input = x
        output = self.conv(x)
        self.computed_in = output.dtype
        return output


class TestPrecision:
    def run(
        self, image: torch.Tensor, network: Seen | None = None, *, amp=False
    ) -> tuple[Seen, torch.Tensor]:
        network = network or Seen()
        with torch.no_grad():
            return network, SegmentationInferer(device=CPU, amp=amp)(image, network)

    @pytest.mark.parametrize(("amp", "dtype"), [(False, torch.float32), (True, torch.bfloat16)])
    def test_the_network_computes_in_the_type_asked_for_and_the_result_is_float32(self, amp, dtype):
        network, scores = self.run(torch.rand(2, 3, 8, 8), amp=amp)
        assert network.computed_in == dtype
        assert scores.dtype == torch.float32

    def test_half_the_mantissa_moves_the_scores_a_little_and_no_more(self, network, image):
        full, half = (
            SegmentationInferer(device=CPU, amp=amp)(image, network).detach() for amp in (False, True)
        )
        assert 0 < (full - half).abs().max() < 0.1 * full.abs().max()

    def test_the_network_sees_a_plain_tensor_of_the_same_values(self):
        image = MetaTensor(torch.rand(1, 3, 8, 8), meta={"case": "c1"})
        network, scores = self.run(image)
        assert type(network.input) is torch.Tensor
        assert torch.equal(network.input, image.as_tensor())
        assert type(scores) is torch.Tensor

    def test_frames_lie_in_memory_with_their_channels_last(self):
        network, _ = self.run(torch.rand(2, 3, 8, 8))
        assert network.input.is_contiguous(memory_format=torch.channels_last)

    def test_volumes_pass_as_they_are(self):
        network, scores = self.run(torch.rand(1, 3, 4, 8, 8), Seen(dims=3))
        assert network.input.is_contiguous()
        assert scores.shape == (1, 2, 4, 8, 8)


class TestMixedPrecision:
    @pytest.mark.parametrize(("native", "dtype"), [(False, None), (True, torch.bfloat16)])
    def test_auto_is_bfloat16_only_on_a_processor_that_has_it(self, monkeypatch, native, dtype):
        monkeypatch.setattr(torch.ops.mkldnn, "_is_mkldnn_bf16_supported", lambda: True)
        monkeypatch.setattr(torch.cpu, "_is_avx512_bf16_supported", lambda: native)
        monkeypatch.setattr(torch.cpu, "_is_amx_tile_supported", lambda: False)
        assert mixed_precision(CPU, "auto") == dtype

    def test_auto_answers_on_this_machine(self):
        assert mixed_precision(CPU) in (None, torch.bfloat16)

    @pytest.mark.parametrize(("amp", "dtype"), [(True, torch.bfloat16), (False, None)])
    def test_a_plain_answer_is_obeyed_everywhere(self, amp, dtype):
        assert mixed_precision(CPU, amp) == dtype
        assert mixed_precision(torch.device("cuda"), amp) == dtype

    @pytest.mark.parametrize("amp", ["yes", "float16", 1, None])
    def test_another_answer_is_refused(self, amp):
        with pytest.raises(ConfigError, match="amp of auto, true or false"):
            mixed_precision(CPU, amp)


@pytest.mark.parametrize(
    ("size", "stride", "gradients", "dtype"),
    [
        (32, 16, True, torch.float32),
        (48, 16, True, torch.bfloat16),
        (32, 8, True, torch.bfloat16),
        (32, 16, False, torch.bfloat16),
    ],
)
def test_volumes_narrower_than_a_kernel_at_the_pyramid_train_in_float32_on_a_cpu(
    size, stride, gradients, dtype
):
    class Network(torch.nn.Module):
        output_stride = stride

        def forward(self, image: torch.Tensor) -> torch.Tensor:
            self.seen = torch.nn.functional.conv3d(
                image, torch.zeros(1, 1, 1, 1, 1, requires_grad=True)
            ).dtype
            return image

    network = Network()
    with torch.set_grad_enabled(gradients):
        SegmentationInferer(device=CPU, amp=True)(torch.rand(1, 1, size, size, size), network)
    assert network.seen == dtype


FLAT = torch.rand(2, 1, 20, 31, generator=torch.Generator().manual_seed(1))
VOLUME = torch.rand(1, 1, 9, 12, 7, generator=torch.Generator().manual_seed(2))
CHOICES = [(FLAT, ["h"]), (FLAT, ["w"]), (FLAT, ["w", "h"]), (VOLUME, ["d"]), (VOLUME, ["h", "w", "d"])]


def classify(image: torch.Tensor) -> torch.Tensor:
    """Scores that depend on a pixel alone, so that they turn with the image."""
    return torch.cat([image, 3 * image.square() - 1, 0.5 - image], dim=1)


def flipping(flips) -> SegmentationInferer:
    return SegmentationInferer(device=CPU, amp=False, tta_flips=flips)


@pytest.mark.parametrize(("image", "flips"), CHOICES)
class TestFlips:
    def test_a_network_that_turns_with_the_image_gives_what_it_gives_without(self, image, flips):
        found = flipping(flips)(image, classify)
        assert torch.allclose(found.softmax(1), classify(image).softmax(1), atol=1e-6)

    def test_a_network_that_says_the_same_of_every_pixel_does_so_still(self, image, flips):
        constant = torch.tensor([1.0, -2.0, 0.5]).reshape(1, 3, *[1] * (image.ndim - 2))
        found = flipping(flips)(image, lambda x: constant.expand(len(x), 3, *x.shape[2:]))
        assert torch.allclose(found.softmax(1), constant.softmax(1).expand_as(found), atol=1e-6)

    def test_every_combination_of_flips_is_seen_once_the_image_itself_first(self, image, flips):
        seen = []
        flipping(flips)(image, lambda x: seen.append(x) or classify(x))
        assert len(seen) == 2 ** len(flips)
        assert torch.equal(seen[0], image)
        assert not any(torch.equal(a, b) for i, a in enumerate(seen) for b in seen[:i])

    def test_the_result_turns_with_the_image_whatever_the_network(self, image, flips):
        """Also one that knows where it is: over all flips, only the image can tell one side from the
        other."""

        def placed(x: torch.Tensor) -> torch.Tensor:
            ramp = torch.linspace(-2, 2, x[0, 0].numel()).reshape(x.shape[2:])
            return torch.cat([x + ramp, x * ramp], dim=1)

        inferer = flipping(flips)
        axes = [2 + "hwd".index(name) for name in flips]
        assert torch.allclose(inferer(image.flip(axes), placed), inferer(image, placed).flip(axes), atol=1e-5)
        assert not torch.allclose(placed(image.flip(axes)), placed(image).flip(axes), atol=1e-5)


class TestFlipAxes:
    @pytest.mark.parametrize(("name", "row"), [("h", [3, 4, 5, 0, 1, 2]), ("w", [2, 1, 0, 5, 4, 3])])
    def test_h_turns_the_rows_round_and_w_the_columns(self, name, row):
        seen = []
        image = torch.arange(6.0).reshape(1, 1, 2, 3)
        flipping([name])(image, lambda x: seen.append(x) or classify(x))
        assert seen[1].flatten().tolist() == row

    @pytest.mark.parametrize("wrong", [["x"], ["h", "h"], "hw"], ids=str)
    def test_another_axis_or_one_twice_is_refused(self, wrong):
        with pytest.raises(ConfigError, match="flips among h, w, d, each once"):
            flipping(wrong)

    def test_a_flat_image_has_no_slices_to_turn_round(self):
        with pytest.raises(ConfigError, match=r"Leave d out of --tta_flips"):
            flipping(["d"])(FLAT, classify)

    def test_one_letter_is_a_list_of_one(self):
        assert flipping("w").tta_flips == flipping(["w"]).tta_flips


class TestFlipsByMode:
    @pytest.mark.parametrize(("mode", "options"), [("whole", {}), ("sliding", {"roi_size": (16, 16)})])
    def test_flips_and_members_are_averaged_together(self, mode, options):
        calls = []

        class Counted(torch.nn.Module):
            def forward(self, x):
                calls.append(len(x))
                return classify(x)

        def infer(network, **more):
            calls.clear()
            return SegmentationInferer(mode, device=CPU, amp=False, **options, **more)(
                MetaTensor(FLAT), network
            ), sum(calls)

        once, windows = infer(Counted())
        found, total = infer(Ensemble([Counted(), Counted()]), tta_flips=["h", "w"])
        assert total == 2 * 4 * windows
        assert torch.allclose(found.softmax(1), once.softmax(1), atol=1e-5)

    @pytest.mark.parametrize("none", [None, []], ids=str)
    def test_without_flips_the_network_s_own_scores_come_out(self, none):
        found = SegmentationInferer("whole", device=CPU, amp=False, tta_flips=none)(FLAT, classify)
        assert torch.equal(found, classify(FLAT))


class TestFinite:
    """No number that is none passes the border of the network, and the case is named."""

    @pytest.mark.parametrize("mode", ["whole", "sliding"])
    @pytest.mark.parametrize("value", [float("nan"), float("inf"), -float("inf")])
    def test_an_image_with_one_voxel_that_is_no_number_is_refused(self, mode, value):
        image = MetaTensor(torch.rand(1, 1, 20, 20), meta={"case": ["c_17"]})
        image[0, 0, 3, 19] = value
        with pytest.raises(InputError, match=r"an image of finite numbers.*, in case c_17"):
            infer(mode, image, torch.nn.Conv2d(1, 2, 1), roi_size=(8, 8))

    @pytest.mark.parametrize("mode", ["whole", "sliding"])
    @pytest.mark.parametrize("weight", [float("nan"), 3e38])
    def test_scores_that_are_no_numbers_are_refused_whatever_made_them(self, mode, weight):
        network = torch.nn.Conv2d(1, 2, 1)
        torch.nn.init.constant_(network.weight, weight)
        with pytest.raises(InputError, match="scores of finite numbers"):
            infer(mode, torch.full((1, 1, 20, 20), 2.0), network, roi_size=(8, 8))
        with pytest.raises(InputError, match="scores of finite numbers"):
            infer(mode, torch.full((1, 1, 20, 20), 2.0), Ensemble([network, network]), roi_size=(8, 8))

    def test_a_training_leaves_its_scores_to_the_loss(self):
        network = torch.nn.Conv2d(1, 2, 1)
        torch.nn.init.constant_(network.weight, 3e38)
        inferer = SegmentationInferer(device=CPU, amp=False)
        assert not inferer(torch.full((1, 1, 4, 4), 2.0), network).isfinite().all()
