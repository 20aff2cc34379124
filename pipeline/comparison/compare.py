"""From runs to a comparison."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from pyraseg.pipeline.comparison.present.wording import spaced
from pyraseg.pipeline.comparison.read.arms import make_arms
from pyraseg.pipeline.comparison.read.checks import require_comparable
from pyraseg.pipeline.comparison.read.find_runs import Found
from pyraseg.pipeline.comparison.read.runs import Arm, Run
from pyraseg.pipeline.comparison.read.settings import differing, merged
from pyraseg.pipeline.comparison.statistics.efficiency import measure_efficiency
from pyraseg.pipeline.comparison.statistics.metrics import choose
from pyraseg.pipeline.comparison.statistics.reliability import agreements, calibrations
from pyraseg.pipeline.comparison.statistics.results import Comparison, Difference
from pyraseg.pipeline.comparison.statistics.score_table import FEW_LEVELS, ScoreTable
from pyraseg.pipeline.comparison.statistics.scores import (
    differences,
    most_different,
    pairs,
    subgroups,
    summaries,
    worst_cases,
)
from pyraseg.pipeline.comparison.statistics.tests import LEAST_GROUPS
from pyraseg.transforms.errors import UsageError

__all__ = ["RESAMPLES", "compare"]

RESAMPLES = 2000
PICTURED = 6  # cases
MOST_TESTS = 500  # as of 22 arms with two classes, each against each; nobody reads a page of more
HANDFUL = 20  # groups below which a percentile interval is too narrow


def compare(
    found: Found,
    *,
    experiment: str,
    split: str = "test",
    metrics: Sequence[str] = ("dice",),
    arms: dict[str, list[str]] | None = None,
    baseline: str | None = None,
    factors: Mapping[str, Mapping[str, str]] | None = None,
    resamples: int = RESAMPLES,
    seed: int = 0,
) -> Comparison:
    """Compare the arms that the runs form.

    Args:
        metrics: those to test; ``hd95`` stands for ``hd95_mm`` and ``hd95_px``.
        arms: the runs of each arm by name, instead of the rule of `make_arms`.
        baseline: compare the other arms with this one only.
        factors: further subgroups: for each name the level of a case or group.
        resamples, seed: of the bootstrap over groups.

    Raises:
        UsageError: no such metric, fewer than two arms, no such baseline, or so many arms that nobody reads
            it.
        DatalistError, InputError: as `require_comparable`.
    """
    require_comparable(found.runs, split=split)
    grouped = make_arms(found.runs, named=arms, baseline=baseline)
    table = ScoreTable.of(grouped, factors=factors)
    known = table.metrics()
    tested = choose(metrics, known)
    compared = pairs([arm.name for arm in grouped], baseline=baseline is not None)
    _require_few(len(compared) * len(table.labels) * len(tested), arms=len(grouped))
    drawn = {"resamples": resamples, "seed": seed}
    _, sizes = np.unique(table.groups, return_counts=True)
    paired = differences(table, tested, compared, **drawn)
    return Comparison(
        experiment,
        split,
        tuple(grouped),
        tuple(tested),
        table.labels,
        cases=len(table.cases),
        groups=len(sizes),
        largest_group=int(sizes.max()),
        **drawn,
        scores=tuple(summaries(table, [*tested, *(m for m in known if m not in tested)], **drawn)),
        differences=tuple(paired),
        efficiency=measure_efficiency(grouped),
        subgroups=tuple(subgroups(table, tested[0], compared, **drawn)),
        worst=tuple(worst_cases(table, tested[0])),
        agreements=tuple(agreements(grouped)),
        calibrations=tuple(calibrations(grouped, **drawn)),
        settings=_settings(grouped),
        surroundings=differing([arm.runs[0].surroundings for arm in grouped]),
        left_out=(*found.left_out, *_in_no_arm(found.runs, grouped)),
        notes=(
            *_notes(grouped, groups=len(sizes), largest=int(sizes.max()), cases=len(table.cases)),
            *_rare(paired, groups=len(sizes)),
            *_wide(factors or {}, table),
        ),
        most_different=tuple(most_different(table, tested[0], count=PICTURED)),
    )


def _require_few(tests: int, *, arms: int) -> None:
    if tests > MOST_TESTS:
        raise UsageError(
            f"at most {MOST_TESTS} tests on one page",
            found=f"{tests} between {arms} arms",
            remedy="Choose runs with --runs, or compare all with one arm with --baseline.",
        )


def _in_no_arm(runs: Sequence[Run], arms: Sequence[Arm]) -> list[tuple[str, str]]:
    chosen = {run.run_id for arm in arms for run in arm.runs}
    return [(run.name, "it is in none of --arms") for run in runs if run.run_id not in chosen]


def _rare(found: Sequence[Difference], *, groups: int) -> list[str]:
    """The classes that few groups show, where the groups as such are not few."""
    least = {d.label: d.groups for d in sorted(found, key=lambda d: -d.groups)}
    return [
        f"{spaced(label)} is measured in {number} of the {groups} groups: its intervals, which are percentiles of a "
        "bootstrap, are too narrow."
        for label, number in least.items()
        if number < HANDFUL <= groups
    ]


def _wide(factors: Mapping[str, Mapping[str, str]], table: ScoreTable) -> list[str]:
    return [
        f"“{name}” of --subgroups has more than {FEW_LEVELS} values among these cases, and makes no subgroups."
        for name in factors
        if name not in table.factors
    ]


def _settings(arms: Sequence[Arm]) -> dict[str, tuple[str, ...]]:
    """What differs between the arms; all of their runs count."""
    settings = [merged([run.settings for run in arm.runs]) for arm in arms]
    return differing(settings, unknown={index for index, arm in enumerate(arms) if not arm.known})


def _notes(arms: Sequence[Arm], *, groups: int, largest: int, cases: int) -> list[str]:
    notes = []
    if groups < LEAST_GROUPS:
        notes.append(
            f"There are {groups} groups. Fewer than {LEAST_GROUPS} cannot be significant: there are no p-values."
        )
    if groups < HANDFUL:
        notes.append(
            f"Of {groups} groups the intervals, which are percentiles of a bootstrap, are too narrow."
        )
    if largest > max(cases / 4, 3 * cases / groups):
        notes.append(f"One group holds {largest} of the {cases} cases; it weighs as much as any other group.")
    if min(len(arm.runs) for arm in arms) == 1:
        notes.append(
            "An arm with a single run says how that network does and nothing of what another seed would have given: a "
            "difference between single runs may be one of seeds."
        )
    notes += [
        f"“{arm.name}” has several runs of one seed. What else they differ in is not in their configs, where paths are "
        "hidden; if they belong apart, say so with --arms."
        for arm in arms
        if len({run.seed for run in arm.runs}) < len(arm.runs) and all(run.seed for run in arm.runs)
    ]
    digests = {frozenset(run.data.digest for run in arm.runs) for arm in arms}
    if len(digests) > 1:
        notes.append(
            "The arms were trained on different data; the table of runs names the datalists' digests."
        )
    if len({frozenset(run.seed for run in arm.runs) for arm in arms}) > 1:
        notes.append("The arms have different seeds, or different numbers of them.")
    if not all(arm.known for arm in arms):
        notes.append(
            "The training of a run is unknown: this store holds none that finished with its checkpoint. Whether its "
            "config differs, and what data it has seen, cannot be told."
        )
    return notes
