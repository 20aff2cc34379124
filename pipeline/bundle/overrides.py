"""Overrides of a bundle's config: a typing error stops the run, and the run's parameters include them.

MONAI adds an unknown override as a new id that nothing reads, so ``--max_epohcs 5`` trains with the default.
A bundle's config therefore defines ``guard``, which checks before anything else; users go on running plain
``python -m monai.bundle run``.
"""

from __future__ import annotations

import difflib
import json
import re
import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from types import FrameType
from typing import Any

from monai.bundle import ConfigParser, ConfigWorkflow

from pyraseg.pipeline.bundle.one_place import follow_one_place, leaves, nested_changes
from pyraseg.pipeline.utils.devices import select_device
from pyraseg.pipeline.utils.errors import install_error_report
from pyraseg.pipeline.utils.without_paths import safe_parameters
from pyraseg.transforms.errors import CheckpointError, ConfigError, UsageError
from pyraseg.transforms.io.limits import SPACING_MM, spacing_fault

__all__ = [
    "FLAGS",
    "OverrideGuard",
    "exported_checkpoint",
    "known_overrides",
    "override_pairs",
    "require_known",
    "require_stated",
    "running_parser",
    "unknown_ids",
]

FLAGS = {"true": True, "false": False, "null": None}  # "none" is a value: of attention, of lr_decay
COUNTS = {"max_epochs", "val_interval", "batch_size", "accumulation_steps", "patches_per_volume"}
IPV6 = re.compile(r"\[[\da-f:.]+\]", re.IGNORECASE)  # in the address of a server
# how this start of a run differs from an earlier one
START = {"resume", "overwrite", "mlflow_run_id", "parent_run_id", "save_execute_config"}
# what a resumed training may have another value of: how long, where, under which name
RESUMED = {
    *("max_epochs", "patience", "num_workers", "device", "store_network", "track"),
    *("bundle_root", "dataset_dir", "datalist", "output_dir", "cache_dir", "tracking_uri"),
    *("experiment_name", "run_name", "run_tags"),
}
# ids of what comes after the last step: where they change, a resumed training makes it anew
AFTER = {"operating_point", "calibration"}


