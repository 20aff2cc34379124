"""What a run's parameters and config may contain: everything but paths, which may hold names."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

__all__ = ["SPLITS", "safe_config", "safe_parameters", "split_record"]

HIDDEN = "<path>"
PARAMETER_LENGTH = 500  # the limit of MLflow servers of any version
PATH_NAMES = (
    "checkpoint",
    "datalist",
    "dir",
    "file",
    "folder",
    "image",
    "label",
    "path",
    "pretrained",
    "root",
    "uri",
)


def safe_parameters(parameters: Mapping[str, Any]) -> dict[str, str]:
    """Flatten to MLflow parameters, with every path replaced by ``<path>``."""
    safe: dict[str, str] = {}
    for key, value in parameters.items():
        if isinstance(value, Mapping):
            safe |= {f"{key}.{name}": inner for name, inner in safe_parameters(value).items()}
        else:
            safe[key] = HIDDEN if _names_path(key) or _is_path(value) else str(value)[:PARAMETER_LENGTH]
    return safe


def safe_config(config: Any, *, key: str = "") -> Any:
    """A config as plain values (mappings, lists, numbers, strings), its paths replaced by ``<path>``.

    Values of other types become text. References (``@id``) and expressions (``$...``) without a path stay.
    """
    if isinstance(config, Mapping):
        return {str(name): safe_config(value, key=str(name)) for name, value in config.items()}
    if _is_reference(config):
        return config
    if _names_path(key) and config is not None:
        return HIDDEN
    if isinstance(config, list | tuple):
        return [safe_config(value) for value in config]
    if _is_path(config):
        return HIDDEN
    return config if config is None or isinstance(config, bool | int | float | str) else str(config)


def _is_reference(value: Any) -> bool:
    """``'@output_dir'``: the id of a value, not the value."""
    return isinstance(value, str) and value.startswith("@") and value[1:].replace("::", "").isidentifier()


def _names_path(key: str) -> bool:
    """Whether a parameter's name stands for a path or an address: ``DOE_JANE`` alone looks like neither."""
    return key.replace("::", ".").split(".")[-1].split("_")[-1].lower() in PATH_NAMES


def _is_path(value: Any) -> bool:
    if isinstance(value, list | tuple):
        return any(_is_path(entry) for entry in value)
    return isinstance(value, Path) or (isinstance(value, str) and any(sign in value for sign in "/\\~"))


SPLITS = ("training", "validation", "test")


def split_record(data: Any) -> dict[str, Any]:
    """The split of a ``Datalist``: its digest, the seed, and each split's groups with their cases.

    Names are the tables' keyed hashes, unless the datalist asks to keep the original ones.
    """
    return {"digest": data.digest, "seed": data.seed} | {name: _by_group(data.items(name)) for name in SPLITS}


def _by_group(items: list[Mapping[str, Any]]) -> dict[str, list[str]]:
    groups: dict[str, list[str]] = {}
    for item in items:
        groups.setdefault(str(item["group"]), []).append(str(item["case"]))
    return groups
