"""Plots as inline SVG: paired differences, arms, agreement, reliability. Their colours are the page's style sheet's."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from itertools import pairwise

import numpy as np
from markupsafe import Markup

from pipeline.comparison.metrics import higher_is_better, is_share, title
from pipeline.comparison.presentation import difference_rows
from pipeline.comparison.results import ArmAgreement, ArmCalibration, Comparison
from pipeline.comparison.wording import spaced
from pipeline.writers.report.rows import shown_unit
from pipeline.writers.text import clean

__all__ = ["agreement_plots", "arm_plots", "difference_plots", "reliability_plots"]

WIDTH, LEFT, RIGHT = 980, 330, 24  # of the wide plots
ROW, AXIS = 46, 42
SIDE, EDGE = 300, 46  # of the small ones
MOST = 1500  # points in a scatter
TICKS = 6


def difference_plots(comparison: Comparison) -> Iterator[tuple[str, Markup]]:
    """For each tested metric: a row a difference, a dot a group, the mean with its interval."""
    for metric in comparison.metrics:
        found = [d for d in comparison.differences if d.metric == metric]
        if found:
            scale = _Scale(_span([d.values for d in found], [d.interval for d in found], zero=True))
            parts = [_axis(scale, len(found), f"{title(metric)}: difference"), _line(scale(0), len(found), "zero")]
            for index, d in enumerate(found):
                tip = " ".join(difference_rows(d)[4:])
                parts += [_names(index, spaced(d.label), f"{d.arm} − {d.against}", tip), *_dots(d.values, scale, index)]
                parts += _mean(d.mean, d.interval, scale, index)
            yield metric, _svg(parts, rows=len(found), label=f"Paired differences, {title(metric)}") + _sides(metric)


def _sides(metric: str) -> Markup:
    better, worse = ("right", "left") if higher_is_better(metric) else ("left", "right")
    text = Markup("A dot is a group. To the {} of 0 the first arm is better, to the {} the second. ").format(
        better, worse
    )
    return Markup('<p class="hint">') + text + Markup("The bar is the mean with its 95 % interval.</p>")


def arm_plots(comparison: Comparison) -> Iterator[tuple[str, Markup]]:
    """For each tested metric: a row for each class and arm, a dot a group, quartiles, the mean with its interval."""
    for metric in comparison.metrics:
        found = [
            score
            for label in comparison.labels
            for arm in comparison.arms
            if (score := comparison.score(label, metric, arm.name)) is not None
        ]
        if found:
            limits = (0.0, 1.0) if is_share(metric) else _span([s.values for s in found], [], zero=True)
            scale = _Scale(limits)
            parts = [_axis(scale, len(found), title(metric))]
            for index, s in enumerate(found):
                parts += [_names(index, spaced(s.label), s.arm, ""), *_quartiles(s.values, scale, index)]
                parts += [*_dots(s.values, scale, index), *_mean(s.mean, s.interval, scale, index)]
            yield metric, _svg(parts, rows=len(found), label=f"Arms, {title(metric)}")


def agreement_plots(found: Sequence[ArmAgreement]) -> Iterator[Markup]:
    """Bland and Altman's plots, on one scale for the arms of a quantity: the difference over the mean of predicted and
    reference, bias and limits."""
    for quantity in dict.fromkeys(a.quantity for a in found):
        part = [a for a in found if a.quantity == quantity]
        limits = np.array([value for a in part for value in (a.agreement.lower, a.agreement.upper)])
        x = _Scale(_span([a.means for a in part], [], zero=False), start=EDGE + 14, end=SIDE - 20)
        y = _Scale(_span([limits, *(a.differences for a in part)], [], zero=True), start=SIDE - EDGE, end=12)
        yield from (_agreement_plot(a, x, y) for a in part)


def _agreement_plot(found: ArmAgreement, x: _Scale, y: _Scale) -> Markup:
    a = found.agreement
    lines = [a.lower, a.upper] if math.isfinite(a.lower) else []
    parts = [_frame(x, y)]
    step = -(-len(found.means) // MOST)
    for mean, difference in zip(found.means[::step], found.differences[::step], strict=True):
        parts.append(_circle(x(mean), y(difference), 2.2, "dot"))
    parts.append(_segment(x.start, y(0), x.end, y(0), "zero"))
    parts.append(_segment(x.start, y(a.bias), x.end, y(a.bias), "bias"))
    parts += [_segment(x.start, y(value), x.end, y(value), "limit") for value in lines]
    unit = shown_unit(found.unit)
    parts.append(_text((x.start + x.end) / 2, SIDE - 6, f"mean{', ' + unit if unit else ''}", "middle", "axis"))
    name = f"{spaced(found.quantity)}, {found.arm}"
    return _figure(name, _svg(parts, rows=0, label=f"Agreement: {name}", size=(SIDE, SIDE)))


def reliability_plots(found: Sequence[ArmCalibration]) -> Iterator[Markup]:
    """A panel a curve, a line an arm: how often it is right against how sure it is."""
    arms = list(dict.fromkeys(c.arm for c in found))
    for name in dict.fromkeys(c.curve.name for c in found):
        x, y = _Scale((0, 1), start=EDGE, end=SIDE - 20), _Scale((0, 1), start=SIDE - EDGE, end=12)
        parts = [_frame(x, y), _segment(x(0), y(0), x(1), y(1), "zero")]
        for c in (c for c in found if c.curve.name == name):
            known = np.isfinite(c.curve.accuracy)
            points = [(x(a), y(b)) for a, b in zip(c.curve.confidence[known], c.curve.accuracy[known], strict=True)]
            kind = f"arm{arms.index(c.arm) % 6}"
            parts += [_segment(*one, *two, f"curve {kind}") for one, two in pairwise(points)]
            parts += [_circle(*point, 2.5, f"point {kind}") for point in points]
        parts.append(_text((x.start + x.end) / 2, SIDE - 6, "confidence", "middle", "axis"))
        yield _figure(spaced(name), _svg(parts, rows=0, label=f"Reliability: {spaced(name)}", size=(SIDE, SIDE)))


class _Scale:
    """From values to pixels, between round ticks."""

    def __init__(self, limits: tuple[float, float], *, start: float = LEFT, end: float = WIDTH - RIGHT) -> None:
        low, high = limits
        step = _round_step((high - low) / TICKS)
        self.low, self.high = math.floor(low / step + 1e-9) * step, math.ceil(high / step - 1e-9) * step
        self.start, self.end, self.step = start, end, step

    def __call__(self, value: float) -> float:
        share = (value - self.low) / (self.high - self.low)
        return round(self.start + share * (self.end - self.start), 2)

    def ticks(self) -> list[tuple[float, str]]:
        places = max(0, -math.floor(math.log10(self.step)))
        number = round((self.high - self.low) / self.step)
        values = [self.low + i * self.step for i in range(number + 1)]
        return [(self(v), f"{v:,.{places}f}".replace("-", "−") if abs(v) > self.step / 9 else "0") for v in values]


def _round_step(step: float) -> float:
    power = 10 ** math.floor(math.log10(step))
    return next(power * factor for factor in (1, 2, 5, 10) if power * factor >= step * 0.999)


def _span(arrays: Sequence[np.ndarray], intervals: Sequence[tuple[float, float]], *, zero: bool) -> tuple[float, float]:
    values = np.concatenate([*arrays, *(np.asarray(i) for i in intervals), np.zeros(int(zero))])
    values = values[np.isfinite(values)]
    low, high = float(values.min()), float(values.max())
    margin = (high - low) * 0.04 or max(abs(high), 1e-3) * 0.1
    return (low - margin if low < 0 or not zero else low), high + margin


def _middle(row: int) -> float:
    return ROW * row + ROW / 2 + 6


def _dots(values: np.ndarray, scale: _Scale, row: int) -> Iterator[Markup]:
    """Spread upwards and downwards by their order, the same way each time."""
    shift = ((np.arange(len(values)) * 0.618034) % 1 - 0.5) * (ROW - 20)
    for value, offset in zip(np.sort(values), shift, strict=True):
        yield _circle(scale(value), round(_middle(row) + offset, 1), 2.6, "dot")


def _mean(mean: float, interval: tuple[float, float], scale: _Scale, row: int) -> Iterator[Markup]:
    y = _middle(row)
    if math.isfinite(interval[0]):
        yield _segment(scale(interval[0]), y, scale(interval[1]), y, "interval")
    yield _segment(scale(mean), y - 10, scale(mean), y + 10, "mean")


def _quartiles(values: np.ndarray, scale: _Scale, row: int) -> Iterator[Markup]:
    low, middle, high = (scale(v) for v in np.quantile(values, [0.25, 0.5, 0.75]))
    box = '<rect class="box" x="{}" y="{}" width="{}" height="{}"/>'
    yield Markup(box).format(low, _middle(row) - 14, round(max(high - low, 1), 2), 28)
    yield _segment(middle, _middle(row) - 14, middle, _middle(row) + 14, "median")


def _axis(scale: _Scale, rows: int, name: str) -> Markup:
    bottom = ROW * rows + 8
    parts = []
    for x, text in scale.ticks():
        parts += [_segment(x, 4, x, bottom, "grid"), _text(x, bottom + 16, text, "middle", "axis")]
    parts.append(_text((scale.start + scale.end) / 2, bottom + 34, name, "middle", "axis"))
    return Markup("").join(parts)


def _frame(x: _Scale, y: _Scale) -> Markup:
    parts = []
    for place, text in x.ticks()[:: 2 if len(x.ticks()) > 5 else 1]:
        parts += [_segment(place, y.start, place, y.end, "grid"), _text(place, y.start + 15, text, "middle", "axis")]
    for place, text in y.ticks():
        parts += [_segment(x.start, place, x.end, place, "grid"), _text(x.start - 5, place + 4, text, "end", "axis")]
    return Markup("").join(parts)


def _names(row: int, first: str, second: str, tip: str) -> Markup:
    y = _middle(row)
    shown = second if len(second) <= 46 else second[:45] + "…"
    return _text(LEFT - 12, y - 3, first, "end", "name") + _text(LEFT - 12, y + 13, shown, "end", "axis", tip or second)


def _line(x: float, rows: int, kind: str) -> Markup:
    return _segment(x, 4, x, ROW * rows + 8, kind)


def _segment(x1: float, y1: float, x2: float, y2: float, kind: str) -> Markup:
    return Markup('<line class="{}" x1="{}" y1="{}" x2="{}" y2="{}"/>').format(kind, x1, y1, x2, y2)


def _circle(x: float, y: float, radius: float, kind: str) -> Markup:
    return Markup('<circle class="{}" cx="{}" cy="{}" r="{}"/>').format(kind, x, y, radius)


def _text(x: float, y: float, text: str, anchor: str, kind: str, tip: str = "") -> Markup:
    more = Markup("<title>{}</title>").format(clean(tip)) if tip else Markup("")
    form = Markup('<text class="{}" x="{}" y="{}" text-anchor="{}">{}{}</text>')
    return form.format(kind, round(x, 1), round(y, 1), anchor, clean(text), more)


def _svg(parts: Sequence[Markup], *, rows: int, label: str, size: tuple[int, int] | None = None) -> Markup:
    width, height = size or (WIDTH, ROW * rows + AXIS + 8)
    form = Markup('<svg class="plot" viewBox="0 0 {} {}" role="img" aria-label="{}">{}</svg>')
    return form.format(width, height, clean(label), Markup("").join(parts))


def _figure(caption: str, svg: Markup) -> Markup:
    return Markup("<figure><figcaption>{}</figcaption>{}</figure>").format(clean(caption), svg)
