"""A checkpoint's network in another program's format, once it gives torch's classes there."""

from __future__ import annotations

import io
import json
import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeAlias

import torch
from monai.data import save_net_with_metadata
from monai.transforms import ResizeWithPadOrCrop
from torch import Tensor, nn

from pyraseg.pipeline.datalist import find_images
from pyraseg.pipeline.delivery.info import EXPORT, one_checkpoint, stated_info
from pyraseg.pipeline.inference.backends.agreement import BAR, class_agreement, smooth_images
from pyraseg.pipeline.inference.backends.base import ExportedNetwork, Runtime, Setting
from pyraseg.pipeline.inference.backends.export import export_network
from pyraseg.pipeline.inference.backends.runtimes import ONNXRUNTIME, OPENVINO, import_openvino
from pyraseg.pipeline.networks import build_network, load_checkpoint
from pyraseg.pipeline.networks.export import export_program, free_dimensions
from pyraseg.pipeline.prediction.bundle import load_bundle, read_bundle
from pyraseg.pipeline.utils.environment import package_versions
from pyraseg.pipeline.utils.errors import unwrap_monai_errors
from pyraseg.pipeline.utils.files import atomic_folder, sha256_of
from pyraseg.pipeline.utils.without_paths import is_model_reference
from pyraseg.transforms.errors import ConfigError, PyrasegError, UsageError

__all__ = ["FORMATS", "export_checkpoint"]

logger = logging.getLogger(__name__)

IMAGES = 8  # of the user's, that are compared
STEP = 32  # pixels, by which the other size differs that a free size is tried with
Load: TypeAlias = Callable[[Path], Callable[[Tensor], Tensor]]


@dataclass(frozen=True)
class Format:
    """A way to write a network and to load it again.

    Attributes:
        file: its name in the export's folder.
        write: (network, an image (1, C, H, W[, D]), path) -> the dimensions that may differ from the image's.
        load: from a path and an image to a function from images to scores.
        runtime: the library that is needed, besides torch.
    """

    file: str
    write: Callable[[nn.Module, Tensor, Path], tuple[int, ...]]
    load: Callable[[Path, Tensor], Callable[[Tensor], Tensor]]
    runtime: Runtime | None = None


def export_checkpoint(
    checkpoint: str | Path,
    *,
    format: str,
    output: str | Path | None = None,
    bundle: str | Path | None = None,
    inputs: str | Path | None = None,
    tracking_uri: str | None = None,
) -> tuple[Path, dict[str, Any]]:
    """Write one network into a new folder, with what it takes as ``model.json``; all of it or nothing.

    Args:
        checkpoint: of a training of this project; it says itself what its network is.
        format: of `FORMATS`.
        output: the folder; None for one beside the checkpoint's file, such as ``model_onnx``.
        bundle, inputs: images of the user's to compare on (as `find_images`), and the bundle that prepares
            them, whose config is code; without them, generated images.
        tracking_uri: the MLflow store of a checkpoint's name there.

    Returns:
        The folder, and what ``model.json`` says.

    Raises:
        CheckpointError: it is none, says too little, or is several.
        ConfigError: the network cannot be exported, the library is not installed, or gives other classes than
            torch. OutputError: the folder is in use or cannot be written.
    """
    if (bundle is None) != (inputs is None):
        remedy = "Give both, or neither to compare on generated images."
        raise UsageError("--bundle and --inputs together", found="one of them", remedy=remedy)
    if output is None and is_model_reference(checkpoint):
        remedy = "Name one with --output."
        raise UsageError("a folder for a checkpoint from MLflow", found="none", remedy=remedy)
    path, chosen = one_checkpoint(checkpoint, tracking_uri=tracking_uri), FORMATS[format]
    if chosen.runtime is not None and not chosen.runtime.installed:
        remedy = f'Install it: pip install "{chosen.runtime.requirement}".'
        wanted = f"the library {chosen.runtime.name}, in which the export is tried"
        raise ConfigError(wanted, found="it is not installed", remedy=remedy)
    folder = path.with_name(f"{path.stem}_{format}") if output is None else Path(output)
    with atomic_folder(folder) as draft:
        facts = stated_info(path)
        network = _network(facts, path)
        shape = (facts["network"]["in_channels"], *facts["input_size"])
        images = smooth_images(shape) if bundle is None else _prepared(bundle, inputs, path, shape)
        free = _write(chosen, network, images[:1], draft / chosen.file, format)
        agreement = _compare(chosen, network, images, draft / chosen.file, free)
        record = {
            "format": format,
            "file": chosen.file,
            "sha256": {file.name: sha256_of(file) for file in sorted(draft.iterdir())},
            "checkpoint": facts,
            "input": {"name": "image", "dtype": "float32", "shape": _shape(shape, free)},
            "output": {
                "name": "pred",
                "dtype": "float32",
                "shape": _shape((len(facts["label_names"]), *shape[1:]), free),
            },
            "agreement": {"least": agreement, "images": len(images), "generated": bundle is None},
            "versions": package_versions(),
        }
        (draft / EXPORT).write_text(json.dumps(record, indent=1) + "\n", encoding="utf-8")
    return folder, record


