"""Flips at test time are undone exactly, and cost a forward pass each."""

from __future__ import annotations

import pytest
import torch
from monai.data import MetaTensor

from pyraseg.pipeline.inference import Ensemble, SegmentationInferer
from pyraseg.transforms.errors import ConfigError

CPU = torch.device("cpu")
FLAT = torch.rand(2, 1, 20, 31, generator=torch.Generator().manual_seed(1))
VOLUME = torch.rand(1, 1, 9, 12, 7, generator=torch.Generator().manual_seed(2))
CHOICES = [(FLAT, ["h"]), (FLAT, ["w"]), (FLAT, ["w", "h"]), (VOLUME, ["d"]), (VOLUME, ["h", "w", "d"])]


def classify(image: torch.Tensor) -> torch.Tensor:
    """Scores that depend on a pixel alone, so that they turn with the image."""
    return torch.cat([image, 3 * image.square() - 1, 0.5 - image], dim=1)


def flipping(flips) -> SegmentationInferer:
    return SegmentationInferer(device=CPU, amp=False, tta_flips=flips)


@pytest.mark.parametrize(("image", "flips"), CHOICES)
class TestLaws:
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


class TestAxes:
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


class TestModes:
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
