"""What plots are drawn with: a scale, and the marks of inline SVG, whose classes the page's style sheet
colours."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence

import numpy as np
from markupsafe import Markup

from pyraseg.pipeline.writers.tables.text import clean

__all__ = ["Scale", "arm_class", "circle", "figure", "frame", "path", "segment", "span", "svg", "words"]

TICKS = 6
COLOURS, DASHES = 6, 3  # of arms, in the style sheet


class Scale:
    """From values to pixels, between round ticks."""

    def __init__(self, limits: tuple[float, float], *, start: float, end: float) -> None:
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
        return [
            (self(v), f"{v:,.{places}f}".replace("-", "−") if abs(v) > self.step / 9 else "0") for v in values
        ]


def _round_step(step: float) -> float:
    power = 10 ** math.floor(math.log10(step))
    return next(power * factor for factor in (1, 2, 5, 10) if power * factor >= step * 0.999)


def span(
    arrays: Sequence[np.ndarray], intervals: Sequence[tuple[float, float]], *, zero: bool
) -> tuple[float, float]:
    """The limits of all that is finite, with a margin; with 0 among them, and no margin below it, if
    asked."""
    values = np.concatenate([*arrays, *(np.asarray(i) for i in intervals), np.zeros(int(zero))])
    values = values[np.isfinite(values)]
    low, high = float(values.min()), float(values.max())
    margin = (high - low) * 0.04 or max(abs(high), 1e-3) * 0.1
    return (low - margin if low < 0 or not zero else low), high + margin


def arm_class(index: int) -> str:
    """The style of an arm's line by its place: beyond the colours they begin again, dashed."""
    return f"arm{index % COLOURS} dash{index // COLOURS % DASHES}"


def frame(x: Scale, y: Scale, *, most: int = 5) -> Markup:
    """Grid and numbers of a panel; of more than ``most`` numbers below it, every second."""
    parts = []
    for place, text in x.ticks()[:: 2 if len(x.ticks()) > most else 1]:
        parts += [
            segment(place, y.start, place, y.end, "grid"),
            words(place, y.start + 15, text, "middle", "axis"),
        ]
    for place, text in y.ticks():
        parts += [
            segment(x.start, place, x.end, place, "grid"),
            words(x.start - 5, place + 4, text, "end", "axis"),
        ]
    return Markup("").join(parts)


def segment(x1: float, y1: float, x2: float, y2: float, kind: str) -> Markup:
    """A straight line."""
    return Markup('<line class="{}" x1="{}" y1="{}" x2="{}" y2="{}"/>').format(kind, x1, y1, x2, y2)


def path(points: Iterable[tuple[float, float]], kind: str) -> Markup:
    """A line through points."""
    return Markup('<polyline class="{}" points="{}"/>').format(kind, " ".join(f"{x},{y}" for x, y in points))


def circle(x: float, y: float, radius: float, kind: str) -> Markup:
    """A dot."""
    return Markup('<circle class="{}" cx="{}" cy="{}" r="{}"/>').format(kind, x, y, radius)


def words(x: float, y: float, text: str, anchor: str, kind: str, tip: str = "") -> Markup:
    """A line of text, from here, up to here or around it; ``tip`` is shown on hovering."""
    more = Markup("<title>{}</title>").format(clean(tip)) if tip else Markup("")
    form = Markup('<text class="{}" x="{}" y="{}" text-anchor="{}">{}{}</text>')
    return form.format(kind, round(x, 1), round(y, 1), anchor, clean(text), more)


def svg(parts: Sequence[Markup], *, label: str, size: tuple[int, int]) -> Markup:
    """A picture, with what it shows for those who do not see it."""
    form = Markup('<svg class="plot" viewBox="0 0 {} {}" role="img" aria-label="{}">{}</svg>')
    return form.format(*size, clean(label), Markup("").join(parts))


def figure(caption: str, picture: Markup) -> Markup:
    """A picture under its name."""
    return Markup("<figure><figcaption>{}</figcaption>{}</figure>").format(clean(caption), picture)
