"""``comparison.csv`` and ``comparison.md``."""

from __future__ import annotations

import csv
import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from pyraseg.pipeline.comparison.present.efficiency_text import lead, remarks
from pyraseg.pipeline.comparison.present.sections import sections
from pyraseg.pipeline.comparison.present.table import Table
from pyraseg.pipeline.comparison.present.wording import verdicts
from pyraseg.pipeline.comparison.statistics.efficiency import ArmEfficiency, Learned, Steps
from pyraseg.pipeline.comparison.statistics.results import Comparison
from pyraseg.pipeline.utils.files import atomic_write
from pyraseg.pipeline.writers.tables.csv_tables import neutralise
from pyraseg.pipeline.writers.tables.text import clean

__all__ = ["HEADINGS", "write_csv", "write_markdown"]

COLUMNS = (
    *("kind", "class", "metric", "arm", "against", "factor", "level", "mean", "low", "high", "median"),
    *(
        "median_low",
        "median_high",
        "sd_over_seeds",
        "wins",
        "ties",
        "losses",
        "effect",
        "p",
        "p_holm",
        "groups",
        "cases",
    ),
)
STEPS = "steps_to_90_percent"
HEADINGS = {
    "runs": "Runs",
    "configs": "Configs",
    "differences": "Differences",
    "arms": "Arms",
    "efficiency": "Training efficiency",
    "metrics": "Other metrics",
    "subgroups": "Subgroups",
    "calibration": "Calibration",
    "agreement": "Agreement of quantities",
    "worst": "Worst cases",
}

ORDER = (
    *(
        "differences",
        "arms",
        "efficiency",
        "configs",
        "metrics",
        "subgroups",
        "calibration",
        "agreement",
        "worst",
    ),
    "runs",
)


def write_csv(path: str | Path, comparison: Comparison) -> Path:
    """Write every number in long form, six decimals, a row for each estimate; ``kind`` says of what: ``arm``,
    ``run``, ``difference``, ``subgroup``, ``training``, ``training_run``, ``calibration``, ``bias``,
    ``lower_limit`` or ``upper_limit``. ``low`` and ``high`` of a ``training`` are the least and the most of
    its runs, and no interval.

    Raises:
        OutputError: the file cannot be written.
    """
    with atomic_write(path, "w") as file:
        table = csv.writer(file)
        table.writerow(COLUMNS)
        for row in _rows(comparison):
            table.writerow([_cell(row.get(name)) for name in COLUMNS])
    return Path(path)


def _rows(comparison: Comparison) -> Iterator[dict[str, Any]]:
    yield from _arms(comparison)
    yield from _differences(comparison)
    yield from _efficiency(comparison)
    yield from _calibrations(comparison)
    yield from _agreements(comparison)


def _arms(comparison: Comparison) -> Iterator[dict[str, Any]]:
    runs = {arm.name: arm.runs for arm in comparison.arms}
    for s in comparison.scores:
        shared = {
            "class": s.label,
            "metric": s.metric,
            "arm": s.arm,
            "groups": len(s.values),
            "cases": s.cases,
        }
        median = dict(
            zip(("median", "median_low", "median_high"), (s.median, *s.median_interval), strict=True)
        )
        yield {"kind": "arm", **shared, **_estimate(s.mean, s.interval), **median, "sd_over_seeds": s.seed_sd}
        for run, value in zip(runs[s.arm], s.seeds, strict=True):
            yield {"kind": "run", **shared, "factor": "run", "level": run.label, "mean": value}


def _differences(comparison: Comparison) -> Iterator[dict[str, Any]]:
    for d in comparison.differences:
        names = {"class": d.label, "metric": d.metric, "arm": d.arm, "against": d.against}
        counts = {"wins": d.wins, "ties": d.ties, "losses": d.losses, "groups": d.groups, "cases": d.cases}
        test = {"median": d.median, "effect": d.effect, "p": d.p, "p_holm": d.adjusted}
        yield {"kind": "difference", **names, **_estimate(d.mean, d.interval), **test, **counts}
    for g in comparison.subgroups:
        names = {"class": g.label, "metric": g.metric, "arm": g.arm, "against": g.against}
        part = {
            "factor": g.factor,
            "level": g.level.rpartition("\t")[2],
            "groups": g.groups,
            "cases": g.cases,
        }
        yield {"kind": "subgroup", **names, **part, **_estimate(g.difference, g.interval)}


def _efficiency(comparison: Comparison) -> Iterator[dict[str, Any]]:
    baseline = comparison.efficiency.baseline if math.isfinite(comparison.efficiency.target) else None
    for arm in comparison.efficiency.arms:
        yield from ({"kind": "training", "arm": arm.arm} | row for row in _training_rows(arm, baseline))
        for each in arm.runs:
            names = {"kind": "training_run", "arm": arm.arm, "factor": "run", "level": each.run.label}
            yield from (names | row for row in _training_run_rows(each, baseline))


