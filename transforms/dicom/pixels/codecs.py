"""Decoders of single frames, and the step from their samples to display values.

Raw values are read directly, pillow decodes JPEG of 8 bits, SimpleITK's GDCM the rest of JPEG (`compressed`),
and a plugin of pydicom everything else. All raise `BrokenFile` where their library cannot decode the bytes.
"""

from __future__ import annotations

import struct
from io import BytesIO
from typing import Any, BinaryIO

import numpy as np
from PIL import Image
from pydicom import Dataset, uid
from pydicom.pixels import get_decoder
from pydicom.pixels.decoders.base import Decoder
from pydicom.pixels.processing import apply_color_lut
from rle.utils import decode_pixel_data

from pyraseg.transforms.dicom.files.header import ImageHeader
from pyraseg.transforms.dicom.files.values import BrokenFile, foreign, numbers
from pyraseg.transforms.dicom.pixels.encapsulated import Codestream

__all__ = [
    "PLUGINS",
    "SIMPLEITK",
    "apply_palette",
    "as_pixel_data",
    "as_stored",
    "decode_by_plugin",
    "decode_grey",
    "decode_jpeg",
    "decode_native",
    "decode_rle",
    "decoder_of",
    "invert_grey",
    "palette_table",
    "ybr_to_rgb",
]

SIMPLEITK = "SimpleITK"  # no plugin of pydicom
# The first decoder for each transfer syntax, so that results repeat: the fastest, unlike pydicom's choice.
PLUGINS: dict[uid.UID, str] = {
    uid.ImplicitVRLittleEndian: "",
    uid.ExplicitVRLittleEndian: "",
    uid.ExplicitVRBigEndian: "",
    uid.RLELossless: "pylibjpeg",
    uid.JPEGBaseline8Bit: "pillow",
    uid.JPEGExtended12Bit: SIMPLEITK,
    uid.JPEGLossless: SIMPLEITK,
    uid.JPEGLosslessSV1: SIMPLEITK,
    uid.JPEGLSLossless: "pyjpegls",
    uid.JPEGLSNearLossless: "pyjpegls",
    uid.JPEG2000Lossless: "pylibjpeg",
    uid.JPEG2000: "pylibjpeg",
    uid.HTJ2KLossless: "pylibjpeg",
    uid.HTJ2KLosslessRPCL: "pylibjpeg",
    uid.HTJ2K: "pylibjpeg",
    # Retired processes: extended, spectral selection and progressive, lossless
    **{uid.UID(f"1.2.840.10008.1.2.4.{process}"): SIMPLEITK for process in (52, 53, 54, 55, 56, 58)},
}
ANY_JPEG = uid.JPEGExtended12Bit  # its decoders take any process of JPEG
COLOURS = ("Red", "Green", "Blue")


def decode_native(header: ImageHeader, index: int) -> np.ndarray:
    """Frame ``index`` of uncompressed pixel data as stored, (H, W) or (H, W, 3)."""
    plain = header.transfer_syntax.is_little_endian and header.bits_stored == header.bits_allocated
    if not plain or header.pixel_representation or header.photometric == "YBR_FULL_422":
        with header.opened() as file:
            file.seek(header.value_offset)
            return decode_by_plugin(header, file, index)
    # Straight into the array: pydicom would copy the bytes
    samples = _read_samples(header, index, "<")
    if header.samples == 1:
        return samples.reshape(header.rows, header.columns)
    if header.planar_configuration:
        return samples.reshape(3, header.rows, header.columns).transpose(1, 2, 0)
    return samples.reshape(header.rows, header.columns, 3)


def decode_grey(header: ImageHeader, index: int) -> np.ndarray:
    """Frame ``index`` of uncompressed grey pixel data as stored, (H, W), signed where the header says so."""
    little = header.transfer_syntax.is_little_endian
    if header.bits_allocated == 8 and not little:  # OW swaps pairs of bytes
        return as_stored(header, decode_native(header, index))
    words = _read_samples(header, index, "<" if little else ">").reshape(header.rows, header.columns)
    return as_stored(header, words.astype(words.dtype.newbyteorder("="), copy=False))


