"""The operating curve of each class: what is missed against what is false, and the points that are used."""

from __future__ import annotations

from collections.abc import Mapping
from textwrap import fill
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from pyraseg.pipeline.inference.decision import point_in_words
from pyraseg.pipeline.writers.pictures.figures import render_figure
from pyraseg.transforms.errors import ConfigError

__all__ = ["draw_operating_curves"]

CURVE, USED, ARGMAX = (86, 180, 233), (213, 94, 0), (0, 0, 0)  # the hues are Okabe and Ito's
COLUMNS = 3  # panels in a row
SIDE, DPI, LETTERS = 4.0, 100, 40  # inches of a panel, pixels in an inch, letters of a line above it
FALSE = {
    "false_alarms": "false alarms (share of cases without it)",
    "false_lesions": "false lesions in a case",
}
MISSED = {"false_alarms": "missed (share of cases with it)", "false_lesions": "missed (share of lesions)"}


def draw_operating_curves(found: Mapping[str, Mapping[str, Any]]) -> np.ndarray:
    """Draw a panel for each class: the best trades over thresholds and smallest sizes, from left to right.

    Rates are over cases. The argmax is a circle, the operating point that is used a square, with 95 %
    intervals that resample groups.
    Curves of volumes are free-response curves (FROC), of lesions.

    Args:
        found: by class ``curve``, a list of points with ``missed`` and ``false_alarms`` or ``false_lesions``;
            ``argmax`` and, optionally, ``rates``: by rate ``mean``, ``low`` and ``high``.

    Returns:
        RGB, uint8 (height, width, 3).

    Raises:
        ConfigError: no class.
    """
    if not found:
        raise ConfigError("a class to draw", found="none", remedy="Trace a case first.")
    columns = min(COLUMNS, len(found))
    rows = -(-len(found) // columns)
    figure = Figure((SIDE * columns, SIDE * 1.1 * rows), dpi=DPI, layout="constrained")
    panels = figure.subplots(rows, columns, squeeze=False)
    for panel in panels.flat:
        panel.set_axis_off()
    for panel, (name, each) in zip(panels.flat, found.items(), strict=False):
        _draw(panel, name, each)
    return render_figure(figure)


def _draw(panel: Axes, name: str, found: Mapping[str, Any]) -> None:
    false = "false_lesions" if found["unit"] == "ml" else "false_alarms"
    panel.set_title(fill(f"{name.replace('_', ' ')}, {found['groups']} groups", LETTERS), parse_math=False)
    for rate, shown in (("missed", "with"), (false, "without")):
        if rate not in found["argmax"]:
            panel.text(0.5, 0.5, f"no cases {shown} it", ha="center", transform=panel.transAxes)
            return
    panel.set_axis_on()
    points = found["curve"]
    panel.step(
        [point[false] for point in points][::-1],
        [point["missed"] for point in points][::-1],
        where="post",
        marker=".",
        color=_hue(CURVE),
        label="best trades",
    )
    marks = [("argmax", "argmax", "o", ARGMAX)]
    if "rates" in found:
        point = point_in_words(found["threshold"], found["smallest"], unit=found["unit"])
        marks.append(("rates", f"used: {point}", "s", USED))
    for key, label, marker, hue in marks:
        _mark(panel, found[key], false, label=label, marker=marker, hue=hue)
    panel.set(xlabel=FALSE[false], ylabel=MISSED[false], ylim=(-0.03, 1.03))
    panel.set_xlim(-0.03, max(1.03, panel.get_xlim()[1]) if false == "false_lesions" else 1.03)
    panel.grid(alpha=0.3)
    panel.legend(loc="upper right", frameon=False, fontsize="small")


def _mark(
    panel: Axes, rates: Mapping[str, Any], false: str, *, label: str, marker: str, hue: tuple[int, int, int]
) -> None:
    x, y = (rates[name] for name in (false, "missed"))
    bars = [
        None if rate["low"] is None else [[rate["mean"] - rate["low"]], [rate["high"] - rate["mean"]]]
        for rate in (x, y)
    ]
    panel.errorbar(
        x["mean"], y["mean"], xerr=bars[0], yerr=bars[1], fmt=marker, color=_hue(hue), label=label, capsize=3
    )


def _hue(colour: tuple[int, int, int]) -> tuple[float, float, float]:
    red, green, blue = (part / 255 for part in colour)
    return red, green, blue
