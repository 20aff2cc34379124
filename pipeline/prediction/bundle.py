"""The bundle that a batch runs: its network, its preprocessing and clean-up, its labels and what it
declares."""

from __future__ import annotations

import ast
import hashlib
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from monai.bundle import ConfigParser
from monai.transforms import Compose
from torch import nn
from yaml import YAMLError

from pyraseg.pipeline.bundle.overrides import FLAGS, unknown_ids
from pyraseg.pipeline.bundle.shared_config import extend_parser, shared_files
from pyraseg.pipeline.inference.trained import checkpoint_paths, load_checkpoints
from pyraseg.pipeline.utils.errors import own_error
from pyraseg.pipeline.writers.prediction import Algorithm
from pyraseg.transforms.errors import CheckpointError, ConfigError, InputError
from pyraseg.transforms.records import Segment

__all__ = ["LoadedBundle", "load_bundle", "read_metadata"]

CONFIG, METADATA = "configs/inference.yaml", "configs/metadata.json"


@dataclass(frozen=True)
class LoadedBundle:
    """What a bundle's ``configs/inference.yaml`` and ``configs/metadata.json`` define, with the weights
    loaded.

    Attributes:
        algorithm: its name, version and weights' hash.
        digest: SHA-256 of both config files, of the bundle's own code if it has some, and of the overrides.
        preprocessing: a path to the network's input; postprocessing: its scores to a label map on the source
            grid.
        segments: the classes, background first.
        input_shape: (C, h, w) of the network, (C, x, y, z) of its windows in volumes.
        inference: how it runs: ``mode``, ``overlap``, ``amp`` and ``tta_flips``, as `SegmentationInferer` takes
            them.
    """

    folder: Path
    algorithm: Algorithm
    digest: str
    metadata: Mapping[str, Any]
    preprocessing: Compose
    postprocessing: Compose
    segments: tuple[Segment, ...]
    input_shape: tuple[int, ...]
    network: nn.Module
    device: torch.device
    inference: Mapping[str, Any]

    @property
    def volumes(self) -> bool:
        """Whether it takes volumes."""
        return len(self.input_shape) > 3

    @property
    def label_names(self) -> tuple[str, ...]:
        return tuple(segment.name for segment in self.segments)


def load_bundle(
    folder: str | Path,
    *,
    checkpoints: Sequence[str | Path] = (),
    device: str = "auto",
    overrides: Mapping[str, str] | None = None,
    probabilities: bool = False,
) -> LoadedBundle:
    """Read a bundle's configs, which are code and run, and load its weights, which do not.

    Args:
        folder: the bundle.
        checkpoints: one file, several for the mean of their probabilities, or a cross-validation's folder;
            none for the bundle's own ``models/model.pt``.
        device: as ``select_device``.
        overrides: ids of ``configs/inference.yaml`` with their values as typed.
        probabilities: let ``postprocessing`` leave them in an entry of that name.

    Raises:
        ConfigError: it is no bundle, or an override names an unknown id.
        CheckpointError: the weights are missing or do not fit.
    """
    folder = Path(folder).absolute()
    parser = _parser(folder)
    weights = [Path(path) for path in checkpoints] or [folder / "models" / "model.pt"]
    weights = [file for path in weights for file in checkpoint_paths(path)]
    digest = _digest_of_weights(weights)
    typed = {name: _value(text) for name, text in (overrides or {}).items()}
    _refuse_unknown(parser, typed)
    parser.update({**typed, "bundle_root": str(folder), "checkpoint": [str(path) for path in weights]})
    parser.update({"device": device})
    if probabilities:
        parser.update({"postprocessing::transforms::0::probabilities": "probabilities"})
    content = _Content(parser)
    network = content["network"].eval()
    load_checkpoints(network, weights)
    facts = content["trained"]
    meta = parser.get("_meta_")
    channels = int(facts["network"]["in_channels"])
    return LoadedBundle(
        folder=folder,
        algorithm=Algorithm(str(meta["name"]), str(meta["version"]), digest, folder.name),
        digest=_digest(*_sources(folder), text=repr(sorted(typed.items()))),
        metadata=meta,
        preprocessing=content["preprocessing"],
        postprocessing=content["postprocessing"],
        segments=tuple(content["segments"]),
        input_shape=(channels, *(int(side) for side in content["inference_size"])),
        network=network,
        device=content["device_"],
        inference={
            "mode": content["inference_mode"],
            "overlap": content["overlap"],
            "amp": content["amp"],
            "tta_flips": content["tta_flips"],
        },
    )


