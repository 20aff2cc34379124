"""Facts in checkpoints, the networks that they describe, and their weights."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, TypeAlias

from torch import nn

from pyraseg.pipeline.inference.ensemble import Ensemble
from pyraseg.pipeline.networks import build_network, load_checkpoint, read_checkpoint
from pyraseg.pipeline.networks.checkpoint import BEST
from pyraseg.transforms.errors import CheckpointError

__all__ = ["checkpoint_paths", "load_checkpoints", "trained_facts", "trained_network"]

Checkpoints: TypeAlias = str | Path | Sequence[str | Path]

FOLDS = "fold_*"


def checkpoint_paths(checkpoint: Checkpoints) -> list[Path]:
    """The files of ``--checkpoint``: one, several, or a folder's ``model.pt`` or ``fold_*/model.pt``.

    Raises:
        CheckpointError: an empty list, or a folder without checkpoints.
    """
    if not isinstance(checkpoint, str | Path):
        paths = [path for entry in checkpoint for path in checkpoint_paths(entry)]
        if not paths:
            remedy = "Name them with --checkpoint."
            raise CheckpointError("one checkpoint or more", found="none", remedy=remedy)
        return paths
    path = Path(checkpoint)
    if not path.is_dir():
        return [path]
    if (path / BEST).is_file():
        return [path / BEST]
    paths = list(path.glob(f"{FOLDS}/{BEST}"))
    if not paths:
        wanted = f"a folder with {BEST}, or with folders {FOLDS} that have one"
        remedy = (
            "Name the file itself with --checkpoint, or a folder that training or cross-validation wrote."
        )
        raise CheckpointError(wanted, found="a folder without", remedy=remedy, path=path)
    return sorted(paths, key=lambda file: (len(file.parent.name), file.parent.name))  # fold_2 before fold_10


def trained_facts(
    checkpoint: Checkpoints,
    *,
    label_names: Sequence[str],
    input_size: Sequence[int],
    network: Mapping[str, Any],
) -> dict[str, Any]:
    """The facts that one or several checkpoints hold.

    Args:
        checkpoint: as `checkpoint_paths`. A single file may be missing, so that MONAI's tools can read a
            bundle before its training; `load_checkpoints` refuses it.
        label_names, input_size, network: defaults for a missing file or bare weights. ``network`` has the
            arguments of `build_network`, without ``out_channels``.

    Returns:
        ``label_names``, ``input_size``, ``network`` (of the first), and ``networks``, the arguments of
        `build_network` for each.

    Raises:
        CheckpointError: one of several files is missing, a file is no checkpoint, or they differ in more than
            their networks.

    >>> facts = trained_facts("none.pt", label_names=["background", "kidney"], input_size=[64, 64],
    ...                       network={"in_channels": 1, "depth": 18})
    >>> facts["network"]
    {'spatial_dims': 2, 'in_channels': 1, 'depth': 18, 'out_channels': 2}
    """
    defaults = {
        "label_names": list(label_names),
        "input_size": list(input_size),
        "network": {"spatial_dims": len(input_size), **network},
    }
    paths = checkpoint_paths(checkpoint)
    facts = []
    for path in paths:
        content = read_checkpoint(path) if len(paths) > 1 or path.is_file() else {}
        fact = {name: content.get(name, default) for name, default in defaults.items()}
        fact["network"] = {**fact["network"], "out_channels": len(fact["label_names"])}
        facts.append(fact)
        _require_agreement(facts[0], fact, path=path)
    return {**facts[0], "networks": [fact["network"] for fact in facts]}


def trained_network(trained: Mapping[str, Any]) -> nn.Module:
    """The network that `trained_facts` describes, without its weights; an `Ensemble` where there are several.

    >>> facts = trained_facts("none.pt", label_names=["background", "kidney"], input_size=[64, 64],
    ...                       network={"name": "unet", "in_channels": 1})
    >>> import torch
    >>> trained_network(facts)(torch.zeros(1, 1, 64, 64)).shape
    torch.Size([1, 2, 64, 64])
    """
    networks = [build_network(**options) for options in trained["networks"]]
    return networks[0] if len(networks) == 1 else Ensemble(networks)


def load_checkpoints(network: nn.Module, checkpoint: Checkpoints) -> None:
    """Load one checkpoint into a network, or one into each member of an `Ensemble`.

    Raises:
        CheckpointError: a file is missing or does not fit its network, or the number of members differs.

    >>> import torch
    >>> network, path = nn.Conv2d(1, 2, 1), getfixture("tmp_path") / "model.pt"
    >>> torch.save({"model": network.state_dict()}, path)
    >>> load_checkpoints(network, path)
    """
    members = list(network.members) if isinstance(network, Ensemble) else [network]
    paths = checkpoint_paths(checkpoint)
    if len(paths) != len(members):
        wanted = f"{len(members)} checkpoints, one a network"
        remedy = "Build the network with pyraseg.pipeline.inference.trained_network from these checkpoints."
        raise CheckpointError(wanted, found=str(len(paths)), remedy=remedy)
    for member, path in zip(members, paths, strict=True):
        load_checkpoint(member, path)


def _require_agreement(first: Mapping[str, Any], other: Mapping[str, Any], *, path: Path) -> None:
    """All members must have the same label set, input size and number of input channels."""
    for what, wanted, found in (
        ("label set", first["label_names"], other["label_names"]),
        ("input size", first["input_size"], other["input_size"]),
        ("number of input channels", *([facts["network"]["in_channels"]] for facts in (first, other))),
    ):
        if list(wanted) != list(found):
            words = [", ".join(map(str, values)) for values in (wanted, found)]
            raise CheckpointError(
                f"checkpoints of one {what}, {words[0]} as the first",
                found=words[1],
                remedy="Average those that were trained alike; only their networks may differ.",
                path=path,
            )
