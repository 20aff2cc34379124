"""Decode a compressed frame with the pinned decoder, or with another where that one fails.

Decoders lack parts of the standards, each another.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
from pydicom import Dataset, uid
from pydicom.dataset import FileMetaDataset

from pyraseg.transforms.dicom.files.header import ImageHeader
from pyraseg.transforms.dicom.files.values import BrokenFile, foreign
from pyraseg.transforms.dicom.pixels.codecs import PLUGINS, as_pixel_data, decode_by_plugin, decoder_of
from pyraseg.transforms.dicom.pixels.encapsulated import Codestream, is_complete, tightened

__all__ = ["decode_compressed"]

NO_DECODER = (
    "Install another decoder, for example python-gdcm, or decompress the file, for example with gdcmconv"
    " --raw; where no program shows it, it is damaged."
)


def decode_compressed(header: ImageHeader, data: bytes, facts: Codestream) -> np.ndarray:
    """One frame as stored, (H, W) or (H, W, 3), by the pinned plugin, else by the first other that can.

    The others must give values of the stated bits. A codestream without its end is given to none of them,
    which may fill it up.

    Raises:
        BrokenFile: no installed decoder can; it names them.
    """
    pinned = PLUGINS[header.transfer_syntax]
    if header.transfer_syntax in uid.JPEGLSTransferSyntaxes and not is_complete(data):
        raise BrokenFile("a codestream without its end")  # over which pyjpegls broods for many seconds
    try:
        return decode_by_plugin(header, as_pixel_data(data), plugin=pinned)
    except BrokenFile:
        if not is_complete(data):
            raise
    tried = [pinned]
    for name, decode in _others(header, data, pinned):
        tried.append(name)
        try:
            frame = decode()
        except BrokenFile:
            continue
        if _within(frame, max(header.bits_stored, facts.precision)):
            return frame
    found = f"{header.transfer_syntax.name}, by none of {', '.join(dict.fromkeys(tried))}"
    raise BrokenFile(found, remedy=NO_DECODER)


def _others(header: ImageHeader, data: bytes, pinned: str) -> Iterator[tuple[str, Callable[[], np.ndarray]]]:
    plugins = {*decoder_of(header).available_plugins} - {pinned}
    if header.transfer_syntax in uid.JPEGLSTransferSyntaxes:
        plugins -= {"pylibjpeg"}  # it fills up whatever is damaged
        # Old encoders put zeros before the end, on which a strict decoder stumbles
        yield pinned, partial(decode_by_plugin, header, as_pixel_data(tightened(data)), plugin=pinned)
    for plugin in sorted(plugins):
        yield plugin, partial(decode_by_plugin, header, as_pixel_data(data), plugin=plugin)
    if header.transfer_syntax not in uid.JPEG2000TransferSyntaxes:  # all decoders of these share a library
        yield "SimpleITK", partial(_decode_by_simpleitk, header, data)


def _within(frame: np.ndarray, bits: int) -> bool:
    low, high = (-(2 ** (bits - 1)), 2 ** (bits - 1)) if frame.dtype.kind == "i" else (0, 2**bits)
    return bool(low <= frame.min() and frame.max() < high)


def _decode_by_simpleitk(header: ImageHeader, data: bytes) -> np.ndarray:
    """By a file of this frame alone: SimpleITK reads only files, and rescales the values of a whole one."""
    import SimpleITK  # takes a tenth of a second; few files need it

    alone = Dataset()
    alone.file_meta = FileMetaDataset()
    alone.file_meta.TransferSyntaxUID = header.transfer_syntax
    alone.SOPClassUID, alone.SOPInstanceUID = uid.SecondaryCaptureImageStorage, uid.generate_uid()
    alone.Rows, alone.Columns, alone.SamplesPerPixel = header.rows, header.columns, header.samples
    # RGB leaves the colours as they are
    alone.PhotometricInterpretation = "MONOCHROME2" if header.samples == 1 else "RGB"
    alone.BitsAllocated, alone.BitsStored = header.bits_allocated, header.bits_stored
    alone.HighBit = header.bits_stored - 1
    alone.PixelRepresentation, alone.PlanarConfiguration = header.pixel_representation, 0
    alone.PixelData = as_pixel_data(data + b"\0" * (len(data) % 2))
    alone["PixelData"].VR, alone["PixelData"].is_undefined_length = "OB", True
    with TemporaryDirectory() as folder, foreign():
        path = str(Path(folder, "frame.dcm"))
        alone.save_as(path, enforce_file_format=True)
        array = SimpleITK.GetArrayFromImage(SimpleITK.ReadImage(path))
    size = (header.rows, header.columns)
    if array.dtype.kind not in "iu" or array.size != np.prod(size) * header.samples:
        raise BrokenFile("other values than the header's")
    return array.reshape(size if header.samples == 1 else (*size, header.samples))
