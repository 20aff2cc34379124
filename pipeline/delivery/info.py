"""What a bundle, a checkpoint, an export, results or the installation are, in keys that stay.

The keys are documented in docs/handing-on.md. No value is a path, and none is of a patient.
"""

from __future__ import annotations

import math
import platform
from collections.abc import Callable, Mapping
from importlib import metadata
from pathlib import Path
from typing import Any

from packaging.requirements import Requirement

from pyraseg.pipeline.bundle.copy import bundle_folders
from pyraseg.pipeline.inference.trained import CALIBRATION, checkpoint_paths
from pyraseg.pipeline.networks.checkpoint import BEST, facts_of, find_state, read_checkpoint
from pyraseg.pipeline.prediction.bundle import METADATA, read_bundle
from pyraseg.pipeline.utils.documents import DocumentError, parse_json, read_text
from pyraseg.pipeline.utils.environment import code_state, hardware, package_versions
from pyraseg.pipeline.utils.files import sha256_of
from pyraseg.pipeline.utils.version import package_version
from pyraseg.pipeline.utils.without_paths import is_model_reference
from pyraseg.transforms.errors import CheckpointError, InputError

__all__ = ["EXPORT", "SUMMARY", "checkpoint_info", "describe", "one_checkpoint", "read_record", "stated_info"]

EXPORT = "model.json"  # what an export's network takes, beside it
MANIFEST, SUMMARY = "manifest.json", "summary.json"
STATED = ("label_names", "input_size", "network", "preprocessing")
TRAINING = ("data", "dataset_digest", "epoch", "best_metric", "run_id", "versions")
OF_BUNDLE = ("name", "version", "task", "description", "intended_use", "data_source")
OF_RESULTS = (
    *("bundle", "model", "weights_sha256", "operating_point", "trained_on", "counts", "options", "backend"),
    *("device", "versions", "started", "ended", "stopped"),
)
OF_EVALUATION = (
    *("evaluated", "cases", "groups", "mean_dice", "interval", "classes", "calibration", "operating_point"),
)


def describe(path: str | Path | None = None, *, tracking_uri: str | None = None) -> dict[str, Any]:
    """What lies at ``path``, as plain values; None: the installed package.

    Args:
        tracking_uri: the MLflow store of a checkpoint's name there; None: the default one.

    Returns:
        ``kind``, one of "installation", "bundle", "checkpoint", "ensemble", "export", "results" (of
        ``predict``) and "evaluation", and the keys of that kind.

    Raises:
        InputError: there is nothing, or nothing of a kind that is known.
        CheckpointError: a file that is no checkpoint. ConfigError: a bundle whose configs cannot be read.

    >>> import torch
    >>> from pyraseg.pipeline.networks.checkpoint import with_facts
    >>> path = getfixture("tmp_path") / "model.pt"
    >>> facts = {"label_names": ["background", "kidney"], "input_size": [64, 64]}
    >>> torch.save(with_facts(torch.nn.Linear(2, 2).state_dict(), facts), path)
    >>> found = describe(path)
    >>> found["kind"], found["label_names"], found["parameters"]
    ('checkpoint', ['background', 'kidney'], 6)
    """
    if path is None:
        return _plain(_installation())
    path = one_checkpoint(path, tracking_uri=tracking_uri) if is_model_reference(path) else Path(path)
    if path.is_file():
        return checkpoint_info(path)
    kinds: dict[str, Callable[[Path], dict[str, Any]]] = {
        METADATA: _bundle,
        EXPORT: lambda folder: {"kind": "export", **read_record(folder / EXPORT)},
        MANIFEST: lambda folder: _recorded("results", OF_RESULTS, folder / MANIFEST),
        SUMMARY: lambda folder: _recorded("evaluation", OF_EVALUATION, folder / SUMMARY),
    }
    for name, read in kinds.items():
        if (path / name).is_file():
            return _plain(read(path))
    try:
        members = [checkpoint_info(file) for file in checkpoint_paths(path)] if path.is_dir() else []
    except CheckpointError:
        if (path / BEST).is_file():
            raise
        members = []
    if not members:
        wanted = "a bundle, a checkpoint, an export, or results of predict or of an evaluation"
        found = "a folder with none of them" if path.is_dir() else "nothing of that name"
        raise InputError(wanted, found=found, remedy="Name its folder, or a checkpoint's file.", path=path)
    return members[0] if len(members) == 1 else {"kind": "ensemble", "members": members}


