"""A network as an MLflow model that loads without pickle: an exported graph (``.pt2``), a signature."""

from __future__ import annotations

import copy
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import mlflow.pytorch
import numpy as np
import torch
from mlflow.models import Model, ModelSignature
from mlflow.models.model import MLMODEL_FILE_NAME
from mlflow.types import Schema, TensorSpec
from torch import Tensor, nn

from pyraseg.pipeline.networks.export import export_program, free_dimensions

__all__ = ["save_model"]


def save_model(
    network: nn.Module, example: Tensor, *, folder: str | Path, facts: Mapping[str, Any] | None = None
) -> Path:
    """Write ``network`` in evaluation mode, on the CPU, as an MLflow model into the new ``folder``.

    The batch is free in the signature; so are height, width and depth where the graph allows it. Load it with
    ``mlflow.pytorch.load_model`` or ``mlflow.pyfunc.load_model``, also under
    ``MLFLOW_ALLOW_PICKLE_DESERIALIZATION=false``, or serve it with ``mlflow models serve``.

    Args:
        network: (B, C, H, W[, D]) -> (B, K, H, W[, D]); not changed.
        example: an input of the right shape. Only its shape and type are stored, no image.
        facts: plain values that a checkpoint says of itself, such as its labels; the model's metadata.

    Raises:
        RuntimeError, ValueError, TypeError: torch cannot export this network.
    """
    network = copy.deepcopy(getattr(network, "module", network)).cpu().eval().requires_grad_(False)
    network.to(memory_format=torch.contiguous_format)  # type: ignore[call-overload]  # missing in torch's annotations
    program, x = export_program(network, example)
    free = free_dimensions(program)
    with torch.no_grad():
        signature = ModelSignature(_schema(x, free), _schema(network(x), free))
    # MLflow would export the network again: it gets a stand-in, whose archive is then replaced
    mlflow.pytorch.save_model(
        nn.Identity(),
        str(folder),
        signature=signature,
        input_example=x.numpy(),
        metadata=dict(facts) if facts else None,
        serialization_format="pt2",
        pip_requirements=[f"torch=={torch.__version__.partition('+')[0]}", "numpy"],
    )
    (archive,) = Path(folder).rglob("*.pt2")
    torch.export.save(program, archive)
    _correct_record(Path(folder), archive)
    return Path(folder)


def _schema(x: Tensor, free: Sequence[int]) -> Any:
    """One tensor without a name: MLflow makes a mapping of a named one, which its torch flavour refuses."""
    shape = tuple(-1 if dim in free else size for dim, size in enumerate(x.shape))
    return Schema([TensorSpec(np.dtype("float32"), shape)])


def _correct_record(folder: Path, archive: Path) -> None:
    """Say how large the archive is, and that its weights want a CPU: MLflow asks for a GPU where one is."""
    model = Model.load(str(folder))
    model.model_size_bytes = archive.stat().st_size
    model.flavors["python_function"]["config"] = {"device": "cpu"}
    model.save(str(folder / MLMODEL_FILE_NAME))
