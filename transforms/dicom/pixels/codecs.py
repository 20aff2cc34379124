"""The decoders of single frames: raw values, JPEG by pillow, and everything else by one pinned plugin of
pydicom."""

from __future__ import annotations

import struct
from io import BytesIO
from typing import Any, BinaryIO

import numpy as np
from PIL import Image
from pydicom import uid
from pydicom.pixels import get_decoder
from rle.utils import decode_pixel_data

from pyraseg.transforms.dicom.files.header import ImageHeader
from pyraseg.transforms.dicom.pixels.codestream import Codestream
from pyraseg.transforms.dicom.pixels.colour import ybr_to_rgb

__all__ = [
    "PLUGINS",
    "as_pixel_data",
    "as_stored",
    "decode_by_plugin",
    "decode_grey",
    "decode_jpeg",
    "decode_native",
    "decode_rle",
]

# One decoder per transfer syntax, so that results repeat: the fastest installed, which pydicom's choice is
# not.
PLUGINS: dict[uid.UID, str] = {
    uid.ImplicitVRLittleEndian: "",
    uid.ExplicitVRLittleEndian: "",
    uid.ExplicitVRBigEndian: "",
    uid.RLELossless: "pylibjpeg",
    uid.JPEGBaseline8Bit: "pillow",
    uid.JPEGExtended12Bit: "pylibjpeg",
    uid.JPEGLossless: "pylibjpeg",
    uid.JPEGLosslessSV1: "pylibjpeg",
    uid.JPEGLSLossless: "pyjpegls",
    uid.JPEGLSNearLossless: "pyjpegls",
    uid.JPEG2000Lossless: "pylibjpeg",
    uid.JPEG2000: "pylibjpeg",
}


def decode_native(header: ImageHeader, index: int) -> np.ndarray:
    """Frame ``index`` of uncompressed pixel data as stored, (H, W) or (H, W, 3)."""
    plain = header.transfer_syntax.is_little_endian and header.bits_stored == header.bits_allocated
    with header.path.open("rb") as file:
        if not plain or header.pixel_representation or header.photometric == "YBR_FULL_422":
            file.seek(header.value_offset)
            return decode_by_plugin(header, file, index)
        # Straight into the array: pydicom takes the bytes first and copies them
        dtype = np.dtype(f"<u{header.bits_allocated // 8}")
        count = header.rows * header.columns * header.samples
        file.seek(header.value_offset + index * count * dtype.itemsize)
        samples = np.fromfile(file, dtype, count)
    if header.samples == 1:
        return samples.reshape(header.rows, header.columns)
    if header.planar_configuration:
        return samples.reshape(3, header.rows, header.columns).transpose(1, 2, 0)
    return samples.reshape(header.rows, header.columns, 3)


def decode_grey(header: ImageHeader, index: int) -> np.ndarray:
    """Frame ``index`` of uncompressed grey pixel data as stored, (H, W), signed where the header says so."""
    if (
        header.bits_allocated == 8 and not header.transfer_syntax.is_little_endian
    ):  # swapped in pairs where it is OW
        return as_stored(header, decode_native(header, index))
    order = "<" if header.transfer_syntax.is_little_endian else ">"
    dtype = np.dtype(f"{order}u{header.bits_allocated // 8}")
    count = header.rows * header.columns
    offset = header.value_offset + index * count * dtype.itemsize
    words = np.fromfile(header.path, dtype, count, offset=offset).reshape(header.rows, header.columns)
    return as_stored(header, words.astype(dtype.newbyteorder("="), copy=False))


def as_stored(header: ImageHeader, words: np.ndarray) -> np.ndarray:
    """The lowest bits of decoded words: signed in two's complement where the header says so, whatever lies
    above."""
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
    """One RLE frame as stored. The plugin's own function spares the copies that pydicom makes around it."""
    shape = (header.samples, header.rows, header.columns)
    if header.bits_allocated == 16:
        planes = _rle_words(header, data).reshape(shape)
    elif header.bits_stored != header.bits_allocated or header.pixel_representation:
        return decode_by_plugin(header, as_pixel_data(data))
    else:
        planes = _rle_bytes(header, data).reshape(shape)
    return planes[0] if header.samples == 1 else planes.transpose(1, 2, 0)


