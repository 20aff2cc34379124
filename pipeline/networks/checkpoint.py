"""Weights from files, read without running their code: any state dict, and pyraseg's checkpoints.

``model.pt`` is a plain state dict, as the model zoo has it. What its network saw stands in the state dict's
own ``_metadata``, beside PyTorch's versions of the modules: a copy of the file cannot lose it.
Earlier checkpoints, ``{"model": STATE_DICT, "label_names": ...}``, are read, too.
"""

from __future__ import annotations

import logging
import zipfile
from collections import OrderedDict
from collections.abc import Mapping
from pathlib import Path
from typing import IO, Any

import torch
from torch import Tensor, nn

from pyraseg.pipeline.networks.resnet import DEPTHS
from pyraseg.transforms.errors import CheckpointError

__all__ = [
    "BEST",
    "LAST",
    "describe",
    "facts_of",
    "find_state",
    "load_checkpoint",
    "read_checkpoint",
    "strip_prefixes",
    "with_facts",
]

logger = logging.getLogger(__name__)

BEST = "model.pt"  # a training's best network
LAST = "last.pt"  # the state that a training resumes from
FACTS = "pyraseg"  # the entry of a state dict's _metadata
ZIP = b"PK\x03\x04"  # how torch.save's files begin since PyTorch 1.6
FOLDER = 0x10  # MS-DOS's attribute of a folder, in an archive's directory
WRAPPERS = ("module.", "_orig_mod.")  # added by distributed training and by torch.compile
NESTS = ("state_dict", "model", "network")  # where programs keep the state dict beside other things


def find_state(content: Any, *, path: str | Path) -> dict[str, Tensor]:
    """The state dict in the output of ``read_checkpoint``: itself, or its "state_dict", "model" or "network".

    Raises:
        CheckpointError: there is none, or its weights are not finite.
    """
    for name in NESTS:
        if isinstance(content, Mapping) and isinstance(content.get(name), Mapping):
            content = content[name]
    return _checked(content, path=path)


def read_checkpoint(path: str | Path) -> Any:
    """Read a file of ``torch.save``, tensors on the CPU; with ``weights_only``, so that no code in it runs.

    Raises:
        CheckpointError: no such file, no file of ``torch.save``, or one that was damaged since.

    Example:
        >>> torch.save({"model": {"weight": torch.ones(2)}, "epoch": 3}, f"{folder}/last.pt")
        >>> read_checkpoint(f"{folder}/last.pt")["epoch"]
        3
    """
    if not Path(path).is_file():
        remedy = "Train one first, or correct its path (--checkpoint)."
        raise CheckpointError("a checkpoint file", found="no such file", remedy=remedy, path=path)
    with open(path, "rb") as file:  # opened once: what is loaded is what was checked
        archive = file.read(len(ZIP)) == ZIP
        if archive:
            _require_intact(file, path)
        file.seek(0)
        try:
            content = torch.load(file, map_location="cpu", weights_only=True)
        except Exception as error:  # whatever the unpickler stumbles over in bytes that are no checkpoint
            raise _unreadable(f"a file that torch.load refuses ({type(error).__name__})", path) from error
    if not archive:
        logger.warning("weights in the format before PyTorch 1.6, without checksums: damage cannot be seen")
    return content


def with_facts(state: Mapping[str, Tensor], facts: Mapping[str, Any]) -> OrderedDict[str, Tensor]:
    """The state dict with plain values that ``facts_of`` finds again once it is saved and loaded.

    Example:
        >>> torch.save(with_facts(nn.Linear(2, 1).state_dict(), {"epoch": 3}), f"{folder}/model.pt")
        >>> content = read_checkpoint(f"{folder}/model.pt")
        >>> list(content), facts_of(content)
        (['weight', 'bias'], {'epoch': 3})
    """
    kept = OrderedDict(state)
    kept._metadata = {**getattr(state, "_metadata", {}), FACTS: dict(facts)}  # type: ignore[attr-defined]  # torch's own name
    return kept


def facts_of(content: Any) -> dict[str, Any]:
    """What the output of ``read_checkpoint`` says of itself, in today's form or an earlier one."""
    if not isinstance(content, Mapping):
        return {}
    nest = next((name for name in NESTS if isinstance(content.get(name), Mapping)), None)
    beside = {str(k): v for k, v in content.items() if k != nest and not isinstance(v, Tensor)}
    state = content if nest is None else content[nest]
    metadata = getattr(state, "_metadata", None)
    within = metadata.get(FACTS) if isinstance(metadata, Mapping) else None
    return beside | (dict(within) if isinstance(within, Mapping) else {})


