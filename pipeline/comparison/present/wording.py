"""The sentences of a comparison, and the format of its numbers."""

from __future__ import annotations

import math
from collections.abc import Iterator

from pyraseg.pipeline.comparison.statistics.efficiency import SHARE, ArmEfficiency, Efficiency
from pyraseg.pipeline.comparison.statistics.metrics import decimals, higher_is_better, title
from pyraseg.pipeline.comparison.statistics.results import Comparison, Difference
from pyraseg.pipeline.comparison.statistics.tests import LEAST_GROUPS, Interval

__all__ = [
    "ALPHA",
    "LEVEL",
    "MINUS",
    "NONE",
    "directed",
    "in_short",
    "interval_text",
    "lead",
    "number",
    "p_text",
    "pair",
    "remarks",
    "signed",
    "spaced",
    "steps_range",
    "target_name",
    "verdicts",
]

ALPHA = 0.05
NONE = "–"
MINUS = "−"
LEVEL = f"{SHARE:.0%}".replace("%", " %")


def in_short(comparison: Comparison) -> Iterator[str]:
    """For each class a sentence that needs no statistics: what is missed, what is falsely found, the overlap.

    Example:
        >>> next(in_short(comparison))  # doctest: +ELLIPSIS
        'kidney: missed in 0 % of the cases that show it; the overlap with the reference (Dice, 0 to 1) ...'
    """
    for label in comparison.labels:
        shown = {
            "missed": "missed in {} of the cases that show it",
            "false_positive": "marked in {} of those that do not",
            "dice": "the overlap with the reference (Dice, 0 to 1) is {}",
        }
        parts = [
            text.format(span) for metric, text in shown.items() if (span := _span(comparison, label, metric))
        ]
        if parts:
            yield f"{spaced(label)}: {'; '.join(parts)}."


def _span(comparison: Comparison, label: str, metric: str) -> str:
    """The least and the largest mean over groups, with their arms: ``12 % (“a”) to 15 % (“b”)``."""
    of_metric = (s for s in comparison.scores if (s.label, s.metric) == (label, metric))
    scores = [s for s in of_metric if math.isfinite(s.mean)]
    texts = [number(s.mean, 2) if metric == "dice" else f"{s.mean:.0%}".replace("%", " %") for s in scores]
    named = sorted(zip((s.mean for s in scores), texts, (s.arm for s in scores), strict=True))
    if len(set(texts)) < 2:
        return texts[0] if texts else ""
    return " to ".join(f"{text} (“{arm}”)" for _, text, arm in (named[0], named[-1]))


def verdicts(comparison: Comparison) -> Iterator[tuple[str, str]]:
    """What each test says ("better", "none", "unclear" or "untested") with a sentence; see `compare`.

    Example:
        >>> [sentence.split(".")[0] for _, sentence in verdicts(comparison)]
        ['kidney, Dice: “cbam” is better than “none”']
    """
    nothing = {"missed": 1.0, "dice": 0.0}  # not found at all, or found elsewhere in every case
    missed = {(s.arm, s.label) for s in comparison.scores if s.mean == nothing.get(s.metric)}
    for d in comparison.differences:
        what, shown = f"{spaced(d.label)}, {title(d.metric)}", p_text(d.adjusted)
        p = f"p {shown}" if shown.startswith("<") else f"p = {shown}"
        arm, against, counted = f"“{d.arm}”", f"“{d.against}”", _counted(d)
        differ = f"{what}: {arm} and {against} differ, but"
        if {(d.arm, d.label), (d.against, d.label)} <= missed:
            yield (
                "unclear",
                f"{what}: {arm} and {against} both missed it in every case; nothing can be compared.",
            )
        elif not math.isfinite(d.p):
            why = f"not tested, for there are fewer than {LEAST_GROUPS} groups"
            yield "untested", f"{what}: {why}. {counted}."
        elif d.adjusted >= ALPHA:
            yield "none", f"{what}: no difference of {arm} and {against} is shown. {counted}, {p}."
        elif d.mean * d.effect <= 0:
            sides = "most groups point to one side and the mean to the other"
            yield "unclear", f"{differ} {sides}. {counted}, {p}."
        elif any(each * d.mean <= 0 for each in d.of_seeds):
            each = ", ".join(signed(value, d.metric) for value in d.of_seeds)
            sides = f"not to one side with every seed ({each}), so with others it may turn round"
            yield "unclear", f"{differ} {sides}. {counted}, {p}."
        elif (d.effect > 0) == higher_is_better(d.metric):
            yield "better", f"{what}: {arm} is better than {against}. {counted}, {p}."
        else:
            yield "better", f"{what}: {against} is better than {arm}. {_counted(d, turned=True)}, {p}."


def _counted(d: Difference, *, turned: bool = False) -> str:
    """The mean difference with its interval; the sign flips where the other arm comes first."""
    names, mean, (low, high) = (d.arm, d.against), d.mean, d.interval
    if turned:
        names, mean, low, high = (d.against, d.arm), -mean, -high, -low
    interval = f" (95 % interval {interval_text((low, high), d.metric)})" if math.isfinite(low) else ""
    return f"{names[0]} {MINUS} {names[1]}: {signed(mean, d.metric)}{interval}, {d.groups} groups"


