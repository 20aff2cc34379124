"""Whether a file is DICOM, by its first bytes: names and suffixes say nothing."""

from __future__ import annotations

import os
import struct
from pathlib import Path

from pydicom.datadict import dictionary_has_tag
from pydicom.valuerep import EXPLICIT_VR_LENGTH_32, VR

__all__ = ["PREFIX", "has_dicom_marker", "is_dicom"]

PREFIX = 132  # bytes of preamble and DICM
START = 1024  # bytes that hold the first elements
ENOUGH = 3  # elements in order that no other file begins with
FIRST_GROUPS = (0x0002, 0x0008)  # a file meta group without preamble; a data set
VRS = {str(vr).encode(): vr for vr in VR if len(vr) == 2}


def has_dicom_marker(path: Path) -> bool:
    """Whether the file has the DICM prefix after its 128-byte preamble (PS3.10 section 7.1)."""
    return _start(path, PREFIX)[128:] == b"DICM"


def is_dicom(path: Path) -> bool:
    """Whether the file has the DICM prefix, or is a data set without it, as old scanners and archives write.

    >>> from pathlib import Path
    >>> is_dicom(Path(cine)), is_dicom(Path(picture))
    (True, False)
    """
    start = _start(path, START)
    return start[128:PREFIX] == b"DICM" or any(_begins_data_set(start, order) for order in "<>")


def _start(path: Path, size: int) -> bytes:
    if not os.path.isfile(path):  # a pipe would never end
        return b""
    try:
        with path.open("rb") as file:
            return file.read(size)
    except OSError:
        return b""


def _begins_data_set(start: bytes, order: str) -> bool:
    """Whether known elements in ascending order follow each other, the first of a first group."""
    offset, before = 0, 0
    for count in range(ENOUGH):
        if offset + 12 > len(start):
            return False
        group, element = struct.unpack_from(f"{order}HH", start, offset)
        tag = (group << 16) + element
        if tag <= before or (count == 0 and group not in FIRST_GROUPS):
            return False
        if element and group % 2 == 0 and not dictionary_has_tag(tag):
            return False
        vr = VRS.get(start[offset + 4 : offset + 6])
        if vr is None and order == ">":  # there is no implicit VR in big endian
            return False
        long = vr is None or vr in EXPLICIT_VR_LENGTH_32
        place = offset + (4 if vr is None else 8 if long else 6)
        (length,) = struct.unpack_from(f"{order}{'L' if long else 'H'}", start, place)
        offset, before = place + (4 if long else 2) + length, tag
    return True
