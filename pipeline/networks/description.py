"""What the tensors of a CBAM-ResNet-PSPNet say about the options it was built with."""

from __future__ import annotations

from collections.abc import Mapping

from torch import Tensor

from pyraseg.pipeline.networks.resnet import DEPTHS

__all__ = ["describe"]

STEM_CONVOLUTIONS = {1: "plain7", 2: "deep2", 3: "deep3"}


def describe(state: Mapping[str, Tensor]) -> dict[str, str]:
    """Phrases for an error message, by option ("out_channels": "3 classes"); empty for the weights of another
    network.

    Options without a trace in names and shapes are absent, and "se" cannot be told from "cam".
    """
    stem = [name for name in state if name.startswith("backbone.conv1.") and state[name].dim() > 1]
    if not stem or "head.4.bias" not in state:
        return {}
    levels = {name.split(".")[2] for name in state if name.startswith("pyramid.levels.")}
    return {
        "out_channels": f"{len(state['head.4.bias'])} classes",
        "in_channels": f"{state[min(stem)].shape[1]} input channels",
        "spatial_dims": f"{state[min(stem)].dim() - 2} spatial dimensions",
        "depth": f"depth {_depth(state)}",
        "stem": f"stem {STEM_CONVOLUTIONS.get(len(stem), 'unknown')}",
        "attention": _attention(state),
        "bins": f"{len(levels)} pyramid levels",
        "skips": f"{len({n.split('.')[1] for n in state if n.startswith('refinements.')})} skips",
        "aux": "an auxiliary head" if "auxiliary.4.bias" in state else "no auxiliary head",
    }


def _depth(state: Mapping[str, Tensor]) -> str:
    counts = tuple(
        len({name.split(".")[2] for name in state if name.startswith(f"backbone.layer{stage}.")})
        for stage in (1, 2, 3, 4)
    )
    expansion = 4 if "backbone.layer1.0.conv3.weight" in state else 1
    known = [
        depth for depth, (block, blocks) in DEPTHS.items() if (block.expansion, blocks) == (expansion, counts)
    ]
    return str(known[0]) if known else "unknown"


def _attention(state: Mapping[str, Tensor]) -> str:
    units = [name.removeprefix("attention_end.") for name in state if name.startswith("attention_end.")]
    kinds = {unit: kind for unit in units for kind in ("mlp", "conv") if kind in unit.split(".")}
    if len(set(kinds.values())) == 2:
        return f"attention cbam, {'channel' if kinds[min(kinds)] == 'mlp' else 'spatial'} first"
    return {"mlp": "channel attention", "conv": "attention sam"}.get(
        next(iter(kinds.values()), ""), "attention none"
    )