def _training_rows(arm: ArmEfficiency, baseline: str | None) -> Iterator[dict[str, Any]]:
    """Steps are against the arm whose final sets the level; to a share of the own final, against none."""
    spread = (min(arm.finals), max(arm.finals))
    yield {"metric": "final_dice", **_estimate(arm.final, spread), "sd_over_seeds": arm.final_sd}
    yield {"metric": STEPS, **_reached(arm.own)}
    if baseline is not None:
        yield {"metric": STEPS, "against": baseline, **_reached(arm.target)}
    for name, (low, high) in (("validation_interval", arm.intervals), ("steps", arm.lengths)):
        yield {"metric": name, "low": low, "high": high}


def _reached(steps: Steps) -> dict[str, Any]:
    never = {"factor": "never", "level": f"{steps.never} of {steps.runs}"}
    return _estimate(steps.mean, (steps.least, steps.most)) | never


def _training_run_rows(each: Learned, baseline: str | None) -> Iterator[dict[str, Any]]:
    """Without a number where a level is never reached."""
    yield {"metric": "final_dice", "mean": each.curve.final}
    yield {"metric": STEPS, "mean": each.own}
    if baseline is not None:
        yield {"metric": STEPS, "against": baseline, "mean": each.target}
    yield {"metric": "validation_interval", "mean": each.curve.interval}
    yield {"metric": "steps", "mean": each.curve.length}


def _calibrations(comparison: Comparison) -> Iterator[dict[str, Any]]:
    """A row an arm, and a row for its difference to the first one."""
    for c in comparison.calibrations:
        names = {"kind": "calibration", "class": c.curve.name, "metric": "ece", "arm": c.arm}
        yield names | _estimate(c.error, c.interval)
        if math.isfinite(c.difference):
            yield (
                names | {"against": comparison.arms[0].name} | _estimate(c.difference, c.difference_interval)
            )


def _agreements(comparison: Comparison) -> Iterator[dict[str, Any]]:
    for each in comparison.agreements:
        a = each.agreement
        shared = {
            "class": each.quantity,
            "metric": each.unit,
            "arm": each.arm,
            "groups": a.groups,
            "cases": a.cases,
        }
        missed = {"factor": "missed", "level": f"{each.missed} of {each.missed + a.cases}"}
        yield {"kind": "bias", **shared, **missed, **_estimate(a.bias, a.bias_interval)}
        yield {"kind": "lower_limit", **shared, **_estimate(a.lower, a.lower_interval)}
        yield {"kind": "upper_limit", **shared, **_estimate(a.upper, a.upper_interval)}


def _estimate(value: float, interval: tuple[float, float]) -> dict[str, float]:
    return {"mean": value, "low": interval[0], "high": interval[1]}


def _cell(value: Any) -> Any:
    if isinstance(value, str):
        return neutralise(value)
    if isinstance(value, float):
        return f"{value:.6g}" if math.isfinite(value) else ""
    return "" if value is None else value


def write_markdown(path: str | Path, comparison: Comparison) -> Path:
    """Write the sentences and the tables as Markdown.

    Raises:
        OutputError: the file cannot be written.
    """
    with atomic_write(path, "w") as file:
        file.write("\n".join(_lines(comparison)) + "\n")
    return Path(path)


def _lines(comparison: Comparison) -> Iterator[str]:
    yield f"# Comparison: {_escaped(comparison.experiment)}"
    yield ""
    runs = sum(len(arm.runs) for arm in comparison.arms)
    measured = f"{comparison.cases} {_escaped(comparison.split)} cases of {comparison.groups} groups"
    yield f"{measured}, {len(comparison.arms)} arms, {runs} runs. Research use only."
    yield ""
    yield from (f"* {_escaped(sentence)}" for _, sentence in verdicts(comparison))
    if comparison.notes:
        yield ""
        yield from (f"> {_escaped(note)}  " for note in comparison.notes)
    found = sections(comparison)
    for name in ORDER:
        if found[name]:
            yield from ("", f"## {HEADINGS[name]}")
        if name == "efficiency":
            yield from ("", _escaped(lead(comparison.efficiency, split=comparison.split)), "")
            yield from (f"> {_escaped(remark)}  " for remark in remarks(comparison.efficiency))
        for table in found[name]:
            yield from _table(table, heading=HEADINGS[name])


def _table(table: Table, *, heading: str) -> Iterator[str]:
    yield ""
    if table.name and table.name != heading:
        yield from (f"### {table.name}", "")
    yield _row(table.columns)
    yield _row(
        ["---" if index < table.texts else "---:" for index in range(len(table.columns))], escape=False
    )
    yield from (_row(row) for row in table.rows)
    if table.note:
        yield from ("", table.note)


def _row(cells: Any, *, escape: bool = True) -> str:
    return f"| {' | '.join(_escaped(cell) if escape else cell for cell in cells)} |"


def _escaped(text: str) -> str:
    """Names are anybody's: no cell, link, emphasis or HTML begins in them."""
    plain = clean(text)
    for sign in "\\|*_`[]<>#$":
        plain = plain.replace(sign, f"\\{sign}")
    return plain
