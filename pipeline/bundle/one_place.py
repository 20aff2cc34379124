"""Values that stand in several places of a config, and the one id that they all follow.

A bundle writes ``max_epochs`` once and refers to it as ``@max_epochs``: in the trainer, in the schedule, in
the parameters of the run. Whoever overrides one of these places means the value itself.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from pyraseg.transforms.errors import ConfigError

__all__ = ["follow_one_place", "leaves", "nested_changes"]

# places that may differ from their id without a contradiction: what a run computes does not depend on it, or
# the place is one of several that stand for themselves
OWN = {"num_workers", "cache_dir", "device", "amp", "prob", "roi_size"}


def follow_one_place(config: dict[str, Any], layers: Sequence[Mapping[str, Any]]) -> bool:
    """Turn an override of a place that takes ``@name`` into one of ``name``; whether there was any.

    The place is nearer to what runs, so it goes before an override of ``name`` itself.

    Args:
        config: of the run, overrides included; changed.
        layers: what the bundle's files say, without overrides; the last one is all of them together.

    Raises:
        ConfigError: one of several places is overridden alone.
    """
    places: dict[str, dict[str, Any]] = defaultdict(dict)
    written = layers[-1]
    for key, value in (leaf for layer in layers for leaf in leaves(layer)):
        name = value[1:] if isinstance(value, str) and value.startswith("@") else ""
        if "::" in key and name in written and not isinstance(written[name], Mapping):
            places[name][key] = value
    changed = False
    for name, keys in places.items():
        now = {key: value for key, value in leaves(config) if key in keys}
        set_here = {k: v for k, v in now.items() if v != keys[k] and k.split("::")[-1] not in OWN}
        set_here = {k: v for k, v in set_here.items() if not str(v).startswith("@")}
        if not set_here:
            continue
        first, value = next(iter(set_here.items()))
        if set(set_here) != set(now) or any(other != value for other in set_here.values()):
            found, remedy = f"another for --{first}", f"Give --{name} instead."
            raise ConfigError(f"one value of {name}, wherever it is read", found=found, remedy=remedy)
        config[name], changed = value, True
        for key in set_here:
            _set(config, key, f"@{name}")
    return changed


def nested_changes(config: Mapping[str, Any], written: Mapping[str, Any]) -> dict[str, Any]:
    """The nested ids whose values are not those that the files have."""
    before = dict(leaves(written))
    return {k: v for k, v in leaves(config) if "::" in k and (k not in before or before[k] != v)}


def leaves(config: Any, key: str = "") -> Iterator[tuple[str, Any]]:
    """Every value that is no mapping and no list of mappings, under its id."""
    parts: Any = ()
    if isinstance(config, Mapping):
        parts = ((name, value) for name, value in config.items() if name != "_meta_")
    elif isinstance(config, list) and any(isinstance(entry, Mapping) for entry in config):
        parts = enumerate(config)
    else:
        yield key, config
    for name, value in parts:
        yield from leaves(value, f"{key}::{name}" if key else str(name))


def _set(config: Any, key: str, value: Any) -> None:
    *parents, last = key.split("::")
    for name in parents:
        config = config[int(name) if isinstance(config, list) else name]
    config[int(last) if isinstance(config, list) else last] = value
