"""The bundles that come with the package."""

from __future__ import annotations

import difflib
import shutil
from importlib.util import find_spec
from pathlib import Path

from pyraseg.pipeline.utils.files import atomic_folder
from pyraseg.transforms.errors import ConfigError

__all__ = ["bundle_folders", "copy_bundle"]

# Outputs of runs in a source tree
OUTPUTS = shutil.ignore_patterns("__pycache__", "*.pt", "*.ts", "cache", "eval", "mlruns*", "pretrained")


def bundle_folders() -> dict[str, Path]:
    """The bundles' folders by name; ``importlib.resources`` fails on an editable install's placeholder."""
    spec = find_spec("pyraseg.bundles")
    folders = [] if spec is None else [Path(folder) for folder in spec.submodule_search_locations or []]
    entries = [entry for folder in folders if folder.is_dir() for entry in folder.iterdir()]
    return {entry.name: entry for entry in entries if (entry / "configs").is_dir()}


def copy_bundle(name: str, folder: str | Path) -> Path:
    """Copy the bundle ``name`` into the new folder ``folder``, without outputs of runs.

    Raises:
        ConfigError: there is no such bundle.
        OutputError: the folder is there already, or cannot be made.
    """
    folders = bundle_folders()
    names = sorted(folders)
    if name not in names:
        near = difflib.get_close_matches(name, names, n=1, cutoff=0.0)
        raise ConfigError(
            f"a bundle among {', '.join(names)}", found=repr(name), remedy=f"Did you mean {near[0]}?"
        )
    with atomic_folder(folder) as draft:
        shutil.copytree(folders[name], draft, ignore=OUTPUTS, dirs_exist_ok=True)
    return Path(folder)
