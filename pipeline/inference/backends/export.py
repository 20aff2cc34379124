"""A network as an ONNX file with a dynamic batch, exported on first use and kept."""

from __future__ import annotations

import copy
import logging
import tempfile
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from importlib.metadata import version
from pathlib import Path
from typing import Any

import torch
from filelock import FileLock
from torch import nn

from pyraseg.pipeline.inference.backends.base import Setting
from pyraseg.pipeline.inference.backends.cache import (
    cache_folder,
    describe,
    digest,
    file_hash,
    read_facts,
    write_facts,
)
from pyraseg.pipeline.utils.files import atomic_path
from pyraseg.transforms.errors import ConfigError, OutputError

__all__ = ["entry", "export_network", "onnx_file"]

logger = logging.getLogger(__name__)

FORMAT = 1  # part of every entry's name; raised when the export changes
CHATTY = ("torch.onnx", "torch.export", "onnxscript", "onnx_ir")


def entry(network: nn.Module, setting: Setting, *, member: int = 0) -> Path | None:
    """The cache's folder for a network of an ensemble (or the only one); None without a cache.

    Its name covers the weights' hash, the network's options, the image's shape and the libraries that export.
    """
    folder = cache_folder()
    facts = {
        "format": FORMAT,
        "weights": setting.weights_hash,
        "member": member,
        "network": describe(network),
        "shape": setting.shape,
        "versions": {name: version(name) for name in ("torch", "onnx", "onnxscript")},
    }
    return None if folder is None else folder / digest(facts)


@contextmanager
def onnx_file(network: nn.Module, *, shape: Sequence[int], folder: Path | None) -> Iterator[Path]:
    """The network's ONNX file, for the time of the block; in ``folder`` it stays for the next time.

    Two processes that want the same file export it once. A damaged file is written anew. Where the folder
    cannot be written, the file lies in a temporary folder.

    Raises:
        ConfigError: the network cannot be exported.
        OutputError: there is no place for the file at all.
    """
    kept = None if folder is None else _kept(network, shape, folder)
    if kept is not None:
        yield kept
        return
    with tempfile.TemporaryDirectory() as scratch:
        path = Path(scratch) / "network.onnx"
        export_network(network, path, shape=shape)
        yield path


def export_network(network: nn.Module, path: Path, *, shape: Sequence[int]) -> None:
    """Write the evaluation mode of a network, in float32, to an ONNX file; the network itself stays as it is.

    Args:
        shape: of one image, (C, H, W[, D]); the batch is free.

    Raises:
        ConfigError: PyTorch's exporter does not know an operation of the network.
        OutputError: the file cannot be written.
    """
    evaluated = copy.deepcopy(network).to("cpu", torch.float32).eval()
    example = torch.zeros(2, *shape)  # of two: an axis of one would be taken for fixed
    try:
        with _quiet():
            program: Any = torch.onnx.export(
                evaluated,
                (example,),
                dynamo=True,
                verbose=False,
                input_names=["image"],
                output_names=["scores"],
                dynamic_shapes=({0: torch.export.Dim("batch")},),
            )
    except RuntimeError as error:  # the exporter's own errors are among them
        found = f"one that its exporter refuses ({type(error).__name__})"
        raise ConfigError(
            "a network that torch exports to ONNX", found=found, remedy="Use --backend torch."
        ) from error
    with atomic_path(path) as draft, _quiet():
        program.save(draft)


def _kept(network: nn.Module, shape: Sequence[int], folder: Path) -> Path | None:
    """The intact file in ``folder``, made if need be; None where that is impossible."""
    path = folder / "network.onnx"
    if _intact(path):
        return path
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with FileLock(folder / "export.lock"):
            if not _intact(path):
                _renew(network, path, shape)
    except (OutputError, OSError):
        logger.warning("the folder for exported networks cannot be written: the export is not kept")
        return None
    return path


def _renew(network: nn.Module, path: Path, shape: Sequence[int]) -> None:
    if path.exists():
        logger.warning("a stored export of the network is damaged and is made anew")
    else:
        logger.info("exporting the network, once for each checkpoint")
    export_network(network, path, shape=shape)
    write_facts(_note(path), {"sha256": file_hash(path)})


def _intact(path: Path) -> bool:
    """Whether file and note belong together: a note without its file, or the other way round, is a torn
    entry."""
    wanted = read_facts(_note(path)).get("sha256")
    return wanted is not None and path.is_file() and file_hash(path) == wanted


def _note(path: Path) -> Path:
    return path.with_suffix(".json")


@contextmanager
def _quiet() -> Iterator[None]:
    """Without the exporter's notes on its own passes; its errors come as exceptions."""
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
