"""What MONAI's bundle runner leaves out: typing errors in overrides stop the run, and errors end in one
sentence.

Bundle configs call these functions from their ``initialize`` list; users go on running plain
``python -m monai.bundle run``.
"""

from __future__ import annotations

import difflib
import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from types import FrameType
from typing import Any

from pyraseg.transforms.errors import ConfigError, UsageError

__all__ = [
    "calling_workflow",
    "known_overrides",
    "override_pairs",
    "plain_values",
    "read_flags",
    "refuse_unknown_ids",
    "require_known",
    "unknown_ids",
    "whole_config",
]

FLAGS = {"true": True, "false": False, "null": None}  # "none" is a value: of attention, of lr_decay
START = {"resume", "overwrite", "run_id", "parent_run_id"}


def refuse_unknown_ids() -> None:
    """Stop a bundle run whose command line overrides an id that none of its config files knows.

    MONAI adds an unknown override as a new entry that nothing reads: ``--max_epohcs 5`` trains with the
    default, and so does an option of an overlay that is not in ``--config_file``. To be called from a config
    expression; the parser is found in the ``ConfigWorkflow`` that evaluates it. A workflow made in Python
    does not say what files it was made of; there an id may be of any of the bundle's.

    Raises:
        ConfigError: with the nearest known id, or the config file that defines it, as its remedy.
    """
    workflow = calling_workflow()
    if workflow is None:
        return
    beside = sorted(Path(workflow.config_root_path).glob("*.yaml"))
    require_known(workflow.parser.config, _config_files_on_the_way() or beside, beside=beside)


def require_known(
    overrides: Mapping[str, Any], files: Sequence[Path], *, beside: Sequence[Path] = ()
) -> None:
    """Refuse overrides of ids that no config file defines.

    Args:
        overrides: by id, nested or spelt ``train::inferer``.
        files: the config files that are run.
        beside: others, to be named in the message where one of them defines the id.

    Raises:
        ConfigError: with the nearest known id, or the config file that defines it, as its remedy.
    """
    for unknown, known in unknown_ids(_nested(overrides), _layers(files)):
        *place, name = unknown.split("::")
        others = [
            file.name for file in beside if file not in files and known_overrides({unknown: None}, [file])
        ]
        near = difflib.get_close_matches(name, known, n=1, cutoff=0.5)
        remedy = (
            f"Did you mean --{'::'.join([*place, *near])}?" if near else f"Known ids: {', '.join(known)}."
        )
        raise ConfigError(
            "overrides of ids that the config files of this run define",
            found=f"--{unknown}",
            remedy=f"It is an id of {', '.join(others)}: name that in --config_file as well."
            if others
            else remedy,
        )


def known_overrides(overrides: Mapping[str, Any], files: Sequence[Path]) -> dict[str, Any]:
    """Those overrides whose ids one of the config files defines."""
    layers = _layers(files)
    return {
        name: value
        for name, value in overrides.items()
        if not any(unknown_ids(_nested({name: value}), layers))
    }


def unknown_ids(
    config: Mapping[str, Any], files: Iterable[Mapping[str, Any]]
) -> Iterator[tuple[str, list[str]]]:
    """Yield each id of ``config`` that none of ``files`` defines, with the ids that are known beside it.

    Arguments of a component (a mapping with ``_target_``) are not looked at: MONAI checks them against the
    signature.
    """
    layers = [_nested(file) for file in files if isinstance(file, Mapping)]
    known = {key for layer in layers for key in layer} | {"_meta_"}
    for key, value in config.items():
        if key not in known:
            yield key, sorted(known - {"_meta_"})
        elif isinstance(value, Mapping) and key != "_meta_" and "_target_" not in value:
            inner = [layer[key] for layer in layers if isinstance(layer.get(key), Mapping)]
            if inner and not any("_target_" in layer for layer in inner):
                yield from ((f"{key}::{name}", near) for name, near in unknown_ids(value, inner))


def override_pairs(words: Sequence[str]) -> dict[str, str]:
    """``["--depth", "18", "--aux=true"]`` as ``{"depth": "18", "aux": "true"}``.

    Raises:
        UsageError: a word that is no pair.
    """
    found: dict[str, str] = {}
    rest = list(words)
    while rest:
        name, equals, value = rest.pop(0).partition("=")
        if not name.startswith("--") or (not equals and not rest):
            remedy = "Write overrides as --NAME VALUE, behind the --."
            raise UsageError("overrides in pairs of a name and a value", found=repr(name), remedy=remedy)
        found[name.removeprefix("--")] = value if equals else rest.pop(0)
    return found


