"""Decode single frames of a DICOM file to display values (C, H, W)."""

from __future__ import annotations

from collections.abc import Iterator
from functools import cached_property
from pathlib import Path

import numpy as np
from pydicom import uid

from pyraseg.transforms.dicom.files.header import ImageHeader, open_bounded, read_header
from pyraseg.transforms.dicom.files.values import BrokenFile, foreign, readable
from pyraseg.transforms.dicom.pixels.checks import (
    check_codestream,
    check_display_valued,
    check_native_length,
    check_rle_length,
    check_shape,
    check_supported,
    is_display_valued,
)
from pyraseg.transforms.dicom.pixels.codecs import (
    PLUGINS,
    apply_palette,
    as_pixel_data,
    decode_by_plugin,
    decode_jpeg,
    decode_native,
    decode_rle,
    invert_grey,
    palette_table,
    ybr_to_rgb,
)
from pyraseg.transforms.dicom.pixels.encapsulated import Span, locate_frames, parse_jpeg, parse_jpeg2000
from pyraseg.transforms.errors import InputError

__all__ = ["CineReader", "FrameDecoder", "check_readable"]

JPEG_2000 = (uid.JPEG2000Lossless, uid.JPEG2000)
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

    def __len__(self) -> int:
        return self.header.number_of_frames

    def stored(self, index: int) -> np.ndarray:
        """Frame ``index``, from 0: stored values (H, W), or samples (H, W, 3).

        Raises:
            InputError: the frame cannot be decoded, or has another size than the header says.
        """
        return self._decoded(index)[0]

    @cached_property
    def _frames(self) -> tuple[tuple[Span, ...], ...]:
        with open_bounded(self.header.path) as file:
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
        if not syntax.is_encapsulated:
            return decode_native(header, index), header.photometric.startswith("YBR")
        data = self._encoded(index)
        if syntax == uid.RLELossless:
            check_rle_length(header, len(data))
            return decode_rle(header, data), header.photometric.startswith("YBR")
        facts = (parse_jpeg2000 if syntax in JPEG_2000 else parse_jpeg)(data)
        check_codestream(header, facts)
        ybr = facts.says_ybr or (header.photometric.startswith("YBR") and not facts.says_rgb)
        if facts.precision == 8 and syntax in (uid.JPEGBaseline8Bit, uid.JPEGExtended12Bit):
            return decode_jpeg(data, facts, ybr), False
        # The JPEG 2000 decoder undoes the codestream's reversible and irreversible transforms
        ybr = ybr and header.photometric not in ("YBR_RCT", "YBR_ICT")
        if syntax == uid.JPEGExtended12Bit and header.samples == 1 and is_display_valued(header):
            return self._extended(data, index), ybr
        return decode_by_plugin(header, as_pixel_data(data)), ybr

    def _encoded(self, index: int) -> bytes:
        spans = self._frames[index]
        with foreign(), self.header.path.open("rb") as file:
            parts = []
            for offset, length in spans:
                file.seek(offset)
                parts.append(file.read(length))
        return b"".join(parts)

    def _extended(self, data: bytes, index: int) -> np.ndarray:
        """12-bit JPEG: SimpleITK decodes the whole file for some streams that pylibjpeg fails on.

        It rescales values, so it is for display values only.
        """
        try:
            return decode_by_plugin(self.header, as_pixel_data(data))
        except BrokenFile:
            import SimpleITK  # takes a tenth of a second; few files need it

            with foreign():
                volume = SimpleITK.GetArrayFromImage(SimpleITK.ReadImage(str(self.header.path)))
                return volume[index].astype(np.uint16)


class CineReader(FrameDecoder):
    """The frames of one display-valued DICOM file, whose header is parsed once.

    ``len(reader)``, ``reader.frame(index)`` and iteration. Frames are (C, H, W), C = 1 (MONOCHROME2) or 3
    (RGB), uint8 or uint16. Grey keeps its stored values, MONOCHROME1 inverted; no window is
    applied, palettes are.

    Raises:
        InputError: on construction or at a frame, the file cannot be read correctly; it says why.

    >>> frames = CineReader(cine)
    >>> len(frames), frames.frame(1).shape, frames.display_max
    (2, (1, 60, 80), 255)
    """

    def __init__(self, source: str | Path | ImageHeader) -> None:
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
        if self.header.transfer_syntax == uid.JPEGBaseline8Bit:
            return 255
        return 2**self.header.bits_stored - 1

    def frame(self, index: int) -> np.ndarray:
        """Frame ``index``, from 0, as (C, H, W)."""
        if not 0 <= index < len(self):
            raise InputError(
                f"a frame index from 0 to {len(self) - 1}",
                found=str(index),
                remedy="Correct the frame index behind the file's name.",
                path=self.header.path,
            )
        return self._display(*self._decoded(index))

    @cached_property
    def _palette(self) -> tuple[np.ndarray, int]:
        with readable("a palette", path=self.header.path, found="none that can be read", remedy=REMEDY):
            return palette_table(self.header.dataset, self.header.transfer_syntax.is_little_endian)

    def _display(self, frame: np.ndarray, ybr: bool) -> np.ndarray:
        photometric = self.header.photometric
        if photometric == "PALETTE COLOR":
            frame = apply_palette(frame, *self._palette)
        elif photometric == "MONOCHROME1":
            frame = invert_grey(frame, self.display_max)
        elif ybr:
            frame = ybr_to_rgb(frame, self.header.bits_stored)
        frame = frame.astype(frame.dtype.newbyteorder("="), copy=False)
        return frame[None] if frame.ndim == 2 else frame.transpose(2, 0, 1)
