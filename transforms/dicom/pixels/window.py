"""The greys that a file's own window shows (PS3.3 C.11.1, C.11.2)."""

from __future__ import annotations

import math

import numpy as np
from pydicom import Dataset
from pydicom.pixels import apply_modality_lut, apply_voi, apply_windowing

from pyraseg.transforms.dicom.files.header import ImageHeader
from pyraseg.transforms.dicom.files.values import BrokenFile, first_item, foreign, numbers, stated, text

__all__ = ["WHITE", "has_depth", "has_window", "range_table", "window_table"]

WHITE = 2**16 - 1
DEEPEST = 16  # bits stored
WINDOW = ("WindowCenter", "WindowWidth")


def has_depth(header: ImageHeader) -> bool:
    """Whether values are grey and of more than 8 bits; of fewer bits they fill the range."""
    return header.photometric.startswith("MONOCHROME") and 8 < header.bits_stored <= DEEPEST


def has_window(header: ImageHeader) -> bool:
    """Whether grey values of more than 8 bits have a window or VOI LUT."""
    if not has_depth(header):
        return False
    window = all(stated(header.dataset, name) not in (None, "") for name in WINDOW)
    return window or bool(stated(header.dataset, "VOILUTSequence"))


def window_table(header: ImageHeader) -> np.ndarray:
    """The grey, 0 to `WHITE`, of each stored value from the lowest on, by the first VOI LUT or else window.

    Raises:
        BrokenFile: they cannot be applied.
    """
    dataset, stored = header.dataset, _stored_values(header)
    with foreign():
        values = apply_modality_lut(stored, dataset)
        if stated(dataset, "VOILUTSequence"):
            depth = first_item(dataset, "VOILUTSequence").LUTDescriptor[2]
            shown = apply_voi(np.rint(values).astype(np.int32), dataset) / (2**depth - 1)
        else:
            shown = apply_windowing(values, _window(dataset)) / WHITE
    if not np.isfinite(shown).all():
        raise BrokenFile("a window without a range")
    return np.rint(shown.clip(0, 1) * WHITE).astype(np.uint16)


def range_table(header: ImageHeader, value_range: tuple[float, float]) -> np.ndarray:
    """The same by the stored values that are black and white."""
    shown = (_stored_values(header) - value_range[0]) / (value_range[1] - value_range[0])
    return np.rint(shown.clip(0, 1) * WHITE).astype(np.uint16)


def _stored_values(header: ImageHeader) -> np.ndarray:
    low = -(2 ** (header.bits_stored - 1)) if header.pixel_representation else 0
    return np.arange(low, low + 2**header.bits_stored, dtype=np.int32)


def _window(dataset: Dataset) -> Dataset:
    """The first window alone, onto greys of 16 bits."""
    window = Dataset()
    window.PhotometricInterpretation, window.BitsStored, window.PixelRepresentation = "MONOCHROME2", 16, 0
    for name in WINDOW:
        setattr(window, name, (numbers(dataset, name) or (math.nan,))[0])
    if function := text(dataset, "VOILUTFunction"):
        window.VOILUTFunction = function
    return window
