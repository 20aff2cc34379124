"""A reliability plot: for each class how often the network is right, against how sure it is."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

import numpy as np

from pyraseg.pipeline.writers.pictures.contact_sheet import GAP, INK, PAPER, draw_grid

__all__ = ["Curve", "draw_reliability"]

SIDE = 640  # pixels of a panel before draw_grid halves it, which smooths its lines
LEFT, RIGHT, TOP, BOTTOM = 90, 20, 20, 190
STRIP = 90  # height of the histogram below the axes
GRID, BAR, LINE = (70, 70, 70), (86, 180, 233), (230, 159, 0)  # the hues are Okabe and Ito's
LEAST = 1e-6  # the share of pixels at which a histogram's bar has no height; its scale is logarithmic


class Curve(Protocol):
    """What is drawn: arrays (bins,); ``confidence`` and ``accuracy`` are NaN in empty bins."""

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
    """Draw a panel for each curve: bars of accuracy over confidence, the diagonal of a calibrated network,
    and below the share of pixels in each bin on a logarithmic scale.

    Returns:
        RGB, uint8 (height, width, 3).

    Raises:
        ConfigError: no curves.
    """
    titles = [f"{curve.name.replace('_', ' ')}  ECE {curve.error:.4f}" for curve in curves]
    note = "across: confidence, bars: accuracy, line: perfect calibration, below: share of pixels (log)"
    return draw_grid(
        [_panel(curve) for curve in curves], columns=min(4, len(curves)), titles=titles, note=note
    )


def _panel(curve: Curve) -> np.ndarray:
    from PIL import Image, ImageDraw, ImageFont

    panel = Image.new("RGB", (SIDE, SIDE), PAPER)
    pen, font = ImageDraw.Draw(panel), ImageFont.load_default(26)
    right, bottom = SIDE - RIGHT, SIDE - BOTTOM
    for tick in (0.0, 0.5, 1.0):
        x, y = _x(tick), _y(tick)
        pen.line([LEFT, y, right, y], fill=GRID, width=2)
        pen.line([x, TOP, x, bottom], fill=GRID, width=2)
        pen.text((LEFT - GAP, y), f"{tick:g}", fill=INK, font=font, anchor="rm")
        pen.text((x, SIDE - 10), f"{tick:g}", fill=INK, font=font, anchor="rb" if tick == 1 else "mb")
    bins = len(curve.share)
    for index in np.flatnonzero(curve.share > 0):
        left, end = _x(index / bins) + 2, _x((index + 1) / bins) - 2
        pen.rectangle([left, _y(curve.accuracy[index]), end, bottom], fill=BAR)
        tall = STRIP * max(0.0, 1 - np.log10(curve.share[index]) / np.log10(LEAST))
        pen.rectangle([left, SIDE - 50 - tall, end, SIDE - 50], fill=GRID)
        x, y = _x(curve.confidence[index]), _y(curve.accuracy[index])
        pen.ellipse([x - 7, y - 7, x + 7, y + 7], fill=LINE)
    pen.line([_x(0), _y(0), _x(1), _y(1)], fill=LINE, width=3)
    return np.asarray(panel)


def _x(value: float) -> float:
    return LEFT + value * (SIDE - LEFT - RIGHT)


def _y(value: float) -> float:
    return TOP + (1 - value) * (SIDE - TOP - BOTTOM)
