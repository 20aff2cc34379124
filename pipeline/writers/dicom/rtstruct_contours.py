"""The contours of an RT Structure Set: what is traced on each slice, in patient coordinates."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from pydicom import Dataset
from pydicom.charset import default_encoding
from pydicom.dataelem import RawDataElement
from pydicom.tag import Tag

from pyraseg.pipeline.writers.dicom.source import add_uid
from pyraseg.transforms.dicom.labels.contours import trace_mask
from pyraseg.transforms.dicom.series.source_series import SourceSeries

__all__ = ["contour_items", "image_item"]

CONTOUR_DATA = Tag(0x3006, 0x0050)
FINEST, LONGEST = 8, 16  # digits behind the point; characters of VR DS


def contour_items(
    labels: np.ndarray, series: SourceSeries, values: Sequence[int]
) -> dict[int, list[Dataset]]:
    """The items of Contour Sequence (PS3.3 C.8.8.6) by class value, slice by slice.

    Args:
        labels: (columns, rows, slices).
    """
    items: dict[int, list[Dataset]] = {value: [] for value in values}
    digits = _digits(series)
    for index in range(labels.shape[2]):
        plane, image = labels[:, :, index], image_item(series, index)
        for value in values if plane.any() else ():
            polygons = trace_mask(plane == value)
            items[value] += [_item(polygon, index, image, series, digits) for polygon in polygons]
    return items


def image_item(series: SourceSeries, index: int) -> Dataset:
    """The reference to the image of a slice."""
    item, source = Dataset(), series.slices[index]
    add_uid(item, "ReferencedSOPClassUID", source.sop_class_uid)
    add_uid(item, "ReferencedSOPInstanceUID", source.sop_instance_uid)
    if series.frames:
        item.ReferencedFrameNumber = series.frames[index] + 1
    return item


def _digits(series: SourceSeries) -> int:
    """Digits behind the point that keep a ten-thousandth of a pixel, as far as VR DS has room for them."""
    wanted = math.ceil(4 - math.log10(min(series.grid.spacing)))
    corners = np.array(np.meshgrid(*([-1, size] for size in series.grid.shape), [1])).reshape(4, -1)
    whole = len(f"{-np.abs(series.grid.affine_lps @ corners).max():.0f}")
    return max(0, min(wanted, FINEST, LONGEST - 1 - whole))


def _item(polygon: np.ndarray, index: int, image: Dataset, series: SourceSeries, digits: int) -> Dataset:
    places = np.column_stack([polygon, np.full(len(polygon), index), np.ones(len(polygon))])
    values = (places @ series.grid.affine_lps[:3].T).reshape(-1)
    text = ("\\".join([f"%.{digits}f"] * len(values)) % tuple(values)).encode("ascii")
    text += b" " * (len(text) % 2)
    item = Dataset()
    item.ContourImageSequence = [image]
    item.ContourGeometricType = "CLOSED_PLANAR"
    item.NumberOfContourPoints = len(polygon)
    # As the bytes of Implicit VR, which pydicom writes as they are; its numbers one by one would take most of
    # the time
    item[CONTOUR_DATA] = RawDataElement(CONTOUR_DATA, "DS", len(text), text, 0, True, True)
    item.set_original_encoding(
        True, True, default_encoding
    )  # that of items: else all are decoded to be encoded
    return item
