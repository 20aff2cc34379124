"""The bundle of a batch: network, preprocessing, postprocessing, labels and metadata.

Only this module knows the ids in a bundle's config that ``predict`` uses.
"""

from __future__ import annotations

import ast
import hashlib
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from monai.bundle import ConfigParser
from monai.transforms import Compose
from torch import nn
from yaml import YAMLError

from pyraseg.pipeline.bundle.overrides import FLAGS, require_stated, unknown_ids
from pyraseg.pipeline.bundle.segments import resolve_segments
from pyraseg.pipeline.inference import SegmentationInferer
from pyraseg.pipeline.inference.decision import ARGMAX
from pyraseg.pipeline.inference.trained import checkpoint_files, load_checkpoints, require_as_trained
from pyraseg.pipeline.trust.judge import Judge
from pyraseg.pipeline.utils.devices import select_device
from pyraseg.pipeline.utils.errors import own_error
from pyraseg.pipeline.utils.files import sha256_of
from pyraseg.pipeline.writers.prediction import Algorithm
from pyraseg.transforms.errors import CheckpointError, ConfigError, InputError
from pyraseg.transforms.records import Segment

__all__ = ["BundleConfig", "LoadedBundle", "load_bundle", "read_bundle"]

CONFIG, METADATA = "configs/inference.yaml", "configs/metadata.json"


@dataclass(frozen=True, eq=False)
class BundleConfig:
    """The config files of a bundle, read once; none of their code has run.

    Attributes:
        metadata: the content of ``metadata.json``.
        sources: the files that results depend on: configs, and the bundle's own components.
    """

    folder: Path
    parser: ConfigParser
    metadata: Mapping[str, Any]
    sources: tuple[Path, ...]

    def build(self, name: str) -> Any:
        """Build the component of an id; errors of this project come out of MONAI's wrapping.

        Raises:
            ConfigError: it cannot be built.
        """
        try:
            return self.parser.get_parsed_content(name)
        except (KeyError, RuntimeError, ValueError) as error:
            ours = own_error(error)
            if ours is not None:
                raise ours from error
            wanted, found = f'a bundle whose config defines "{name}"', type(error).__name__
            remedy = f'Correct "{name}" in {CONFIG}, or the overrides.'
            raise ConfigError(wanted, found=f"one that cannot be built ({found})", remedy=remedy) from error


