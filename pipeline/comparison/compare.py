"""From runs to a comparison."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

import numpy as np

from pyraseg.pipeline.comparison.present.wording import spaced
from pyraseg.pipeline.comparison.read.arms import make_arms
from pyraseg.pipeline.comparison.read.checks import require_comparable
from pyraseg.pipeline.comparison.read.runs import Arm, LeftOut, Run
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
from pyraseg.pipeline.utils.groups import note_on_groups
from pyraseg.transforms.errors import UsageError

__all__ = ["RESAMPLES", "compare"]

RESAMPLES = 2000
PICTURED = 6  # cases
MOST_TESTS = 500  # 22 arms with two classes, all pairs; nobody reads a longer page
HANDFUL = 20  # with fewer groups a percentile interval is too narrow


def compare(
    runs: Sequence[Run],
    *,
    experiment: str = "",
    split: str = "test",
    metrics: Sequence[str] = ("dice",),
    arms: dict[str, list[str]] | None = None,
    baseline: str | None = None,
    factors: Mapping[str, Mapping[str, str]] | None = None,
    resamples: int = RESAMPLES,
    seed: int = 0,
    left_out: Sequence[LeftOut] = (),
) -> Comparison:
    """Compare arms: paired differences over groups, tested and corrected after Holm.

    Args:
        runs: from `read_runs`.
        experiment: its name, for the page.
        split: the split that the runs were measured on.
        metrics: the metrics to test; ``hd95`` stands for ``hd95_mm`` and ``hd95_px``.
        arms: the runs of each arm by name, instead of the rule of `make_arms`.
        baseline: compare the other arms with this one only.
        factors: further subgroups: by name, the level of each case or group.
        resamples, seed: of the bootstrap over groups.
        left_out: runs that are not compared, and why, for the page.

    Raises:
        UsageError: an unknown metric or baseline, fewer than two arms, or far too many.
        DatalistError, InputError: as `require_comparable`.

    >>> from pyraseg.pipeline.comparison import Run, compare, verdicts
    >>> def evaluated(name, dice):
    ...     columns = {"class": "kidney", "distance_unit": "px", "reference_pixels": "900", "missed": "0"}
    ...     columns |= {"predicted_pixels": "880", "area_error_pixels": "-20", "false_positive": "0"}
    ...     rows = [columns | {"case": f"c{i}", "group": f"p{i}", "dice": str(d)} for i, d in enumerate(dice)]
    ...     return Run(name, name, scores=rows, trained_by=name, settings={"attention": name})
    >>> cbam = evaluated("cbam", [0.91, 0.93, 0.90, 0.95, 0.94, 0.92])
    >>> none = evaluated("none", [0.81, 0.85, 0.84, 0.80, 0.86, 0.83])
    >>> comparison = compare([none, cbam], resamples=50)
    >>> [sentence for _, sentence in verdicts(comparison)]  # doctest: +ELLIPSIS
    ['kidney, Dice: “cbam” is better than “none”. cbam − none: +0.093 (95 % interval ...), 6 groups, p = ...']
    """
    require_comparable(runs, split=split)
    grouped = make_arms(runs, named=arms, baseline=baseline)
    table = ScoreTable.of(grouped, factors=factors)
    known = table.metrics()
    tested = choose(metrics, known)
    compared = pairs([arm.name for arm in grouped], baseline=baseline is not None)
    tests = len(compared) * len(table.labels) * len(tested)
    if tests > MOST_TESTS:
        raise UsageError(
            f"at most {MOST_TESTS} tests on one page",
            found=f"{tests} between {len(grouped)} arms",
            remedy="Choose runs with --runs, or compare all with one arm with --baseline.",
        )
    drawn = {"resamples": resamples, "seed": seed}
    _, sizes = np.unique(table.groups, return_counts=True)
    paired = differences(table, tested, compared, **drawn)
    in_arms = {run.run_id for arm in grouped for run in arm.runs}
    in_none = [(run.name, "it is in none of --arms") for run in runs if run.run_id not in in_arms]
    unknown = {index for index, arm in enumerate(grouped) if not arm.known}
    return Comparison(
        experiment,
        split,
        tuple(grouped),
        tuple(tested),
        table.labels,
        cases=len(table.cases),
        groups=len(sizes),
        **drawn,
        scores=tuple(summaries(table, [*tested, *(m for m in known if m not in tested)], **drawn)),
        differences=tuple(paired),
        efficiency=measure_efficiency(grouped),
        subgroups=tuple(subgroups(table, tested[0], compared, **drawn)),
        worst=tuple(worst_cases(table, tested[0])),
        agreements=tuple(agreements(grouped)),
        calibrations=tuple(calibrations(grouped, **drawn)),
        settings=differing([merged([run.settings for run in arm.runs]) for arm in grouped], unknown=unknown),
        surroundings=differing([arm.runs[0].surroundings for arm in grouped]),
        left_out=(*left_out, *in_none),
        notes=(
            *filter(None, [note_on_groups(set(table.groups.tolist()))]),
            *_notes_on_groups(len(sizes), largest=int(sizes.max()), cases=len(table.cases)),
            *_notes_on_arms(grouped),
            *_notes_on_classes(paired, groups=len(sizes)),
            *(
                f"“{name}” of --subgroups has more than {FEW_LEVELS} values among these cases, and makes no "
                "subgroups."
                for name in factors or ()
                if name not in table.factors
            ),
        ),
        most_different=tuple(most_different(table, tested[0], count=PICTURED)),
    )


def _notes_on_groups(groups: int, *, largest: int, cases: int) -> Iterator[str]:
    if groups < LEAST_GROUPS:
        fewer = f"Fewer than {LEAST_GROUPS} cannot be significant: there are no p-values."
        yield f"There are {groups} groups. {fewer}"
    if groups < HANDFUL:
        yield f"Of {groups} groups the intervals, which are percentiles of a bootstrap, are too narrow."
    if largest > max(cases / 4, 3 * cases / groups):
        yield f"One group holds {largest} of the {cases} cases; it weighs as much as any other group."


def _notes_on_arms(arms: Sequence[Arm]) -> Iterator[str]:
    if min(len(arm.runs) for arm in arms) == 1:
        yield (
            "An arm with a single run says how that network does and nothing of what another seed would have "
            "given: a difference between single runs may be one of seeds."
        )
    for arm in arms:
        seeds = [run.seed for run in arm.runs]
        if len(set(seeds)) < len(seeds) and all(seeds):
            yield (
                f"“{arm.name}” has several runs of one seed. What else they differ in is not in their "
                "configs, where paths are hidden; if they belong apart, say so with --arms."
            )
    if len({frozenset(run.data.digest for run in arm.runs) for arm in arms}) > 1:
        yield "The arms were trained on different data; the table of runs names the datalists' digests."
    if len({frozenset(run.seed for run in arm.runs) for arm in arms}) > 1:
        yield "The arms have different seeds, or different numbers of them."
    if not all(arm.known for arm in arms):
        yield (
            "The training of a run is unknown: this store holds none that finished with its checkpoint. "
            "Whether its config differs, and what data it has seen, cannot be told."
        )


def _notes_on_classes(paired: Sequence[Difference], *, groups: int) -> Iterator[str]:
    """Notes on classes that only few groups show, though there are enough groups."""
    least = {d.label: d.groups for d in sorted(paired, key=lambda d: -d.groups)}
    for label, number in least.items():
        if number < HANDFUL <= groups:
            yield (
                f"{spaced(label)} is measured in {number} of the {groups} groups: its intervals, which are "
                "percentiles of a bootstrap, are too narrow."
            )
