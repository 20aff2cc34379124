"""The tables of a comparison as text, for the page and for Markdown alike."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence

from pyraseg.pipeline.comparison.present.efficiency_text import efficiency_tables
from pyraseg.pipeline.comparison.present.table import Table
from pyraseg.pipeline.comparison.present.wording import (
    MINUS,
    NONE,
    directed,
    interval_text,
    number,
    p_text,
    pair,
    signed,
    spaced,
)
from pyraseg.pipeline.comparison.statistics.metrics import decimals, title
from pyraseg.pipeline.comparison.statistics.results import ArmScore, Comparison, Difference
from pyraseg.pipeline.evaluation.calibration import TOP
from pyraseg.pipeline.writers.report.rows import shown_unit

__all__ = ["difference_rows", "sections"]


def sections(comparison: Comparison) -> dict[str, list[Table]]:
    """All tables by the heading that they stand under, those without a row left out."""
    found = {
        "runs": [_runs(comparison), _left_out(comparison)],
        "configs": [_settings(comparison), _surroundings(comparison)],
        "differences": [_differences(comparison)],
        "arms": [_arms(comparison, comparison.metrics, "Tested metrics")],
        "efficiency": efficiency_tables(comparison.efficiency),
        "metrics": [_arms(comparison, _others(comparison), "")],
        "subgroups": [_subgroups(comparison)],
        "calibration": [_calibration(comparison)],
        "agreement": [_agreement(comparison)],
        "worst": list(_worst(comparison)),
    }
    return {name: [table for table in tables if table.rows] for name, tables in found.items()}


def _runs(comparison: Comparison) -> Table:
    rows = tuple(
        (
            arm.name,
            run.name,
            run.trained_by or NONE,
            run.seed or NONE,
            run.run_id[:8],
            run.data.digest[:8] or NONE,
            run.data.training_groups or NONE,
            run.data.frames or NONE,
        )
        for arm in comparison.arms
        for run in arm.runs
    )
    columns = ("arm", "run", "trained by", "seed", "run ID", "datalist", "training groups", "training frames")
    return Table("Runs", columns, rows, texts=6)


def _left_out(comparison: Comparison) -> Table:
    return Table("Left out", ("run", "reason"), comparison.left_out, texts=2)


def _settings(comparison: Comparison) -> Table:
    names = tuple(arm.name for arm in comparison.arms)
    rows = tuple((key, *map(_short, values)) for key, values in comparison.settings.items())
    note = (
        "All else is the same."
        if all(arm.known for arm in comparison.arms)
        else "All else that is known is the same."
    )
    return Table("What differs in the configs", ("id", *names), rows, texts=1 + len(names), note=note)


def _surroundings(comparison: Comparison) -> Table:
    names = tuple(arm.name for arm in comparison.arms)
    rows = tuple((key, *map(_short, values)) for key, values in comparison.surroundings.items())
    return Table(
        "Code, versions and machine that differ (of each arm's first run)",
        ("id", *names),
        rows,
        texts=1 + len(names),
    )


def _short(value: str) -> str:
    return value if len(value) <= 120 else value[:119] + "…"


def _differences(comparison: Comparison) -> Table:
    columns = (
        "class",
        "metric",
        "arm minus arm",
        "mean",
        "95 % interval",
        "median",
        "win / tie / loss",
        "groups",
        "effect",
        "p",
        "p, Holm",
    )
    tests = sum(math.isfinite(d.p) for d in comparison.differences)
    note = (
        f"Over groups. A win is a group in which the first arm is better. Effect: matched-pairs rank-biserial "
        f"correlation. p: Wilcoxon signed-rank, two-sided; Holm's correction is over {tests} tests."
    )
    return Table("", columns, tuple(map(difference_rows, comparison.differences)), texts=3, note=note)


def difference_rows(d: Difference) -> tuple[str, ...]:
    """A row of the table of differences."""
    return (
        spaced(d.label),
        directed(d.metric),
        f"{d.arm} {MINUS} {d.against}",
        signed(d.mean, d.metric),
        interval_text(d.interval, d.metric),
        signed(d.median, d.metric),
        f"{d.wins} / {d.ties} / {d.losses}",
        str(d.groups),
        number(d.effect, 2, sign=True),
        p_text(d.p),
        p_text(d.adjusted),
    )


def _arms(comparison: Comparison, metrics: Sequence[str], name: str) -> Table:
    columns = (
        "class",
        "metric",
        "arm",
        "mean",
        "95 % interval",
        "median",
        "95 % interval",
        "groups",
        "cases",
        "SD over seeds",
        "each seed",
    )
    rows = tuple(
        _arm_row(score)
        for metric in metrics
        for label in comparison.labels
        for arm in comparison.arms
        if (score := comparison.score(label, metric, arm.name)) is not None
    )
    note = "Each group's mean over its cases and the arm's runs; intervals from a bootstrap that draws groups. Not tested."
    return Table(name, columns, rows, texts=3, note=note if not name else "")


def _arm_row(score: ArmScore) -> tuple[str, ...]:
    places = decimals(score.metric)
    return (
        spaced(score.label),
        directed(score.metric),
        score.arm,
        number(score.mean, places),
        interval_text(score.interval, score.metric),
        number(score.median, places),
        interval_text(score.median_interval, score.metric),
        str(len(score.values)),
        str(score.cases),
        number(score.seed_sd, places),
        ", ".join(number(value, places) for value in score.seeds),
    )


def _others(comparison: Comparison) -> list[str]:
    return [
        m for m in dict.fromkeys(score.metric for score in comparison.scores) if m not in comparison.metrics
    ]


def _subgroups(comparison: Comparison) -> Table:
    columns = ("class", "part", "arm minus arm", "means", "difference", "95 % interval", "groups", "cases")
    rows = tuple(
        (
            spaced(s.label),
            f"{s.factor}: {s.level.rpartition(chr(9))[2]}",
            f"{s.arm} {MINUS} {s.against}",
            " and ".join(number(value, decimals(s.metric)) for value in s.means),
            signed(s.difference, s.metric),
            interval_text(s.interval, s.metric),
            str(s.groups),
            str(s.cases),
        )
        for s in comparison.subgroups
    )
    note = (
        "To see where a difference comes from; not tested. Sizes are the reference's, in thirds over groups."
    )
    return Table("", columns, rows, texts=3, note=f"{title(comparison.metrics[0])}. {note}")


def _calibration(comparison: Comparison) -> Table:
    first = comparison.arms[0].name
    columns = ("curve", "arm", "ECE", "95 % interval", f"minus {first}", "95 % interval", "each seed")
    order = {
        curve: index
        for index, curve in enumerate(dict.fromkeys(c.curve.name for c in comparison.calibrations))
    }
    rows = tuple(
        (
            spaced(c.curve.name) if c.curve.name != TOP else "top label",
            c.arm,
            number(c.error, 4),
            pair(c.interval, 4),
            number(c.difference, 4, sign=True),
            pair(c.difference_interval, 4),
            ", ".join(number(value, 4) for value in c.seeds),
        )
        for c in sorted(comparison.calibrations, key=lambda c: order[c.curve.name])
    )
    note = (
        "Expected calibration error over 15 bins, over groups, the mean over the runs of an arm. Not tested."
    )
    return Table("", columns, rows, texts=2, note=note)


def _agreement(comparison: Comparison) -> Table:
    columns = (
        "quantity",
        "arm",
        "bias",
        "95 % interval",
        "lower limit",
        "95 % interval",
        "upper limit",
        "95 % interval",
        "groups",
        "cases",
        "missed",
    )
    rows = tuple(
        (
            ", ".join(filter(None, (spaced(a.quantity), shown_unit(a.unit)))),
            a.arm,
            number(a.agreement.bias, 2, sign=True),
            pair(a.agreement.bias_interval, 2),
            number(a.agreement.lower, 2),
            pair(a.agreement.lower_interval, 2),
            number(a.agreement.upper, 2),
            pair(a.agreement.upper_interval, 2),
            str(a.agreement.groups),
            str(a.agreement.cases),
            str(a.missed),
        )
        for a in comparison.agreements
    )
    note = (
        "Predicted minus reference: between the limits lie 95 % of the differences. A case counts once a run. Missed: "
        "the reference has the quantity and the prediction has not; these are not among the differences."
    )
    return Table("", columns, rows, texts=2, note=note)


def _worst(comparison: Comparison) -> Iterator[Table]:
    names = tuple(arm.name for arm in comparison.arms)
    metric = comparison.metrics[0]
    rows = tuple(
        (
            spaced(w.label),
            w.arm,
            w.case,
            w.group,
            *(number(w.values[name], decimals(metric)) for name in names),
        )
        for w in comparison.worst
    )
    note = f"{title(metric)}, the mean over each arm's runs; at most one case a group."
    yield Table("", ("class", "worst of", "case", "group", *names), rows, texts=4, note=note)
