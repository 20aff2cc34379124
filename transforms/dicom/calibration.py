"""Pixel spacing and tissue of ultrasound images by their Sequence of Ultrasound Regions (PS3.3 C.8.5.5)."""

from __future__ import annotations

import math
import warnings
from dataclasses import dataclass

from pydicom import Dataset

from pyraseg.transforms.dicom.files.values import BrokenFile, items, number, numbers, stated
from pyraseg.transforms.io.limits import spacing_fault

__all__ = ["CalibratedRegion", "Calibration", "calibrate", "tissue_regions"]

FORMAT_2D, TISSUE, CENTIMETRES = 1, 1, 3
EDGE_TOLERANCE = 1  # pixels: some machines write the exclusive end of a region instead of the inclusive one

Box = tuple[int, int, int, int]


@dataclass(frozen=True)
class CalibratedRegion:
    """A calibrated region of 2D tissue.

    Attributes:
        box: (row0, col0, row1, col1), half-open.
        spacing_mm: per pixel, down the rows and along them.
    """

    box: Box
    spacing_mm: tuple[float, float]


@dataclass(frozen=True)
class Calibration:
    """Pixel spacing (row, column) in mm or None, its origin, and the tissue's bounding box or None."""

    spacing_mm: tuple[float, float] | None
    source: str
    tissue_box: Box | None


def calibrate(dataset: Dataset, rows: int, columns: int) -> Calibration:
    """The spacing of an ultrasound image of ``rows`` by ``columns`` pixels.

    It is that of the tissue regions if they agree, else none; without regions, Pixel Spacing.

    Raises:
        BrokenFile: a region or its sequence cannot be read.

    >>> import pydicom
    >>> calibrate(pydicom.dcmread(cine), 60, 80).spacing_mm
    (0.5, 0.5)
    """
    regions = tissue_regions(dataset, rows, columns)
    if not regions:
        spacing = _pixel_spacing(dataset, rows, columns)
        return Calibration(spacing, "pixel_spacing" if spacing else "none", None)
    tops, lefts, bottoms, rights = zip(*(region.box for region in regions), strict=True)
    box = (min(tops), min(lefts), max(bottoms), max(rights))
    first = regions[0].spacing_mm
    pairs = (pair for region in regions for pair in zip(region.spacing_mm, first, strict=True))
    if all(math.isclose(one, other, rel_tol=1e-6) for one, other in pairs):
        return Calibration(first, "region", box)
    return Calibration(None, "none", box)


def tissue_regions(dataset: Dataset, rows: int, columns: int) -> list[CalibratedRegion]:
    """The regions of 2D tissue with a calibration in cm on both axes.

    One that leaves the image (and is scaled for another size) or whose pixels have a size that none can have
    is skipped with a warning.
    """
    regions = (_region(item, rows, columns) for item in items(dataset, "SequenceOfUltrasoundRegions"))
    return [region for region in regions if region]


def _region(item: Dataset, rows: int, columns: int) -> CalibratedRegion | None:
    kind = stated(item, "RegionSpatialFormat"), stated(item, "RegionDataType")
    units = stated(item, "PhysicalUnitsXDirection"), stated(item, "PhysicalUnitsYDirection")
    if kind != (FORMAT_2D, TISSUE) or units != (CENTIMETRES, CENTIMETRES):
        return None
    down, across = (10 * abs(number(item, f"PhysicalDelta{axis}") or 0) for axis in "YX")
    if fault := spacing_fault((down, across), (rows, columns)):
        warnings.warn(f"an ultrasound region with pixels of {fault} is ignored", stacklevel=2)
        return None
    ends = [number(item, f"RegionLocation{end}") for end in ("MinY0", "MinX0", "MaxY1", "MaxX1")]
    top, left, bottom, right = (-1 if end is None or not math.isfinite(end) else int(end) for end in ends)
    inside = 0 <= top < min(bottom, rows) and 0 <= left < min(right, columns)
    if not inside or bottom >= rows + EDGE_TOLERANCE or right >= columns + EDGE_TOLERANCE:
        warnings.warn("an ultrasound region that is not inside the image is ignored", stacklevel=2)
        return None
    return CalibratedRegion((top, left, min(bottom + 1, rows), min(right + 1, columns)), (down, across))


def _pixel_spacing(dataset: Dataset, rows: int, columns: int) -> tuple[float, float] | None:
    try:
        spacing = numbers(dataset, "PixelSpacing", 2)
    except BrokenFile as error:
        if error.remedy:  # a decimal comma: the user has a spacing, and would miss it
            raise
        return None
    if spacing is None or spacing_fault(spacing, (rows, columns)):
        return None
    return spacing[0], spacing[1]