class OverrideGuard:
    """The ``guard`` of a bundle's config: checks the overrides and knows the config that runs.

    MONAI gives its parser to no component, so the guard finds the running ``ConfigWorkflow`` in the call
    stack when it is built. All other code gets the config from ``@guard``. Outside a workflow, as in a bare
    ``ConfigParser``, the guard is empty.

    Example:
        >>> OverrideGuard().parameters()
        {}
    """

    def __init__(self) -> None:
        frames = list(_frames())
        workflows = (frame.f_locals.get("self") for frame in frames)
        self._workflow = next((one for one in workflows if isinstance(one, ConfigWorkflow)), None)
        named = (f.f_locals.get("config_file") for f in frames if f.f_code.co_name == "create_workflow")
        files = next(named, None) or []
        self._files = [Path(file) for file in ([files] if isinstance(files, str) else files)]
        if self._workflow is not None:  # a changed config builds another guard, when these frames are gone
            self._files = self._workflow.__dict__.setdefault("config_files", self._files)
            _require_run_id(self._workflow)

    def check(self) -> None:
        """Read ``true``, ``false`` and ``null``; refuse typing errors and values that MONAI accepts silently.

        A workflow made in Python does not name its files: there an id may be of any of the bundle's.

        Raises:
            ConfigError: an override of an id that no config file of the run defines, or that nothing reads;
                the remedy is the nearest id, or the file that defines it. Or a probability outside [0, 1], a
                spacing that is not three lengths, volumes without a window.
            CheckpointError: another value than the checkpoint states.
            CheckpointError: another value than the checkpoint states.
        """
        if self._workflow is None:
            return
        parser = self._workflow.parser
        config, beside = parser.config, sorted(Path(self._workflow.config_root_path).glob("*.yaml"))
        if "is_not_rank0" in config:  # one of the ids that MONAI's own tracking brings along
            remedy = "Leave it out; --tracking_uri and --experiment_name say where to."
            raise ConfigError("MLflow runs as the bundle makes them", found="--tracking", remedy=remedy)
        require_known(config, self._files or beside, beside=beside)
        _require_whole(config)
        changed = _read_flags(config)
        layers = self._files or _complete(beside, config)
        written = _merged(layers)
        if follow_one_place(config, [*map(_load, layers[:1]), written]) or changed:
            parser.ref_resolver.reset()
        if self._files:
            _require_read(config, written)
        require_stated(parser, nested_changes(config, written))
        _require_ranges(config)
        if isinstance(config.get("device"), str) and not config["device"].startswith(("$", "@")):
            config["device"] = select_device(config["device"])
            parser.ref_resolver.reset()

    def parameters(self) -> dict[str, Any]:
        """The numbers, words and lists among the top-level ids, overrides included: a run's parameters.

        Components, expressions with calls, and options of this start alone (such as ``resume``) are left out.
        """
        if self._workflow is None:
            return {}
        parser = self._workflow.parser
        simple = [key for key, value in parser.config.items() if not _calls(value, parser.config)]
        values = {key: parser.get_parsed_content(key) for key in simple if key not in START}
        return {key: value for key, value in values.items() if _is_plain(value)}

    def settings(self) -> dict[str, str]:
        """What a resumed training must repeat: its parameters, and all nested ids that were overridden."""
        if self._workflow is None:
            return {}
        nested = nested_changes(self._workflow.parser.config, _merged(self._files)) if self._files else {}
        values = self.parameters() | nested
        other = [k for k in values if k.split("::")[-1] in RESUMED or k.split("::")[0] in AFTER]
        return safe_parameters({k: v for k, v in values.items() if k not in other})

    def config(self) -> dict[str, Any]:
        """Every id, overrides included: plain ones as their values, the rest as written."""
        if self._workflow is None:
            return {}
        written = {key: value for key, value in self._workflow.parser.config.items() if key != "_meta_"}
        return written | self.parameters()


def running_parser() -> ConfigParser | None:
    """The parser that is building the component which asks; None outside of one."""
    owners = (frame.f_locals.get("self") for frame in _frames())
    return next((one for one in owners if isinstance(one, ConfigParser)), None)


def exported_checkpoint() -> str | None:
    """The file whose weights MONAI's ``ckpt_export`` and the like load; they do not tell the config of it."""
    files = (frame.f_locals.get("ckpt_file_") for frame in _frames())
    return next((file for file in files if isinstance(file, str)), None)


def require_known(
    overrides: Mapping[str, Any], files: Sequence[Path], *, beside: Sequence[Path] = ()
) -> None:
    """Refuse overrides of ids that no config file defines.

    Args:
        overrides: by id, nested or written ``train::inferer``.
        files: the config files of the run.
        beside: other files; the message names the one that defines the id.

    Raises:
        ConfigError: the remedy is the nearest known id, or the config file that defines it.
    """
    for unknown, known in unknown_ids(overrides, map(_load, files)):
        *parents, name = unknown.split("::")
        others = [f.name for f in beside if f not in files and known_overrides({unknown: None}, [f])]
        overlays = [file.name for file in beside if file.stem == overrides.get(unknown)]
        if others:
            remedy = f"It is an id of {', '.join(others)}: name that in --config_file as well."
        elif overlays:
            remedy = f"Name {overlays[0]} in --config_file as well."
        elif near := difflib.get_close_matches(name, known, n=1, cutoff=0.5):
            remedy = f"Did you mean --{'::'.join([*parents, *near])}?"
        else:
            remedy = f"Known ids: {', '.join(known)}."
        wanted = "overrides of ids that the config files of this run define"
        raise ConfigError(wanted, found=f"--{unknown}", remedy=remedy)


