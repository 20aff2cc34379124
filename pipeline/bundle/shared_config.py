"""What all bundles have in common: configs of this package, which a bundle's own short ones extend.

A bundle's config names them, ``extends: [train.yaml]``, an overlay adds its own,
``+extends: [evaluate.yaml]``, and the first expression of ``initialize``, ``$shared_config.extend()``, puts
them beneath what the bundle and the command line say. MONAI's runner knows no such thing; users go on running
plain ``python -m monai.bundle run``.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from pyraseg.pipeline.bundle.overrides import calling_workflow, read_flags
from pyraseg.transforms.errors import ConfigError

__all__ = ["EXTENDS", "SHARED", "extend", "extend_parser", "extended", "shared_files"]

SHARED = Path(__file__).parents[1] / "configs"
EXTENDS = "extends"
ADDED = ("imports", "handlers")  # lists that are added to; every other list takes the shared one's place
PREPARATION = "preparation"


def extend() -> Any:
    """Put the shared configs beneath those of the bundle that is running and do what they ask for first.

    The first and only expression of a bundle's ``initialize``; ``preparation`` in the shared configs is the
    list that is run.

    Raises:
        ConfigError: a shared config that there is not.
    """
    workflow = calling_workflow()
    if workflow is None:
        return None
    extend_parser(workflow.parser)
    read_flags()
    return workflow.parser.get_parsed_content(PREPARATION)


def extend_parser(parser: Any) -> None:
    """Do so in a MONAI ``ConfigParser`` that no workflow runs, once everything is read that overrides.

    Raises:
        ConfigError: a shared config that there is not.
    """
    parser.set(config=extended(parser.config))
    parser.parse(reset=True)


def extended(config: Mapping[str, Any]) -> dict[str, Any]:
    """A bundle's config, overlays and overrides included, on top of the shared ones that it extends.

    Mappings are merged, id by id; a component of the bundle (with ``_target_``) takes the place of the shared
    one; ``imports`` and ``handlers`` are added to. A config that extends nothing stays as it is.
    """
    from monai.bundle import ConfigParser

    files = shared_files(config)
    if not files:
        return dict(config)
    written = {key: value for key, value in config.items() if key != EXTENDS}
    return _merged(ConfigParser.load_config_files([str(file) for file in files]), written)


def shared_files(config: Mapping[str, Any]) -> list[Path]:
    """The shared configs that a config, or an overlay by itself, extends.

    Raises:
        ConfigError: one that there is not.
    """
    names = [*_names(config.get(EXTENDS)), *_names(config.get(f"+{EXTENDS}"))]
    known = {file.name: file for file in sorted(SHARED.glob("*.yaml"))}
    if unknown := [name for name in names if name not in known]:
        remedy = f"There are {', '.join(known)}."
        raise ConfigError(f"shared configs under {EXTENDS}", found=f"{unknown[0]}", remedy=remedy)
    return [known[name] for name in dict.fromkeys(names)]


def _names(value: Any) -> Sequence[str]:
    return [value] if isinstance(value, str) else list(value or [])


def _merged(shared: Mapping[str, Any], own: Mapping[str, Any]) -> dict[str, Any]:
    merged = dict(shared)
    for key, value in own.items():
        there = merged.get(key)
        if isinstance(value, Mapping) and isinstance(there, Mapping) and "_target_" not in value:
            merged[key] = _merged(there, value)
        elif key in ADDED and isinstance(value, list) and isinstance(there, list):
            merged[key] = [*there, *(entry for entry in value if entry not in there)]
        else:
            merged[key] = value
    return merged
