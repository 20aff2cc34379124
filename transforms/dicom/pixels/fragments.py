"""Where the frames of encapsulated pixel data lie in the file (PS3.5 annex A.4), so that each can be read
alone."""

from __future__ import annotations

import itertools
import struct
from typing import BinaryIO

from pydicom.encaps import parse_basic_offsets, parse_fragments

from pyraseg.transforms.dicom.files.header import ImageHeader
from pyraseg.transforms.errors import InputError

__all__ = ["Span", "locate_frames"]

Span = tuple[int, int]  # offset and length in bytes of one fragment's value
ITEM_HEADER = 8  # tag and length
START_OF_IMAGE = (b"\xff\xd8\xff", b"\xff\x4f\xff\x51")  # JPEG and JPEG-LS; JPEG 2000
END_OF_IMAGE = b"\xff\xd9"  # the last marker of JPEG, JPEG-LS and JPEG 2000 alike


def locate_frames(file: BinaryIO, header: ImageHeader) -> tuple[tuple[Span, ...], ...]:
    """The fragments of every frame: by an offset table, else one fragment per frame, else by end-of-image
    markers.

    Raises:
        InputError: the pixel data is cut off, or does not hold as many frames as the header says.
    """
    file.seek(header.value_offset)
    basic = parse_basic_offsets(file)
    start = file.tell()
    spans = _fragments(file, header)
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
        raise InputError(
            "complete pixel data",
            found="a compressed frame that goes past the end of the file",
            remedy="Copy or export the file again, it is truncated.",
            path=header.path,
        )
    return frames


def _fragments(file: BinaryIO, header: ImageHeader) -> list[Span]:
    _, items = parse_fragments(file)
    if not items:
        return []
    file.seek(items[-1] + 4)
    last = struct.unpack("<L", file.read(4))[0]
    lengths = [after - item - ITEM_HEADER for item, after in itertools.pairwise(items)] + [last]
    return [(item + ITEM_HEADER, length) for item, length in zip(items, lengths, strict=True)]


def _by_extended_table(header: ImageHeader, start: int) -> tuple[tuple[Span, ...], ...]:
    """PS3.3 C.7.6.3.1.8: one fragment per frame."""
    tables = [
        header.dataset.get(name) or b"" for name in ("ExtendedOffsetTable", "ExtendedOffsetTableLengths")
    ]
    offsets, lengths = ([value for (value,) in struct.iter_unpack("<Q", table)] for table in tables)
    if len(offsets) != len(lengths):
        return ()
    return tuple(
        ((start + ITEM_HEADER + offset, length),) for offset, length in zip(offsets, lengths, strict=True)
    )


def _by_basic_table(spans: list[Span], starts: list[int], frames: int) -> tuple[tuple[Span, ...], ...]:
    """Empty where the table does not fit the fragments: some encoders write a wrong one."""
    ends = [*starts[1:], spans[-1][0] + 1 if spans else 0]
    if (
        len(starts) != frames
        or not set(starts) <= {offset for offset, _ in spans}
        or starts != sorted(set(starts))
    ):
        return ()
    groups: list[list[Span]] = [[] for _ in starts]
    index = 0
    for span in spans:
        while index < len(starts) - 1 and span[0] >= ends[index]:
            index += 1
        groups[index].append(span)
    return tuple(tuple(group) for group in groups)


def _by_count(file: BinaryIO, spans: list[Span], frames: int) -> tuple[tuple[Span, ...], ...]:
    if frames == 1 and sum(_starts_image(file, span) for span in spans) < 2:
        return (tuple(spans),) if spans else ()
    if len(spans) <= frames:
        return tuple((span,) for span in spans)
    groups: list[tuple[Span, ...]] = []
    begun: list[Span] = []
    for span in spans:
        begun.append(span)
        if END_OF_IMAGE in _tail(file, span):
            groups.append(tuple(begun))
            begun = []
    return tuple(groups)


def _starts_image(file: BinaryIO, span: Span) -> bool:
    file.seek(span[0])
    return file.read(4).startswith(START_OF_IMAGE)


def _tail(file: BinaryIO, span: Span) -> bytes:
    """The last bytes of a fragment; more than two, because fragments are padded to an even length."""
    length = min(10, span[1])
    file.seek(span[0] + span[1] - length)
    return file.read(length)
