"""Several checkpoints as one network: the mean of their probabilities, one forward pass at a time.

The clean-up of scores into label maps begins with a softmax, so what is handed on are logarithms: the softmax
of the logarithm of probabilities is these probabilities again, because they add up to one.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from monai.inferers import Inferer
from torch import Tensor, nn

from pyraseg.pipeline.networks import build_network, load_checkpoint, read_checkpoint
from pyraseg.pipeline.training import checkpoints
from pyraseg.transforms.errors import CheckpointError

__all__ = [
    "Ensemble",
    "EnsembleInferer",
    "build",
    "checkpoint_paths",
    "load_checkpoints",
    "log_mean_probability",
    "read_facts",
]

FOLDS = "fold_*"


def log_mean_probability(scores: Iterable[Tensor]) -> Tensor:
    """The logarithm of the mean of ``softmax(score)`` over the classes, (B, K, H, W[, D]) each, as float32.

    ``scores`` may be a generator: a score is let go before the next is asked for. The sum is kept in
    logarithms, so a class that all of them rule out has a finite, very negative score and never minus
    infinity.
    """
    total, number = torch.tensor(-torch.inf), 0
    for score in scores:
        logs = score.float().log_softmax(dim=1)
        total = torch.logaddexp(total, logs) if number else logs
        number += 1
        del score, logs  # the next forward pass may need the memory
    return total - math.log(number)


class Ensemble(nn.Module):
    """Networks that were trained on one label set: (B, C, H, W[, D]) -> the logarithm of their mean
    probability.

    Their architectures may differ. ``EnsembleInferer`` runs the members one after another over the whole
    image, also by windows; the module's own forward is the same mean within one call.
    """

    def __init__(self, members: Sequence[nn.Module]) -> None:
        super().__init__()
        self.members = nn.ModuleList(members)

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, H, W[, D]) -> (B, K, H, W[, D])."""
        return log_mean_probability(member(x) for member in self.members)


class EnsembleInferer(Inferer):
    """Let each member of an ``Ensemble`` go over the image by itself and average the probabilities on its
    grid.

    So a member's windows are blended as they are without the ensemble. Any other network passes unchanged.
    """

    def __init__(self, inferer: Inferer) -> None:
        super().__init__()
        self.inferer = inferer

    def __call__(self, inputs: Tensor, network: Callable[..., Tensor], *args: Any, **kwargs: Any) -> Tensor:
        """(B, C, H, W[, D]) -> scores (B, K, H, W[, D])."""
        if not isinstance(network, Ensemble):
            return self.inferer(inputs, network, *args, **kwargs)
        return log_mean_probability(
            self.inferer(inputs, member, *args, **kwargs) for member in network.members
        )


def checkpoint_paths(checkpoint: str | Path | Sequence[str | Path]) -> list[Path]:
    """The files that ``--checkpoint`` names: one file, several, or a folder (``model.pt`` or
    ``fold_*/model.pt``).

    Raises:
        CheckpointError: an empty list, or a folder without checkpoints.
    """
    if not isinstance(checkpoint, str | Path):
        paths = [path for entry in checkpoint for path in checkpoint_paths(entry)]
        if not paths:
            raise CheckpointError(
                "one checkpoint or more", found="none", remedy="Name them with --checkpoint."
            )
        return paths
    path = Path(checkpoint)
    if not path.is_dir():
        return [path]
    own = path / checkpoints.BEST
    found = [own] if own.is_file() else sorted(path.glob(f"{FOLDS}/{checkpoints.BEST}"), key=_natural)
    if not found:
        wanted = f"a folder with {checkpoints.BEST}, or with folders {FOLDS} that have one"
        remedy = (
            "Name the file itself with --checkpoint, or a folder that training or cross-validation wrote."
        )
        raise CheckpointError(wanted, found="a folder without", remedy=remedy, path=path)
    return found


def read_facts(checkpoint: str | Path | Sequence[str | Path], declared: Mapping[str, Any]) -> dict[str, Any]:
    """What one or several checkpoints say of themselves.

    Args:
        checkpoint: as ``checkpoint_paths``.
        declared: the bundle's metadata, for what a single checkpoint does not say.

    Returns:
        ``label_names``, ``input_size`` and ``network`` (of the first), as
        ``pyraseg.pipeline.training.checkpoints.read_facts``, and ``networks``, the arguments of
        ``build_network`` for each.

    Raises:
        CheckpointError: a file is missing or no checkpoint, or they differ in more than their networks.
    """
    paths = checkpoint_paths(checkpoint)
    for path in paths if len(paths) > 1 else ():
        if not path.is_file():
            read_checkpoint(path)  # says so
    facts = [checkpoints.read_facts(path, declared) for path in paths]
    for other, path in zip(facts[1:], paths[1:], strict=True):
        _require_agreement(facts[0], other, path=path)
    return {**facts[0], "networks": [fact["network"] for fact in facts]}


def build(facts: Mapping[str, Any]) -> nn.Module:
    """The network that ``read_facts`` describes; an ``Ensemble`` where there are several."""
    networks = [build_network(**options) for options in facts["networks"]]
    return networks[0] if len(networks) == 1 else Ensemble(networks)


def load_checkpoints(network: nn.Module, checkpoint: str | Path | Sequence[str | Path]) -> None:
    """Load one checkpoint into a network, or one into each member of an ``Ensemble``.

    Raises:
        CheckpointError: a file is missing or does not fit its network, or there are more or fewer than
            members.
    """
    members = list(network.members) if isinstance(network, Ensemble) else [network]
    paths = checkpoint_paths(checkpoint)
    if len(paths) != len(members):
        remedy = "Build the network with pyraseg.pipeline.inference.ensemble.build from these checkpoints."
        raise CheckpointError(
            f"{len(members)} checkpoints, one a network", found=str(len(paths)), remedy=remedy
        )
    for member, path in zip(members, paths, strict=True):
        load_checkpoint(member, path)


def _require_agreement(first: Mapping[str, Any], other: Mapping[str, Any], *, path: Path) -> None:
    """The members see one image and score the same classes."""
    for what, wanted, found in (
        ("label set", first["label_names"], other["label_names"]),
        ("input size", first["input_size"], other["input_size"]),
        ("number of input channels", *([facts["network"]["in_channels"]] for facts in (first, other))),
    ):
        if list(wanted) != list(found):
            raise CheckpointError(
                f"checkpoints of one {what}, {_words(wanted)} as the first",
                found=_words(found),
                remedy="Average those that were trained alike; only their networks may differ.",
                path=path,
            )


def _words(values: Iterable[Any]) -> str:
    return ", ".join(map(str, values))


def _natural(path: Path) -> tuple[int, str]:
    """fold_2 before fold_10."""
    return len(path.parent.name), path.parent.name
