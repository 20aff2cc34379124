"""Finer stages sharpen the head's output and change nothing else of the network."""

import pytest
import torch

from pyraseg.pipeline.networks import CBAMResNetPSPNet, load_checkpoint
from pyraseg.pipeline.networks.pyramid import Refinement
from pyraseg.transforms.errors import CheckpointError, ConfigError


@pytest.mark.parametrize("dims", [2, 3])
def test_the_output_has_the_finer_grid_whatever_its_size(dims):
    refinement = Refinement(dims, 16, stage=1, finer_channels=8, width=24)
    coarse, finer = torch.randn(2, 16, *(5, 4, 3)[:dims]), torch.randn(2, 8, *(19, 15, 12)[:dims])
    assert refinement(coarse, [finer]).shape == (2, 24, *(19, 15, 12)[:dims])


def test_both_the_coarse_and_the_finer_map_speak():
    torch.manual_seed(0)
    refinement = Refinement(2, 4, stage=1, finer_channels=4, width=8).eval()
    coarse, finer = torch.randn(1, 4, 4, 4), torch.randn(1, 4, 8, 8)
    base = refinement(coarse, [finer])
    assert not torch.allclose(refinement(coarse + 1, [finer]), base)
    assert not torch.allclose(refinement(coarse, [finer + 1]), base)


@pytest.mark.parametrize(
    ("stride", "skips", "cells"), [(16, (), 4), (16, (2,), 8), (16, (2, 1), 16), (8, (1,), 16)]
)
def test_the_classifier_works_on_the_finest_skip_s_grid(stride, skips, cells):
    network = CBAMResNetPSPNet(depth=18, output_stride=stride, skips=skips).eval()
    seen = []
    network.head[4].register_forward_hook(lambda _module, inputs, _output: seen.append(inputs[0].shape[-1]))
    assert network(torch.randn(1, 3, 64, 64)).shape == (1, 3, 64, 64)
    assert seen == [cells]


def test_without_skips_the_network_is_the_patent_s():
    with torch.device("meta"):
        plain, skipping = (CBAMResNetPSPNet(depth=18, skips=skips).state_dict() for skips in ((), (2, 1)))
    assert {name for name in skipping if not name.startswith("refinements.")} == set(plain)


def test_a_checkpoint_of_another_number_of_skips_is_refused_with_both_numbers(tmp_path):
    torch.save(CBAMResNetPSPNet(depth=18, skips=[1]).state_dict(), tmp_path / "one.pt")
    with pytest.raises(CheckpointError, match=r"with 2 skips, found .* 1 skips"):
        load_checkpoint(CBAMResNetPSPNet(depth=18, skips=[2, 1]), tmp_path / "one.pt")


@pytest.mark.parametrize("skips", [(1, 2), (2, 2), (4,), (0,), (3, 1, 2)])
def test_skips_in_another_order_or_of_other_stages_are_refused(skips):
    with pytest.raises(ConfigError, match="coarse to fine"):
        CBAMResNetPSPNet(depth=18, skips=skips)