def _require_intact(file: IO[bytes], path: str | Path) -> None:
    """Compare each record with its CRC-32, at which torch does not look; torch.save compresses none."""
    try:
        archive = zipfile.ZipFile(file)
        records = archive.infolist()
        if any(record.compress_type != zipfile.ZIP_STORED for record in records):
            raise _unreadable("compressed records, which may hold more than the memory", path)
        # of what is marked as a folder torch reads nothing, and takes what lies in the memory
        marked = (record.filename for record in records if record.external_attr & FOLDER)
        damaged = next(marked, None) or archive.testzip()
    except CheckpointError:
        raise
    except Exception as error:  # a damaged directory or record leads zipfile anywhere
        raise _unreadable(f"a damaged archive ({type(error).__name__})", path) from error
    if damaged is not None:
        record = damaged.partition("/")[2]
        raise _unreadable(f'a damaged one: its record "{record}" is not what was written', path)


def _unreadable(found: str, path: str | Path) -> CheckpointError:
    return CheckpointError(
        "a complete file of tensors written by torch.save",
        found=found,
        remedy="Copy or download it anew; it must hold a state dict, and code in checkpoints is never run.",
        path=path,
    )


def load_checkpoint(network: nn.Module, path: str | Path) -> None:
    """Load a checkpoint of this project into ``network``, every parameter and buffer of it.

    The file holds a state dict as ``find_state`` finds it. An auxiliary head in the file is
    ignored where the network has none, since it serves the training alone. The configuration must keep
    options without a trace in the weights (output stride, values of the bins, dropout).

    Args:
        network: changed in place, unless an error is raised.

    Raises:
        CheckpointError: no such file, no checkpoint, or one of another architecture or class count, with the
            differences.

    Example:
        >>> network = nn.Linear(2, 1)
        >>> torch.save({"model": {"weight": torch.ones(1, 2), "bias": torch.zeros(1)}}, f"{folder}/model.pt")
        >>> load_checkpoint(network, f"{folder}/model.pt")
        >>> network.weight.tolist()
        [[1.0, 1.0]]
    """
    given = find_state(read_checkpoint(path), path=path)
    state = {strip_prefixes(name, WRAPPERS): value for name, value in given.items()}
    own = network.state_dict()
    if not any(name.startswith("auxiliary.") for name in own):
        state = {name: value for name, value in state.items() if not name.startswith("auxiliary.")}
    if {name: value.shape for name, value in state.items()} != {
        name: value.shape for name, value in own.items()
    }:
        raise _mismatch(own, state, path=path)
    network.load_state_dict(state)


def strip_prefixes(name: str, prefixes: tuple[str, ...]) -> str:
    """The name without the prefixes at its start, however many there are."""
    for prefix in prefixes:
        if name.startswith(prefix):
            return strip_prefixes(name.removeprefix(prefix), prefixes)
    return name


def _checked(content: Any, *, path: str | Path) -> dict[str, Tensor]:
    if not (
        isinstance(content, Mapping)
        and content
        and all(isinstance(value, Tensor) for value in content.values())
    ):
        raise CheckpointError(
            "tensors by parameter name",
            found="none, or other things among them",
            remedy=f"Save the state dict alone, or as an entry {', '.join(NESTS)}.",
            path=path,
        )
    state = {str(name): value for name, value in content.items()}
    finite = {n for n, v in state.items() if v.layout == torch.strided and bool(torch.isfinite(v).all())}
    if broken := [name for name in state if name not in finite]:
        raise CheckpointError(
            "weights that are finite numbers",
            found=f"NaN or infinity in {len(broken)} of {len(state)} tensors, the first {broken[0]}",
            remedy="Choose another checkpoint; a training that ran away is to be trained anew.",
            path=path,
        )
    return state


def _mismatch(own: Mapping[str, Tensor], state: Mapping[str, Tensor], *, path: str | Path) -> CheckpointError:
    wanted, found = describe(own), describe(state)
    differing = [fact for fact in wanted if wanted[fact] != found.get(fact)]
    if not wanted or not found or not differing:
        shapes = sum(own[name].shape != state[name].shape for name in own.keys() & state.keys())
        wanted, found, differing = {"": f"this network's {len(own)} tensors"}, {}, [""]
        found[""] = (
            f"{len(own.keys() - state.keys())} of them missing, {len(state.keys() - own.keys())} unknown, "
        )
        found[""] += f"{shapes} of another shape"
    return CheckpointError(
        "a checkpoint with " + ", ".join(wanted[fact] for fact in differing),
        found="a checkpoint with " + ", ".join(found[fact] for fact in differing),
        remedy="Build the network as the checkpoint was trained, or choose another checkpoint.",
        path=path,
    )


STEM_CONVOLUTIONS = {1: "plain7", 2: "deep2", 3: "deep3"}


def describe(state: Mapping[str, Tensor]) -> dict[str, str]:
    """Phrases for errors, by option ("out_channels": "3 classes"); empty for weights of another network.

    Options without a trace in names and shapes are absent; "se" and "cam" look the same.
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