def read_flags() -> None:
    """Let ``--overwrite true`` mean what it says: MONAI's command line hands ``true`` and ``false`` on as
    words.

    To be the first expression of ``initialize``, before anything is resolved.
    """
    workflow = calling_workflow()
    if workflow is None:
        return
    for key, value in list(workflow.parser.config.items()):
        if isinstance(value, str) and value.lower() in FLAGS:
            workflow.parser.config[key] = FLAGS[value.lower()]
            workflow.parser.ref_resolver.reset()


def plain_values() -> dict[str, Any]:
    """The numbers, words and lists among the top-level ids of the bundle that is running, overrides included.

    These are a run's parameters. Components are left alone, and so are expressions that call something, and
    what says how this start differs from an earlier one of the same run.
    """
    workflow = calling_workflow()
    if workflow is None:
        return {}
    config = {key: value for key, value in workflow.parser.config.items() if key != "_meta_"}
    simple = [key for key, value in config.items() if not isinstance(value, Mapping) and not _calls(value)]
    values = {key: workflow.parser.get_parsed_content(key) for key in simple}
    return {key: value for key, value in values.items() if _is_plain(value) and key not in START}


def whole_config() -> dict[str, Any]:
    """Every id of the bundle that is running, overrides included: plain ones as their values, the rest as
    written."""
    workflow = calling_workflow()
    if workflow is None:
        return {}
    written = {key: value for key, value in workflow.parser.config.items() if key != "_meta_"}
    return written | plain_values()


def _calls(value: Any) -> bool:
    """An expression with a call, a component, or a list of them such as ``initialize``."""
    if isinstance(value, Mapping):
        return True
    if isinstance(value, list):
        return any(_calls(entry) or str(entry).startswith("$") for entry in value)
    return isinstance(value, str) and value.startswith("$") and "(" in value


def _is_plain(value: Any) -> bool:
    return isinstance(value, str | int | float | bool) or (
        isinstance(value, list) and all(map(_is_plain, value))
    )


def _nested(layer: Mapping[str, Any]) -> dict[str, Any]:
    """Spell out the ids of an overlay: ``{"+train::handlers": x}`` becomes ``{"train": {"handlers": x}}``."""
    spelt: dict[str, Any] = {}
    for key, value in layer.items():
        head, *rest = key.lstrip("+").replace("#", "::").split("::")
        if not rest:
            spelt[head] = value
            continue
        place = spelt[head] = dict(spelt[head]) if isinstance(spelt.get(head), Mapping) else {}
        for step in rest[:-1]:
            place = place.setdefault(step, {})
        place[rest[-1]] = value
    return spelt


def _layers(files: Iterable[Path]) -> list[Mapping[str, Any]]:
    """What each file defines, and the shared configs beneath it."""
    from pyraseg.pipeline.bundle.shared_config import shared_files

    own = [_load(file) for file in files]
    return [layer for config in own for layer in (*map(_load, shared_files(config)), config)]


def _load(file: Path) -> Mapping[str, Any]:
    from monai.bundle import ConfigParser

    return ConfigParser.load_config_file(str(file))


def _frames() -> Iterator[FrameType]:
    frame: FrameType | None = sys._getframe(1)
    while frame is not None:
        yield frame
        frame = frame.f_back


def calling_workflow() -> Any:
    """The ``ConfigWorkflow`` that is evaluating an expression; None outside of one.

    MONAI hands its parser to no expression, so it is looked up in the call stack.
    """
    from monai.bundle import ConfigWorkflow

    return next(
        (f.f_locals["self"] for f in _frames() if isinstance(f.f_locals.get("self"), ConfigWorkflow)), None
    )


def _config_files_on_the_way() -> list[Path]:
    """The config files named on the command line: they may lie outside the bundle."""
    named = next(
        (f.f_locals.get("config_file") for f in _frames() if f.f_code.co_name == "create_workflow"), None
    )
    return [Path(file) for file in ([named] if isinstance(named, str) else named or [])]
