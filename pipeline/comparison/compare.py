"""From runs to a comparison."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from pipeline.comparison.arms import make_arms
from pipeline.comparison.checks import require_comparable
from pipeline.comparison.efficiency import measure_efficiency
from pipeline.comparison.metrics import choose
from pipeline.comparison.reading import Found
from pipeline.comparison.records import Arm
from pipeline.comparison.reliability import agreements, calibrations
from pipeline.comparison.results import Comparison
from pipeline.comparison.score_table import ScoreTable
from pipeline.comparison.scores import (
    differences,
    most_different,
    pairs,
    subgroups,
    summaries,
    worst_cases,
)
from pipeline.comparison.settings import differing
from pipeline.comparison.statistics import LEAST_GROUPS

__all__ = ["RESAMPLES", "compare"]

RESAMPLES = 2000
PICTURED = 6  # cases
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
        UsageError: no such metric, fewer than two arms, no such baseline.
        DatalistError, InputError: as `require_comparable`.
    """
    require_comparable(found.runs, split=split)
    grouped = make_arms(found.runs, named=arms, baseline=baseline)
    table = ScoreTable.of(grouped, factors=factors)
    known = table.metrics()
    tested = choose(metrics, known)
    compared = pairs([arm.name for arm in grouped], baseline=baseline is not None)
    drawn = {"resamples": resamples, "seed": seed}
    _, sizes = np.unique(table.groups, return_counts=True)
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
        differences=tuple(differences(table, tested, compared, **drawn)),
        efficiency=measure_efficiency(grouped),
        subgroups=tuple(subgroups(table, tested[0], compared, **drawn)),
        worst=tuple(worst_cases(table, tested[0])),
        agreements=tuple(agreements(grouped)),
        calibrations=tuple(calibrations(grouped, **drawn)),
        settings=differing([arm.runs[0].settings for arm in grouped]),
        surroundings=differing([arm.runs[0].surroundings for arm in grouped]),
        left_out=found.left_out,
        notes=tuple(_notes(grouped, groups=len(sizes), largest=int(sizes.max()), cases=len(table.cases))),
        most_different=tuple(most_different(table, tested[0], count=PICTURED)),
    )


def _notes(arms: Sequence[Arm], *, groups: int, largest: int, cases: int) -> list[str]:
    notes = []
    if groups < LEAST_GROUPS:
        notes.append(
            f"There are {groups} groups. Fewer than {LEAST_GROUPS} cannot be significant: there are no p-values."
        )
    if groups < HANDFUL:
        notes.append(f"Of {groups} groups the intervals, which are percentiles of a bootstrap, are too narrow.")
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
        notes.append("The arms were trained on different data; the table of runs names the datalists' digests.")
    if len({frozenset(run.seed for run in arm.runs) for arm in arms}) > 1:
        notes.append("The arms have different seeds, or different numbers of them.")
    if any(not run.trained_by and not run.folder for arm in arms for run in arm.runs):
        notes.append("The training of a run is unknown: this store holds none with its checkpoint.")
    return notes
