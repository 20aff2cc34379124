"""What a comparison says in sentences, and its numbers as one writes them."""

from __future__ import annotations

import math
from collections.abc import Iterator

from pyraseg.pipeline.comparison.statistics.metrics import decimals, higher_is_better, title
from pyraseg.pipeline.comparison.statistics.results import Comparison, Difference
from pyraseg.pipeline.comparison.statistics.tests import LEAST_GROUPS, Interval

__all__ = [
    "ALPHA",
    "MINUS",
    "NONE",
    "directed",
    "interval_text",
    "number",
    "p_text",
    "pair",
    "signed",
    "spaced",
    "verdicts",
]

ALPHA = 0.05
NONE = "–"
MINUS = "−"


def verdicts(comparison: Comparison) -> Iterator[tuple[str, str]]:
    """A sentence for each test, and what it says: "better", "none", "unclear" or "untested"."""
    for d in comparison.differences:
        yield _verdict(d)


def _verdict(d: Difference) -> tuple[str, str]:
    shown = p_text(d.adjusted)
    what, p = (
        f"{spaced(d.label)}, {title(d.metric)}",
        f"p {shown}" if shown.startswith("<") else f"p = {shown}",
    )
    arm, against, counted = f"“{d.arm}”", f"“{d.against}”", _counted(d)
    if not math.isfinite(d.p):
        return "untested", f"{what}: not tested, for there are fewer than {LEAST_GROUPS} groups. {counted}."
    if d.adjusted >= ALPHA:
        return "none", f"{what}: no difference of {arm} and {against} is shown. {counted}, {p}."
    if d.mean * d.effect <= 0:
        sides = "most groups point to one side and the mean to the other"
        return "unclear", f"{what}: {arm} and {against} differ, but {sides}. {counted}, {p}."
    if any(each * d.mean <= 0 for each in d.of_seeds):
        each = ", ".join(signed(value, d.metric) for value in d.of_seeds)
        sides = f"not to one side with every seed ({each}), so with others it may turn round"
        return "unclear", f"{what}: {arm} and {against} differ, but {sides}. {counted}, {p}."
    if (d.effect > 0) == higher_is_better(d.metric):
        return "better", f"{what}: {arm} is better than {against}. {counted}, {p}."
    return "better", f"{what}: {against} is better than {arm}. {_counted(d, turned=True)}, {p}."


def _counted(d: Difference, *, turned: bool = False) -> str:
    """The mean difference with its interval; turned round where the other arm is named first."""
    names, mean, (low, high) = (d.arm, d.against), d.mean, d.interval
    if turned:
        names, mean, low, high = (d.against, d.arm), -mean, -high, -low
    interval = f" (95 % interval {interval_text((low, high), d.metric)})" if math.isfinite(low) else ""
    return f"{names[0]} {MINUS} {names[1]}: {signed(mean, d.metric)}{interval}, {d.groups} groups"


def spaced(name: str) -> str:
    """A class or quantity as one writes it."""
    return name.replace("_", " ")


def directed(metric: str) -> str:
    """A metric with an arrow to where it is better."""
    return f"{title(metric)} {'↑' if higher_is_better(metric) else '↓'}"


def p_text(value: float) -> str:
    """A p-value as one writes it; a dash without a test."""
    if not math.isfinite(value):
        return NONE
    return "< 0.0001" if value < 0.0001 else f"{value:.4f}" if value < 0.01 else f"{value:.3f}"


def signed(value: float, metric: str) -> str:
    """A difference of a metric."""
    return number(value, decimals(metric), sign=True)


def interval_text(interval: Interval, metric: str) -> str:
    """An interval of a metric."""
    return pair(interval, decimals(metric))


def pair(interval: Interval, places: int) -> str:
    """An interval; a dash where there is none."""
    low, high = interval
    return f"{number(low, places)} to {number(high, places)}" if math.isfinite(low) else NONE


def number(value: float, places: int, *, sign: bool = False) -> str:
    """With a true minus sign; no sign before what rounds to 0."""
    if not math.isfinite(value):
        return NONE
    text = f"{value:+,.{places}f}" if sign else f"{value:,.{places}f}"
    if float(text.replace(",", "")) == 0:
        text = text.lstrip("+-")
    return text.replace("-", MINUS)
