"""The pictures of a volume: a montage of slices, a projection, and a thumbnail."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from pyraseg.pipeline.prediction.items.outputs import THUMBNAIL
from pyraseg.pipeline.utils.files import atomic_write
from pyraseg.pipeline.writers.pictures.montage import draw_projection, draw_volume
from pyraseg.pipeline.writers.pictures.picture_files import draw_thumbnail, write_png
from pyraseg.pipeline.writers.prediction import Prediction

__all__ = ["VolumePictures"]


@dataclass(frozen=True, eq=False)
class VolumePictures:
    """What pictures of a volume are drawn from. The series of CT, MR and PET have no text in their pixels.

    Attributes:
        view: (X, Y, Z) uint8 on the source grid, scaled as the network sees it.
        affine: (4, 4), from index to RAS+ mm.
        projected: whether the thumbnail is the projection, as one looks at PET; else the slice that shows
            most.
    """

    view: np.ndarray
    affine: np.ndarray
    projected: bool

    blank = False

    def write(self, folder: Path, prediction: Prediction, *, overlay: bool) -> Iterator[str]:
        """Write the thumbnail and, with ``overlay``, a montage and a coronal maximum intensity projection."""
        labels, segments, affine = prediction.labels.T, prediction.segments, self.affine
        projection = draw_projection(self.view, labels, segments, affine=affine)
        small = (
            projection
            if self.projected
            else draw_volume(self.view, labels, segments, affine=affine, slices=1)
        )
        with atomic_write(folder / THUMBNAIL) as file:
            file.write(draw_thumbnail(small))
        yield THUMBNAIL
        if overlay:
            yield write_png(
                folder / "overlay.png", draw_volume(self.view, labels, segments, affine=affine)
            ).name
            yield write_png(folder / "projection.png", projection).name
