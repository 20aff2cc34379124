"""The tables of a comparison as text, for the page and for Markdown."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from pyraseg.pipeline.comparison.present.wording import (
    LEVEL,
    MINUS,
    NONE,
    directed,
    interval_text,
    number,
    p_text,
    pair,
    signed,
    spaced,
    steps_range,
    target_name,
)
from pyraseg.pipeline.comparison.statistics.efficiency import Efficiency, Steps
from pyraseg.pipeline.comparison.statistics.metrics import decimals, title
from pyraseg.pipeline.comparison.statistics.results import ArmScore, Comparison, Difference
from pyraseg.pipeline.comparison.statistics.tests import Interval
from pyraseg.pipeline.evaluation.calibration import TOP
from pyraseg.pipeline.writers.tables.text import shown_unit

__all__ = ["HEADINGS", "Table", "difference_cells", "efficiency_tables", "sections"]

HEADINGS = {
    "runs": "Runs",
    "configs": "Configs",
    "differences": "Differences",
    "arms": "Arms",
    "points": "Operating points",
    "efficiency": "Training efficiency",
    "metrics": "Other metrics",
    "subgroups": "Subgroups",
    "calibration": "Calibration",
    "agreement": "Agreement of quantities",
    "worst": "Worst cases",
}
INTERVAL = "95 % interval"
DICE = decimals("dice")
NEVER = "never"
LONGEST = 120  # letters of a setting
WIDE = 6  # of more arms each is a row of settings instead of a column


@dataclass(frozen=True)
class Table:
    """Columns, rows and a note below. The first ``texts`` columns hold words, the others numbers."""

    name: str
    columns: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    texts: int = 1
    note: str = ""


def sections(comparison: Comparison) -> dict[str, list[Table]]:
    """All tables under their headings; tables without rows are left out."""
    tested = comparison.metrics
    others = [metric for metric in dict.fromkeys(s.metric for s in comparison.scores) if metric not in tested]
    tables = {
        "runs": [_runs(comparison), Table("Left out", ("run", "reason"), comparison.left_out, texts=2)],
        "configs": list(_configs(comparison)),
        "differences": [_differences(comparison)],
        "arms": [_arms(comparison, tested, "Tested metrics")],
        "points": [_points(comparison)],
        "efficiency": efficiency_tables(comparison.efficiency),
        "metrics": [_arms(comparison, others, "")],
        "subgroups": [_subgroups(comparison)],
        "calibration": [_calibration(comparison)],
        "agreement": [_agreement(comparison)],
        "worst": [_worst(comparison)],
    }
    return {name: [table for table in each if table.rows] for name, each in tables.items()}


def _runs(comparison: Comparison) -> Table:
    columns = ("arm", "run", "trained by", "seed", "run ID", "datalist", "training groups", "training frames")
    rows = tuple(
        (
            *(arm.name, run.name, run.trained_by or NONE, run.seed or NONE, run.run_id[:8]),
            *(run.data.digest[:8] or NONE, run.data.training_groups or NONE, run.data.frames or NONE),
        )
        for arm in comparison.arms
        for run in arm.runs
    )
    return Table("Runs", columns, rows, texts=6)


def _configs(comparison: Comparison) -> Iterator[Table]:
    rest = "All else is the same."
    if not all(arm.known for arm in comparison.arms):
        rest = "All else that is known is the same."
    yield _settings("What differs in the configs", comparison, comparison.settings, note=rest)
    name = "Code, versions and machine that differ (of each arm's first run)"
    yield _settings(name, comparison, comparison.surroundings)


def _settings(
    name: str, comparison: Comparison, settings: Mapping[str, Sequence[str]], *, note: str = ""
) -> Table:
    columns = ("id", *(arm.name for arm in comparison.arms))
    rows = tuple(
        (key, *(value if len(value) <= LONGEST else value[: LONGEST - 1] + "…" for value in values))
        for key, values in settings.items()
    )
    if len(comparison.arms) > WIDE and rows:
        columns, *turned = zip(("arm", *columns[1:]), *rows, strict=True)
        rows = tuple(turned)
    return Table(name, columns, rows, texts=len(columns), note=note)


def _differences(comparison: Comparison) -> Table:
    columns = (
        *("class", "metric", "arm minus arm", "mean", INTERVAL, "median"),
        *("win / tie / loss", "groups", "effect", "p", "p, Holm"),
    )
    tests = sum(math.isfinite(d.p) for d in comparison.differences)
    note = (
        "Over groups. A win is a group in which the first arm is better. Effect: matched-pairs rank-biserial "
        f"correlation. p: Wilcoxon signed-rank, two-sided; Holm's correction is over {tests} tests."
    )
    return Table("", columns, tuple(map(difference_cells, comparison.differences)), texts=3, note=note)


def difference_cells(d: Difference) -> tuple[str, ...]:
    """A row of the table of differences."""
    return (
        *(spaced(d.label), directed(d.metric), f"{d.arm} {MINUS} {d.against}"),
        *(signed(d.mean, d.metric), interval_text(d.interval, d.metric), signed(d.median, d.metric)),
        *(f"{d.wins} / {d.ties} / {d.losses}", str(d.groups)),
        *(number(d.effect, 2, sign=True), p_text(d.p), p_text(d.adjusted)),
    )


def _arms(comparison: Comparison, metrics: Sequence[str], name: str) -> Table:
    columns = (
        *("class", "metric", "arm", "mean", INTERVAL, "median", INTERVAL),
        *("groups", "cases", "SD over seeds", "each seed"),
    )
    keys = ((label, m, arm.name) for m in metrics for label in comparison.labels for arm in comparison.arms)
    rows = tuple(_arm_cells(score) for key in keys if (score := comparison.score(*key)) is not None)
    note = (
        "Each group's mean over its cases and the arm's runs; intervals from a bootstrap that draws groups."
    )
    return Table(name, columns, rows, texts=3, note=f"{note} Not tested." if not name else "")


def _arm_cells(score: ArmScore) -> tuple[str, ...]:
    digits = decimals(score.metric)
    return (
        *(spaced(score.label), directed(score.metric), score.arm),
        *_estimate(score.mean, score.interval, digits),
        *_estimate(score.median, score.median_interval, digits),
        *(str(len(score.values)), str(score.cases), number(score.seed_sd, digits)),
        ", ".join(number(value, digits) for value in score.seeds),
    )


def _estimate(value: float, interval: Interval, digits: int, *, sign: bool = False) -> tuple[str, str]:
    return number(value, digits, sign=sign), pair(interval, digits)


def _points(comparison: Comparison) -> Table:
    rates = {"missed ↓": "missed", "false alarms ↓": "false_alarms", "false lesions ↓": "false_lesions"}
    columns = ("class", "arm", "run", "taken to be there", *(f"{name} ({INTERVAL})" for name in rates))
    rows = tuple(
        (
            *(spaced(point.label), arm.name, run.label, point.point),
            *(f"{mean} ({interval})" for rate in (getattr(point, name) for name in rates.values())
              for mean, interval in [_estimate(rate.mean, (rate.low, rate.high), 3)]),
        )
        for label in comparison.labels
        for arm in comparison.arms
        for run in arm.runs
        for point in run.points
        if point.label == label
    )  # fmt: skip
    note = (
        "Shares of the cases that show the structure (in volumes: of its lesions) and of those that do not, "
        "and the number of false lesions in a volume, at the operating point that the run was measured with. "
        "Two arms at different points are different trades: neither share alone says which is better."
    )
    return Table("", columns, rows, texts=4, note=note)


def _subgroups(comparison: Comparison) -> Table:
    columns = ("class", "part", "arm minus arm", "means", "difference", INTERVAL, "groups", "cases")
    rows = tuple(
        (
            *(
                spaced(s.label),
                f"{s.factor}: {s.level.rpartition(chr(9))[2]}",
                f"{s.arm} {MINUS} {s.against}",
            ),
            " and ".join(number(value, decimals(s.metric)) for value in s.means),
            *_estimate(s.difference, s.interval, decimals(s.metric), sign=True),
            *(str(s.groups), str(s.cases)),
        )
        for s in comparison.subgroups
    )
    note = (
        "To see where a difference comes from; not tested. Sizes are the reference's, in thirds over groups."
    )
    return Table("", columns, rows, texts=3, note=f"{title(comparison.metrics[0])}. {note}")


def _calibration(comparison: Comparison) -> Table:
    first = comparison.arms[0].name
    columns = ("curve", "arm", "ECE", INTERVAL, f"minus {first}", INTERVAL, "each seed")
    order = list(dict.fromkeys(c.curve.name for c in comparison.calibrations))
    rows = tuple(
        (
            *("top label" if c.curve.name == TOP else spaced(c.curve.name), c.arm),
            *_estimate(c.error, c.interval, 4),
            *_estimate(c.difference, c.difference_interval, 4, sign=True),
            ", ".join(number(value, 4) for value in c.seeds),
        )
        for c in sorted(comparison.calibrations, key=lambda c: order.index(c.curve.name))
    )
    note = (
        "Expected calibration error over 15 bins, over groups, the mean over the runs of an arm. Not tested."
    )
    return Table("", columns, rows, texts=2, note=note)


def _agreement(comparison: Comparison) -> Table:
    columns = (
        *("quantity", "arm", "bias", INTERVAL, "lower limit", INTERVAL, "upper limit", INTERVAL),
        *("groups", "cases", "missed"),
    )
    rows = tuple(
        (
            *(", ".join(filter(None, (spaced(each.quantity), shown_unit(each.unit)))), each.arm),
            *_estimate(a.bias, a.bias_interval, 2, sign=True),
            *_estimate(a.lower, a.lower_interval, 2),
            *_estimate(a.upper, a.upper_interval, 2),
            *(str(a.groups), str(a.cases), str(each.missed)),
        )
        for each in comparison.agreements
        for a in [each.agreement]
    )
    note = (
        "Predicted minus reference: between the limits lie 95 % of the differences. A case counts once a "
        "run. Missed: the reference has the quantity and the prediction has not; these are not among the "
        "differences."
    )
    return Table("", columns, rows, texts=2, note=note)


def _worst(comparison: Comparison) -> Table:
    names, metric = [arm.name for arm in comparison.arms], comparison.metrics[0]
    rows = tuple(
        (spaced(w.label), w.arm, w.case, w.group, *(number(w.values[n], decimals(metric)) for n in names))
        for w in comparison.worst
    )
    note = f"{title(metric)}, the mean over each arm's runs; at most one case a group."
    return Table("", ("class", "worst of", "case", "group", *names), rows, texts=4, note=note)


def efficiency_tables(efficiency: Efficiency) -> list[Table]:
    """Tables of the arms, of each training, and of the runs without a curve."""
    known = math.isfinite(efficiency.target)
    levels = (f"steps to {LEVEL} of own final", f"steps to {target_name(efficiency)}")
    columns: tuple[str, ...] = (
        *("arm", "runs", "final Dice ↑", "SD over seeds"),
        *(column for level in levels for column in (f"{level} ↓", "min to max", NEVER)),
        *("validated every … steps", "steps in all"),
    )
    rows: tuple[tuple[str, ...], ...] = tuple(
        (
            *(arm.arm, str(len(arm.runs)), number(arm.final, DICE), number(arm.final_sd, DICE)),
            *_steps(arm.to_own_final),
            *(_steps(arm.to_target) if known else (NONE, NONE, NONE)),
            *(steps_range(arm.intervals), steps_range(arm.lengths)),
        )
        for arm in efficiency.arms
    )
    note = (
        "Steps of the optimiser before the first validation that reaches the level, the mean over the runs "
        "that do; “never” counts the others. A figure is right to the interval between validations: the "
        "level was reached in that interval or at its end. Final is the last validation, and not the best."
    )
    arms = Table("", columns, rows, texts=1, note=note)
    columns = (
        "arm",
        "training",
        "final Dice",
        *levels,
        "validations",
        "validated every … steps",
        "steps in all",
    )
    rows = tuple(
        (
            *(arm.arm, each.run.label, number(each.curve.final, DICE), _reached(each.to_own_final)),
            *(_reached(each.to_target) if known else NONE, str(len(each.curve.steps))),
            *(number(each.curve.interval, 0), number(each.curve.length, 0)),
        )
        for arm in efficiency.arms
        for each in arm.runs
    )
    left_out = Table("Without a curve", ("arm", "run", "reason"), efficiency.left_out, texts=3)
    return [arms, Table("Each training", columns, rows, texts=2), left_out]


def _steps(steps: Steps) -> tuple[str, str, str]:
    return number(steps.mean, 0), pair((steps.least, steps.most), 0), f"{steps.never} of {steps.runs}"


def _reached(steps: float) -> str:
    return number(steps, 0) if math.isfinite(steps) else NEVER
