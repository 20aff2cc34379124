"""A frame with its mask drawn over it: fill and contour of each class, a dashed line for the reference."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

import numpy as np
from numpy.typing import ArrayLike
from PIL import Image

from pyraseg.pipeline.writers.pictures.drawing import (
    checked_image,
    checked_labels,
    draw_dashed,
    paint,
    tissue_box,
    to_bytes,
    to_picture,
)
from pyraseg.pipeline.writers.pictures.picture_files import write_png
from pyraseg.transforms.errors import ConfigError
from pyraseg.transforms.records import Segment

__all__ = ["draw_overlay", "write_overlay"]

LEGIBLE = 400  # frames with a shorter longer side, in pixels, are enlarged


def draw_overlay(
    image: ArrayLike,
    mask: ArrayLike,
    segments: Iterable[Segment],
    *,
    reference: ArrayLike | None = None,
    alpha: float = 0.35,
) -> np.ndarray:
    """Draw a mask, and a reference if any, over its frame.

    The picture is cropped to what is not black or in a mask, with a small margin. A small one is enlarged by
    a whole factor. Preprocessing must have blanked what lies outside the tissue.

    Args:
        image: (C, H, W), grey (C = 1) or RGB (C = 3), bytes or values from 0 to 1.
        mask: (H, W), class values; drawn as fill and contour in the segments' colours.
        segments: the classes; the one with value 0 is not drawn.
        reference: (H, W), class values; drawn as a thin dashed line in a paler tone of the same colours.
        alpha: opacity of the fill, from 0 to 1.

    Returns:
        RGB, uint8 (height, width, 3).

    Raises:
        ConfigError: ``alpha`` is out of its range.
        GeometryError: the image is not (C, H, W) with one or three channels, or a mask has another size.
        LabelError: a mask holds a value that no segment has.
    """
    if not 0 <= alpha <= 1:
        remedy = "Give the fill's opacity, such as 0.35."
        raise ConfigError("an alpha from 0 to 1", found=f"{alpha}", remedy=remedy)
    source, drawn = checked_image(image), [segment for segment in segments if segment.value]
    labels = [checked_labels(each, source.shape[1:], drawn) for each in (mask, reference) if each is not None]
    rows, columns = tissue_box(source, labels)
    picture, labels = to_picture(to_bytes(source[:, rows, columns])), [each[rows, columns] for each in labels]
    factor = -(-LEGIBLE // max(picture.shape))
    if factor > 1:  # pixel (r, c) becomes the same factor x factor block as its label
        size = (picture.shape[1] * factor, picture.shape[0] * factor)
        picture = np.array(Image.fromarray(picture).resize(size, Image.Resampling.BILINEAR))
        labels = [each.repeat(factor, axis=0).repeat(factor, axis=1) for each in labels]
    paint(picture, labels[0], drawn, alpha=alpha)
    return picture if reference is None else draw_dashed(picture, labels[1], drawn)


def write_overlay(
    path: str | Path,
    image: ArrayLike,
    mask: ArrayLike,
    segments: Iterable[Segment],
    *,
    reference: ArrayLike | None = None,
) -> Path:
    """Write what ``draw_overlay`` draws of the same arguments as a PNG without metadata.

    Raises:
        GeometryError, LabelError: as ``draw_overlay``.
        OutputError: the file cannot be written.

    >>> import tempfile
    >>> import numpy as np
    >>> from pyraseg.transforms.records import Segment
    >>> frame, mask = np.full((1, 48, 64), 0.5, np.float32), np.zeros((48, 64), np.uint8)
    >>> mask[10:30, 20:50] = 1
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     path = write_overlay(f"{folder}/frame.png", frame, mask, [Segment(1, "kidney", (230, 159, 0))])
    ...     path.read_bytes()[:4]
    b'\\x89PNG'
    """
    return write_png(path, draw_overlay(image, mask, segments, reference=reference))