def _read_samples(header: ImageHeader, index: int, order: str) -> np.ndarray:
    """All samples of a frame, flat."""
    dtype = np.dtype(f"{order}u{header.bits_allocated // 8}")
    count = header.rows * header.columns * header.samples
    with header.opened() as file, foreign():
        offset = header.value_offset + index * count * dtype.itemsize
        samples = np.fromfile(file, dtype, count, offset=offset)
    if len(samples) < count:
        raise BrokenFile("a file that has become shorter")
    return samples


def as_stored(header: ImageHeader, words: np.ndarray) -> np.ndarray:
    """The lowest bits of decoded words; signed in two's complement where the header says so."""
    unsigned = words.view(np.dtype(f"u{words.dtype.itemsize}"))
    bits = 8 * unsigned.dtype.itemsize
    if header.pixel_representation:
        signed = unsigned.view(np.dtype(f"i{words.dtype.itemsize}"))
        spare = bits - header.bits_stored
        return (signed << spare) >> spare if spare else signed
    if header.bits_stored == bits:
        return unsigned
    return unsigned & unsigned.dtype.type(2**header.bits_stored - 1)


def decode_rle(header: ImageHeader, data: bytes) -> np.ndarray:
    """One RLE frame as stored, by the plugin's function: pydicom would make more copies."""
    if header.bits_allocated == 16:
        planes = _rle_words(header, data)
    elif header.bits_allocated != 8 or header.bits_stored != 8 or header.pixel_representation:
        return decode_by_plugin(header, as_pixel_data(data), plugin=PLUGINS[header.transfer_syntax])
    else:
        planes = _rle_bytes(header, data)
    shape = (header.samples, header.rows, header.columns)
    if planes.size != np.prod(shape):
        raise BrokenFile("another number of samples")
    planes = planes.reshape(shape)
    return planes[0] if header.samples == 1 else planes.transpose(1, 2, 0)


def _rle_bytes(header: ImageHeader, data: bytes) -> np.ndarray:
    size: dict[str, Any] = {"rows": header.rows, "columns": header.columns, "bits_allocated": 8}
    with foreign():
        return np.frombuffer(decode_pixel_data(data, version=2, **size), np.uint8)


def _rle_words(header: ImageHeader, data: bytes) -> np.ndarray:
    """The 16-bit samples of all planes; the segments are their bytes, high ones first (PS3.5 annex G.2).

    Each segment is decoded alone: given two, pylibjpeg-rle panics (a BaseException) on one that is too long.
    """
    if len(data) < 64:
        raise BrokenFile("a frame that ends in its header")
    count, *offsets = struct.unpack_from("<16L", data)
    if count != 2 * header.samples:
        raise BrokenFile("another number of segments than of the samples' bytes")
    ends = [*offsets[1:count], len(data)]
    parts = [data[start:end] for start, end in zip(offsets[:count], ends, strict=True)]
    alone = struct.pack("<16L", 1, 64, *[0] * 14)
    planes = [_rle_bytes(header, alone + part) for part in parts]
    if len({len(plane) for plane in planes}) > 1:
        raise BrokenFile("segments of different lengths")
    pairs = zip(planes[::2], planes[1::2], strict=True)
    words = np.stack([(high.astype(np.uint16) << 8) | low for high, low in pairs])
    spare = 16 - header.bits_stored
    if header.samples == 1 and header.pixel_representation == 1:  # two's complement
        return (words << spare).view(np.int16) >> spare
    return words & np.uint16(2**header.bits_stored - 1)


def decoder_of(header: ImageHeader) -> Decoder:
    """pydicom's decoder; it has none for the retired processes of JPEG."""
    known = header.transfer_syntax in uid.AllTransferSyntaxes
    return get_decoder(header.transfer_syntax if known else ANY_JPEG)


