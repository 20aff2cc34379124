"""JPEG of the processes that pillow does not write: lossless, extended and spectral selection, up to 16 bits.

After ISO/IEC 10918-1; all Huffman codes have one length, so that the tables need no statistics.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator

import numpy as np
from scipy.fft import dctn

__all__ = ["encode_dct", "encode_lossless"]

LOSSLESS, EXTENDED, PROGRESSIVE = 0xC3, 0xC1, 0xC2
DIFFERENCES = list(range(17))
# The first 16 are those of the table of DC coefficients too, which may have no others
COEFFICIENTS = [*range(16), *(run << 4 | size for run in range(1, 16) for size in range(1, 15)), 0xF0]
ZIGZAG = sorted(np.ndindex(8, 8), key=lambda at: (sum(at), at[0] if sum(at) % 2 else at[1]))


class Bits:
    """A Huffman table of one code length, and the data coded with it."""

    def __init__(self, symbols: list[int], length: int) -> None:
        self.symbols, self.length, self.text = {s: n for n, s in enumerate(symbols)}, length, []

    def put(self, symbol: int, value: int = 0, size: int = 0) -> None:
        """A symbol, and ``size`` more bits; negative values less one."""
        code = f"{self.symbols[symbol]:0{self.length}b}"
        more = f"{value if value >= 0 else value + (1 << size) - 1:0{size}b}" if size else ""
        self.text.append(code + more)

    def table(self, kind: int, count: int | None = None) -> bytes:
        """The first ``count`` symbols' codes; all of them by default."""
        symbols = list(self.symbols)[:count]
        counts = [len(symbols) if n + 1 == self.length else 0 for n in range(16)]
        return segment(0xC4, bytes([kind, *counts, *symbols]))

    def data(self) -> bytes:
        text = "".join(self.text)
        text += "1" * (-len(text) % 8)
        return int(text, 2).to_bytes(len(text) // 8, "big").replace(b"\xff", b"\xff\0")


def segment(marker: int, content: bytes) -> bytes:
    return struct.pack(">BBH", 0xFF, marker, len(content) + 2) + content


def frame_header(marker: int, frame: np.ndarray, precision: int) -> bytes:
    (rows, columns), samples = frame.shape[:2], frame.shape[2] if frame.ndim == 3 else 1
    table = b"".join(bytes([n + 1, 0x11, 0]) for n in range(samples))
    return segment(marker, struct.pack(">BHHB", precision, rows, columns, samples) + table)


def scan_header(samples: int, *, first: int, last: int) -> bytes:
    table = b"".join(bytes([n + 1, 0]) for n in range(samples))
    return segment(0xDA, bytes([samples]) + table + bytes([first, last, 0]))


def encode_lossless(frame: np.ndarray, *, precision: int, selection: int = 1) -> bytes:
    """(H, W) or (H, W, 3) without loss, by the predictor ``selection``, 1 to 7 (annex H)."""
    samples = frame.reshape(*frame.shape[:2], -1).astype(np.int64)
    left, above, corner = (np.roll(samples, by, axis=(0, 1)) for by in ((0, 1), (1, 0), (1, 1)))
    choices = [left, above, corner, left + above - corner, left + ((above - corner) >> 1)]
    choices += [above + ((left - corner) >> 1), (left + above) >> 1]
    predicted = choices[selection - 1].copy()
    predicted[0], predicted[:, 0] = left[0], above[:, 0]
    predicted[0, 0] = 1 << (precision - 1)
    bits = Bits(DIFFERENCES, 5)
    for difference in (((samples - predicted + 2**15) % 2**16) - 2**15).ravel().tolist():
        size = 16 if difference == -(2**15) else abs(difference).bit_length()
        bits.put(size, difference, 0 if size == 16 else size)
    head = frame_header(LOSSLESS, frame, precision) + bits.table(0)
    return (
        b"\xff\xd8"
        + head
        + scan_header(samples.shape[2], first=selection, last=0)
        + bits.data()
        + b"\xff\xd9"
    )


def encode_dct(frame: np.ndarray, *, precision: int, progressive: bool = False) -> bytes:
    """(H, W) of sides that 8 divides, to within two greys: extended, or spectral selection."""
    blocks = frame.reshape(frame.shape[0] // 8, 8, -1, 8).swapaxes(1, 2).reshape(-1, 8, 8).astype(float)
    levels = np.rint(dctn(blocks - 2 ** (precision - 1), axes=(1, 2), norm="ortho")).astype(int)
    coefficients = [[int(block[at]) for at in ZIGZAG] for block in levels]
    bands = [(0, 0), (1, 9), (10, 63)] if progressive else [(0, 63)]
    process = PROGRESSIVE if progressive else EXTENDED
    head = segment(0xDB, bytes([0] + [1] * 64)) + frame_header(process, frame, precision)
    scans = b"".join(scan(coefficients, first, last) for first, last in bands)
    return b"\xff\xd8" + head + scans + b"\xff\xd9"


def scan(coefficients: list[list[int]], first: int, last: int) -> bytes:
    bits, before = Bits(COEFFICIENTS, 8), 0
    for block in coefficients:
        if first == 0:
            size = abs(block[0] - before).bit_length()
            bits.put(size, block[0] - before, size)
            before = block[0]
        for symbol, value in runs(block[max(first, 1) : last + 1]):
            bits.put(symbol, value, symbol & 15)
    tables = bits.table(0x00, 16) + bits.table(0x10)
    return tables + scan_header(1, first=first, last=last) + bits.data()


def runs(band: list[int]) -> Iterator[tuple[int, int]]:
    """The symbols of runs of zeros and of what ends each, with its value (annex F.1.2.2)."""
    run = 0
    for value in band:
        if not value:
            run += 1
            continue
        yield from [(0xF0, 0)] * (run // 16)
        yield (run % 16) << 4 | abs(value).bit_length(), value
        run = 0
    if run:
        yield 0, 0
