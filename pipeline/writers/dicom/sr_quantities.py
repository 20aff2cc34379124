"""The quantities of a report, where in the frame they were measured, and the library of images.

Viewers show a quantity only where it has coordinates.
"""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
from highdicom.sr import (
    CodedConcept,
    ContainerContentItem,
    ContentSequence,
    CoordinatesForMeasurement,
    ImageContentItem,
    Measurement,
    MeasurementProperties,
    NumContentItem,
    SourceImageForRegion,
)

from pyraseg.transforms.dicom.labels.contours import trace_mask
from pyraseg.transforms.records import Code, Quantity, SourceRef

__all__ = ["PRIVATE_SCHEME", "concept", "coordinates", "image_library", "measurement", "outline"]

PRIVATE_SCHEME = "99HYDRO"  # for what has no standard code
UNITS = {
    "mm2": "square millimeter",
    "mm": "millimeter",
    "%": "percent",
    "{ratio}": "ratio",
    "ml": "milliliter",
    "g": "gram",
    "[hnsf'U]": "Hounsfield unit",
    "g/ml{SUVbw}": "Standardized Uptake Value body weight",
    "1": "no units",
}
UPPER = Code("371886008", "SCT", "+, range of upper measurement uncertainty")
LOWER = Code("371885007", "SCT", "-, range of lower measurement uncertainty")
DIGITS = 6  # significant; a decimal string has no more than 16 characters
MOST = 8000  # points: Graphic Data (0070,0022) holds less than 64 KiB
CORNER = 0.5  # C.18.6.1.1: 0 is the edge of the first pixel, whose centre is 0 for us


def concept(code: Code) -> CodedConcept:
    """A code as highdicom takes it."""
    return CodedConcept(code.value, code.scheme, code.meaning)


def measurement(quantity: Quantity, where: list[CoordinatesForMeasurement] | None) -> Measurement:
    """A quantity that has a value, by TID 300, with its coordinates."""
    code = quantity.code or Code(quantity.name, PRIVATE_SCHEME, quantity.name.replace("_", " "))
    how = quantity.derivation
    return Measurement(
        name=concept(code),
        value=float(f"{quantity.value:.{DIGITS}g}"),
        unit=_unit(quantity),
        properties=_uncertainty(quantity),
        derivation=None if how is None or how.value == code.value else concept(how),
        referenced_coordinates=where,
    )


def _uncertainty(quantity: Quantity) -> MeasurementProperties | None:
    """How far the quantity's interval reaches up and down, by TID 310, in the quantity's unit.

    highdicom's own have no unit.
    """
    if quantity.interval is None or quantity.value is None:
        return None
    low, high = quantity.interval
    properties = MeasurementProperties()
    for code, reach in ((UPPER, high - quantity.value), (LOWER, quantity.value - low)):
        properties.append(
            NumContentItem(
                name=concept(code),
                value=float(f"{max(reach, 0.0):.{DIGITS}g}"),
                unit=_unit(quantity),
                relationship_type="HAS PROPERTIES",
            )
        )
    return properties


def _unit(quantity: Quantity) -> CodedConcept:
    return CodedConcept(quantity.unit, "UCUM", UNITS.get(quantity.unit, quantity.unit))


def outline(mask: np.ndarray) -> np.ndarray | None:
    """Graphic Data (PS3.3 C.18.6) of the outline of the largest part of a mask (H, W).

    Returns:
        A closed POLYLINE (N, 2), column first; None for an empty mask or an outline too long for a report.
    """
    parts = trace_mask(mask.T)
    if not parts:
        return None
    largest = max(parts, key=lambda part: float(np.ptp(part, axis=0).prod()))
    return np.concatenate([largest, largest[:1]]) + CORNER if len(largest) < MOST else None


def coordinates(
    quantity: Quantity, mask: np.ndarray, image: SourceImageForRegion
) -> list[CoordinatesForMeasurement] | None:
    """The line that was measured in a frame, or else the `outline` of the measured segments' mask."""
    points = np.array(quantity.ends)[:, ::-1] + CORNER if quantity.ends else outline(mask)
    return None if points is None else [CoordinatesForMeasurement("POLYLINE", points, image)]


def image_library(images: Iterable[SourceRef]) -> ContainerContentItem:
    """TID 1600, with the references alone; highdicom's wants the images' headers."""
    pairs = dict.fromkeys((image.sop_class_uid, image.sop_instance_uid) for image in images)
    source, contains = CodedConcept("260753009", "SCT", "Source"), {"relationship_type": "CONTAINS"}
    library = ContainerContentItem(CodedConcept("111028", "DCM", "Image Library"), **contains)
    group = ContainerContentItem(CodedConcept("126200", "DCM", "Image Library Group"), **contains)
    group.ContentSequence = ContentSequence(ImageContentItem(source, *pair, **contains) for pair in pairs)
    library.ContentSequence = ContentSequence([group])
    return library
