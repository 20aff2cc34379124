"""The dashed line that shows a reference beside a filled prediction."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np

from pyraseg.transforms.records import Segment

__all__ = ["draw_dashed"]

LINE = 600  # one pixel of dashed line for so many pixels of the longer side
DASH = 7.0  # pixels of a dash and of a gap
PALE = 0.55  # how far the reference's colour goes to white


def draw_dashed(picture: np.ndarray, labels: np.ndarray, segments: Iterable[Segment]) -> np.ndarray:
    """Draw the outlines of label values (H, W) over an RGB picture (H, W, 3), in paler tones of the segments'
    colours.

    Returns:
        RGB, uint8 (H, W, 3).
    """
    from PIL import Image, ImageDraw
    from skimage.measure import find_contours

    width = max(1, round(max(labels.shape) / LINE))
    canvas = Image.fromarray(picture)
    pen = ImageDraw.Draw(canvas)
    for segment in segments:
        pale = tuple(round(part + PALE * (255 - part)) for part in segment.colour)
        for line in find_contours(np.pad(labels == segment.value, 1).astype(np.uint8), 0.5):
            points = (line - 1)[:, ::-1]
            length = np.cumsum(np.hypot(*np.diff(points, axis=0).T))
            for begin, end, at in zip(points[:-1], points[1:], length, strict=True):
                if at // DASH % 2 == 0:
                    pen.line([*begin, *end], fill=pale, width=width)
    return np.asarray(canvas)
