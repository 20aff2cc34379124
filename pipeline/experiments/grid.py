"""Read a grid file: axes with named settings, and the arms that their combinations make."""

from __future__ import annotations

import itertools
import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pyraseg.pipeline.experiments.experiment import RESERVED_IDS, overlay_files
from pyraseg.pipeline.utils.documents import DocumentError, parse_yaml, read_text
from pyraseg.transforms.errors import ConfigError
from pyraseg.transforms.io.limits import ARMS, CONFIG_BYTES

__all__ = ["RESERVED_BY_ARMS", "Arm", "read_grid"]

CONFIG = "config"  # the key of a setting's overlays
NAME = re.compile(r"[\w.+-]+")  # of folders and MLflow runs
SCIENTIFIC = re.compile(r"[+-]?\d+(\.\d*)?[eE][+-]?\d+")
RESERVED_BY_ARMS = RESERVED_IDS | {
    "seed": "Use --seeds.",
    "mlflow_run_id": "Leave it out; each step has its own.",
}
SAME_FOR_ALL = ("run_name", "experiment_name", "tracking_uri", "track")
RESERVED_IN_GRIDS = RESERVED_BY_ARMS | dict.fromkeys(SAME_FOR_ALL, "Set it for all arms, after a --.")


@dataclass(frozen=True)
class Arm:
    """One combination of settings.

    Attributes:
        name: ``attention=cbam,labels=soft``.
        overrides: of the bundle's configs, by id, as on MONAI's command line.
        overlays: config files on top of the training's.
    """

    name: str
    overrides: Mapping[str, str]
    overlays: tuple[Path, ...]


def read_grid(path: str | Path, *, bundle: str | Path) -> list[Arm]:
    """The arms of a grid: every combination of one setting from each axis; the first axis varies slowest.

    ::

        attention:
          none: {attention: none}
          cbam: {attention: cbam}
        labels:
          hard: {}
          soft: {config: soft_labels}       # configs/soft_labels.yaml of the bundle; a list for several

    Raises:
        ConfigError: the file is missing or has another form, an overlay is missing, an id is set by each
            step itself or by two axes, or two arms are equal.

    Example:
        >>> from tempfile import NamedTemporaryFile
        >>> with NamedTemporaryFile("w+", suffix=".yaml") as file:
        ...     _ = file.write("depth: {18: {depth: 18}, 50: {depth: 50}}")
        ...     file.flush()
        ...     arms = read_grid(file.name, bundle="bundles/us_hydronephrosis")
        >>> [(arm.name, arm.overrides) for arm in arms]
        [('depth=18', {'depth': '18'}), ('depth=50', {'depth': '50'})]
    """
    grid = _load(Path(path))
    if (number := math.prod(map(len, grid.values()))) > ARMS:
        found, remedy = f"{number} of them", "Leave out axes or settings; each arm is a training."
        raise ConfigError(f"at most {ARMS} arms", found=found, remedy=remedy, path=path)
    axes = [
        [_read_setting(f"{axis}={name}", content, Path(bundle)) for name, content in settings.items()]
        for axis, settings in grid.items()
    ]
    arms = [_combine(settings) for settings in itertools.product(*axes)]
    for arm, other in itertools.combinations(arms, 2):
        if (arm.overrides, arm.overlays) == (other.overrides, other.overlays):
            found = f"the same settings in {arm.name} and {other.name}"
            remedy = "Give each setting of an axis another content."
            raise ConfigError("arms that differ", found=found, remedy=remedy)
    return arms


def _load(path: Path) -> dict[str, dict[str, Any]]:
    try:
        content = parse_yaml(read_text(path, most=CONFIG_BYTES))
    except (OSError, DocumentError) as error:
        wanted, remedy = "a grid that can be read", "Name a YAML file with --grid."
        found = str(error) if isinstance(error, DocumentError) else type(error).__name__
        raise ConfigError(wanted, found=found, remedy=remedy, path=path) from error
    if not _is_named(content) or not all(map(_is_named, content.values())):
        wanted = "a grid of axes with named settings"
        remedy = "Write AXIS: {NAME: {ID: VALUE}, NAME: {config: OVERLAY}}; quote a name such as 'off'."
        raise ConfigError(wanted, found="another form", remedy=remedy, path=path)
    return {str(axis): {str(n): each for n, each in settings.items()} for axis, settings in content.items()}


def _is_named(content: Any) -> bool:
    """Whether it is a mapping with names fit for folders; YAML makes numbers of 18 and bools of ``off``."""
    if not isinstance(content, dict) or not content:
        return False
    return all(type(name) in (int, str) and NAME.fullmatch(str(name)) for name in content)


def _read_setting(name: str, content: Any, bundle: Path) -> Arm:
    if not isinstance(content, dict | None):
        remedy = "Write NAME: {ID: VALUE}, NAME: {config: OVERLAY} or NAME: {}."
        raise ConfigError("overrides or overlays as a setting", found=f"{name} with neither", remedy=remedy)
    overrides = dict(content or {})
    named = overrides.pop(CONFIG, [])
    for key in overrides:
        if key in RESERVED_IN_GRIDS:
            wanted, remedy = "settings of a network or its training", RESERVED_IN_GRIDS[key]
            raise ConfigError(wanted, found=f"{key} in {name}", remedy=remedy)
    overlays = [named] if isinstance(named, str) else named
    if not isinstance(overlays, list) or not all(isinstance(overlay, str) for overlay in overlays):
        remedy = f"Write {CONFIG}: OVERLAY, {CONFIG}: [OVERLAY, OVERLAY], or leave it out."
        raise ConfigError("overlays by name", found=f"{named} in {name}", remedy=remedy)
    words = {str(key): _word(value) for key, value in overrides.items()}
    return Arm(name, words, overlay_files(bundle, overlays))


def _word(value: Any) -> str:
    """A value as a word that MONAI's command line reads back as the same value.

    YAML reads ``1e-3`` as text (it wants ``1.0e-3``); MONAI's command line reads a number, as was meant. None
    becomes ``null``, which the bundle understands.
    """
    if isinstance(value, str) and SCIENTIFIC.fullmatch(value):
        return repr(float(value))
    return repr("null" if value is None else value)


def _combine(settings: Sequence[Arm]) -> Arm:
    overrides: dict[str, str] = {}
    for setting in settings:
        for key, value in setting.overrides.items():
            if key in overrides:
                remedy = "Make one axis of them."
                raise ConfigError("each id set by one axis", found=f"{key} in two", remedy=remedy)
            overrides[key] = value
    overlays = dict.fromkeys(overlay for setting in settings for overlay in setting.overlays)
    return Arm(",".join(setting.name for setting in settings), overrides, tuple(overlays))