def checkpoint_info(path: Path) -> dict[str, Any]:
    """What a file of weights says of itself; none of its code runs.

    Raises:
        CheckpointError: it is no checkpoint, or a damaged one.
    """
    content = read_checkpoint(path)
    state, facts = find_state(content, path=path), facts_of(content)
    learnt = facts.get(CALIBRATION) or {}
    points = learnt.get("operating_point") or {}
    return _plain(
        {
            "kind": "checkpoint",
            "sha256": sha256_of(path),
            "parameters": sum(value.numel() for value in state.values() if value.is_floating_point()),
            **{name: facts.get(name) for name in STATED},
            "trained_on": {name: facts.get(name) for name in TRAINING},
            "operating_point": {
                name: {key: point.get(key) for key in ("threshold", "smallest", "met", "rule")}
                for name, point in points.items()
                if "rule" in point
            },
            "calibration": sorted(key for key in learnt if key not in (*STATED, "settings")),
        }
    )


def stated_info(path: Path) -> dict[str, Any]:
    """`checkpoint_info` of a file that says what its network is.

    Raises:
        CheckpointError: it is no checkpoint, or does not say so.
    """
    facts = checkpoint_info(path)
    if missing := [name for name in ("label_names", "input_size", "network") if not facts[name]]:
        raise CheckpointError(
            "a checkpoint that says what its network is",
            found=f"one without {', '.join(missing)}",
            remedy="Choose one that a training of this project wrote.",
            path=path,
        )
    return facts


def one_checkpoint(checkpoint: str | Path, **store: Any) -> Path:
    """The file of a single network, by its name, by that of its training's folder, or by that in MLflow.

    Args:
        store: where such names are, as `checkpoint_paths` has it.

    Raises:
        CheckpointError: there is none, or several.
    """
    paths = checkpoint_paths(checkpoint, **store)
    if len(paths) > 1:
        remedy = "Hand each on by itself; the mean of their probabilities is for whoever runs them."
        raise CheckpointError("one checkpoint", found=f"{len(paths)}", remedy=remedy, path=checkpoint)
    return paths[0]


def read_record(path: Path) -> dict[str, Any]:
    """A JSON file of one mapping.

    Raises:
        InputError: it cannot be read.
    """
    try:
        content = parse_json(read_text(path))
        if not isinstance(content, dict):
            raise DocumentError("one that is no mapping")
    except (DocumentError, OSError) as error:
        found = (
            str(error) if isinstance(error, DocumentError) else f"one that cannot be read ({error.strerror})"
        )
        remedy = "Copy it anew, or make the results again."
        raise InputError(
            f"a {path.name} as pyraseg writes it", found=found, remedy=remedy, path=path
        ) from error
    return content


def _recorded(kind: str, keys: tuple[str, ...], path: Path) -> dict[str, Any]:
    content = read_record(path)
    return {"kind": kind, **{key: content.get(key) for key in keys}}


def _bundle(folder: Path) -> dict[str, Any]:
    config = read_bundle(folder)
    declared, prediction = config.metadata, config.metadata.get("prediction") or {}
    weights = folder / "models" / BEST
    return {
        "kind": "bundle",
        **{name: declared.get(name) for name in OF_BUNDLE},
        "label_names": [segment.get("name") for segment in declared.get("segments", ())],
        "takes": {
            **{name: prediction.get(name) for name in ("unit", "modalities", "sop_classes", "leave_out")},
            "reading": declared.get("reading", {}),
            "network": (declared.get("network_data_format") or {}).get("inputs"),
        },
        "quantities": [quantity.get("name") for quantity in declared.get("quantities", ())],
        "operating_point": declared.get("operating_point", {}),
        "packages": declared.get("required_packages_version", {}),
        "checkpoint": checkpoint_info(weights) if weights.is_file() else None,
    }


def _installation() -> dict[str, Any]:
    return {
        "kind": "installation",
        "version": package_version(),
        "code": code_state(),
        "versions": {"python": platform.python_version(), **package_versions()},
        "extras": _extras(),
        "devices": hardware(),
        "bundles": sorted(bundle_folders()),
    }


def _extras() -> dict[str, bool]:
    """The optional parts of this package, and whether all that they need is installed."""
    try:
        own = metadata.metadata("pyraseg")
    except metadata.PackageNotFoundError:  # a source tree
        return {}
    needs = [Requirement(text) for text in own.get_all("Requires-Dist") or ()]

    def is_there(name: str) -> bool:
        try:
            metadata.distribution(name)
        except metadata.PackageNotFoundError:
            return False
        return True

    return {
        extra: all(
            is_there(need.name)
            for need in needs
            if need.marker
            and need.marker.evaluate({"extra": extra})
            and not need.marker.evaluate({"extra": ""})
        )
        for extra in own.get_all("Provides-Extra") or ()
    }


def _plain(value: Any) -> Any:
    """The value as JSON has it; what JSON has not, such as NaN or a tensor, is None."""
    if isinstance(value, Mapping):
        return {str(key): _plain(entry) for key, entry in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(entry) for entry in value]
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    return value if isinstance(value, str | int | bool) else None
