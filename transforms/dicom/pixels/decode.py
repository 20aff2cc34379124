"""Decode single frames of a DICOM file to display values (C, H, W)."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from functools import cached_property
from pathlib import Path

import numpy as np
from pydicom import uid

from pyraseg.transforms.dicom.files.header import ImageHeader, read_header
from pyraseg.transforms.dicom.files.values import BrokenFile, foreign, readable
from pyraseg.transforms.dicom.pixels.checks import (
    PADDED,
    check_codestream,
    check_display_valued,
    check_native_length,
    check_rle_length,
    check_shape,
    check_supported,
    excess_bytes,
    refuse_signed,
)
from pyraseg.transforms.dicom.pixels.codecs import (
    PLUGINS,
    apply_palette,
    decode_jpeg,
    decode_native,
    decode_rle,
    invert_grey,
    palette_table,
    ybr_to_rgb,
)
from pyraseg.transforms.dicom.pixels.compressed import decode_compressed
from pyraseg.transforms.dicom.pixels.encapsulated import (
    START_OF_IMAGE,
    Codestream,
    Span,
    locate_frames,
    parse_jpeg,
    parse_jpeg2000,
)
from pyraseg.transforms.dicom.pixels.window import WHITE, has_depth, has_window, range_table, window_table
from pyraseg.transforms.errors import InputError
from pyraseg.transforms.io.display_range import ValueRange, check_within, is_dark

__all__ = ["CineReader", "FrameDecoder", "check_readable"]

JPEG_2000 = (uid.JPEG2000Lossless, uid.JPEG2000, uid.HTJ2KLossless, uid.HTJ2KLosslessRPCL, uid.HTJ2K)
DCT = (0xC0, 0xC1, 0xC2)  # the processes that pillow decodes: baseline, extended, progressive
DARK_NOTE = "grey values far below white and no window: the frame is shown dark"
NO_WINDOW = "a window that cannot be applied: greys are shown by Bits Stored"
REMEDY = "Copy or export the file again, its pixel data is damaged."


def check_readable(header: ImageHeader) -> None:
    """Refuse files that the header alone shows to be undecodable.

    Raises:
        InputError: by transfer syntax, colour space, sample format, size or length of the pixel data.
    """
    check_supported(header, frozenset(PLUGINS))
    if not header.transfer_syntax.is_encapsulated:
        check_native_length(header)


class FrameDecoder:
    """The frames of one DICOM file as stored: located once, each decoded alone.

    No file stays open between frames, so threads may share it and processes copy it.

    Raises:
        InputError: on construction, the header shows undecodable pixels (`check_readable`).
    """

    def __init__(self, header: ImageHeader) -> None:
        self.header = header
        check_readable(header)
        for note in (*header.notes, *([PADDED] if excess_bytes(header) > 1 else [])):
            warnings.warn(note, stacklevel=2)

    def __len__(self) -> int:
        return self.header.number_of_frames

    def stored(self, index: int) -> np.ndarray:
        """Frame ``index``, from 0: stored values (H, W), or samples (H, W, 3).

        Raises:
            InputError: the frame cannot be decoded, or has another size than the header says.
        """
        return self._decoded(index)[0]

    def as_rgb(self, index: int) -> np.ndarray:
        """As `stored`, with YBR samples as RGB."""
        frame, ybr = self._decoded(index)
        return ybr_to_rgb(frame, self.header.bits_stored) if ybr else frame

    @cached_property
    def _frames(self) -> tuple[tuple[Span, ...], ...]:
        with self.header.opened() as file:
            return locate_frames(file, self.header)

    def _decoded(self, index: int) -> tuple[np.ndarray, bool]:
        """The samples (H, W) or (H, W, 3), of the stated size, and whether they are YBR still."""
        found = "a frame that cannot be decoded"
        with readable("decodable pixel data", path=self.header.path, found=found, remedy=REMEDY):
            frame, ybr = self._samples(index)
        check_shape(self.header, frame.shape)
        return frame, ybr

    def _samples(self, index: int) -> tuple[np.ndarray, bool]:
        header, syntax = self.header, self.header.transfer_syntax
        # YBR_RCT and YBR_ICT are transforms of JPEG 2000, which its decoder undoes
        ybr = header.photometric in ("YBR_FULL", "YBR_FULL_422")
        if not syntax.is_encapsulated:
            return decode_native(header, index), ybr
        data = self._encoded(index)
        if syntax == uid.RLELossless:
            check_rle_length(header, len(data))
            return decode_rle(header, data), ybr
        facts = self._parse(data)
        check_codestream(header, facts)
        ybr = facts.says_ybr or (ybr and not facts.says_rgb)
        if facts.precision == 8 and facts.process in DCT:
            samples = decode_jpeg(data, facts, ybr)
            signed = header.pixel_representation and header.bits_stored == 8
            return (samples.view(np.int8) if signed else samples), False
        return decode_compressed(header, data, facts), ybr

    def _parse(self, data: bytes) -> Codestream:
        return (parse_jpeg2000 if self.header.transfer_syntax in JPEG_2000 else parse_jpeg)(data)

    @cached_property
    def bits(self) -> int:
        """Bits that the values use: those stored, or fewer where the compressed frames state so."""
        header = self.header
        if not header.transfer_syntax.is_encapsulated or header.transfer_syntax == uid.RLELossless:
            return header.bits_stored
        found = "a frame that cannot be decoded"
        with readable("decodable pixel data", path=header.path, found=found, remedy=REMEDY):
            return min(header.bits_stored, self._parse(self._encoded(0)).precision)

    def _encoded(self, index: int) -> bytes:
        spans = self._frames[index]
        with self.header.opened() as file, foreign():
            parts = []
            for offset, length in spans:
                file.seek(offset)
                parts.append(file.read(length))
        data = b"".join(parts)
        # What is parsed is what is decoded: a JP2 wrapper may hold another codestream before its own
        return (
            data[max(0, data.find(START_OF_IMAGE[1])) :] if self.header.transfer_syntax in JPEG_2000 else data
        )


class CineReader(FrameDecoder):
    """The frames of one display-valued DICOM file, whose header is parsed once.

    ``len(reader)``, ``reader.frame(index)`` and iteration. Frames are (C, H, W), C = 1 (MONOCHROME2) or 3
    (RGB), uint8 or uint16. Grey keeps its stored values, MONOCHROME1 inverted; palettes are applied, and to
    grey of more than 8 bits stored the file's window (PS3.3 C.11.2), so that it is as bright as it is shown.

    Args:
        source: the file, or its header.
        value_range: the values that are black and white in grey of more than 8 bits without a window.

    Raises:
        InputError: on construction or at a frame, the file cannot be read correctly; it says why.

    >>> frames = CineReader(cine)
    >>> len(frames), frames.frame(1).shape, frames.display_max
    (2, (1, 60, 80), 255)
    """

    def __init__(self, source: str | Path | ImageHeader, *, value_range: ValueRange | None = None) -> None:
        self._declared = value_range
        header = source if isinstance(source, ImageHeader) else read_header(source)
        check_display_valued(header)
        super().__init__(header)

    def __iter__(self) -> Iterator[np.ndarray]:
        return (self.frame(index) for index in range(len(self)))

    @property
    def display_max(self) -> int:
        """The value that is shown as white."""
        if self.header.photometric == "PALETTE COLOR":
            return int(np.iinfo(self._palette[0].dtype).max)
        return 2**self.bits - 1 if self._window is None else WHITE

    def frame(self, index: int, *, as_labels: bool = False) -> np.ndarray:
        """Frame ``index``, from 0, as (C, H, W); as labels one sample keeps its stored values."""
        if not 0 <= index < len(self):
            raise InputError(
                f"a frame index from 0 to {len(self) - 1}",
                found=str(index),
                remedy="Correct the frame index behind the file's name.",
                path=self.header.path,
            )
        frame, ybr = self._decoded(index)
        return frame[None] if as_labels and frame.ndim == 2 else self._display(frame, ybr)

    @cached_property
    def _palette(self) -> tuple[np.ndarray, int]:
        with readable("a palette", path=self.header.path, found="none that can be read", remedy=REMEDY):
            return palette_table(self.header.dataset, self.header.transfer_syntax.is_little_endian)

    @cached_property
    def _window(self) -> np.ndarray | None:
        """The grey of each stored value from the lowest on; None without a window or a declared range."""
        if not has_window(self.header):
            if self._declared is None or not has_depth(self.header):
                return None
            return range_table(self.header, self._declared)
        try:
            return window_table(self.header)
        except BrokenFile as error:
            if self.header.pixel_representation:
                refuse_signed(self.header, f"signed ones whose window cannot be applied ({error})")
            warnings.warn(NO_WINDOW, stacklevel=2)
            return None

    def _display(self, frame: np.ndarray, ybr: bool) -> np.ndarray:
        photometric = self.header.photometric
        if self._window is not None:
            if self._declared is not None and not has_window(self.header):
                check_within(frame, self._declared, self.header.path)
            low = -len(self._window) // 2 if self.header.pixel_representation else 0
            frame = self._window.take(frame.astype(np.int32) - low, mode="clip")
        elif photometric == "MONOCHROME2" and self.bits > 8 and is_dark(int(frame.max()), self.display_max):
            warnings.warn(DARK_NOTE, stacklevel=3)
        if photometric == "PALETTE COLOR":
            frame = apply_palette(frame, *self._palette)
        elif photometric == "MONOCHROME1":
            frame = invert_grey(frame, self.display_max)
        elif ybr:
            frame = ybr_to_rgb(frame, self.header.bits_stored)
        frame = frame.astype(frame.dtype.newbyteorder("="), copy=False)
        return frame[None] if frame.ndim == 2 else frame.transpose(2, 0, 1)
