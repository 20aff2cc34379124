"""Many files of a few images, each with a SOP Instance UID of its own."""

from __future__ import annotations

import io
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pydicom
from PIL import Image
from pydicom.encaps import encapsulate
from pydicom.uid import (
    UID,
    DeflatedExplicitVRLittleEndian,
    ImplicitVRLittleEndian,
    JPEG2000Lossless,
    JPEGBaseline8Bit,
    JPEGLSLossless,
    RLELossless,
)

from tests.pipeline.prediction.batch import SIDE, write_image

__all__ = ["copies", "kinds"]

COMPRESSED = (RLELossless, JPEG2000Lossless, JPEGLSLossless)


def kinds(folder: Path) -> dict[str, bytes]:
    """The same image in seven transfer syntaxes, single and, uncompressed and in RLE, as a cine."""
    found = {}
    for frames, syntaxes in ((1, (None, ImplicitVRLittleEndian, DeflatedExplicitVRLittleEndian, *COMPRESSED)),
                             (4, (None, RLELossless))):  # fmt: skip
        for syntax in syntaxes:
            name = f"{'native' if syntax is None else syntax.keyword}-{frames}"
            found[name] = _written(folder / f"{name}.dcm", syntax, frames)
    found["JPEGBaseline8Bit-1"] = _jpeg(folder / "jpeg.dcm")
    return found


def _written(path: Path, syntax: UID | None, frames: int) -> bytes:
    image = pydicom.dcmread(write_image(path, 1, frames=frames))
    if syntax in COMPRESSED:
        image.compress(syntax, generate_instance_uid=False)
    elif syntax is not None:
        image.file_meta.TransferSyntaxUID = syntax
    image.save_as(path, enforce_file_format=True)
    return path.read_bytes()


def _jpeg(path: Path) -> bytes:
    image = pydicom.dcmread(write_image(path, 1))
    buffer = io.BytesIO()
    Image.fromarray(np.frombuffer(image.PixelData, np.uint8).reshape(SIDE, SIDE)).save(buffer, "JPEG")
    image.PixelData = encapsulate([buffer.getvalue()])
    image["PixelData"].is_undefined_length = True
    image.file_meta.TransferSyntaxUID = JPEGBaseline8Bit
    image.LossyImageCompression = "01"
    image.save_as(path, enforce_file_format=True)
    return path.read_bytes()


def copies(content: bytes, numbers: range) -> Iterator[tuple[int, bytes]]:
    """``content`` with another UID for each number; of the same length, in the file meta group and the data
    set."""
    former = pydicom.dcmread(io.BytesIO(content)).SOPInstanceUID.encode()
    for number in numbers:
        tail = f".1{number:08d}".encode()
        yield number, content.replace(former, former[: -len(tail)] + tail)