def spaced(name: str) -> str:
    """A class or quantity for people to read."""
    return name.replace("_", " ")


def directed(metric: str) -> str:
    """A metric with an arrow to where it is better."""
    return f"{title(metric)} {'↑' if higher_is_better(metric) else '↓'}"


def p_text(value: float) -> str:
    """A p-value for people to read; a dash without a test."""
    if not math.isfinite(value):
        return NONE
    return "< 0.0001" if value < 0.0001 else f"{value:.4f}" if value < 0.01 else f"{value:.3f}"


def signed(value: float, metric: str) -> str:
    """A difference of a metric."""
    return number(value, decimals(metric), sign=True)


def interval_text(interval: Interval, metric: str) -> str:
    """An interval of a metric."""
    return pair(interval, decimals(metric))


def pair(interval: Interval, digits: int) -> str:
    """An interval; a dash where there is none."""
    low, high = interval
    return f"{number(low, digits)} to {number(high, digits)}" if math.isfinite(low) else NONE


def number(value: float, digits: int, *, sign: bool = False) -> str:
    """A number with a true minus sign; no sign where it rounds to 0."""
    if not math.isfinite(value):
        return NONE
    text = f"{value:+,.{digits}f}" if sign else f"{value:,.{digits}f}"
    if float(text.replace(",", "")) == 0:
        text = text.lstrip("+-")
    return text.replace("-", MINUS)


def lead(efficiency: Efficiency, *, split: str) -> str:
    """What the table is of, and whether its split is not the compared one; or that it is empty."""
    if not efficiency.arms:
        return "Absent: no run has a training with a curve of validations. The reasons stand below."
    other = "" if split == "validation" else f", not on the {split} split of the rest of this comparison"
    return (
        f"Mean Dice on the validation split during training{other}: it says how fast an arm learns, and not "
        "how good it is. There are no p-values: the unit here is the seed, and there are few of them."
    )


def target_name(efficiency: Efficiency) -> str:
    """The level that all arms are measured against."""
    return f"{LEVEL} of the final of “{efficiency.baseline}”"


def remarks(efficiency: Efficiency) -> Iterator[str]:
    """What a reader must know before comparing the steps of arms."""
    arms, runs = efficiency.arms, [run for arm in efficiency.arms for run in arm.runs]
    if len({run.curve.interval for run in runs}) > 1:
        apart = ", ".join(f"“{arm.arm}”: {steps_range(arm.intervals)}" for arm in arms)
        yield (
            f"The validations lie apart by different numbers of steps ({apart}): where they are rarer, a "
            "level is seen later."
        )
    if len({run.curve.length for run in runs}) > 1:
        ends = ", ".join(f"“{arm.arm}”: {steps_range(arm.lengths)}" for arm in arms)
        yield (
            f"The trainings end after different numbers of steps ({ends}): their finals are not of one step, "
            "and a learning rate that falls towards a planned end falls at another pace."
        )
    settings = [run.run.settings for run in runs]
    if len({(each.get("batch_size"), each.get("accumulation_steps")) for each in settings}) > 1:
        what = "a step of one sees more frames than another's"
        yield f"The trainings differ in the size of their batches: {what}."
    if arms and not math.isfinite(efficiency.target):
        yield f"No arm is measured against “{efficiency.baseline}”, which has no curve."
    for arm in arms:
        yield from (f"“{arm.arm}”: {remark}" for remark in _remarks_on(arm, efficiency))


def _remarks_on(arm: ArmEfficiency, efficiency: Efficiency) -> Iterator[str]:
    if len(arm.runs) < arm.of:
        yield f"{arm.of - len(arm.runs)} of {arm.of} trainings have no curve and are left out."
    levels = [(arm.to_own_final, f"{LEVEL} of their own final")]
    if math.isfinite(efficiency.target):
        levels.append((arm.to_target, target_name(efficiency)))
    for steps, level in levels:
        if steps.never:
            rest = (
                ""
                if steps.never == steps.runs
                else " The mean is that of the others, which flatters the arm."
            )
            yield f"{steps.never} of {steps.runs} runs never reach {level}.{rest}"
    low = sum(run.curve.final < SHARE * run.curve.dice.max() for run in arm.runs)
    if low:
        said = f"{low} of {len(arm.runs)} runs end below {LEVEL} of their own best validation"
        yield f"{said}, so {LEVEL} of their own final was easy to reach."
    first = sum(run.curve.steps[0] in (run.to_own_final, run.to_target) for run in arm.runs)
    if first:
        said = f"{first} of {len(arm.runs)} runs reach a level at their first validation"
        yield f"{said}; how much earlier they did, nobody looked."


def steps_range(limits: tuple[float, float]) -> str:
    """The minimum and maximum of a count; one number where they are equal."""
    return number(limits[0], 0) if limits[0] == limits[1] else pair(limits, 0)
