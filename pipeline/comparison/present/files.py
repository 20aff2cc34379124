"""Write a comparison as ``comparison.csv``, for programs, and as ``comparison.md``, for people."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from pyraseg.pipeline.comparison.present.sections import HEADINGS, Table, sections
from pyraseg.pipeline.comparison.present.wording import in_short, lead, remarks, verdicts
from pyraseg.pipeline.comparison.statistics.efficiency import ArmEfficiency, Learned, Steps
from pyraseg.pipeline.comparison.statistics.results import Comparison
from pyraseg.pipeline.utils.files import atomic_write, write_rows
from pyraseg.pipeline.writers.tables.text import clean, neutralise

__all__ = ["write_csv", "write_markdown"]

COLUMNS = (
    *("kind", "class", "metric", "arm", "against", "factor", "level", "mean", "low", "high", "median"),
    *("median_low", "median_high", "sd_over_seeds", "wins", "ties", "losses", "effect", "p", "p_holm"),
    *("groups", "cases"),
)
STEPS = "steps_to_90_percent"
ORDER = (
    "differences",
    "arms",
    "points",
    "efficiency",
    "configs",
    "metrics",
    "subgroups",
    "calibration",
    "agreement",
    "worst",
)
Row = dict[str, Any]


def write_csv(path: str | Path, comparison: Comparison) -> Path:
    """Write every number in long form, six decimals, one row for each estimate.

    ``kind`` is ``arm``, ``run``, ``difference``, ``subgroup``, ``training``, ``training_run``,
    ``calibration``, ``bias``, ``lower_limit`` or ``upper_limit``. ``low`` and ``high`` of a ``training`` are
    the minimum and maximum over its runs, not an interval.

    Raises:
        OutputError: the file cannot be written.

    Example:
        >>> write_csv(f"{folder}/comparison.csv", comparison).name
        'comparison.csv'
    """
    parts = (_arms, _differences, _subgroups, _efficiency, _calibrations, _agreements)
    rows = (row for part in parts for row in part(comparison))
    return write_rows(path, COLUMNS, ([_cell(row.get(name)) for name in COLUMNS] for row in rows))


def _arms(comparison: Comparison) -> Iterator[Row]:
    runs = {arm.name: arm.runs for arm in comparison.arms}
    for s in comparison.scores:
        shared = {
            "class": s.label,
            "metric": s.metric,
            "arm": s.arm,
            "groups": len(s.values),
            "cases": s.cases,
        }
        low, high = s.median_interval
        median = {"median": s.median, "median_low": low, "median_high": high}
        yield {"kind": "arm", **shared, **_estimate(s.mean, s.interval), **median, "sd_over_seeds": s.seed_sd}
        for run, value in zip(runs[s.arm], s.seeds, strict=True):
            yield {"kind": "run", **shared, "factor": "run", "level": run.label, "mean": value}


def _differences(comparison: Comparison) -> Iterator[Row]:
    for d in comparison.differences:
        names = {"class": d.label, "metric": d.metric, "arm": d.arm, "against": d.against}
        counts = {"wins": d.wins, "ties": d.ties, "losses": d.losses, "groups": d.groups, "cases": d.cases}
        test = {"median": d.median, "effect": d.effect, "p": d.p, "p_holm": d.adjusted}
        yield {"kind": "difference", **names, **_estimate(d.mean, d.interval), **test, **counts}


def _subgroups(comparison: Comparison) -> Iterator[Row]:
    for g in comparison.subgroups:
        names = {"class": g.label, "metric": g.metric, "arm": g.arm, "against": g.against}
        part = {
            "factor": g.factor,
            "level": g.level.rpartition("\t")[2],
            "groups": g.groups,
            "cases": g.cases,
        }
        yield {"kind": "subgroup", **names, **part, **_estimate(g.difference, g.interval)}


def _efficiency(comparison: Comparison) -> Iterator[Row]:
    """The steps to the target name the arm that sets it; the steps to a share of its own final name none."""
    baseline = comparison.efficiency.baseline if math.isfinite(comparison.efficiency.target) else None
    for arm in comparison.efficiency.arms:
        yield from ({"kind": "training", "arm": arm.arm} | row for row in _of_arm(arm, baseline))
        for each in arm.runs:
            names = {"kind": "training_run", "arm": arm.arm, "factor": "run", "level": each.run.label}
            yield from (names | row for row in _of_training(each, baseline))


def _of_arm(arm: ArmEfficiency, baseline: str | None) -> Iterator[Row]:
    spread = (min(arm.finals), max(arm.finals))
    yield {"metric": "final_dice", **_estimate(arm.final, spread), "sd_over_seeds": arm.final_sd}
    yield {"metric": STEPS, **_reached(arm.to_own_final)}
    if baseline is not None:
        yield {"metric": STEPS, "against": baseline, **_reached(arm.to_target)}
    for name, (low, high) in (("validation_interval", arm.intervals), ("steps", arm.lengths)):
        yield {"metric": name, "low": low, "high": high}


def _reached(steps: Steps) -> Row:
    never = {"factor": "never", "level": f"{steps.never} of {steps.runs}"}
    return _estimate(steps.mean, (steps.least, steps.most)) | never


def _of_training(each: Learned, baseline: str | None) -> Iterator[Row]:
    """The number is empty where a level is never reached."""
    yield {"metric": "final_dice", "mean": each.curve.final}
    yield {"metric": STEPS, "mean": each.to_own_final}
    if baseline is not None:
        yield {"metric": STEPS, "against": baseline, "mean": each.to_target}
    yield {"metric": "validation_interval", "mean": each.curve.interval}
    yield {"metric": "steps", "mean": each.curve.length}


def _calibrations(comparison: Comparison) -> Iterator[Row]:
    """One row for each arm, and one for its difference to the first arm."""
    first = comparison.arms[0].name
    for c in comparison.calibrations:
        names = {"kind": "calibration", "class": c.curve.name, "metric": "ece", "arm": c.arm}
        yield names | _estimate(c.error, c.interval)
        if math.isfinite(c.difference):
            yield names | {"against": first} | _estimate(c.difference, c.difference_interval)


def _agreements(comparison: Comparison) -> Iterator[Row]:
    for each in comparison.agreements:
        a = each.agreement
        names = {
            "class": each.quantity,
            "metric": each.unit,
            "arm": each.arm,
            "groups": a.groups,
            "cases": a.cases,
        }
        missed = {"factor": "missed", "level": f"{each.missed} of {each.missed + a.cases}"}
        yield {"kind": "bias", **names, **missed, **_estimate(a.bias, a.bias_interval)}
        yield {"kind": "lower_limit", **names, **_estimate(a.lower, a.lower_interval)}
        yield {"kind": "upper_limit", **names, **_estimate(a.upper, a.upper_interval)}


def _estimate(value: float, interval: tuple[float, float]) -> Row:
    return {"mean": value, "low": interval[0], "high": interval[1]}


def _cell(value: Any) -> Any:
    if isinstance(value, str):
        return neutralise(value)
    if isinstance(value, float):
        return f"{value:.6g}" if math.isfinite(value) else ""
    return "" if value is None else value


def write_markdown(path: str | Path, comparison: Comparison) -> Path:
    """Write the sentences and tables as Markdown.

    Raises:
        OutputError: the file cannot be written.

    Example:
        >>> write_markdown(f"{folder}/comparison.md", comparison).name
        'comparison.md'
    """
    with atomic_write(path, "w") as file:
        file.writelines(f"{line}\n" for line in _lines(comparison))
    return Path(path)


def _lines(comparison: Comparison) -> Iterator[str]:
    yield f"# Comparison: {_escaped(comparison.experiment)}"
    yield ""
    runs = sum(len(arm.runs) for arm in comparison.arms)
    measured = f"{comparison.cases} {_escaped(comparison.split)} cases of {comparison.groups} groups"
    yield f"{measured}, {len(comparison.arms)} arms, {runs} runs. Research use only."
    for sentence in in_short(comparison):
        yield from ("", _escaped(sentence))
    yield ""
    yield from (f"* {_escaped(sentence)}" for _, sentence in verdicts(comparison))
    if comparison.notes:
        yield ""
        yield from (f"> {_escaped(note)}  " for note in comparison.notes)
    tables = sections(comparison)
    for name in (*ORDER, "runs"):
        if tables[name]:
            yield from ("", f"## {HEADINGS[name]}")
        if name == "efficiency":
            yield from ("", _escaped(lead(comparison.efficiency, split=comparison.split)), "")
            yield from (f"> {_escaped(remark)}  " for remark in remarks(comparison.efficiency))
        for table in tables[name]:
            yield from _table(table, heading=HEADINGS[name])


def _table(table: Table, *, heading: str) -> Iterator[str]:
    yield ""
    if table.name and table.name != heading:
        yield from (f"### {table.name}", "")
    numbers = len(table.columns) - table.texts
    yield _row(map(_escaped, table.columns))
    yield _row(["---"] * table.texts + ["---:"] * numbers)
    yield from (_row(map(_escaped, row)) for row in table.rows)
    if table.note:
        yield from ("", table.note)


def _row(cells: Iterable[str]) -> str:
    return f"| {' | '.join(cells)} |"


def _escaped(text: str) -> str:
    """Escape names, which come from users: no cell, link, emphasis or HTML begins in them."""
    plain = clean(text)
    for sign in "\\|*_`[]<>#$":
        plain = plain.replace(sign, f"\\{sign}")
    return plain
