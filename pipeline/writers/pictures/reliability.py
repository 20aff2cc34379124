"""A reliability plot: for each class, accuracy against confidence."""

from __future__ import annotations

from collections.abc import Sequence
from textwrap import fill
from typing import Protocol

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from pyraseg.pipeline.writers.pictures.figures import render_figure
from pyraseg.transforms.errors import ConfigError

__all__ = ["Curve", "draw_reliability"]

BAR, LINE, SHARE = (86, 180, 233), (230, 159, 0), (120, 120, 120)  # the hues are Okabe and Ito's
COLUMNS = 4  # panels in a row
WIDTH, HEIGHT, DPI = 3.4, 4.2, 100  # inches of a panel, pixels in an inch
LETTERS = 32  # of a line above a panel
LEAST = 1e-6  # the lowest share of pixels on the logarithmic scale


class Curve(Protocol):
    """A curve to draw: arrays (bins,); ``confidence`` and ``accuracy`` are NaN in empty bins."""

    @property
    def name(self) -> str: ...
    @property
    def share(self) -> np.ndarray: ...
    @property
    def confidence(self) -> np.ndarray: ...
    @property
    def accuracy(self) -> np.ndarray: ...
    @property
    def error(self) -> float: ...


def draw_reliability(curves: Sequence[Curve]) -> np.ndarray:
    """Draw a panel for each curve: bars of accuracy over confidence, and the diagonal of perfect calibration.

    Below, a histogram shows the share of pixels in each bin on a logarithmic scale.

    Returns:
        RGB, uint8 (height, width, 3).

    Raises:
        ConfigError: no curves.
    """
    if not curves:
        raise ConfigError("a curve to draw", found="none", remedy="Count the confidences of a case first.")
    columns = min(COLUMNS, len(curves))
    rows = -(-len(curves) // columns)
    figure = Figure((WIDTH * columns, HEIGHT * rows), dpi=DPI, layout="constrained")
    ratios = {"height_ratios": [4, 1] * rows}
    panels = figure.subplots(2 * rows, columns, squeeze=False, sharex=True, gridspec_kw=ratios)
    for panel in panels.flat:
        panel.set_axis_off()
    for index, curve in enumerate(curves):
        row, column = divmod(index, columns)
        _draw(curve, panels[2 * row, column], panels[2 * row + 1, column])
    return render_figure(figure)


def _draw(curve: Curve, accuracy: Axes, share: Axes) -> None:
    bins = len(curve.share)
    centres, width = (np.arange(bins) + 0.5) / bins, 0.85 / bins
    bar, line, grey = (np.array(colour) / 255 for colour in (BAR, LINE, SHARE))
    for panel in (accuracy, share):
        panel.set_axis_on()
    title = fill(f"{curve.name.replace('_', ' ')}, ECE {curve.error:.4f}", LETTERS)
    accuracy.set_title(title, parse_math=False)
    accuracy.bar(centres, np.nan_to_num(curve.accuracy), width, color=bar)
    accuracy.plot([0, 1], [0, 1], color=line, label="perfect calibration")
    accuracy.plot(curve.confidence, curve.accuracy, "o", color=line)
    accuracy.set(xlim=(0, 1), ylim=(0, 1), ylabel="accuracy")
    accuracy.legend(loc="upper left", frameon=False)
    share.bar(centres, curve.share, width, color=grey)
    share.set(yscale="log", ylim=(LEAST, 1), ylabel="share", xlabel="confidence")
    share.tick_params(labelbottom=True)
