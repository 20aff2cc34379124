"""Where a letterboxed frame's picture lies between its grey bars."""

from __future__ import annotations

import torch

__all__ = ["GREY", "content_box"]

GREY = 128 / 255  # the letterbox's bars after scaling to [0, 1] (CN113409326A [0135])
TOLERANCE = 1e-4  # of a grey level in [0, 1]: a fortieth of an 8-bit step
PROBES = 28  # pixels looked at in each line: in tissue they are never all of one grey


def content_box(pixels: torch.Tensor) -> tuple[slice, slice]:
    """The rows and columns of (C, H, W) without the letterbox bars: lines of grey at the border.

    A frame without bars, or of nothing else, is all content.
    """
    corners = pixels[:, (0, -1), (0, -1)]  # a bar covers one corner of this diagonal at least: most frames end here
    if not bool(((corners - GREY).abs() <= TOLERANCE).all(0).any()):
        return slice(None), slice(None)
    height, width = (max(1, int(size) // PROBES) for size in pixels.shape[1:])
    return _between(pixels[:, :, ::width], (0, 2)), _between(pixels[:, ::height], (0, 1))


def _between(pixels: torch.Tensor, others: tuple[int, int]) -> slice:
    """From the first line that is not grey to the last, along the axis that is not in ``others``."""
    grey = ((pixels - GREY).abs_() <= TOLERANCE).all(others[1]).all(others[0])
    lines = torch.nonzero(~grey)
    return slice(int(lines[0]), int(lines[-1]) + 1) if len(lines) else slice(None)
