"""Decode a compressed frame with the pinned decoder, or with another where that one fails.

Decoders lack parts of the standards, each another.
"""

from __future__ import annotations

import os
import re
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import BinaryIO

import numpy as np
from pydicom import Dataset, uid
from pydicom.dataset import FileMetaDataset

from pyraseg.transforms.dicom.files.header import ImageHeader
from pyraseg.transforms.dicom.files.values import BrokenFile, foreign
from pyraseg.transforms.dicom.pixels.codecs import (
    PLUGINS,
    SIMPLEITK,
    as_pixel_data,
    as_stored,
    decode_by_plugin,
    decoder_of,
)
from pyraseg.transforms.dicom.pixels.encapsulated import (
    Codestream,
    ends_in_zeros,
    is_complete,
    tightened,
)

__all__ = ["decode_compressed"]

NO_DECODER = (
    "Install another decoder, for example python-gdcm, or pylibjpeg-libjpeg, which is GPL, or decompress the"
    " file, for example with gdcmconv --raw; where no program shows it, it is damaged."
)
# What the JPEG library within SimpleITK says of data that it fills up with greys of its own, and what it says
# besides, while it tries its builds for 8, 12 and 16 bits
FILLED_UP = (b"Corrupt JPEG data", b"Premature end of JPEG")
CHATTER = (b"Unsupported JPEG", b"Unsupported marker", b"Invalid SOS parameters", b"Bogus Huffman table")
BEHIND = re.compile(rb"(\d+) extraneous bytes before marker 0xd9")
LOCK = threading.Lock()  # the standard error stream is the process's; none is forked while series are read


class _Damaged(BrokenFile):
    """No other decoder is asked: some fill damaged data up without a word."""


def decode_compressed(header: ImageHeader, data: bytes, facts: Codestream) -> np.ndarray:
    """One frame as stored, (H, W) or (H, W, 3), by the pinned decoder, else by the first other that can.

    The others must give values of the stated bits. A codestream without its end is given to none of them,
    which may fill it up.

    Raises:
        BrokenFile: no installed decoder can; it names them.
    """
    pinned = PLUGINS[header.transfer_syntax]
    strict = header.transfer_syntax in uid.JPEGLSTransferSyntaxes or pinned == SIMPLEITK
    if strict and not is_complete(data):
        raise BrokenFile("a codestream without its end")  # over which pyjpegls broods for many seconds
    try:
        return _decoder(pinned, header, data, facts)()
    except BrokenFile as error:
        if not is_complete(data) or isinstance(error, _Damaged):
            raise
    tried = [pinned]
    for name, decode in _others(header, data, facts):
        tried.append(name)
        try:
            frame = decode()
        except _Damaged:
            raise
        except BrokenFile:
            continue
        if _within(frame, max(header.bits_stored, facts.precision)):
            return frame
    found = f"{header.transfer_syntax.name}, by none of {', '.join(dict.fromkeys(tried))}"
    raise BrokenFile(found, remedy=NO_DECODER)


def _decoder(name: str, header: ImageHeader, data: bytes, facts: Codestream) -> Callable[[], np.ndarray]:
    if name == SIMPLEITK:
        return partial(_decode_by_simpleitk, header, data, facts)
    return partial(decode_by_plugin, header, as_pixel_data(data), plugin=name)


def _others(
    header: ImageHeader, data: bytes, facts: Codestream
) -> Iterator[tuple[str, Callable[[], np.ndarray]]]:
    pinned, syntax = PLUGINS[header.transfer_syntax], header.transfer_syntax
    names = {*decoder_of(header).available_plugins} - {pinned}
    if syntax in uid.JPEGLSTransferSyntaxes:
        names -= {"pylibjpeg"}  # where a user has installed it: it fills up whatever is damaged
        # Old encoders put zeros before the end, on which a strict decoder stumbles
        yield pinned, _decoder(pinned, header, tightened(data), facts)
    others = sorted(names)
    if pinned != SIMPLEITK and syntax not in uid.JPEG2000TransferSyntaxes:  # whose decoders share a library
        others.append(SIMPLEITK)
    yield from ((name, _decoder(name, header, data, facts)) for name in others)


