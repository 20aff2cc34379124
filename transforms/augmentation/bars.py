"""Where a letterboxed frame's picture lies between its grey bars."""

from __future__ import annotations

import numpy as np
import torch

__all__ = ["GREY", "content_box"]

GREY = 128 / 255  # the letterbox's bars after scaling to [0, 1] (CN113409326A [0135])
TOLERANCE = 1e-4  # of a grey level in [0, 1]: a fortieth of an 8-bit step
PROBES = 16  # pixels looked at in each line, in the first channel: in tissue they are never all of this grey


def content_box(pixels: torch.Tensor) -> tuple[slice, slice]:
    """The rows and columns of (C, H, W) without the letterbox bars: lines of grey at the border.

    A frame without bars, or of nothing else, is all content.
    """
    channel = pixels[
        0
    ].numpy()  # on arrays this small each NumPy operation is several times as fast as torch's
    height, width = (max(1, size // PROBES) for size in channel.shape)
    return _content(channel[:, ::width], 1), _content(channel[::height], 0)


def _content(channel: np.ndarray, across: int) -> slice:
    """From the first line that is not grey to the last; the lines run along the axis ``across``."""
    lines = np.flatnonzero((np.abs(channel - GREY) > TOLERANCE).any(axis=across))
    return slice(int(lines[0]), int(lines[-1]) + 1) if len(lines) else slice(None)