def _network(facts: Mapping[str, Any], path: Path) -> nn.Module:
    """In evaluation mode, on the CPU, without the auxiliary head of the training."""
    own = {"aux": False, "out_channels": len(facts["label_names"])}
    network = build_network(**{**facts["network"], **own}).eval().requires_grad_(False)
    load_checkpoint(network, path)
    return network


def _prepared(bundle: str | Path, inputs: Any, path: Path, shape: tuple[int, ...]) -> Tensor:
    """The user's images as the network gets them, (B, C, H, W[, D]); of volumes their middle windows."""
    loaded = load_bundle(read_bundle(bundle), checkpoints=[path], device="cpu")
    kind = "volume" if loaded.volumes else "frame"
    found = find_images(inputs, kind=kind, reading=loaded.metadata.get("reading")).items[:IMAGES]
    window = ResizeWithPadOrCrop(shape[1:])
    with unwrap_monai_errors():
        images = [window(loaded.preprocessing(dict(item))["image"]) for item in found]
    return torch.stack([torch.as_tensor(image).as_subclass(Tensor).float() for image in images])


def _write(chosen: Format, network: nn.Module, image: Tensor, path: Path, name: str) -> tuple[int, ...]:
    try:
        return chosen.write(network, image, path)
    except (PyrasegError, OSError):
        raise
    except Exception as error:  # exporters raise what they like, of no common base class
        raise ConfigError(
            f"a network that can be written as {name}",
            found=f"one that its exporter refuses ({type(error).__name__})",
            remedy="Choose another --format.",
        ) from error


def _compare(chosen: Format, network: nn.Module, images: Tensor, path: Path, free: tuple[int, ...]) -> float:
    """The least share of pixels with torch's class, over single images, all together, and another size."""
    run = chosen.load(path, images[:1])
    batches = [*images.split(1), images]
    if len(free) > 1:
        larger = [images.shape[1], *(pixels + STEP for pixels in images.shape[2:])]
        batches.append(smooth_images(larger)[:1])
    with torch.inference_mode():
        least = min(class_agreement(run(batch), network(batch)) for batch in batches)
    if least < BAR:
        wanted = f"torch's class in {BAR:.1%} of the pixels"
        remedy = "Choose another --format; nothing was written."
        raise ConfigError(wanted, found=f"{least:.2%} by {path.name}", remedy=remedy)
    return least


def _shape(shape: tuple[int, ...], free: tuple[int, ...]) -> list[int]:
    """(B, C, H, W[, D]), -1 where it is free."""
    return [-1 if axis in free else size for axis, size in enumerate((1, *shape))]


def _write_pt2(network: nn.Module, image: Tensor, path: Path) -> tuple[int, ...]:
    program, _ = export_program(network, image)
    buffer = io.BytesIO()  # on a full disk torch's own writing ends the process
    torch.export.save(program, buffer)
    path.write_bytes(buffer.getvalue())
    return free_dimensions(program)


def _write_onnx(network: nn.Module, image: Tensor, path: Path) -> tuple[int, ...]:
    """Other sizes than the image's give no error in an ONNX file, but wrong places in its pooling: fixed."""
    export_network(network, path, shape=image.shape[1:], features=False)
    return (0,)


def _write_torchscript(network: nn.Module, image: Tensor, path: Path) -> tuple[int, ...]:
    """With MONAI's way of adding a name, for its ``load_net_with_metadata``."""
    buffer = io.BytesIO()  # as above
    save_net_with_metadata(torch.jit.script(network), buffer)
    path.write_bytes(buffer.getvalue())
    return (0, *range(2, image.dim()))


def _write_openvino(network: nn.Module, image: Tensor, path: Path) -> tuple[int, ...]:
    source = path.with_suffix(".onnx")
    free = _write_onnx(network, image, source)
    openvino = import_openvino()
    openvino.save_model(openvino.Core().read_model(source), path, compress_to_fp16=False)
    source.unlink()
    return free


def _load_runtime(runtime: Runtime) -> Callable[[Path, Tensor], Callable[[Tensor], Tensor]]:
    def load(path: Path, image: Tensor) -> Callable[[Tensor], Tensor]:
        setting = Setting(tuple(image.shape[1:]), "", None, threads=torch.get_num_threads())
        return ExportedNetwork(runtime.load(path, setting), setting.shape)

    return load


FORMATS = {
    "pt2": Format("model.pt2", _write_pt2, lambda path, _: torch.export.load(path).module()),
    "onnx": Format("model.onnx", _write_onnx, _load_runtime(ONNXRUNTIME), ONNXRUNTIME),
    "torchscript": Format("model.ts", _write_torchscript, lambda path, _: torch.jit.load(path)),
    "openvino": Format("model.xml", _write_openvino, _load_runtime(OPENVINO), OPENVINO),
}
