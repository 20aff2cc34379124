"""The plots of a comparison: paired differences, arms, efficiency of training, agreement, reliability."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
from markupsafe import Markup
from matplotlib.axes import Axes

from pyraseg.pipeline.comparison.present.sections import difference_cells
from pyraseg.pipeline.comparison.present.svg import (
    ACCENT,
    BAR,
    INK,
    SOFT,
    add_panel,
    add_text,
    arm_line,
    to_svg,
)
from pyraseg.pipeline.comparison.present.wording import spaced, target_name
from pyraseg.pipeline.comparison.statistics.efficiency import mean_curve
from pyraseg.pipeline.comparison.statistics.metrics import higher_is_better, is_share, title
from pyraseg.pipeline.comparison.statistics.results import ArmAgreement, ArmCalibration, Comparison
from pyraseg.pipeline.comparison.statistics.tests import Interval
from pyraseg.pipeline.writers.tables.text import clean, shown_unit

__all__ = ["agreement_plots", "arm_plots", "difference_plots", "efficiency_plot", "reliability_plots"]

WIDTH, ROW = 980, 46  # of a wide plot and a row in it
MARGINS = (330, 42, 24, 8)  # the names of the rows need the left margin
LONGEST = 46  # letters of a row's name
SIDE, SMALL = 300, (52, 46, 14, 12)  # of the small plots
CURVES, CURVE_MARGINS = (980, 360), (52, 46, 24, 14)
MOST = 1500  # points in a scatter
DOT: dict[str, Any] = {"color": ACCENT, "alpha": 0.42, "linewidths": 0}
ZERO: dict[str, Any] = {"color": SOFT, "linewidth": 1.2, "dashes": (1.7, 2.5)}
LIMIT: dict[str, Any] = {"color": INK, "linewidth": 1.3, "dashes": (4.6, 3)}


def difference_plots(comparison: Comparison) -> Iterator[Markup]:
    """For each tested metric: a row for each difference, a dot for each group, the mean with its interval."""
    for metric in comparison.metrics:
        rows = [d for d in comparison.differences if d.metric == metric]
        if not rows:
            continue
        limits = _span([d.values for d in rows], [np.array(d.interval) for d in rows], zero=True)
        figure, axes = _rows(len(rows), limits, f"{title(metric)}: difference")
        axes.axvline(0, **ZERO)
        for row, d in enumerate(rows):
            whole = f"{d.arm} − {d.against}"  # on two lines if long: no two pairs may look alike
            lines = [whole] if len(whole) <= LONGEST else [d.arm, f"− {d.against}"]
            _name(axes, row, spaced(d.label), lines, tip=" ".join([*lines, *difference_cells(d)[4:]]))
            _estimate(axes, row, d.values, d.mean, d.interval)
        better, worse = ("right", "left") if higher_is_better(metric) else ("left", "right")
        hint = (
            f"A dot is a group. To the {better} of 0 the first arm is better, to the {worse} the second. "
            "The bar is the mean with its 95 % interval."
        )
        plot = to_svg(figure, label=f"Paired differences, {title(metric)}")
        yield plot + Markup('<p class="hint">{}</p>').format(hint)


def arm_plots(comparison: Comparison) -> Iterator[Markup]:
    """For each tested metric: a row for each class and arm, a dot for each group, quartiles, the mean."""
    for metric in comparison.metrics:
        keys = [(label, metric, arm.name) for label in comparison.labels for arm in comparison.arms]
        rows = [score for key in keys if (score := comparison.score(*key)) is not None]
        if not rows:
            continue
        limits = (0.0, 1.0) if is_share(metric) else _span([s.values for s in rows], zero=True)
        figure, axes = _rows(len(rows), limits, title(metric))
        for row, s in enumerate(rows):
            low, middle, high = np.quantile(s.values, [0.25, 0.5, 0.75])
            least = (limits[1] - limits[0]) / 600  # keeps a box of equal values visible
            axes.barh(row, max(high - low, least), 28 / ROW, left=low, color=BAR, alpha=0.45)
            axes.plot([middle, middle], [row - 14 / ROW, row + 14 / ROW], color=SOFT, linewidth=1.5)
            _name(axes, row, spaced(s.label), [s.arm], tip=s.arm)
            _estimate(axes, row, s.values, s.mean, s.interval)
        yield to_svg(figure, label=f"Arms, {title(metric)}")


def efficiency_plot(comparison: Comparison) -> Markup:
    """A thin line for each training, a thick one for each arm; empty without any curve.

    The target is a dashed line, and a dot marks where a training reaches it.
    """
    efficiency = comparison.efficiency
    runs = [run for arm in efficiency.arms for run in arm.runs]
    if not runs:
        return Markup("")
    low, high = _span([*(run.curve.dice for run in runs), np.array([efficiency.target])])
    up, across = (max(low, 0.0), min(high, 1.0)), (0, max(run.curve.length for run in runs))
    label = "steps of the optimiser"
    figure, axes = add_panel(CURVES, margins=CURVE_MARGINS, across=across, up=up, label=label)
    if np.isfinite(efficiency.target):
        axes.axhline(efficiency.target, zorder=2.5, **LIMIT)
        shift: dict[str, Any] = {"transform": axes.get_yaxis_transform(), "va": "bottom"}
        add_text(axes, 0.01, efficiency.target, target_name(efficiency), **shift)
    names = [arm.name for arm in comparison.arms]
    for arm in efficiency.arms:
        style = arm_line(names.index(arm.arm))
        for run in arm.runs:
            tip = f"single {clean(run.run.label)}"
            axes.plot(run.curve.steps, run.curve.dice, linewidth=1, alpha=0.45, gid=tip, **style)
            if np.isfinite(run.to_target):
                reached = run.curve.dice[run.curve.steps == run.to_target][0]
                axes.plot(run.to_target, reached, "o", markersize=9, color=style["color"], zorder=4)
        steps, dice = mean_curve(arm.runs)
        if len(steps) > 1:
            axes.plot(steps, dice, linewidth=2.6, gid=f"whole {clean(arm.arm)}", zorder=3, **style)
    return to_svg(figure, label="Mean Dice of validation over steps")


def agreement_plots(agreements: Sequence[ArmAgreement]) -> Iterator[Markup]:
    """Bland-Altman plots: the difference over the mean of predicted and reference, bias and limits.

    The arms of one quantity share a scale.
    """
    for quantity in dict.fromkeys(a.quantity for a in agreements):
        arms = [a for a in agreements if a.quantity == quantity and len(a.means)]
        across = _span([a.means for a in arms])
        limits = np.array([value for a in arms for value in (a.agreement.lower, a.agreement.upper)])
        up = _span([limits, *(a.differences for a in arms)], zero=True)
        for each in arms:
            label = ", ".join(filter(None, ("mean", shown_unit(each.unit))))
            figure, axes = add_panel((SIDE, SIDE), margins=SMALL, across=across, up=up, label=label)
            step = -(-len(each.means) // MOST)
            axes.scatter(each.means[::step], each.differences[::step], s=19, **DOT)
            axes.axhline(0, **ZERO)
            axes.axhline(each.agreement.bias, color=INK, linewidth=1.8)
            for value in (each.agreement.lower, each.agreement.upper):
                if math.isfinite(value):
                    axes.axhline(value, **LIMIT)
            name = f"{spaced(each.quantity)}, {each.arm}"
            yield _figure(name, to_svg(figure, label=f"Agreement: {name}"))


def reliability_plots(calibrations: Sequence[ArmCalibration]) -> Iterator[Markup]:
    """A panel for each curve, a line for each arm: accuracy against confidence."""
    arms = list(dict.fromkeys(c.arm for c in calibrations))
    for name in dict.fromkeys(c.curve.name for c in calibrations):
        share = {"across": (0.0, 1.0), "up": (0.0, 1.0)}
        figure, axes = add_panel((SIDE, SIDE), margins=SMALL, label="confidence", **share)
        axes.plot([0, 1], [0, 1], **ZERO)
        for c in (c for c in calibrations if c.curve.name == name):
            known = np.isfinite(c.curve.accuracy)
            points = c.curve.confidence[known], c.curve.accuracy[known]
            axes.plot(
                *points, marker="o", markersize=5, linewidth=2, clip_on=False, **arm_line(arms.index(c.arm))
            )
        yield _figure(spaced(name), to_svg(figure, label=f"Reliability: {spaced(name)}"))


def _span(arrays: Sequence[np.ndarray], more: Sequence[np.ndarray] = (), *, zero: bool = False) -> Interval:
    """The limits of all finite values, with a margin; if asked, from 0 without a margin below."""
    values = np.concatenate([*arrays, *more, np.zeros(int(zero))])
    values = values[np.isfinite(values)]
    low, high = float(values.min()), float(values.max())
    margin = (high - low) * 0.04 or max(abs(high), 1e-3) * 0.1
    return (low - margin if low < 0 or not zero else low), high + margin


def _rows(count: int, limits: Interval, label: str) -> Any:
    _, bottom, _, top = MARGINS
    figure, axes = add_panel((WIDTH, ROW * count + bottom + top), margins=MARGINS, across=limits, label=label)
    axes.set_ylim(count - 0.5, -0.5)
    return figure, axes


def _name(axes: Axes, row: int, first: str, lines: Sequence[str], *, tip: str) -> None:
    """The text left of a row: the class, and below it one or two lines; hovering shows the whole text."""
    beside: dict[str, Any] = {"transform": axes.get_yaxis_transform(), "ha": "right", "va": "center"}
    top = row - len(lines) * 8 / ROW
    add_text(axes, -0.02, top, first, kind="name", **beside)
    for index, line in enumerate(lines, start=1):
        if len(line) > LONGEST:  # cut the middle: names of related runs differ at their end
            line = f"{line[:20]}…{line[-(LONGEST - 21) :]}"
        add_text(axes, -0.02, top + index * 16 / ROW, line, tip=tip, **beside)


def _estimate(axes: Axes, row: int, values: np.ndarray, mean: float, interval: Interval) -> None:
    """A dot for each group, spread by their order (the same each time), and the mean with its interval."""
    shift = ((np.arange(len(values)) * 0.618034) % 1 - 0.5) * (ROW - 20) / ROW
    axes.scatter(np.sort(values), row + shift, s=27, **DOT)
    bar: dict[str, Any] = {"color": INK, "linewidth": 3, "solid_capstyle": "butt"}
    if math.isfinite(interval[0]):
        axes.plot(interval, [row, row], **bar)
    axes.plot([mean, mean], [row - 10 / ROW, row + 10 / ROW], **bar)


def _figure(caption: str, picture: Markup) -> Markup:
    return Markup("<figure><figcaption>{}</figcaption>{}</figure>").format(clean(caption), picture)
