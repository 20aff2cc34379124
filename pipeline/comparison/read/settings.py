"""The settings in a run's config that could change its result, flattened to text."""

from __future__ import annotations

import json
from collections.abc import Container, Iterator, Mapping, Sequence
from typing import Any

__all__ = ["EVALUATION", "differing", "flatten", "merged", "run_settings", "surroundings"]

EVALUATION = "evaluation: "  # before an id of the evaluation's config
# Where and under which name a run went; not what it did.
IGNORED = {
    *("bundle_root", "dataset_dir", "datalist", "output_dir", "cache_dir", "checkpoint", "weights"),
    *(
        "run_name",
        "run_id",
        "mlflow_run_id",
        "run_tags",
        "parent_run_id",
        "experiment_name",
        "tracking_uri",
        "track",
    ),
    *("store_network", "seed", "resume", "overwrite", "num_workers", "resamples"),
}
SURROUNDINGS = ("code.", "version.", "hardware.")
NOTHING = "–"
UNKNOWN = "unknown"


def flatten(config: Mapping[str, Any], *, prefix: str = "") -> Iterator[tuple[str, str]]:
    """Every value of a nested config under its id, ``train::dataloader::batch_size``, as text."""
    for key, value in config.items():
        if isinstance(value, Mapping) and value:
            yield from flatten(value, prefix=f"{prefix}{key}::")
        else:
            text = value if isinstance(value, str) else json.dumps(value, sort_keys=True, default=str)
            yield f"{prefix}{key}", text


def run_settings(training: Mapping[str, Any] | None, evaluation: Mapping[str, Any]) -> dict[str, str]:
    """The settings of a measured network: its training's, and its evaluation's with ``EVALUATION`` before.

    Args:
        training, evaluation: the configs as logged; no training where it is unknown.
    """
    of_training, of_evaluation = (
        flatten({key: value for key, value in (config or {}).items() if key not in IGNORED})
        for config in (training, evaluation)
    )
    return dict(of_training) | {f"{EVALUATION}{key}": value for key, value in of_evaluation}


def surroundings(params: Mapping[str, str]) -> dict[str, str]:
    """The parameters of a run that state code, versions and machine."""
    return {key: value for key, value in params.items() if key.startswith(SURROUNDINGS)}


def merged(settings: Sequence[Mapping[str, str]]) -> dict[str, str]:
    """The settings of an arm's runs; several values as ``18 or 50``, since a named arm may mix them."""
    keys = dict.fromkeys(key for each in settings for key in each)
    return {key: " or ".join(dict.fromkeys(each.get(key, NOTHING) for each in settings)) for key in keys}


def differing(
    settings: Sequence[Mapping[str, str]], *, unknown: Container[int] = ()
) -> dict[str, tuple[str, ...]]:
    """The ids whose values differ, each with its values in order.

    An id of the evaluation that repeats the training's value is left out.

    Args:
        unknown: indices of ``settings`` without a known training; their values are ``UNKNOWN``.
    """
    keys = dict.fromkeys(key for each in settings for key in each)
    rows = {
        key: tuple(
            UNKNOWN if index in unknown and not key.startswith(EVALUATION) else each.get(key, NOTHING)
            for index, each in enumerate(settings)
        )
        for key in keys
    }
    rows = {key: values for key, values in rows.items() if len({*values} - {UNKNOWN}) > 1}
    return {
        key: values
        for key, values in rows.items()
        if rows.get(key.removeprefix(EVALUATION)) != values or not key.startswith(EVALUATION)
    }
