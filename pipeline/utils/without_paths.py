"""What a run's parameters and config may contain: everything but paths, which may hold names.

A path is replaced by what stands for it: a file by the SHA-256 of its content, as ``<file 9f86d0...>``, so
that two files of weights are two and a copy is the same; anything else by a keyed hash, ``<path 3a7bd3...>``.
"""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from functools import lru_cache
from pathlib import Path
from typing import Any

from pyraseg.pipeline.utils.files import sha256_of
from pyraseg.transforms.privacy import case_name

__all__ = ["PARAMETER_LENGTH", "is_model_reference", "safe_config", "safe_parameters"]

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
OTHER_NAMES = ("name", "names", "unit")  # "g/ml" and "kidney/left" are no paths
REFERENCE = re.compile(r"(?:models|runs):/[^/]")  # a model in MLflow, which is no path
LITERAL = re.compile(r"'[^']*'|\"[^\"]*\"")  # in an expression, where no path stands outside of quotes


def safe_parameters(parameters: Mapping[str, Any]) -> dict[str, str]:
    """Flatten to MLflow parameters, with every path replaced."""
    safe: dict[str, str] = {}
    for key, value in parameters.items():
        if isinstance(value, Mapping):
            safe |= {f"{key}.{name}": inner for name, inner in safe_parameters(value).items()}
        else:
            safe[key] = str(safe_config(value, key=key))[:PARAMETER_LENGTH]
    return safe


def safe_config(config: Any, *, key: str = "") -> Any:
    """A config as plain values (mappings, lists, numbers, strings), every path in it replaced.

    Values of other types become text. Of an expression (``$...``) only the texts in quotes can be paths;
    references (``@id``) stay.
    """
    if isinstance(config, Mapping):
        return {str(name): safe_config(value, key=str(name)) for name, value in config.items()}
    if isinstance(config, list | tuple):
        return [safe_config(value, key=key) for value in config]
    if isinstance(config, Path):
        return _stand_in(str(config))
    if isinstance(config, str):
        return _safe_text(config, key)
    return config if config is None or isinstance(config, bool | int | float) else str(config)


def is_model_reference(text: str | Path) -> bool:
    """Whether it names a model in MLflow and no file.

    >>> is_model_reference("models:/kidney@champion"), is_model_reference("models/model.pt")
    (True, False)
    """
    return REFERENCE.match(str(text)) is not None


def _safe_text(text: str, key: str) -> str:
    if text.startswith("$"):
        return LITERAL.sub(lambda found: repr(_safe_text(found[0][1:-1], key)), text)
    is_reference = text.startswith("@") and text[1:].replace("::", "").isidentifier()
    return _stand_in(text) if text and not is_reference and _is_path(text, key) else text


def _is_path(text: str, key: str) -> bool:
    """By the key's name, since ``DOE_JANE`` alone looks like no path, or by a separator."""
    if is_model_reference(text):
        return False
    kind = key.replace("::", ".").split(".")[-1].split("_")[-1].lower()
    if kind in OTHER_NAMES:
        return text.startswith(("/", "\\", "~"))
    return kind in PATH_NAMES or any(sign in text for sign in "/\\~")


def _stand_in(text: str) -> str:
    text = text.strip("'\"")  # as typed on a command line
    try:
        status = os.stat(text)
        if os.path.isfile(text):
            return f"<file {_content(text, status.st_size, status.st_mtime_ns)}>"
    except (OSError, ValueError):  # no such file, or no path that a system takes
        pass
    return f"<path {case_name(text if '://' in text else os.path.abspath(text))[1:]}>"


@lru_cache
def _content(path: str, size: int, modified_ns: int) -> str:
    """The SHA-256 of a file, computed once."""
    return sha256_of(path)
