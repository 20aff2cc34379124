"""The file of a grid: axes with named settings, and the arms that their combinations make."""

from __future__ import annotations

import itertools
import re
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pyraseg.pipeline.experiments.monai_commands import OWN
from pyraseg.transforms.errors import ConfigError

__all__ = ["OWN_HERE", "Arm", "read_grid"]

CONFIG = "config"  # in a setting: its overlays
NAME = re.compile(r"[\w.+-]+")  # of folders and MLflow runs
SCIENTIFIC = re.compile(r"[+-]?\d+(\.\d*)?[eE][+-]?\d+")
OWN_HERE = OWN | {"seed": "Use --seeds.", "run_id": "Leave it out; each step has its own."}
COMMON = dict.fromkeys(
    ("run_name", "experiment_name", "tracking_uri", "track"), "Set it for all arms, after a --."
)


@dataclass(frozen=True)
class Arm:
    """One combination of settings.

    Attributes:
        name: ``attention=cbam,labels=soft``.
        overrides: of the bundle's configs, by id, as words of MONAI's command line.
        overlays: config files on top of the training's.
    """

    name: str
    overrides: Mapping[str, str]
    overlays: tuple[Path, ...]


def read_grid(path: str | Path, *, bundle: Path) -> list[Arm]:
    """The arms of a grid: every combination of one setting an axis, the first axis slowest.

    ::

        attention:
          none: {attention: none}
          cbam: {attention: cbam}
        labels:
          hard: {}
          soft: {config: soft_labels}       # configs/soft_labels.yaml of the bundle; a list for several

    Raises:
        ConfigError: no such file, another form, an overlay that is not there, an id that each step sets for
            itself or that two axes set, or arms that are the same.
    """
    axes = [
        [_setting(f"{axis}={name}", content, bundle) for name, content in settings.items()]
        for axis, settings in _load(Path(path)).items()
    ]
    arms = [_combine(combination) for combination in itertools.product(*axes)]
    twins = Counter((tuple(sorted(arm.overrides.items())), arm.overlays) for arm in arms)
    if max(twins.values()) > 1:
        same = [arm.name for arm in arms if twins[tuple(sorted(arm.overrides.items())), arm.overlays] > 1]
        remedy = "Give each setting of an axis another content."
        raise ConfigError(
            "arms that differ", found=f"the same settings in {' and '.join(same[:2])}", remedy=remedy
        )
    return arms


def _load(path: Path) -> dict[str, dict[str, Any]]:
    import yaml

    try:
        content = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        remedy = "Name a YAML file with --grid."
        raise ConfigError(
            "a grid that can be read", found=type(error).__name__, remedy=remedy, path=path
        ) from error
    if not _named(content) or not all(_named(settings) for settings in content.values()):
        remedy = "Write AXIS: {NAME: {ID: VALUE}, NAME: {config: OVERLAY}}; quote a name such as 'off'."
        raise ConfigError(
            "a grid of axes with named settings", found="another form", remedy=remedy, path=path
        )
    return {
        str(axis): {str(name): each for name, each in settings.items()} for axis, settings in content.items()
    }


def _named(content: Any) -> bool:
    """A mapping with names that may be folders; YAML makes a number of 18 and a truth value of ``off``."""
    if not isinstance(content, dict) or not content:
        return False
    return all(
        isinstance(n, str | int) and not isinstance(n, bool) and NAME.fullmatch(str(n)) for n in content
    )


def _setting(name: str, content: Any, bundle: Path) -> Arm:
    if not isinstance(content, dict | None):
        remedy = "Write NAME: {ID: VALUE}, NAME: {config: OVERLAY} or NAME: {}."
        raise ConfigError("overrides or overlays as a setting", found=f"{name} with neither", remedy=remedy)
    overrides = dict(content or {})
    named = overrides.pop(CONFIG, [])
    own = OWN_HERE | COMMON
    for key in overrides:
        if key in own:
            raise ConfigError(
                "settings of a network or its training", found=f"{key} in {name}", remedy=own[key]
            )
    overlays = [named] if isinstance(named, str) else named
    if not isinstance(overlays, list) or not all(isinstance(each, str) for each in overlays):
        remedy = f"Write {CONFIG}: OVERLAY, {CONFIG}: [OVERLAY, OVERLAY], or leave it out."
        raise ConfigError("overlays by name", found=f"{named} in {name}", remedy=remedy)
    return Arm(
        name,
        {str(k): _word(v) for k, v in overrides.items()},
        tuple(_overlay(bundle, each) for each in overlays),
    )


def _word(value: Any) -> str:
    """A value as MONAI's command line reads it back; nothing is a word there, which the bundle reads.

    ``1e-3`` is a number to whoever writes it and to MONAI's command line, but a word to YAML, which wants
    ``1.0e-3``.
    """
    if isinstance(value, str) and SCIENTIFIC.fullmatch(value):
        return repr(float(value))
    return repr("null" if value is None else value)


def _overlay(bundle: Path, name: str) -> Path:
    place = bundle / "configs" / f"{name}.yaml"
    if not place.is_file():
        known = ", ".join(sorted(path.stem for path in place.parent.glob("*.yaml")))
        raise ConfigError(
            f"an overlay among {known}", found=repr(name), remedy="Correct the grid.", path=place
        )
    return place


def _combine(settings: tuple[Arm, ...]) -> Arm:
    twice = [key for key, n in Counter(key for each in settings for key in each.overrides).items() if n > 1]
    if twice:
        raise ConfigError(
            "each id set by one axis", found=f"{twice[0]} in two", remedy="Make one axis of them."
        )
    overrides = {key: value for each in settings for key, value in each.overrides.items()}
    overlays = dict.fromkeys(overlay for each in settings for overlay in each.overlays)
    return Arm(",".join(each.name for each in settings), overrides, tuple(overlays))