def read_metadata(folder: str | Path) -> dict[str, Any]:
    """A bundle's ``metadata.json``; nothing of the bundle runs.

    Raises:
        ConfigError: it is no bundle.
    """
    return dict(_parser(Path(folder).absolute()).get("_meta_"))


def _parser(folder: Path) -> ConfigParser:
    for name in (CONFIG, METADATA):
        if not (folder / name).is_file():
            remedy = "Name a bundle's folder with --bundle, for example bundles/us_hydronephrosis."
            raise ConfigError(
                f"a MONAI bundle with {name}", found="a folder without", remedy=remedy, path=folder
            )
    parser = ConfigParser()
    try:
        parser.read_config(str(folder / CONFIG))
        parser.read_meta(str(folder / METADATA))
        extend_parser(parser)
    except (ValueError, YAMLError) as error:  # of the JSON or the YAML parser
        raise ConfigError(
            "configs that can be read", found=f"ones that cannot ({type(error).__name__})", remedy="Correct them.",
            path=folder,
        ) from error  # fmt: skip
    if str(folder) not in sys.path:
        sys.path.insert(0, str(folder))  # as MONAI's runner does, for a bundle's own components
    return parser


class _Content:
    """The parsed entries of a config; an error of ours comes out of MONAI's wrappings."""

    def __init__(self, parser: ConfigParser) -> None:
        self._parser = parser

    def __getitem__(self, name: str) -> Any:
        try:
            return self._parser.get_parsed_content(name)
        except (KeyError, RuntimeError, ValueError) as error:
            ours = own_error(error)
            if ours is not None:
                raise ours from error
            found = f"one that cannot be built ({type(error).__name__})"
            remedy = f'Correct "{name}" in {CONFIG}, or the overrides.'
            raise ConfigError(
                f'a bundle whose config defines "{name}"', found=found, remedy=remedy
            ) from error


def _refuse_unknown(parser: ConfigParser, typed: Mapping[str, Any]) -> None:
    config = {key: value for key, value in parser.config.items() if key != "_meta_"}
    for unknown, known in unknown_ids(dict(typed), [config]):
        remedy = f"Known ids: {', '.join(known)}."
        raise ConfigError(f"overrides of ids that {CONFIG} defines", found=f"--{unknown}", remedy=remedy)


def _value(text: str) -> Any:
    """What was typed as MONAI's command line takes it: a literal of Python, a flag, or a word."""
    if text.lower() in FLAGS:
        return FLAGS[text.lower()]
    try:
        return ast.literal_eval(text)
    except (SyntaxError, ValueError):
        return (
            [word.strip() for word in text[1:-1].split(",")] if text[:1] == "[" and text[-1:] == "]" else text
        )


def _sources(folder: Path) -> list[Path]:
    """What decides about the results: both configs, what they extend, and components of the bundle's own."""
    config = folder / CONFIG
    shared = shared_files(ConfigParser.load_config_file(str(config)))
    return [config, *shared, folder / METADATA, *sorted(folder.rglob("*.py"))]


def _digest_of_weights(paths: Sequence[Path]) -> str:
    for path in paths:
        if not path.is_file():
            remedy = "Train the bundle first, or name the weights with --checkpoint."
            raise CheckpointError(
                "the network's weights", found="no file of that name", remedy=remedy, path=path
            )
    digests = [_digest(path) for path in paths]
    return digests[0] if len(digests) == 1 else hashlib.sha256("".join(digests).encode()).hexdigest()


def _digest(*paths: Path, text: str = "") -> str:
    total = hashlib.sha256(text.encode())
    for path in paths:
        try:
            with path.open("rb") as file:
                content = hashlib.file_digest(file, "sha256").hexdigest()
        except OSError as error:
            found = f"a file that cannot be read ({error.strerror})"
            raise InputError(
                "the bundle's files", found=found, remedy="Check its permissions.", path=path
            ) from error
        if len(paths) == 1 and not text:
            return content
        total.update(content.encode())
    return total.hexdigest()
