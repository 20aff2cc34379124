"""The spacing of a mask in an image whose regions disagree: that of the one region that holds all of it."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from pyraseg.transforms.dicom.calibration import tissue_regions
from pyraseg.transforms.dicom.files.header import read_header
from pyraseg.transforms.records import SourceRef

__all__ = ["spacing_of_mask"]


def spacing_of_mask(source: SourceRef, labels: np.ndarray) -> tuple[float, float] | None:
    """(row, column) in mm; None where no region, or several that disagree, hold the foreground of all frames.

    Args:
        source: the file.
        labels: (F, H, W) on its grid.

    Raises:
        InputError: the header cannot be read.
    """
    header = read_header(Path(source.path))
    regions = tissue_regions(header.dataset, source.rows, source.columns)
    rows = np.flatnonzero(labels.any(axis=(0, 2)))
    columns = np.flatnonzero(labels.any(axis=(0, 1)))
    if not len(rows):
        return None
    holding = {region.spacing_mm for region in regions if _holds(region.box, rows, columns)}
    return holding.pop() if len(holding) == 1 else None


def _holds(box: tuple[int, int, int, int], rows: np.ndarray, columns: np.ndarray) -> bool:
    top, left, bottom, right = box
    return bool(top <= rows[0] and rows[-1] < bottom and left <= columns[0] and columns[-1] < right)
