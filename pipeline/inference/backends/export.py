"""Export a network to ONNX with a dynamic batch, on first use, and keep the file in a cache."""

from __future__ import annotations

import copy
import hashlib
import json
import logging
import tempfile
import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from importlib.metadata import version
from pathlib import Path
from typing import Any

import torch
from filelock import FileLock
from onnx_ir.passes.common import ClearMetadataAndDocStringPass
from torch import nn

from pyraseg.pipeline.inference.backends.base import Setting
from pyraseg.pipeline.inference.features import FeatureTap, encoder_of
from pyraseg.pipeline.utils.files import atomic_path, private_folder, sha256_of, user_cache, write_json
from pyraseg.transforms.errors import ConfigError, OutputError
from pyraseg.transforms.privacy import keyed_digest

__all__ = ["cache_path", "describe", "entry", "export_network", "onnx_file", "read_facts", "write_facts"]

logger = logging.getLogger(__name__)

FORMAT = 2  # part of every entry's name; raised when the export changes
CHATTY = ("torch.onnx", "torch.export", "onnxscript", "onnx_ir")


def cache_path(facts: Mapping[str, Any], *parts: str) -> Path | None:
    """``$XDG_CACHE_HOME/pyraseg/backends/PARTS/NAME`` (``~/.cache`` without the variable).

    NAME is a digest of ``facts`` in any order. The folders are this user's alone. None where they cannot be
    made.

    Raises:
        OutputError: a folder is another user's.
    """
    try:
        root = user_cache()
    except RuntimeError:
        return None
    text = json.dumps(facts, sort_keys=True, default=str)
    name = hashlib.sha256(text.encode()).hexdigest()[:32]
    for part in ("", "backends", *parts):
        root = root / part
        if not _own(root):
            return None
    return root / name


def _own(folder: Path) -> bool:
    """Make the folder this user's alone; False where it cannot be written."""
    try:
        private_folder(folder)
    except OutputError as error:
        if isinstance(error.__cause__, OSError):
            logger.warning("the folder for exported networks cannot be written: the export is not kept")
            return False
        remedy = "Remove it, or set the environment variable XDG_CACHE_HOME to a folder of yours."
        wanted = "a cache of exported networks that is yours alone"
        raise OutputError(wanted, found=error.found, remedy=remedy, path=folder) from error
    return True


def describe(network: nn.Module) -> Any:
    """The parts of a network beside its weights: its options, or its modules."""
    if (members := getattr(network, "members", None)) is not None:
        return [describe(member) for member in members]
    return getattr(network, "options", None) or repr(network)


def read_facts(path: Path | None) -> dict[str, Any]:
    """Read the output of `write_facts`; empty if it is missing, damaged or not sealed by this user."""
    try:
        content = {} if path is None else json.loads(path.read_text(encoding="utf-8"))
        if path is None or content["seal"] != _seal(path, content["facts"]):
            return {}
        return dict(content["facts"])
    except Exception:  # a cache: whatever a note is made of, it is written anew
        return {}


def write_facts(path: Path | None, facts: Mapping[str, Any]) -> None:
    """Keep plain values, sealed: the key lies elsewhere, so neither decay nor another user can change them.

    Failing is no error: they will be measured again.
    """
    if path is None:
        return
    try:
        seal = _seal(path, facts)
        write_json(path, {"facts": facts, "seal": seal})
    except OutputError as error:
        logger.debug("what was measured of a backend is not kept: %s", error)


def _seal(path: Path, facts: Any) -> str:
    """The keyed digest of the values and of their place in the cache."""
    return keyed_digest(json.dumps(["cache", path.parent.name, path.name, facts], sort_keys=True))


def entry(network: nn.Module, setting: Setting, *, member: int = 0) -> Path | None:
    """The cache's folder of one network; None without a cache.

    Its name covers the weights' hash, the network's options, the image's shape and the exporting libraries.
    """
    facts = {
        "format": FORMAT,
        "weights": setting.weights_hash,
        "member": member,
        "network": describe(network),
        "shape": setting.shape,
        "versions": {name: version(name) for name in ("torch", "onnx", "onnxscript")},
    }
    return cache_path(facts)


