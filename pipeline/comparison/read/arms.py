"""Arms: runs that differ only in their seed, by their configs or as the user names them."""

from __future__ import annotations

import difflib
import json
import re
from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence

from pyraseg.pipeline.comparison.read.runs import Arm, Run
from pyraseg.pipeline.comparison.read.settings import differing
from pyraseg.transforms.errors import UsageError

__all__ = ["make_arms", "parse_arms"]

SEED = re.compile(r"[\s,;_.(-]*(?:(?<![^\W_])seed|\bs)[\s_=:-]*\d+\)?", re.IGNORECASE)
DATE = re.compile(r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d")
LONGEST = 60  # letters of a name made from settings
NAMING = 3  # settings that a name may list


def parse_arms(words: Iterable[str]) -> dict[str, list[str]]:
    """Parse ``["soft=a,b", "hard=c,d"]`` into names with the runs of each.

    Raises:
        UsageError: a word of another form, or an arm or a run named twice.
    """
    arms: dict[str, list[str]] = {}
    for word in words:
        name, _, runs = word.rpartition("=")
        members = [run.strip() for run in runs.split(",") if run.strip()]
        if not name or not members or name in arms:
            remedy = "Write --arms NAME=RUN,RUN NAME=RUN,RUN, each name once."
            raise UsageError("arms as NAME=RUN,RUN", found=repr(word), remedy=remedy)
        arms[name] = members
    counts = Counter(run for members in arms.values() for run in set(members))
    _refuse_twice(run for run, count in counts.items() if count > 1)
    return arms


def _refuse_twice(labels: Iterable[str]) -> None:
    for label in labels:
        raise UsageError("each run in one arm", found=f"{label!r} in two", remedy="Correct --arms.")


def make_arms(
    runs: Sequence[Run], *, named: dict[str, list[str]] | None = None, baseline: str | None = None
) -> list[Arm]:
    """Group runs into arms, in the order of the runs; the baseline comes first.

    Runs with the same settings form one arm; seeds, names, folders and the number of loading processes do
    not count. A run whose training is unknown is an arm by itself. Where two runs of an arm have the same
    seed but different training data, the data do not follow from the seed, and they divide the arm.

    Args:
        named: the names or IDs of the runs of each arm, instead of this rule.
        baseline: the name of the arm that comes first.

    Raises:
        UsageError: fewer than two arms, or no baseline of this name.
    """
    arms = _named(runs, named) if named else _alike(runs)
    if len(arms) < 2:
        raise UsageError(
            "at least two arms",
            found=f"one of {len(runs)} runs, which differ in nothing but seed, name and folders",
            remedy="Name others with --runs, or group them with --arms NAME=RUN,RUN NAME=RUN,RUN.",
        )
    if baseline is None:
        return arms
    names = [arm.name for arm in arms]
    if baseline not in names:
        near = difflib.get_close_matches(baseline, names, n=1, cutoff=0.0)
        raise UsageError("an arm as --baseline", found=repr(baseline), remedy=f"Did you mean {near[0]!r}?")
    return sorted(arms, key=lambda arm: arm.name != baseline)


def _named(runs: Sequence[Run], named: dict[str, list[str]]) -> list[Arm]:
    arms = [Arm(name, tuple(r for r in runs if r.names & set(members))) for name, members in named.items()]
    counts = Counter(run.run_id for arm in arms for run in arm.runs)
    _refuse_twice(run.label for run in runs if counts[run.run_id] > 1)
    return [arm for arm in arms if arm.runs]


def _alike(runs: Sequence[Run]) -> list[Arm]:
    alike: dict[str, list[Run]] = defaultdict(list)
    for run in runs:
        itself = "" if run.known else run.run_id
        alike[json.dumps([run.settings, itself, run.data.training_groups], sort_keys=True)].append(run)
    clusters = [part for cluster in alike.values() for part in _by_data(cluster)]
    return [Arm(name, tuple(cluster)) for name, cluster in zip(_names(clusters), clusters, strict=True)]


def _by_data(cluster: Sequence[Run]) -> list[list[Run]]:
    digests: dict[str, set[str]] = defaultdict(set)
    for run in cluster:
        digests[run.seed].add(run.data.digest)
    if all(len(each) == 1 for each in digests.values()):
        return [list(cluster)]
    parts: dict[str, list[Run]] = defaultdict(list)
    for run in cluster:
        parts[run.data.digest].append(run)
    return list(parts.values())


def _names(clusters: Sequence[Sequence[Run]]) -> list[str]:
    """The common name of the runs without the seed; else the settings that differ; else a number."""
    by_run = [_common_name(cluster) for cluster in clusters]
    if all(by_run) and len(set(by_run)) == len(by_run):
        return by_run
    rows = differing([cluster[0].settings for cluster in clusters])
    if 0 < len(rows) <= NAMING:
        by_settings = [
            ", ".join(f"{key.rpartition('::')[2]} {values[i]}" for key, values in rows.items())
            for i in range(len(clusters))
        ]
        if len(set(by_settings)) == len(by_settings) and max(map(len, by_settings)) <= LONGEST:
            return by_settings
    return [f"arm {index}" for index in range(1, len(clusters) + 1)]


def _common_name(cluster: Sequence[Run]) -> str:
    names = {SEED.sub("", run.trained_by or run.name).strip(" ,;_-") for run in cluster}
    (name, *others) = sorted(names)
    return "" if others or DATE.fullmatch(name) else name
