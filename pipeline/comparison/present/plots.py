"""Plots as inline SVG: paired differences, arms, agreement, reliability. Their colours are the page's style
sheet's."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from itertools import pairwise

import numpy as np
from markupsafe import Markup

from pyraseg.pipeline.comparison.present.sections import difference_rows
from pyraseg.pipeline.comparison.present.svg import (
    Scale,
    arm_class,
    circle,
    figure,
    frame,
    segment,
    span,
    svg,
    words,
)
from pyraseg.pipeline.comparison.present.wording import spaced
from pyraseg.pipeline.comparison.statistics.metrics import higher_is_better, is_share, title
from pyraseg.pipeline.comparison.statistics.results import ArmAgreement, ArmCalibration, Comparison
from pyraseg.pipeline.writers.report.rows import shown_unit

__all__ = ["agreement_plots", "arm_plots", "difference_plots", "reliability_plots"]

WIDTH, LEFT, RIGHT = 980, 330, 24  # of the wide plots
ROW, AXIS = 46, 42
LONGEST = 46  # letters of a name left of a row
SIDE, EDGE = 300, 46  # of the small ones
MOST = 1500  # points in a scatter


def difference_plots(comparison: Comparison) -> Iterator[tuple[str, Markup]]:
    """For each tested metric: a row a difference, a dot a group, the mean with its interval."""
    for metric in comparison.metrics:
        found = [d for d in comparison.differences if d.metric == metric]
        if found:
            scale = _wide(span([d.values for d in found], [d.interval for d in found], zero=True))
            parts = [
                _axis(scale, len(found), f"{title(metric)}: difference"),
                _line(scale(0), len(found), "zero"),
            ]
            for index, d in enumerate(found):
                tip = " ".join(difference_rows(d)[4:])
                parts += [_names(index, spaced(d.label), _minus(d.arm, d.against), tip)]
                parts += _dots(d.values, scale, index)
                parts += _mean(d.mean, d.interval, scale, index)
            plot = svg(parts, label=f"Paired differences, {title(metric)}", size=_size(len(found)))
            yield metric, plot + _sides(metric)


def _sides(metric: str) -> Markup:
    better, worse = ("right", "left") if higher_is_better(metric) else ("left", "right")
    text = Markup("A dot is a group. To the {} of 0 the first arm is better, to the {} the second. ").format(
        better, worse
    )
    return Markup('<p class="hint">') + text + Markup("The bar is the mean with its 95 % interval.</p>")


def arm_plots(comparison: Comparison) -> Iterator[tuple[str, Markup]]:
    """For each tested metric: a row for each class and arm, a dot a group, quartiles, the mean with its
    interval."""
    for metric in comparison.metrics:
        found = [
            score
            for label in comparison.labels
            for arm in comparison.arms
            if (score := comparison.score(label, metric, arm.name)) is not None
        ]
        if found:
            limits = (0.0, 1.0) if is_share(metric) else span([s.values for s in found], [], zero=True)
            scale = _wide(limits)
            parts = [_axis(scale, len(found), title(metric))]
            for index, s in enumerate(found):
                parts += [_names(index, spaced(s.label), [s.arm], ""), *_quartiles(s.values, scale, index)]
                parts += [*_dots(s.values, scale, index), *_mean(s.mean, s.interval, scale, index)]
            yield metric, svg(parts, label=f"Arms, {title(metric)}", size=_size(len(found)))


def agreement_plots(found: Sequence[ArmAgreement]) -> Iterator[Markup]:
    """Bland and Altman's plots, on one scale for the arms of a quantity: the difference over the mean of
    predicted and reference, bias and limits."""
    for quantity in dict.fromkeys(a.quantity for a in found):
        part = [a for a in found if a.quantity == quantity and len(a.means)]
        limits = np.array([value for a in part for value in (a.agreement.lower, a.agreement.upper)])
        x = Scale(span([a.means for a in part], [], zero=False), start=EDGE + 14, end=SIDE - 20)
        y = Scale(span([limits, *(a.differences for a in part)], [], zero=True), start=SIDE - EDGE, end=12)
        yield from (_agreement_plot(a, x, y) for a in part)


def _agreement_plot(found: ArmAgreement, x: Scale, y: Scale) -> Markup:
    a = found.agreement
    lines = [a.lower, a.upper] if math.isfinite(a.lower) else []
    parts = [frame(x, y)]
    step = -(-len(found.means) // MOST)
    for mean, difference in zip(found.means[::step], found.differences[::step], strict=True):
        parts.append(circle(x(mean), y(difference), 2.2, "dot"))
    parts.append(segment(x.start, y(0), x.end, y(0), "zero"))
    parts.append(segment(x.start, y(a.bias), x.end, y(a.bias), "bias"))
    parts += [segment(x.start, y(value), x.end, y(value), "limit") for value in lines]
    unit = shown_unit(found.unit)
    parts.append(
        words((x.start + x.end) / 2, SIDE - 6, f"mean{', ' + unit if unit else ''}", "middle", "axis")
    )
    name = f"{spaced(found.quantity)}, {found.arm}"
    return figure(name, svg(parts, label=f"Agreement: {name}", size=(SIDE, SIDE)))


def reliability_plots(found: Sequence[ArmCalibration]) -> Iterator[Markup]:
    """A panel a curve, a line an arm: how often it is right against how sure it is."""
    arms = list(dict.fromkeys(c.arm for c in found))
    for name in dict.fromkeys(c.curve.name for c in found):
        x, y = Scale((0, 1), start=EDGE, end=SIDE - 20), Scale((0, 1), start=SIDE - EDGE, end=12)
        parts = [frame(x, y), segment(x(0), y(0), x(1), y(1), "zero")]
        for c in (c for c in found if c.curve.name == name):
            known = np.isfinite(c.curve.accuracy)
            points = [
                (x(a), y(b)) for a, b in zip(c.curve.confidence[known], c.curve.accuracy[known], strict=True)
            ]
            kind = arm_class(arms.index(c.arm))
            parts += [segment(*one, *two, f"curve {kind}") for one, two in pairwise(points)]
            parts += [circle(*point, 2.5, f"point {kind}") for point in points]
        parts.append(words((x.start + x.end) / 2, SIDE - 6, "confidence", "middle", "axis"))
        yield figure(spaced(name), svg(parts, label=f"Reliability: {spaced(name)}", size=(SIDE, SIDE)))


def _wide(limits: tuple[float, float]) -> Scale:
    return Scale(limits, start=LEFT, end=WIDTH - RIGHT)


def _size(rows: int) -> tuple[int, int]:
    return WIDTH, ROW * rows + AXIS + 8


def _middle(row: int) -> float:
    return ROW * row + ROW / 2 + 6


def _dots(values: np.ndarray, scale: Scale, row: int) -> Iterator[Markup]:
    """Spread upwards and downwards by their order, the same way each time."""
    shift = ((np.arange(len(values)) * 0.618034) % 1 - 0.5) * (ROW - 20)
    for value, offset in zip(np.sort(values), shift, strict=True):
        yield circle(scale(value), round(_middle(row) + offset, 1), 2.6, "dot")


def _mean(mean: float, interval: tuple[float, float], scale: Scale, row: int) -> Iterator[Markup]:
    y = _middle(row)
    if math.isfinite(interval[0]):
        yield segment(scale(interval[0]), y, scale(interval[1]), y, "interval")
    yield segment(scale(mean), y - 10, scale(mean), y + 10, "mean")


def _quartiles(values: np.ndarray, scale: Scale, row: int) -> Iterator[Markup]:
    low, middle, high = (scale(v) for v in np.quantile(values, [0.25, 0.5, 0.75]))
    box = '<rect class="box" x="{}" y="{}" width="{}" height="{}"/>'
    yield Markup(box).format(low, _middle(row) - 14, round(max(high - low, 1), 2), 28)
    yield segment(middle, _middle(row) - 14, middle, _middle(row) + 14, "median")


def _axis(scale: Scale, rows: int, name: str) -> Markup:
    bottom = ROW * rows + 8
    parts = []
    for x, text in scale.ticks():
        parts += [segment(x, 4, x, bottom, "grid"), words(x, bottom + 16, text, "middle", "axis")]
    parts.append(words((scale.start + scale.end) / 2, bottom + 34, name, "middle", "axis"))
    return Markup("").join(parts)


def _minus(arm: str, against: str) -> list[str]:
    """A difference's name on one line where it fits, else on two: no two pairs of arms may look alike."""
    whole = f"{arm} − {against}"
    return [whole] if len(whole) <= LONGEST else [arm, f"− {against}"]


def _names(row: int, first: str, lines: Sequence[str], tip: str) -> Markup:
    """Left of a row: the class, and below it a line or two; the whole text is shown on hovering."""
    y, whole = _middle(row) - 3 - 7 * (len(lines) - 1), " ".join([*lines, tip]).strip()
    parts = [words(LEFT - 12, y, first, "end", "name")]
    for index, line in enumerate(lines, start=1):
        parts.append(words(LEFT - 12, y + 15 * index, _shortened(line), "end", "axis", whole))
    return Markup("").join(parts)


def _shortened(line: str) -> str:
    """Without its middle, for names of runs that belong together often differ at their end."""
    return line if len(line) <= LONGEST else f"{line[:20]}…{line[-(LONGEST - 21) :]}"


def _line(x: float, rows: int, kind: str) -> Markup:
    return segment(x, 4, x, ROW * rows + 8, kind)
