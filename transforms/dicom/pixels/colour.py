"""From decoded samples to display values: palettes and YBR become RGB, inverted grey becomes MONOCHROME2."""

from __future__ import annotations

import numpy as np
from PIL import Image
from pydicom import Dataset
from pydicom.pixels.processing import apply_color_lut

from pyraseg.transforms.dicom.files.values import BrokenFile, foreign, numbers

__all__ = ["apply_palette", "invert_grey", "palette_table", "ybr_to_rgb"]

COLOURS = ("Red", "Green", "Blue")


def ybr_to_rgb(frame: np.ndarray, bits_stored: int = 8) -> np.ndarray:
    """Full-range YCbCr to RGB (PS3.3 C.7.6.3.1.2).

    Args:
        frame: (H, W, 3), uint8 or uint16.
        bits_stored: the samples' bits; chroma is centred on half their range.
    """
    if frame.dtype == np.uint8 and bits_stored == 8:
        # pillow's fixed-point conversion stays within one level of the formula, at a tenth of the time
        return np.array(Image.fromarray(frame, mode="YCbCr").convert("RGB"))
    centre = np.array([0, 1, 1])[:, None, None] * 2.0 ** (bits_stored - 1)
    y, cb, cr = np.moveaxis(frame.astype(np.float64), -1, 0) - centre
    green = y - 0.114 * 1.772 / 0.587 * cb - 0.299 * 1.402 / 0.587 * cr
    rgb = np.stack([y + 1.402 * cr, green, y + 1.772 * cb], axis=-1)
    return np.clip(np.floor(rgb + 0.5), 0, 2**bits_stored - 1).astype(frame.dtype)


def invert_grey(frame: np.ndarray, display_max: int) -> np.ndarray:
    """MONOCHROME1 shows its lowest value as white; turn it into MONOCHROME2."""
    return (display_max - frame.astype(np.int64)).clip(0).astype(frame.dtype)


def apply_palette(frame: np.ndarray, table: np.ndarray, first: int) -> np.ndarray:
    """Look indices (H, W) up in ``table`` (N, 3), whose row 0 belongs to index ``first``: (H, W, 3).

    Indices off the table take its ends (PS3.3 C.7.6.3.1.5).
    """
    return table[np.clip(frame.astype(np.int32) - first, 0, len(table) - 1)]


def palette_table(dataset: Dataset, little_endian: bool = True) -> tuple[np.ndarray, int]:
    """The palette as an (N, 3) table, uint8 or uint16, and the first index that it maps.

    A table that is declared with 16 bits but holds nothing above 255 counts as 8 bits, and one that is
    declared with 8 bits but stored in 16 is cut down: real files have both.

    Raises:
        BrokenFile: there is no usable table.
    """
    descriptor = numbers(dataset, "RedPaletteColorLookupTableDescriptor", 3)
    if descriptor is None:
        raise BrokenFile("no descriptor")
    entries, first, bits = (int(value) for value in descriptor)
    entries = entries or 2**16
    if "RedPaletteColorLookupTableData" in dataset:
        table = np.stack([_entries(dataset, colour, entries, little_endian) for colour in COLOURS], axis=-1)
    else:
        with foreign():
            table = apply_color_lut(np.arange(first, first + entries, dtype=np.int32), dataset)
    if table.dtype == np.uint16 and bits == 8 and table.max() > 255:
        table = table >> 8
    return (table.astype(np.uint8) if table.max() <= 255 else table), first


def _entries(dataset: Dataset, colour: str, entries: int, little_endian: bool) -> np.ndarray:
    with foreign():
        element = dataset[f"{colour}PaletteColorLookupTableData"]
        data, swapped = bytes(element.value), element.VR == "OW" and not little_endian
    if len(data) >= 2 * entries:
        return np.frombuffer(data[: 2 * entries], dtype="<u2" if little_endian else ">u2").astype(np.uint16)
    if swapped:  # two 8-bit entries in each word
        data = np.frombuffer(data[: len(data) // 2 * 2], dtype=np.uint16).byteswap().tobytes()
    if len(data) < entries:
        raise BrokenFile("a table shorter than its descriptor says")
    return np.frombuffer(data[:entries], dtype=np.uint8)
