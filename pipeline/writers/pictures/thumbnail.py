"""Thumbnails for the report: small pictures as JPEG."""

from __future__ import annotations

from io import BytesIO

import numpy as np

from pyraseg.transforms.errors import GeometryError

__all__ = ["draw_thumbnail"]

SIDE = 160  # pixels of the longer side
LARGEST = 5000  # bytes: a report of thousands of items holds them all
QUALITIES = (75, 60, 45, 30, 15)


def draw_thumbnail(picture: np.ndarray) -> bytes:
    """A picture (H, W, 3) uint8 as JPEG of at most 160 pixels a side and about 5 KB, without metadata.

    Raises:
        GeometryError: the picture is not uint8 (H, W, 3).
    """
    from PIL import Image

    if picture.ndim != 3 or picture.shape[2] != 3 or picture.dtype != np.uint8 or not picture.size:
        found = f"{picture.dtype} {picture.shape}"
        raise GeometryError(
            "an RGB picture uint8 (H, W, 3)", found=found, remedy="Draw it with draw_overlay first."
        )
    small = Image.fromarray(picture)
    small.thumbnail((SIDE, SIDE), Image.Resampling.BILINEAR, reducing_gap=2.0)
    for quality in QUALITIES:
        file = BytesIO()
        small.save(file, format="JPEG", quality=quality)
        if file.tell() <= LARGEST:
            break
    return file.getvalue()