def decode_by_plugin(
    header: ImageHeader, source: bytes | BinaryIO, index: int = 0, *, plugin: str = ""
) -> np.ndarray:
    """Decode one frame with a plugin, colours unchanged; ``source`` is at the first frame."""
    encapsulated = header.transfer_syntax.is_encapsulated
    options: dict[str, Any] = {
        "rows": header.rows,
        "columns": header.columns,
        "samples_per_pixel": header.samples,
        "number_of_frames": 1 if encapsulated else header.number_of_frames,
        "photometric_interpretation": header.photometric,
        # Compressed colour is stored by pixel, whatever the header says; decoders that return planes say so
        "planar_configuration": 0 if encapsulated else header.planar_configuration,
        "bits_allocated": header.bits_allocated,
        "bits_stored": header.bits_stored,
        "pixel_representation": header.pixel_representation if header.samples == 1 else 0,
        "pixel_keyword": "PixelData",
        "pixel_vr": header.pixel_vr,
    }
    with foreign():
        decoder = decoder_of(header)
        array, _ = decoder.as_array(source, index=index, raw=True, decoding_plugin=plugin, **options)
        return array


def as_pixel_data(data: bytes) -> bytes:
    """One compressed frame as encapsulated pixel data: an empty offset table and one item (PS3.5 A.4)."""
    return struct.pack("<HHLHHL", 0xFFFE, 0xE000, 0, 0xFFFE, 0xE000, len(data)) + data


def decode_jpeg(data: bytes, facts: Codestream, ybr: bool) -> np.ndarray:
    """Decode 8-bit JPEG with pillow to grey (H, W) or RGB (H, W, 3); only YCbCr is converted.

    libjpeg converts by default unless an Adobe marker or the component IDs say RGB, so it needs control.
    """
    converts_itself = facts.adobe_transform != 0 and not facts.says_rgb
    with foreign():
        image = Image.open(BytesIO(data), formats=("JPEG",))
        if facts.components > 1 and converts_itself and not ybr:
            image.draft("YCbCr", image.size)  # returns the samples unconverted
        samples = np.array(image)
    return ybr_to_rgb(samples) if samples.ndim == 3 and ybr and not converts_itself else samples


def ybr_to_rgb(frame: np.ndarray, bits_stored: int = 8) -> np.ndarray:
    """Full-range YCbCr to RGB (PS3.3 C.7.6.3.1.2).

    Args:
        frame: (H, W, 3), uint8 or uint16.
        bits_stored: the samples' bits; chroma is centred on half their range.
    """
    if frame.dtype == np.uint8 and bits_stored == 8:
        # pillow's fixed-point conversion is within one level of the formula, in a tenth of the time
        return np.array(Image.fromarray(frame, mode="YCbCr").convert("RGB"))
    centre = np.array([0, 1, 1])[:, None, None] * 2.0 ** (bits_stored - 1)
    y, cb, cr = np.moveaxis(frame.astype(np.float64), -1, 0) - centre
    green = y - 0.114 * 1.772 / 0.587 * cb - 0.299 * 1.402 / 0.587 * cr
    rgb = np.stack([y + 1.402 * cr, green, y + 1.772 * cb], axis=-1)
    return np.clip(np.floor(rgb + 0.5), 0, 2**bits_stored - 1).astype(frame.dtype)


def invert_grey(frame: np.ndarray, display_max: int) -> np.ndarray:
    """Turn MONOCHROME1, which shows its lowest value as white, into MONOCHROME2."""
    return (display_max - frame.astype(np.int64)).clip(0).astype(frame.dtype)


def apply_palette(frame: np.ndarray, table: np.ndarray, first: int) -> np.ndarray:
    """Look indices (H, W) up in ``table`` (N, 3), whose row 0 is for index ``first``: (H, W, 3).

    Indices beyond the table take its ends (PS3.3 C.7.6.3.1.5).
    """
    return table[np.clip(frame.astype(np.int32) - first, 0, len(table) - 1)]


def palette_table(dataset: Dataset, little_endian: bool = True) -> tuple[np.ndarray, int]:
    """The palette as an (N, 3) table, uint8 or uint16, and the first index that it maps.

    A table declared with 16 bits but without values above 255 counts as 8 bits, and one declared with 8 bits
    but stored in 16 is cut down: real files have both.

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