@contextmanager
def onnx_file(network: nn.Module, *, shape: Sequence[int], folder: Path | None) -> Iterator[Path]:
    """The network's ONNX file inside the block; it stays in ``folder`` for the next time.

    Two processes that want the same file export it once. A damaged file is replaced. If the folder cannot be
    written, the file lies in a temporary folder.

    Raises:
        ConfigError: the network cannot be exported.
        OutputError: the file cannot be written anywhere.
    """
    kept = None if folder is None else _kept(network, shape, folder)
    if kept is not None:
        yield kept
        return
    with tempfile.TemporaryDirectory() as scratch:
        path = Path(scratch) / "network.onnx"
        export_network(network, path, shape=shape)
        yield path


def export_network(network: nn.Module, path: Path, *, shape: Sequence[int], features: bool = True) -> None:
    """Write a network in evaluation mode, in float32, to an ONNX file; the network does not change.

    Its input is "image". Its outputs are the scores, "pred", and, of a network that names its
    ``encoder_end``, the pooled features. The file names no place of this machine.

    Args:
        shape: of one image, (C, H, W[, D]); the batch is free.
        features: False leaves them out.

    Raises:
        ConfigError: PyTorch's exporter does not know an operation of the network.
        OutputError: the file cannot be written.
    """
    evaluated = copy.deepcopy(network).to("cpu", torch.float32).eval()
    outputs = ["pred"]
    if features and encoder_of(evaluated) is not None:
        evaluated, outputs = _WithFeatures(evaluated), [*outputs, "features"]
    example = torch.zeros(2, *shape)  # two images: an axis of one would count as fixed
    try:
        with _quiet():
            program: Any = torch.onnx.export(
                evaluated,
                (example,),
                dynamo=True,
                verbose=False,
                input_names=["image"],
                output_names=outputs,
                dynamic_shapes=({0: torch.export.Dim("batch")},),
            )
    except RuntimeError as error:  # the exporter's errors are among them
        found = f"one that its exporter refuses ({type(error).__name__})"
        raise ConfigError(
            "a network that torch exports to ONNX", found=found, remedy="Use --backend torch."
        ) from error
    ClearMetadataAndDocStringPass()(program.model)  # each operation has a traceback with paths
    with atomic_path(path) as draft, _quiet():
        program.save(draft)


class _WithFeatures(nn.Module):
    """(B, C, H, W[, D]) -> the scores, and the pooled features (B, F)."""

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network.eval()
        self.tap = FeatureTap(network)

    def forward(self, x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        self.tap.start()
        scores = self.network(x)
        return scores, self.tap.passes()[0]


def _kept(network: nn.Module, shape: Sequence[int], folder: Path) -> Path | None:
    """The intact file in ``folder``, exported if need be; None where that is impossible."""
    path = folder / "network.onnx"
    if not _own(folder):
        return None
    if _intact(path):
        return path
    try:
        with FileLock(folder / "export.lock"):
            if not _intact(path):
                if path.exists():
                    logger.warning("a stored export of the network is damaged and is made anew")
                else:
                    logger.info("exporting the network, once for each checkpoint")
                export_network(network, path, shape=shape)
                write_facts(path.with_suffix(".json"), {"sha256": sha256_of(path)})
    except (OutputError, OSError):
        logger.warning("the folder for exported networks cannot be written: the export is not kept")
        return None
    return path


def _intact(path: Path) -> bool:
    """Whether the file is the one that this user's process wrote, by the digest in its sealed note."""
    wanted = read_facts(path.with_suffix(".json")).get("sha256")
    return wanted is not None and path.is_file() and sha256_of(path) == wanted


@contextmanager
def _quiet() -> Iterator[None]:
    """Silence the exporter's notes on its passes; its errors come as exceptions."""
    levels = {name: logging.getLogger(name).level for name in CHATTY}
    for name in CHATTY:
        logging.getLogger(name).setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        for name, level in levels.items():
            logging.getLogger(name).setLevel(level)
