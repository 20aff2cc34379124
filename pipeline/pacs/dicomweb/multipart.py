"""Read a multipart body part by part as it comes (RFC 2046 section 5.1, PS3.18 section 8.6.1.2)."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator

from pyraseg.pipeline.pacs.dicomweb.session import away
from pyraseg.transforms.errors import PeerAwayError

__all__ = ["boundary_of", "split_parts"]

HEADERS = 65536  # bytes at most
BOUNDARY = re.compile(r"""boundary=(?:"([^"]{1,200})"|([^\s;,"]{1,200}))""", re.I)


def boundary_of(content_type: str) -> bytes:
    """The boundary by a Content-Type; empty where it is no multipart.

    >>> boundary_of('multipart/related; type="application/dicom"; boundary=0a1b')
    b'0a1b'
    """
    match = BOUNDARY.search(content_type)
    multipart = content_type.lower().startswith("multipart/") and match
    return (match[1] or match[2]).encode() if match and multipart else b""


def split_parts(chunks: Iterable[bytes], boundary: bytes) -> Iterator[Iterator[bytes]]:
    """The content of each part, in pieces; a part must be read before the next one is asked for.

    Raises:
        PeerAwayError: the body ends before its closing boundary, from the part that it ends in.

    >>> body = [b"--b\\r\\nContent-Type: a/b\\r\\n\\r\\nfir", b"st\\r\\n--b\\r\\n\\r\\nsecond\\r\\n--b--"]
    >>> [b"".join(part) for part in split_parts(body, b"b")]
    [b'first', b'second']
    """
    reader = _Reader(chunks, b"\r\n--" + boundary)
    for _ in reader.until_boundary():  # the preamble
        pass
    while reader.another():
        yield reader.until_boundary()


class _Reader:
    def __init__(self, chunks: Iterable[bytes], delimiter: bytes) -> None:
        self._chunks = iter(chunks)
        self._delimiter = delimiter
        self._buffer = bytearray(b"\r\n")  # the first boundary may begin the body

    def until_boundary(self) -> Iterator[bytes]:
        """What comes before the next boundary, which is read, too."""
        while (at := self._buffer.find(self._delimiter)) < 0:
            safe = len(self._buffer) - len(self._delimiter) + 1
            if safe > 0:
                yield bytes(self._buffer[:safe])
                del self._buffer[:safe]
            self._more()
        yield bytes(self._buffer[:at])
        del self._buffer[: at + len(self._delimiter)]

    def another(self) -> bool:
        """Whether a part follows the boundary; its headers are read."""
        while len(self._buffer) < 2:
            self._more()
        if self._buffer.startswith(b"--"):
            return False
        while (end := self._buffer.find(b"\r\n\r\n")) < 0:
            if len(self._buffer) > HEADERS:
                raise _cut_short()
            self._more()
        del self._buffer[: end + 4]
        return True

    def _more(self) -> None:
        chunk = next(self._chunks, None)
        if chunk is None:
            raise _cut_short()
        self._buffer += chunk


def _cut_short() -> PeerAwayError:
    return away("a multipart answer that is cut short")