def known_overrides(overrides: Mapping[str, Any], files: Sequence[Path]) -> dict[str, Any]:
    """The overrides whose ids one of the config files defines."""
    layers = [_load(file) for file in files]
    return {name: value for name, value in overrides.items() if not any(unknown_ids({name: value}, layers))}


def unknown_ids(
    config: Mapping[str, Any], files: Iterable[Mapping[str, Any]]
) -> Iterator[tuple[str, list[str]]]:
    """Yield each id of ``config`` that none of ``files`` defines, with its known siblings.

    Arguments of a component (a mapping with ``_target_``) are not checked: MONAI does so by the signature. An
    empty mapping takes any keys.
    """
    layers = [_nested(file) for file in files if isinstance(file, Mapping)]
    config = _nested(config)
    known = {key for layer in layers for key in layer} | {"_meta_"}
    for key, value in config.items():
        if key not in known:
            yield key, sorted(known - {"_meta_"})
        elif isinstance(value, Mapping) and key != "_meta_" and "_target_" not in value:
            inner = [layer[key] for layer in layers if isinstance(layer.get(key), Mapping) and layer[key]]
            if inner and not any("_target_" in layer for layer in inner):
                yield from ((f"{key}::{name}", near) for name, near in unknown_ids(value, inner))


def override_pairs(words: Sequence[str]) -> dict[str, str]:
    """``["--depth", "18", "--aux=true"]`` as ``{"depth": "18", "aux": "true"}``.

    Raises:
        UsageError: a word that is no pair.
    """
    pairs: dict[str, str] = {}
    rest = list(words)
    while rest:
        name, equals, value = rest.pop(0).partition("=")
        if not name.startswith("--") or (not equals and not rest):
            remedy = "Write overrides as --NAME VALUE, behind the --."
            raise UsageError("overrides in pairs of a name and a value", found=repr(name), remedy=remedy)
        pairs[name.removeprefix("--")] = value if equals else rest.pop(0)
    return pairs


def _require_run_id(workflow: ConfigWorkflow) -> None:
    """Refuse ``run training --run_id X``: MONAI would train in place of its checks, then miss ``X``."""
    if workflow.run_id not in workflow.parser and workflow.init_id in workflow.parser:
        install_error_report()
        remedy = (
            "The MLflow run to go on in is --mlflow_run_id; MONAI's --run_id is another word for training."
        )
        raise ConfigError("an id of the config to run", found=f"--run_id {workflow.run_id}", remedy=remedy)


def _require_read(config: Mapping[str, Any], written: Mapping[str, Any]) -> None:
    """Refuse the override of a top-level id that nothing refers to, such as a baseline's depth."""
    text = json.dumps([written, config], default=str)
    for key, value in config.items():
        plain = key in written and not isinstance(value, Mapping) and not isinstance(written[key], Mapping)
        if plain and value != written[key] and f"@{key}" not in text:
            remedy = f"Leave --{key} out: the network or the loss of this run has no such option."
            raise ConfigError("overrides that this run reads", found=f"--{key}", remedy=remedy)


def require_stated(parser: ConfigParser, changes: Mapping[str, Any]) -> None:
    """Refuse an override of what the checkpoint says itself: `trained` only fills in what it does not say.

    Raises:
        CheckpointError: with both values.
    """
    for key, value in changes.items():
        head, *names = key.replace("#", "::").split("::")
        if head != "trained" or names == ["checkpoint"]:
            continue
        told: Any = parser.get_parsed_content(head)["stated"]
        for name in names:
            told = told.get(name) if isinstance(told, Mapping) else None
        if told is not None and told != value:
            remedy = f"Leave --{key} out, or name a checkpoint that was trained so."
            raise CheckpointError(f"{told}, as the checkpoint says", found=f"--{key} {value}", remedy=remedy)


