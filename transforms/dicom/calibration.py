"""Pixel spacing and tissue region of an ultrasound image, from its Sequence of Ultrasound Regions (PS3.3
C.8.5.5)."""

from __future__ import annotations

import math
import warnings
from collections.abc import Sequence
from dataclasses import dataclass

from pydicom import Dataset

__all__ = ["Calibration", "TissueRegion", "calibrate", "tissue_regions"]

FORMAT_2D = 1
TISSUE = 1
CENTIMETRES = 3
EDGE_TOLERANCE = 1  # pixels: some machines write the exclusive end of a region where the inclusive one is due

Box = tuple[int, int, int, int]


@dataclass(frozen=True)
class TissueRegion:
    """A calibrated 2D tissue region: ``box`` is (row0, col0, row1, col1), half-open; spacing in mm per
    pixel."""

    box: Box
    spacing_mm: tuple[float, float]


@dataclass(frozen=True)
class Calibration:
    """Pixel spacing (row, column) in mm or None, where it is from, and the bounding box of the tissue or
    None."""

    spacing_mm: tuple[float, float] | None
    source: str
    tissue_box: Box | None


def calibrate(dataset: Dataset, rows: int, columns: int) -> Calibration:
    """One spacing for the image: that of its tissue regions if they agree, else none; without any, Pixel
    Spacing."""
    regions = tissue_regions(dataset, rows, columns)
    if not regions:
        spacing = _pixel_spacing(dataset)
        return Calibration(spacing, "pixel_spacing" if spacing else "none", None)
    tops, lefts, bottoms, rights = zip(*(region.box for region in regions), strict=True)
    box = (min(tops), min(lefts), max(bottoms), max(rights))
    first = regions[0].spacing_mm
    if all(
        math.isclose(a, b, rel_tol=1e-6) for r in regions for a, b in zip(r.spacing_mm, first, strict=True)
    ):
        return Calibration(first, "region", box)
    return Calibration(None, "none", box)


def tissue_regions(dataset: Dataset, rows: int, columns: int) -> list[TissueRegion]:
    """The regions of 2D tissue that are calibrated in cm on both axes.

    One that reaches outside the image (its scale belongs to another size of it) or has a zero delta is left
    out with a warning.
    """
    regions = (_region(item, rows, columns) for item in dataset.get("SequenceOfUltrasoundRegions") or [])
    return [region for region in regions if region]


def _region(item: Dataset, rows: int, columns: int) -> TissueRegion | None:
    units = (item.get("PhysicalUnitsXDirection"), item.get("PhysicalUnitsYDirection"))
    if (item.get("RegionSpatialFormat"), item.get("RegionDataType")) != (FORMAT_2D, TISSUE):
        return None
    if units != (CENTIMETRES, CENTIMETRES):
        return None
    spacing = tuple(10 * abs(float(item.get(f"PhysicalDelta{axis}") or 0)) for axis in "YX")
    if not all(math.isfinite(value) and value > 0 for value in spacing):
        warnings.warn("an ultrasound region without a physical delta is ignored", stacklevel=2)
        return None
    ends = [item.get(f"RegionLocation{end}") for end in ("MinY0", "MinX0", "MaxY1", "MaxX1")]
    if None in ends or not _inside(ends, rows, columns):
        warnings.warn("an ultrasound region that is not inside the image is ignored", stacklevel=2)
        return None
    box = (int(ends[0]), int(ends[1]), min(int(ends[2]) + 1, rows), min(int(ends[3]) + 1, columns))
    return TissueRegion(box, (spacing[0], spacing[1]))


def _inside(ends: list[int], rows: int, columns: int) -> bool:
    top, left, bottom, right = ends
    return (
        0 <= top < min(bottom, rows)
        and 0 <= left < min(right, columns)
        and bottom < rows + EDGE_TOLERANCE
        and right < columns + EDGE_TOLERANCE
    )


def _pixel_spacing(dataset: Dataset) -> tuple[float, float] | None:
    stated = dataset.get("PixelSpacing")
    values = [float(value) for value in stated] if isinstance(stated, Sequence) else []
    if len(values) != 2 or not all(math.isfinite(value) and value > 0 for value in values):
        return None
    return values[0], values[1]
