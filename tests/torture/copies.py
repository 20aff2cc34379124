"""Many files of a few images, each with a SOP Instance UID of its own."""

from __future__ import annotations

import io
from collections.abc import Iterator

import pydicom

__all__ = ["copies"]


def copies(content: bytes, numbers: range) -> Iterator[tuple[int, bytes]]:
    """``content`` with another UID for each number; of the same length, in the file meta group and the data
    set."""
    former = pydicom.dcmread(io.BytesIO(content)).SOPInstanceUID.encode()
    for number in numbers:
        tail = f".1{number:08d}".encode()
        yield number, content.replace(former, former[: -len(tail)] + tail)