def _within(frame: np.ndarray, bits: int) -> bool:
    low, high = (-(2 ** (bits - 1)), 2 ** (bits - 1)) if frame.dtype.kind == "i" else (0, 2**bits)
    return bool(low <= frame.min() and frame.max() < high)


def _decode_by_simpleitk(header: ImageHeader, data: bytes, facts: Codestream) -> np.ndarray:
    """By a file of this frame alone: SimpleITK reads only files, and rescales the values of a whole one."""
    import SimpleITK  # takes a tenth of a second; few files need it

    size = (header.rows, header.columns) if header.samples == 1 else (header.rows, header.columns, 3)
    with TemporaryDirectory() as folder, foreign():
        path = str(Path(folder, "frame.dcm"))
        _alone(header, data, bits=8 if facts.precision <= 8 else 16).save_as(path, enforce_file_format=True)
        reader = SimpleITK.ImageFileReader()
        reader.SetImageIO("GDCMImageIO")
        reader.SetFileName(path)
        with _messages(folder) as messages:
            array = SimpleITK.GetArrayFromImage(reader.Execute())
    for line in messages:
        behind = BEHIND.search(line)
        if behind is None or not ends_in_zeros(data, int(behind[1])):
            raise _Damaged("data that is cut off or no valid code")
    if array.dtype.kind != "u" or array.size != np.prod(size):
        raise BrokenFile("other values than the header's")
    words = array.reshape(size).astype(f"u{header.bits_allocated // 8}", copy=False)
    return as_stored(header, words) if header.pixel_representation and header.samples == 1 else words


def _alone(header: ImageHeader, data: bytes, bits: int) -> Dataset:
    """A file of one frame, whose words are unsigned and take all bits allocated."""
    alone = Dataset()
    alone.file_meta = FileMetaDataset()
    alone.file_meta.TransferSyntaxUID = header.transfer_syntax
    alone.SOPClassUID, alone.SOPInstanceUID = uid.SecondaryCaptureImageStorage, uid.generate_uid()
    alone.Rows, alone.Columns, alone.SamplesPerPixel = header.rows, header.columns, header.samples
    # RGB leaves the colours as they are
    alone.PhotometricInterpretation = "MONOCHROME2" if header.samples == 1 else "RGB"
    alone.BitsAllocated, alone.BitsStored, alone.HighBit = bits, bits, bits - 1
    alone.PixelRepresentation, alone.PlanarConfiguration = 0, 0
    alone.PixelData = as_pixel_data(data + b"\0" * (len(data) % 2))
    alone["PixelData"].VR, alone["PixelData"].is_undefined_length = "OB", True
    return alone


@contextmanager
def _messages(folder: str) -> Iterator[list[bytes]]:
    """What the JPEG library prints about damaged data, on the standard error stream; filled at the end.

    Lines of others, such as threads', are printed then.
    """
    taken: list[bytes] = []
    with Path(folder, "messages").open("w+b") as file:
        with LOCK, _as_standard_error(file):
            yield taken  # an exception tells what was printed
        file.seek(0)
        lines = file.readlines()
    taken += [line for line in lines if line.startswith(FILLED_UP)]
    if others := [line for line in lines if not line.startswith(FILLED_UP + CHATTER)]:
        os.write(2, b"".join(others))


@contextmanager
def _as_standard_error(file: BinaryIO) -> Iterator[None]:
    try:
        before = os.dup(2)
    except OSError:  # the process has closed it
        before = None
    os.dup2(file.fileno(), 2)
    try:
        yield
    finally:
        if before is None:
            os.close(2)
        else:
            os.dup2(before, 2)
            os.close(before)