def _require_whole(config: Mapping[str, Any]) -> None:
    """Refuse values with ``#``, which MONAI has made ``::`` by now: paths to other places, other names."""
    for key, value in leaves(config):
        words = [
            word for word in (value if isinstance(value, list | tuple) else [value]) if isinstance(word, str)
        ]
        if any("::" in IPV6.sub("", word) for word in words if not word.startswith(("$", "@", "%"))):
            remedy = f"Give --{key} without it; a folder by a link whose path has none."
            raise ConfigError("values without #, which MONAI takes apart", found=f"--{key}", remedy=remedy)


def _require_ranges(config: Mapping[str, Any]) -> None:
    """Refuse values that MONAI accepts silently: it clamps a probability and divides by any spacing."""
    for key, value in config.items():
        if str(value).startswith(("$", "@")):
            continue  # an expression without a number yet
        if key.endswith("_probability"):
            wanted, valid = "a probability from 0 to 1", _is_number(value) and 0 <= value <= 1
        elif key == "spacing_mm":
            sides = value if isinstance(value, list | tuple) else ()
            wanted = f"a spacing of three lengths from {SPACING_MM[0]:g} to {SPACING_MM[1]:g} mm"
            valid = len(sides) == 3 and all(map(_is_number, sides)) and not spacing_fault(sides)
        elif key in COUNTS:
            wanted, valid = "a whole number from 1 on", type(value) is int and value >= 1
        elif key == "in_channels" and "spacing_mm" in config:
            wanted, valid = "one channel of a volume", value == 1
        else:
            continue
        if not valid:
            raise ConfigError(wanted, found=f"--{key} {value}", remedy=f"Correct --{key}.")


def _read_flags(config: dict[str, Any]) -> bool:
    """Convert the words ``true``, ``false`` and ``null``; return whether there were any."""
    changed = False
    for key, value in config.items():
        if isinstance(value, dict) and key != "_meta_":
            changed = _read_flags(value) or changed
        elif isinstance(value, str) and value.lower() in FLAGS:
            config[key], changed = FLAGS[value.lower()], True
    return changed


def _calls(value: Any, config: Mapping[str, Any]) -> bool:
    """Whether it is an expression with a call, a component, a list like ``run``, or a reference to one."""
    if isinstance(value, list):
        return any(_calls(entry, config) or str(entry).startswith("$") for entry in value)
    if isinstance(value, str) and value.startswith("@"):
        return _calls(config.get(value[1:]), config)
    return isinstance(value, Mapping) or (isinstance(value, str) and value.startswith("$") and "(" in value)


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _is_plain(value: Any) -> bool:
    return isinstance(value, str | int | float | bool) or (
        isinstance(value, list) and all(entry is None or _is_plain(entry) for entry in value)
    )


def _nested(layer: Mapping[str, Any]) -> dict[str, Any]:
    """Nest the ids of an overlay: ``{"+train::handlers": x}`` becomes ``{"train": {"handlers": x}}``."""
    spelt: dict[str, Any] = {}
    for key, value in layer.items():
        head, *rest = key.lstrip("+").replace("#", "::").split("::")
        if not rest:
            spelt[head] = value
            continue
        inner = spelt[head] = dict(spelt[head]) if isinstance(spelt.get(head), Mapping) else {}
        for step in rest[:-1]:
            inner = inner.setdefault(step, {})
        inner[rest[-1]] = value
    return spelt


def _load(file: Path) -> Mapping[str, Any]:
    return ConfigParser.load_config_file(str(file))


def _merged(files: Sequence[Path]) -> dict[str, Any]:
    return dict(ConfigParser.load_config_files([str(file) for file in files]))


def _complete(files: Sequence[Path], config: Mapping[str, Any]) -> list[Path]:
    """The complete configs, no overlays, of a workflow that was made in Python and does not name them."""
    return [file for file in files if "guard" in _load(file) and _load(file).keys() <= config.keys()]


def _frames() -> Iterator[FrameType]:
    frame: FrameType | None = sys._getframe(1)
    while frame is not None:
        yield frame
        frame = frame.f_back
