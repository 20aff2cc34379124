"""What a compressed frame says about itself: its size and its colour space, which the DICOM header may get
wrong."""

from __future__ import annotations

import struct
from dataclasses import dataclass

__all__ = ["Codestream", "parse_jpeg", "parse_jpeg2000"]

START_OF_FRAME = {*range(0xC0, 0xD0), 0xF7} - {
    0xC4,
    0xC8,
    0xCC,
}  # 0xF7 is JPEG-LS; the three are tables, not frames
APP0, APP14, START_OF_SCAN = 0xE0, 0xEE, 0xDA
RGB_IDS = (b"RGB", b"rgb")


@dataclass(frozen=True)
class Codestream:
    """Facts of one codestream.

    Attributes:
        says_rgb, says_ybr: the codestream itself declares its colour space; both False where it is silent.
        adobe_transform: the transform that an Adobe marker names (0 none, 1 YCbCr), None without such a
            marker.
    """

    rows: int
    columns: int
    components: int
    precision: int
    says_rgb: bool = False
    says_ybr: bool = False
    adobe_transform: int | None = None


def parse_jpeg(data: bytes) -> Codestream:
    """Parse the markers of a JPEG or JPEG-LS codestream up to its frame header (ISO/IEC 10918-1 annex B).

    Component IDs "RGB" declare RGB; a JFIF marker, an Adobe marker with transform 1 and subsampled chroma
    declare YCbCr.

    Raises:
        ValueError, IndexError, struct.error: this is no such codestream, or it ends in its header.
    """
    if data[:2] != b"\xff\xd8":
        raise ValueError("no start-of-image marker")
    jfif, adobe, offset = False, None, 2
    while (marker := _marker(data, offset)) not in START_OF_FRAME:
        if marker == 0xFF:  # a fill byte
            offset += 1
            continue
        (length,) = struct.unpack_from(">H", data, offset + 2)
        if marker == APP0:
            jfif |= data[offset + 4 : offset + 8] == b"JFIF"
        elif marker == APP14 and data[offset + 4 : offset + 9] == b"Adobe":
            adobe = data[offset + 15]
        offset += 2 + length
    precision, rows, columns, components = struct.unpack_from(">BHHB", data, offset + 4)
    table = [data[offset + 10 + 3 * i : offset + 13 + 3 * i] for i in range(components)]
    rgb = components == 3 and b"".join(entry[:1] for entry in table) in RGB_IDS
    subsampled = len({entry[1] for entry in table}) > 1
    ybr = components == 3 and not rgb and (jfif or adobe == 1 or subsampled)
    return Codestream(rows, columns, components, precision, says_rgb=rgb, says_ybr=ybr, adobe_transform=adobe)


def _marker(data: bytes, offset: int) -> int:
    if data[offset] != 0xFF or data[offset + 1] == START_OF_SCAN:
        raise ValueError("no frame header before the scan")
    return data[offset + 1]


def parse_jpeg2000(data: bytes) -> Codestream:
    """Parse the SIZ marker of a JPEG 2000 codestream, bare or in a JP2 wrapper (ISO/IEC 15444-1 annex A.5.1).

    Raises:
        ValueError, struct.error: this is no such codestream, or it ends in its header.
    """
    start = data.index(b"\xff\x4f\xff\x51")
    width, height, left, top = struct.unpack_from(">4L", data, start + 8)
    components, precision = struct.unpack_from(">HB", data, start + 40)
    return Codestream(height - top, width - left, components, (precision & 0x7F) + 1)
