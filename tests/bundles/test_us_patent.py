"""The overlay `patent.yaml` is the patent's setting, whatever the bundle's default has become."""

from __future__ import annotations

from monai.bundle import ConfigWorkflow


def test_the_overlay_builds_the_patent_s_network_at_the_patent_s_size(ultrasound):
    configs = [ultrasound.config("train"), ultrasound.config("patent")]
    flow = ConfigWorkflow(config_file=configs, logging_file=False, **ultrasound.common)
    network = flow.parser.get_parsed_content("network_def")
    assert sum(p.numel() for p in network.parameters()) == 47_233_671
    assert (network.output_stride, network.auxiliary, len(network.refinements)) == (16, None, 0)
    assert flow.parser.get_parsed_content("input_size") == [473, 473]
    assert flow.parser.get_parsed_content("frames_per_group") is None
