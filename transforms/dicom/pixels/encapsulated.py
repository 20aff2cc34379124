"""Encapsulated pixel data (PS3.5 annex A.4): the positions of frames, and what their codestreams state.

A compressed frame's size and colour space are stated twice, and the DICOM header may be wrong.
"""

from __future__ import annotations

import itertools
import struct
from dataclasses import dataclass
from typing import BinaryIO

from pydicom.encaps import parse_basic_offsets, parse_fragments

from pyraseg.transforms.dicom.files.header import ImageHeader
from pyraseg.transforms.dicom.files.values import BrokenFile, foreign, stated
from pyraseg.transforms.errors import InputError
from pyraseg.transforms.io.limits import SCANS

__all__ = [
    "START_OF_IMAGE",
    "Codestream",
    "Span",
    "ends_in_zeros",
    "is_complete",
    "locate_frames",
    "parse_jpeg",
    "parse_jpeg2000",
    "tightened",
]

Span = tuple[int, int]  # offset and length in bytes of one fragment's value
ITEM_HEADER = 8  # tag and length
START_OF_IMAGE = (b"\xff\xd8\xff", b"\xff\x4f\xff\x51")  # JPEG and JPEG-LS; JPEG 2000
END_OF_IMAGE = b"\xff\xd9"  # the last marker of JPEG, JPEG-LS and JPEG 2000 alike
PADDING = b"\0\xff "  # behind a codestream
START_OF_FRAME = {*range(0xC0, 0xD0), 0xF7} - {0xC4, 0xC8, 0xCC}  # 0xF7 is JPEG-LS; the three are tables
APP0, APP14, START_OF_SCAN = 0xE0, 0xEE, 0xDA
ALONE = {
    0x00,
    0x01,
    *range(0xD0, 0xDA),
}  # markers without a length, which have no place before the frame header
RGB_IDS = (b"RGB", b"rgb")


def locate_frames(file: BinaryIO, header: ImageHeader) -> tuple[tuple[Span, ...], ...]:
    """The fragments of every frame: by an offset table, else one per frame, else by end-of-image markers.

    Raises:
        InputError: the pixel data is cut off, or does not hold as many frames as the header says.
        BrokenFile: fragments or offset table cannot be read.
    """
    with foreign():
        file.seek(header.value_offset)
        basic = parse_basic_offsets(file)
        start = file.tell()
        items = parse_fragments(file)[1]
        file.seek(items[-1] + 4 if items else 0)
        last = struct.unpack("<L", file.read(4))[0] if items else 0
    lengths = [after - item - ITEM_HEADER for item, after in itertools.pairwise(items)] + [last]
    spans = [(item + ITEM_HEADER, length) for item, length in zip(items, lengths, strict=False)]
    frames = (
        _by_extended_table(header, start)
        or _by_basic_table(spans, [start + ITEM_HEADER + offset for offset in basic], header.number_of_frames)
        or _by_count(file, spans, header.number_of_frames)
    )
    if len(frames) != header.number_of_frames:
        raise InputError(
            f"the {header.number_of_frames} compressed frames that the header announces",
            found=f"{len(frames)} of them in {len(spans)} fragment{'' if len(spans) == 1 else 's'}",
            remedy="Export the file again, it is cut off or its Number of Frames is wrong.",
            path=header.path,
        )
    if any(offset + length > header.file_size for frame in frames for offset, length in frame):
        found = "a compressed frame that goes past the end of the file"
        remedy = "Copy or export the file again, it is truncated."
        raise InputError("complete pixel data", found=found, remedy=remedy, path=header.path)
    return frames


def _by_extended_table(header: ImageHeader, start: int) -> tuple[tuple[Span, ...], ...]:
    """PS3.3 C.7.6.3.1.8: one fragment per frame."""
    names = ("ExtendedOffsetTable", "ExtendedOffsetTableLengths")
    tables = [stated(header.dataset, name) or b"" for name in names]
    with foreign():
        offsets, lengths = ([value for (value,) in struct.iter_unpack("<Q", table)] for table in tables)
    if len(offsets) != len(lengths) or len(set(offsets)) < len(offsets):
        return ()
    starts = (start + ITEM_HEADER + offset for offset in offsets)
    return tuple(((offset, length),) for offset, length in zip(starts, lengths, strict=True))


def _by_basic_table(spans: list[Span], starts: list[int], frames: int) -> tuple[tuple[Span, ...], ...]:
    """Empty where the table does not fit the fragments: some encoders write a wrong table."""
    known = set(starts) <= {offset for offset, _ in spans}
    if len(starts) != frames or not known or starts != sorted(set(starts)):
        return ()
    ends = [*starts[1:], spans[-1][0] + 1 if spans else 0]
    groups: list[list[Span]] = [[] for _ in starts]
    index = 0
    for span in spans:
        while index < len(starts) - 1 and span[0] >= ends[index]:
            index += 1
        groups[index].append(span)
    return tuple(tuple(group) for group in groups)


