"""From a figure of matplotlib to pixels."""

from __future__ import annotations

import warnings

import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

__all__ = ["render_figure"]


def render_figure(figure: Figure) -> np.ndarray:
    """Draw a figure: RGB, uint8 (height, width, 3)."""
    canvas = FigureCanvasAgg(figure)
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Glyph .* missing")  # in a class's name
        canvas.draw()
    return np.asarray(canvas.buffer_rgba())[..., :3].copy()
