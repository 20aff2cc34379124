"""MONAI's command for one step of a bundle, with the overrides that the step's config files know."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from pyraseg.pipeline.bundle.overrides import known_overrides, override_pairs
from pyraseg.transforms.errors import ConfigError

__all__ = ["EVALUATE", "OWN", "TRAIN", "config_files", "monai_command", "parse_overrides", "require_bundle"]

TRAIN, EVALUATE = ("train",), ("train", "evaluate")  # the configs of a training and of an evaluation
NEEDED = tuple(f"configs/{name}.yaml" for name in EVALUATE)
OWN = {  # ids that each step sets for itself, and the option that sets them all
    **dict.fromkeys(("dataset_dir", "datalist"), "Use the option of this name, before the --."),
    **dict.fromkeys(("output_dir", "overwrite", "checkpoint"), "Use --output, before the --."),
    **dict.fromkeys(("resume", "split", "parent_run_id"), "Leave it out; each step has its own."),
    **dict.fromkeys(("bundle_root", "config_file"), "Use --bundle, before the --."),
}


def require_bundle(folder: str | Path) -> Path:
    """The absolute path of a bundle that can be trained and evaluated.

    Raises:
        ConfigError: ``configs/train.yaml`` or ``configs/evaluate.yaml`` is not there.
    """
    bundle = Path(os.path.abspath(folder))
    if not all((bundle / name).is_file() for name in NEEDED):
        remedy = "Name the bundle's folder with --bundle."
        raise ConfigError(
            f"a bundle with {' and '.join(NEEDED)}", found="none there", remedy=remedy, path=bundle
        )
    return bundle


def parse_overrides(words: Sequence[str], *, own: Mapping[str, str] = OWN) -> dict[str, str]:
    """``["--depth", "18", "--aux=true"]`` as ``{"depth": "18", "aux": "true"}``.

    Args:
        own: ids that each step sets for itself, with what to do instead.

    Raises:
        UsageError: a word that is no pair.
        ConfigError: an id of ``own``.
    """
    found = override_pairs(words)
    for name in sorted(set(found) & set(own)):
        raise ConfigError("overrides that hold for every step", found=f"--{name}", remedy=own[name])
    return found


def config_files(bundle: Path, names: Sequence[str]) -> list[Path]:
    """``("train", "evaluate")`` as the bundle's files."""
    return [bundle / "configs" / f"{name}.yaml" for name in names]


def monai_command(
    run_id: str, files: Sequence[Path], *, overrides: Mapping[str, str], own: Mapping[str, object]
) -> list[str]:
    """``python -m monai.bundle run RUN_ID ...``.

    Args:
        files: the configs, the overlays last.
        overrides: by id as typed; those that ``files`` do not know are another step's and left out.
        own: what the step itself sets.
    """
    words = [
        sys.executable,
        "-m",
        "monai.bundle",
        "run",
        run_id,
        "--config_file",
        repr([str(file) for file in files]),
    ]
    return [*words, *_arguments(known_overrides(overrides, files), own)]


def _arguments(overrides: Mapping[str, str], own: Mapping[str, object]) -> Iterator[str]:
    """The user's overrides as typed; our own quoted, because MONAI's command line reads ``a, b`` as a
    tuple."""
    for key, value in {**overrides, **{key: repr(value) for key, value in own.items()}}.items():
        yield from (f"--{key}", value)