def _by_count(file: BinaryIO, spans: list[Span], frames: int) -> tuple[tuple[Span, ...], ...]:
    images = (
        sum(_read(file, offset, 4).startswith(START_OF_IMAGE) for offset, _ in spans) if frames == 1 else 0
    )
    if frames == 1 and images < 2:
        return (tuple(spans),) if spans else ()
    if len(spans) <= frames:
        return tuple((span,) for span in spans)
    groups: list[tuple[Span, ...]] = []
    begun: list[Span] = []
    for offset, length in spans:
        begun.append((offset, length))
        size = min(10, length)  # more than the marker's two, because fragments are padded to an even length
        if END_OF_IMAGE in _read(file, offset + length - size, size):
            groups.append(tuple(begun))
            begun = []
    return tuple(groups)


def _read(file: BinaryIO, offset: int, size: int) -> bytes:
    with foreign():
        file.seek(offset)
        return file.read(size)


@dataclass(frozen=True)
class Codestream:
    """The properties of one compressed frame.

    Attributes:
        process: the marker of the frame header, which tells JPEG's processes apart; 0 for JPEG 2000.
        says_rgb, says_ybr: the codestream declares its colour space; both False where it does not.
        adobe_transform: the transform in an Adobe marker (0 none, 1 YCbCr), None without a marker.
    """

    rows: int
    columns: int
    components: int
    precision: int
    process: int = 0
    says_rgb: bool = False
    says_ybr: bool = False
    adobe_transform: int | None = None


def parse_jpeg(data: bytes) -> Codestream:
    """Parse the markers of a JPEG or JPEG-LS codestream up to its frame header (ISO/IEC 10918-1 annex B).

    Component IDs "RGB" declare RGB; JFIF, an Adobe marker with transform 1 and subsampled chroma YCbCr.

    Raises:
        BrokenFile: this is no such codestream, it ends in its header, or has more than `SCANS`.
    """
    if data[:2] != b"\xff\xd8":
        raise BrokenFile("no start-of-image marker")
    if data.count(bytes((0xFF, START_OF_SCAN))) > SCANS:
        raise BrokenFile(f"more than {SCANS} scans")
    jfif, adobe, offset = False, None, 2
    while True:
        prefix, marker = _unpack("2B", data, offset)
        if prefix != 0xFF or marker == START_OF_SCAN or marker in ALONE:
            raise BrokenFile("no frame header before the scan")
        if marker in START_OF_FRAME:
            break
        if marker == 0xFF:  # a fill byte
            offset += 1
            continue
        (length,) = _unpack(">H", data, offset + 2)
        if marker == APP0:
            jfif |= data[offset + 4 : offset + 8] == b"JFIF"
        elif marker == APP14 and data[offset + 4 : offset + 9] == b"Adobe":
            (adobe,) = _unpack("B", data, offset + 15)
        offset += 2 + length
    precision, rows, columns, components = _unpack(">BHHB", data, offset + 4)
    table = [_unpack("3B", data, offset + 10 + 3 * index) for index in range(components)]
    rgb = components == 3 and bytes(entry[0] for entry in table) in RGB_IDS
    subsampled = len({entry[1] for entry in table}) > 1
    ybr = components == 3 and not rgb and (jfif or adobe == 1 or subsampled)
    return Codestream(rows, columns, components, precision, marker, rgb, ybr, adobe)


def is_complete(data: bytes) -> bool:
    """Whether a codestream of JPEG, JPEG-LS or JPEG 2000 has its end; padding may follow."""
    return data.rstrip(PADDING).endswith(END_OF_IMAGE)


def ends_in_zeros(data: bytes, count: int) -> bool:
    """Whether the ``count`` bytes before a codestream's end are zeros, as old encoders put them there."""
    return not data.rstrip(PADDING).removesuffix(END_OF_IMAGE)[-count:].strip(b"\0")


def tightened(data: bytes) -> bytes:
    """A complete codestream without zeros before its end, and without padding behind it."""
    return data.rstrip(PADDING).removesuffix(END_OF_IMAGE).rstrip(b"\0") + END_OF_IMAGE


def parse_jpeg2000(data: bytes) -> Codestream:
    """Parse the SIZ marker of a JPEG 2000 codestream, bare or in a JP2 wrapper (ISO/IEC 15444-1 annex A.5.1).

    Raises:
        BrokenFile: this is no such codestream, or it ends in its header.
    """
    start = data.find(START_OF_IMAGE[1])
    if start < 0:
        raise BrokenFile("no start-of-codestream marker")
    width, height, left, top = _unpack(">4L", data, start + 8)
    components, precision = _unpack(">HB", data, start + 40)
    return Codestream(height - top, width - left, components, (precision & 0x7F) + 1)


def _unpack(form: str, data: bytes, offset: int) -> tuple[int, ...]:
    if offset + struct.calcsize(form) > len(data):
        raise BrokenFile("a frame that ends in its header")
    return struct.unpack_from(form, data, offset)
