"""Facts in checkpoints, the networks that they describe, and their weights."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, TypeAlias

from monai.transforms import Compose
from pydantic import BaseModel, Field, PositiveInt, TypeAdapter, ValidationError
from torch import nn

from pyraseg.pipeline.bundle.network_format import describe_network
from pyraseg.pipeline.bundle.overrides import exported_checkpoint, running_parser
from pyraseg.pipeline.bundle.preprocessing import differences, image_differences, sentence
from pyraseg.pipeline.inference.ensemble import Ensemble
from pyraseg.pipeline.networks import build_network, load_checkpoint, read_checkpoint
from pyraseg.pipeline.networks.checkpoint import BEST, facts_of
from pyraseg.pipeline.utils.documents import DocumentError, parse_json, read_text
from pyraseg.pipeline.utils.without_paths import is_model_reference
from pyraseg.transforms.errors import CheckpointError

__all__ = [
    "CALIBRATION",
    "COMMON_POINTS",
    "CheckpointFile",
    "checkpoint_files",
    "checkpoint_paths",
    "load_checkpoints",
    "require_as_trained",
    "trained_facts",
    "trained_network",
]

logger = logging.getLogger(__name__)

Checkpoints: TypeAlias = str | Path | Sequence[str | Path]

FOLDS = "fold_*"
COMMON_POINTS = "operating_point.json"  # of a cross-validation's networks, beside their folders
CALIBRATION = "calibration"  # what a checkpoint knows of its reliability; see pyraseg.pipeline.trust


@dataclass(frozen=True)
class CheckpointFile:
    """A file of weights; ``model`` names model and version, or the run, where it came from MLflow."""

    path: Path
    model: str = ""


def checkpoint_paths(
    checkpoint: Checkpoints, *, tracking_uri: str | None = None, bundle_root: str | Path = "."
) -> list[Path]:
    """The files of ``--checkpoint``; see `checkpoint_files`."""
    return [
        file.path for file in checkpoint_files(checkpoint, tracking_uri=tracking_uri, bundle_root=bundle_root)
    ]


def checkpoint_files(
    checkpoint: Checkpoints, *, tracking_uri: str | None = None, bundle_root: str | Path = "."
) -> list[CheckpointFile]:
    """The files of ``--checkpoint``: one, several, or a folder's ``model.pt`` or ``fold_*/model.pt``.

    A name in MLflow, ``models:/NAME@ALIAS``, ``models:/NAME/VERSION`` or ``runs:/ID``, is fetched from there.

    Args:
        tracking_uri: the MLflow store of such names; None: that of the bundle.
        bundle_root: the bundle's folder.

    Raises:
        CheckpointError: an empty list, a folder without checkpoints, or as `fetch_checkpoint`.
        TrackingError, OutputError: as `fetch_checkpoint`.
    """
    if not isinstance(checkpoint, str | Path):
        store: dict[str, Any] = {"tracking_uri": tracking_uri, "bundle_root": bundle_root}
        files = [file for entry in checkpoint for file in checkpoint_files(entry, **store)]
        if not files:
            remedy = "Name them with --checkpoint."
            raise CheckpointError("one checkpoint or more", found="none", remedy=remedy)
        return files
    if is_model_reference(checkpoint):
        from pyraseg.pipeline.tracking import default_tracking_uri  # MLflow takes seconds to import
        from pyraseg.pipeline.tracking.registry import fetch_checkpoint

        store_uri = tracking_uri or default_tracking_uri(bundle_root)
        path, stored = fetch_checkpoint(str(checkpoint), tracking_uri=store_uri)
        return [CheckpointFile(path, stored.model)]
    return [CheckpointFile(path) for path in _local_paths(Path(checkpoint))]


def _local_paths(path: Path) -> list[Path]:
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
    preprocessing: Mapping[str, Mapping[str, Any]] | None = None,
) -> dict[str, Any]:
    """The facts that one or several checkpoints hold.

    Args:
        checkpoint: as `checkpoint_paths`; while MONAI exports a file, that one. A single file may be missing,
            so that MONAI's tools can read a bundle before its training; `load_checkpoints` refuses it.
        label_names, input_size, network, preprocessing: defaults for what a file does not say. ``network``
            has the arguments of `build_network`, without ``out_channels``; ``preprocessing`` the values of
            transforms by the name of their class, as `describe_preprocessing` gives them.

    Returns:
        ``label_names``, ``input_size``, ``preprocessing``, ``network`` (of the first), ``networks``, the
        arguments of `build_network` for each, ``calibrations``, what each knows of its reliability (empty
        without), and ``stated``, what the first file says itself.

    Raises:
        CheckpointError: one of several files is missing, a file is no checkpoint, or they differ in more than
            their networks.

    >>> facts = trained_facts("none.pt", label_names=["background", "kidney"], input_size=[64, 64],
    ...                       network={"in_channels": 1, "depth": 18})
    >>> facts["network"]
    {'spatial_dims': 2, 'in_channels': 1, 'depth': 18, 'out_channels': 2}
    """
    defaults: dict[str, Any] = {
        "label_names": list(label_names),
        "input_size": list(input_size),
        "network": {"spatial_dims": len(input_size), **network},
    }
    paths = checkpoint_paths(exported_checkpoint() or checkpoint)
    stated = [_stated(path) if len(paths) > 1 or path.is_file() else {} for path in paths]
    members = [defaults | facts for facts in stated]
    for path, member in zip(paths, members, strict=True):
        dimensions, own = len(member["input_size"]), len(input_size)
        if dimensions != own:
            wanted, found = f"a checkpoint for images of {own} dimensions", f"one for {dimensions}"
            remedy = "Choose a checkpoint of this bundle, or its own bundle."
            raise CheckpointError(wanted, found=found, remedy=remedy, path=path)
        _require_agreement(members[0], member, path=path)
        _require_own_calibration(member, path=path)
    first = members[0]
    networks = [{**m["network"], "out_channels": len(first["label_names"])} for m in members]
    seen = dict(preprocessing or {})
    seen |= {name: {**seen.get(name, {}), **step} for name, step in first.get("preprocessing", {}).items()}
    if stated[0]:
        _correct_metadata(first)
    return {
        **first,
        "preprocessing": seen,
        "network": networks[0],
        "networks": networks,
        "calibrations": [member.get(CALIBRATION, {}) | _common_points(paths) for member in members],
        "stated": stated[0],
    }


def require_as_trained(
    trained: Mapping[str, Any], preprocessing: Compose, *, inferer: Any, label_names: Sequence[str]
) -> None:
    """Refuse images or labels that are not those of the checkpoint's training, whichever override made them.

    Args:
        trained: of `trained_facts`; what the checkpoint does not state is not compared.
        preprocessing: from a path to the network's input.
        inferer: "whole" images must have the training's size; of others its windows must.
        label_names: the classes, background first.

    What the checkpoint has learnt of its reliability was learnt with one way of inference; of another one
    the log says so.

    Raises:
        CheckpointError: with both values of whatever differs.
    """
    stated = trained["stated"]
    unequal = image_differences(stated, preprocessing, inferer=inferer)
    unequal |= differences(stated, {"label_names": list(label_names)})
    if unequal:
        remedy = "Leave out the override, or give the training's value; or name a checkpoint trained so."
        wanted = f"what the checkpoint was trained with, {sentence(unequal, 0)}"
        raise CheckpointError(wanted, found=sentence(unequal, 1), remedy=remedy)
    settings = {"mode": inferer.mode, "overlap": inferer.overlap, "flips": list(inferer.tta_flips)}
    for calibration in trained.get("calibrations", ()):
        if unequal := differences(calibration.get("settings", {}), settings):
            found_with, here = (sentence(unequal, side) for side in (0, 1))
            logger.warning("operating point and the like were found with %s; here it is %s", found_with, here)
            return


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


def _correct_metadata(facts: Mapping[str, Any]) -> None:
    """Let the running parser's metadata, which MONAI's export stores, speak of this network.

    MONAI hands its parser to no component, and reads the metadata only when the network is built.
    """
    config = getattr(running_parser(), "config", None)
    if isinstance(config, dict) and config.get("_meta_"):
        config["_meta_"] = describe_network(
            config["_meta_"],
            label_names=facts["label_names"],
            input_size=facts["input_size"],
            in_channels=facts["network"]["in_channels"],
        )


class _Network(BaseModel, extra="allow"):
    in_channels: PositiveInt


class _Facts(BaseModel):
    """What a checkpoint may say of its training; its other entries are not for whoever uses it."""

    label_names: Annotated[list[str], Field(min_length=1)] = []
    input_size: Annotated[list[PositiveInt], Field(min_length=2, max_length=3)] = []
    network: _Network = _Network(in_channels=1)
    preprocessing: dict[str, dict[str, Any]] = {}
    calibration: dict[str, Any] = {}


_Points = TypeAdapter(dict[str, dict[str, Any]])


def _stated(path: Path) -> dict[str, Any]:
    """What a file says of its training; a line in the log names what it does not say."""
    try:
        facts = _Facts.model_validate(facts_of(read_checkpoint(path))).model_dump(exclude_unset=True)
    except ValidationError as error:
        name = str(error.errors()[0]["loc"][0])
        remedy = "Choose another checkpoint: this one was not written by a training, or was changed since."
        raise CheckpointError(
            f"a checkpoint's {name}", found="another kind of value", remedy=remedy, path=path
        ) from error
    if missing := [name for name in _Facts.model_fields if name not in {*facts, CALIBRATION}]:
        logger.warning("the checkpoint does not say its %s: the bundle's are taken", ", ".join(missing))
    return facts


def _common_points(paths: Sequence[Path]) -> dict[str, Any]:
    """The operating points that a cross-validation has found for all its networks together.

    They hold for its whole ensemble alone, however its files are named.
    """
    folders = {path.absolute().parent.parent for path in paths}
    folder = folders.pop()
    file, members = folder / COMMON_POINTS, {path.absolute() for path in paths}
    if folders or len(paths) < 2 or not file.is_file() or members != set(folder.glob(f"{FOLDS}/{BEST}")):
        return {}
    try:
        return {"operating_point": _Points.validate_python(parse_json(read_text(file)))}
    except (DocumentError, ValidationError, OSError) as error:
        remedy = "Run the cross-validation again with --resume, which writes it anew."
        wanted, found = "the networks' common operating points", "a file that cannot be read"
        raise CheckpointError(wanted, found=found, remedy=remedy, path=file) from error


def _require_own_calibration(facts: Mapping[str, Any], *, path: Path) -> None:
    """What was learnt from other labels or images says nothing of this network."""
    own = {name: facts[name] for name in ("label_names", "input_size")}
    if unequal := differences(own, facts.get(CALIBRATION, {})):
        raise CheckpointError(
            f"a calibration of the checkpoint's own, {sentence(unequal, 0)}",
            found=f"one with {sentence(unequal, 1)}",
            remedy="Choose the checkpoint as its training wrote it, or calibrate it anew by the training's "
            "command with --resume true.",
            path=path,
        )


def _require_agreement(first: Mapping[str, Any], other: Mapping[str, Any], *, path: Path) -> None:
    """All members must have the same labels, images and number of input channels."""
    one, two = (
        {**facts, "network": {"in_channels": facts["network"].get("in_channels")}, CALIBRATION: None}
        for facts in (first, other)
    )
    if unequal := differences(one, two):
        raise CheckpointError(
            f"checkpoints that were trained alike, {sentence(unequal, 0)} as the first",
            found=sentence(unequal, 1),
            remedy="Average those that were trained alike; only their networks may differ.",
            path=path,
        )
