"""The plot of training efficiency: the curves of validation over steps."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
from markupsafe import Markup

from pyraseg.pipeline.comparison.present.efficiency_text import target_name
from pyraseg.pipeline.comparison.present.svg import (
    Scale,
    arm_class,
    circle,
    frame,
    path,
    segment,
    span,
    svg,
    words,
)
from pyraseg.pipeline.comparison.statistics.efficiency import ArmEfficiency, mean_curve
from pyraseg.pipeline.comparison.statistics.results import Comparison

__all__ = ["efficiency_plot"]

WIDTH, HEIGHT = 980, 360
LEFT, RIGHT, TOP, BOTTOM = 52, 24, 14, 46


def efficiency_plot(comparison: Comparison) -> Markup:
    """A thin line a training, a thick one an arm, the target dashed, a dot where a training reaches it; empty
    where no training has a curve."""
    efficiency = comparison.efficiency
    curves = [run.curve for arm in efficiency.arms for run in arm.runs]
    if not curves:
        return Markup("")
    x = Scale((0, max(curve.length for curve in curves)), start=LEFT, end=WIDTH - RIGHT)
    y = Scale(_share([curve.dice for curve in curves], efficiency.target), start=HEIGHT - BOTTOM, end=TOP)
    places = [arm.name for arm in comparison.arms]
    parts = [frame(x, y, most=12)]
    for arm in efficiency.arms:
        parts += _thin(arm, x, y, arm_class(places.index(arm.arm)))
    if np.isfinite(efficiency.target):
        parts.append(segment(x.start, y(efficiency.target), x.end, y(efficiency.target), "limit"))
        parts.append(words(x.start + 6, y(efficiency.target) - 6, target_name(efficiency), "start", "axis"))
    for arm in efficiency.arms:
        parts += _thick(arm, x, y, arm_class(places.index(arm.arm)), target=efficiency.target)
    parts.append(words((x.start + x.end) / 2, HEIGHT - 10, "steps of the optimiser", "middle", "axis"))
    return svg(parts, label="Mean Dice of validation over steps", size=(WIDTH, HEIGHT))


def _share(dice: Sequence[np.ndarray], target: float) -> tuple[float, float]:
    """Limits with the target, within 0 and 1."""
    low, high = span([*dice, np.array([target])], [], zero=False)
    return max(low, 0.0), min(high, 1.0)


def _thin(arm: ArmEfficiency, x: Scale, y: Scale, kind: str) -> Iterator[Markup]:
    for run in arm.runs:
        points = zip(run.curve.steps, run.curve.dice, strict=True)
        yield path(((x(step), y(dice)) for step, dice in points), f"single {kind}")


def _thick(arm: ArmEfficiency, x: Scale, y: Scale, kind: str, *, target: float) -> Iterator[Markup]:
    steps, dice = mean_curve(arm.runs)
    if len(steps) > 1:
        yield path(((x(step), y(value)) for step, value in zip(steps, dice, strict=True)), f"whole {kind}")
    for run in arm.runs:
        if np.isfinite(run.target):
            reached = run.curve.dice[run.curve.steps == run.target][0]
            yield circle(x(run.target), y(reached), 4.5, f"point {kind}")