def _rle_bytes(header: ImageHeader, data: bytes) -> np.ndarray:
    size: dict[str, Any] = {"rows": header.rows, "columns": header.columns, "bits_allocated": 8}
    return np.frombuffer(decode_pixel_data(data, version=2, **size), np.uint8)


def _rle_words(header: ImageHeader, data: bytes) -> np.ndarray:
    """The 16-bit samples of all planes, flat; the segments are their bytes, the high ones first (PS3.5 annex
    G.2).

    Each goes through the decoder alone: given two, pylibjpeg-rle panics (a BaseException) on one that is too
    long.
    """
    count, *offsets = struct.unpack_from("<16L", data)
    if count != 2 * header.samples:
        raise ValueError("the number of segments is not that of the samples' bytes")
    ends = [*offsets[1:count], len(data)]
    parts = [data[start:end] for start, end in zip(offsets[:count], ends, strict=True)]
    alone = struct.pack("<16L", 1, 64, *[0] * 14)
    planes = [_rle_bytes(header, alone + part) for part in parts]
    words = np.stack(
        [(high.astype(np.uint16) << 8) | low for high, low in zip(planes[::2], planes[1::2], strict=True)]
    )
    return _stored_values(words, header.bits_stored, header.samples == 1 and header.pixel_representation == 1)


def _stored_values(words: np.ndarray, bits_stored: int, signed: bool) -> np.ndarray:
    """The lowest ``bits_stored`` bits of 16-bit words, as int16 in two's complement where ``signed``."""
    spare = 16 - bits_stored
    return (words << spare).view(np.int16) >> spare if signed else words & np.uint16(2**bits_stored - 1)


def decode_by_plugin(header: ImageHeader, source: bytes | BinaryIO, index: int = 0) -> np.ndarray:
    """Decode one frame with the pinned plugin, without colour conversion; ``source`` is at the first
    frame."""
    encapsulated = header.transfer_syntax.is_encapsulated
    options: dict[str, Any] = {
        "rows": header.rows,
        "columns": header.columns,
        "samples_per_pixel": header.samples,
        "number_of_frames": 1 if encapsulated else header.number_of_frames,
        "photometric_interpretation": header.photometric,
        # Compressed colour comes by pixel whatever the header says; decoders that yield planes say so
        # themselves.
        "planar_configuration": 0 if encapsulated else header.planar_configuration,
        "bits_allocated": header.bits_allocated,
        "bits_stored": header.bits_stored,
        "pixel_representation": header.pixel_representation if header.samples == 1 else 0,
        "pixel_keyword": "PixelData",
        "pixel_vr": header.pixel_vr,
    }
    plugin = PLUGINS[header.transfer_syntax]
    decoder = get_decoder(header.transfer_syntax)
    array, _ = decoder.as_array(source, index=index, raw=True, decoding_plugin=plugin, **options)
    return array


def as_pixel_data(data: bytes) -> bytes:
    """One compressed frame as encapsulated pixel data: an empty offset table and one item (PS3.5 A.4)."""
    return struct.pack("<HHLHHL", 0xFFFE, 0xE000, 0, 0xFFFE, 0xE000, len(data)) + data


def decode_jpeg(data: bytes, facts: Codestream, ybr: bool) -> np.ndarray:
    """Decode 8-bit JPEG with pillow to grey (H, W) or RGB (H, W, 3), converting samples that are YCbCr and
    only those.

    libjpeg converts by itself unless an Adobe marker or the component IDs say RGB, so it has to be steered.
    """
    image = Image.open(BytesIO(data), formats=("JPEG",))
    if facts.components == 1:
        return np.array(image)
    converts_itself = facts.adobe_transform != 0 and not facts.says_rgb
    if converts_itself and not ybr:
        image.draft("YCbCr", image.size)  # hands the samples out as they are
    samples = np.array(image)
    return ybr_to_rgb(samples) if ybr and not converts_itself else samples
