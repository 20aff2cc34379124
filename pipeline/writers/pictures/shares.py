"""A plot of how many of the wrong cases are caught by looking at a share of all cases."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from matplotlib.figure import Figure

from pyraseg.pipeline.writers.pictures.figures import render_figure
from pyraseg.pipeline.writers.pictures.reliability import BAR, DPI, LINE, SHARE

__all__ = ["draw_shares"]

SIDE = 4.2  # inches


def draw_shares(curve: Sequence[tuple[float, float]], *, base: float, flagged: float) -> np.ndarray:
    """Draw the share of wrong cases that are caught over the share of cases that are flagged.

    Args:
        curve: pairs of (flagged, caught), from 0 to 1.
        base: the share of wrong cases; a perfect order would catch all of them by then.
        flagged: the share that the threshold flags in validation.

    Returns:
        RGB, uint8 (height, width, 3).
    """
    blue, orange, grey = (np.array(colour) / 255 for colour in (BAR, LINE, SHARE))
    figure = Figure((SIDE, SIDE), dpi=DPI, layout="constrained")
    panel = figure.subplots()
    panel.plot([0, base, 1], [0, 1, 1], "--", color=grey, label="a perfect order")
    panel.plot([0, 1], [0, 1], ":", color=grey, label="by chance")
    panel.plot(*zip(*curve, strict=True), color=blue, linewidth=2, label="by expected Dice")
    panel.axvline(flagged, color=orange, label=f"flagged in validation: {100 * flagged:.0f} %")
    panel.set(
        xlim=(0, 1), ylim=(0, 1.02), xlabel="share of cases flagged", ylabel="share of wrong cases caught"
    )
    panel.legend(loc="lower right", frameon=False, fontsize="small")
    return render_figure(figure)