@dataclass(frozen=True)
class LoadedBundle:
    """What ``configs/inference.yaml`` and ``configs/metadata.json`` define, with the weights loaded.

    Attributes:
        algorithm: its name, version and weights' hash.
        digest: SHA-256 of both config files, of the bundle's own code if any, and of the overrides.
        preprocessing: from a path to the network's input.
        postprocessing: from scores to a label map on the source grid.
        segments: the classes, background first.
        input_shape: (C, h, w) of the network; for volumes (C, x, y, z) of its windows.
        inferer: the config's, for its mode, overlap, precision and flips.
        judge: of the results, by what the checkpoint has learnt of its reliability.
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
    inferer: SegmentationInferer
    judge: Judge = field(default_factory=Judge)

    @property
    def volumes(self) -> bool:
        """Whether the bundle takes volumes."""
        return len(self.input_shape) > 3

    @property
    def label_names(self) -> tuple[str, ...]:
        """The classes, background first."""
        return tuple(segment.name for segment in self.segments)


def read_bundle(folder: str | Path) -> BundleConfig:
    """Read a bundle's configs without running any of its code.

    Raises:
        ConfigError: it is no bundle.
    """
    folder = Path(folder).absolute()
    for name in (CONFIG, METADATA):
        if not (folder / name).is_file():
            remedy = "Name a bundle's folder with --bundle, for example bundles/us_hydronephrosis."
            wanted = f"a MONAI bundle with {name}"
            raise ConfigError(wanted, found="a folder without", remedy=remedy, path=folder)
    parser = ConfigParser()
    try:
        parser.read_config(str(folder / CONFIG))
        parser.read_meta(str(folder / METADATA))
    except (ValueError, YAMLError) as error:  # from the JSON or YAML parser
        wanted, found = "configs that can be read", f"ones that cannot ({type(error).__name__})"
        raise ConfigError(wanted, found=found, remedy="Correct them.", path=folder) from error
    sources = (folder / CONFIG, folder / METADATA, *sorted(folder.rglob("*.py")))
    return BundleConfig(folder, parser, dict(parser.get("_meta_")), sources)


def load_bundle(
    config: BundleConfig,
    *,
    checkpoints: Sequence[str | Path] = (),
    device: str = "auto",
    overrides: Mapping[str, str] | None = None,
    probabilities: bool = False,
    tracking_uri: str | None = None,
) -> LoadedBundle:
    """Run a bundle's config, which is code, and load its weights, which are not.

    Args:
        checkpoints: one file; several, whose probabilities are averaged; a cross-validation's folder; names
            in MLflow; or none for ``models/model.pt``.
        tracking_uri: the MLflow store of such names; None: the bundle's.
        device: as ``select_device``.
        overrides: ids of ``configs/inference.yaml`` with their values as typed.
        probabilities: let ``postprocessing`` keep them in an entry of that name.

    Raises:
        ConfigError: a component cannot be built, or an override names an unknown id.
        CheckpointError: the weights are missing, damaged or do not fit, or were trained on other images.
    """
    folder, parser, metadata = config.folder, config.parser, config.metadata
    named = list(checkpoints) or [folder / "models" / "model.pt"]
    files = checkpoint_files(named, tracking_uri=tracking_uri, bundle_root=folder)
    weights = [file.path for file in files]
    models = "; ".join(dict.fromkeys(file.model for file in files if file.model))
    hashed = _hash_of_weights(weights)
    typed = {name: _value(text) for name, text in (overrides or {}).items()}
    _refuse_unknown(parser, typed)
    # paths, not words, in which MONAI would take a # for a separator of ids
    parser.update({**typed, "bundle_root": str(folder), "checkpoint": weights})
    parser.update({"device": select_device(device)})
    if probabilities:
        parser.update({"postprocessing::transforms::0::probabilities": "probabilities"})
    if str(folder) not in sys.path:
        sys.path.insert(0, str(folder))  # like MONAI's runner, for the bundle's own components
    require_stated(parser, typed)
    network = config.build("network").eval()
    load_checkpoints(network, weights)
    preprocessing, inferer = config.build("preprocessing"), config.build("inferer")
    label_names = config.build("label_names")
    if "trained" in parser.config:
        require_as_trained(config.build("trained"), preprocessing, inferer=inferer, label_names=label_names)
    # Frames are letterboxed to a fixed size; volumes are cut into windows of the training's size
    size = config.build("inference_size" if "inference_size" in parser.config else "input_size")
    decision = str(config.build("decision")) if "decision" in parser.config else ARGMAX
    name, version = str(metadata["name"]), str(metadata["version"])
    return LoadedBundle(
        folder=folder,
        algorithm=Algorithm(name, version, hashed, folder.name, decision, models),
        digest=_digest(*config.sources, text=repr(sorted(typed.items()))),
        metadata=metadata,
        preprocessing=preprocessing,
        postprocessing=config.build("postprocessing"),
        segments=resolve_segments(label_names, metadata.get("segments", ())),
        input_shape=(int(config.build("in_channels")), *map(int, size)),
        network=network,
        device=config.build("device"),
        inferer=inferer,
        judge=Judge.of(config.build("trained")) if "trained" in parser.config else Judge(),
    )


def _refuse_unknown(parser: ConfigParser, typed: Mapping[str, Any]) -> None:
    config = {key: value for key, value in parser.config.items() if key != "_meta_"}
    for unknown, known in unknown_ids(dict(typed), [config]):
        remedy = f"Known ids: {', '.join(known)}."
        raise ConfigError(f"overrides of ids that {CONFIG} defines", found=f"--{unknown}", remedy=remedy)


def _value(text: str) -> Any:
    """A typed value as MONAI's command line reads it: a Python literal, a flag, or a word."""
    if text.lower() in FLAGS:
        return FLAGS[text.lower()]
    try:
        return ast.literal_eval(text)
    except (SyntaxError, ValueError):
        is_list = text[:1] == "[" and text[-1:] == "]"
        return [word.strip() for word in text[1:-1].split(",")] if is_list else text


def _hash_of_weights(paths: Sequence[Path]) -> str:
    for path in paths:
        if not path.is_file():
            remedy = "Train the bundle first, or name the weights with --checkpoint."
            wanted, found = "the network's weights", "no file of that name"
            raise CheckpointError(wanted, found=found, remedy=remedy, path=path)
    return _sha256(paths[0]) if len(paths) == 1 else _digest(*paths)


def _digest(*paths: Path, text: str = "") -> str:
    return hashlib.sha256((text + "".join(map(_sha256, paths))).encode()).hexdigest()


def _sha256(path: Path) -> str:
    try:
        return sha256_of(path)
    except OSError as error:
        found, remedy = f"a file that cannot be read ({error.strerror})", "Check its permissions."
        raise InputError("the bundle's files", found=found, remedy=remedy, path=path) from error
