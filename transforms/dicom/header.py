"""The header of one DICOM image file, read without its pixels and without the attributes that identify a patient."""

from __future__ import annotations

import struct
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, BinaryIO

from pydicom import Dataset, dcmread
from pydicom.errors import InvalidDicomError
from pydicom.filereader import read_file_meta_info
from pydicom.uid import UID, DeflatedExplicitVRLittleEndian

from transforms.errors import InputError

__all__ = ["ImageHeader", "has_dicom_marker", "malformed", "read_header"]

UNDEFINED_LENGTH = 0xFFFFFFFF
# What pydicom, the decoders, pillow and nibabel raise on data that is not what it claims to be.
MALFORMED = (
    InvalidDicomError,
    EOFError,
    OSError,
    struct.error,
    zlib.error,
    ArithmeticError,
    AttributeError,
    LookupError,
    RuntimeError,
    SyntaxError,  # pillow, on a broken PNG chunk
    TypeError,
    ValueError,
)
# Nothing else of the header is kept: no name, ID or date is in memory while frames are read.
TAGS = [
    "SOPClassUID",
    "SOPInstanceUID",
    "SeriesInstanceUID",
    "Modality",
    "SequenceOfUltrasoundRegions",
    "SamplesPerPixel",
    "PhotometricInterpretation",
    "PlanarConfiguration",
    "NumberOfFrames",
    "Rows",
    "Columns",
    "PixelSpacing",
    "BitsAllocated",
    "BitsStored",
    "HighBit",
    "PixelRepresentation",
    *(
        f"{colour}PaletteColorLookupTable{part}"
        for colour in ("Red", "Green", "Blue")
        for part in ("Descriptor", "Data")
    ),
    *(f"Segmented{colour}PaletteColorLookupTableData" for colour in ("Red", "Green", "Blue")),
    "ExtendedOffsetTable",
    "ExtendedOffsetTableLengths",
]


@dataclass(frozen=True)
class ImageHeader:
    """What the Image Pixel module (PS3.3 C.7.6.3) and the identity of one file say.

    Attributes:
        sop_instance_uid, sop_class_uid: from the data set, else from the file meta group, else empty.
        photometric: (0028,0004) as the file states it, true or not.
        value_offset, value_length: where the value of Pixel Data (7FE0,0010) lies in the file, in bytes.
        dataset: the attributes of `TAGS`; nothing that identifies a patient.
    """

    path: Path
    transfer_syntax: UID
    sop_instance_uid: str
    sop_class_uid: str
    series_instance_uid: str
    modality: str
    number_of_frames: int
    rows: int
    columns: int
    samples: int
    photometric: str
    planar_configuration: int
    bits_allocated: int
    bits_stored: int
    high_bit: int
    pixel_representation: int
    pixel_vr: str
    value_offset: int
    value_length: int
    file_size: int
    dataset: Dataset = field(repr=False, compare=False)


@contextmanager
def malformed(wanted: str, *, path: Path, found: str, remedy: str) -> Iterator[None]:
    """Turn whatever a library raises on malformed data into an `InputError`.

    The library's own message and traceback are left out: both may quote a path or an attribute of the patient.
    """
    try:
        yield
    except MALFORMED as error:
        raise InputError(wanted, found=f"{found} ({type(error).__name__})", remedy=remedy, path=path) from None


def has_dicom_marker(path: Path) -> bool:
    """Whether the file carries the DICM prefix behind its 128-byte preamble (PS3.10 section 7.1), whatever its name."""
    try:
        with path.open("rb") as file:
            return file.read(132)[128:] == b"DICM"
    except OSError:
        return False


def read_header(path: str | Path) -> ImageHeader:
    """Read the header of a DICOM image, stopping before the pixels.

    Raises:
        InputError: no such file, not DICOM, cut off in the header, without pixel data, or of zero size.
    """
    path = Path(path)
    _check_file(path)
    with malformed(
        "a readable DICOM header",
        path=path,
        found="a header that is cut off or broken",
        remedy="Export the file again.",
    ):
        meta = read_file_meta_info(path)
        _check_not_deflated(meta, path)
        with path.open("rb") as file:
            dataset = dcmread(file, stop_before_pixels=True, specific_tags=list(TAGS))
            pixels = _pixel_element(file, dataset.file_meta.get("TransferSyntaxUID", UID("")))
        return _image_header(path, dataset, pixels)


def _check_file(path: Path) -> None:
    if not path.is_file():
        found = "a folder" if path.is_dir() else "no file of that name"
        raise InputError("a DICOM file", found=found, remedy="Check the path.", path=path)
    if not has_dicom_marker(path):
        raise InputError(
            "a DICOM file",
            found="an empty file" if path.stat().st_size == 0 else "a file without the DICM prefix",
            remedy="Give a DICOM file, or a PNG, JPEG or NIfTI image under its usual suffix.",
            path=path,
        )


def _check_not_deflated(meta: Dataset, path: Path) -> None:
    """A deflated data set is inflated whole before anything is known about it, so its size cannot be checked."""
    if meta.get("TransferSyntaxUID") == DeflatedExplicitVRLittleEndian:
        raise InputError(
            "a transfer syntax whose frames can be read one by one",
            found="a deflated data set (1.2.840.10008.1.2.1.99)",
            remedy="Convert the file to Explicit VR Little Endian, for example with dcmconv +te.",
            path=path,
        )


def _pixel_element(file: BinaryIO, syntax: UID) -> tuple[str, int, int] | None:
    """VR, offset and length of the value of Pixel Data, at whose tag `dcmread` has stopped; None without one."""
    little = not syntax or syntax.is_private or syntax.is_little_endian
    order = "<" if little else ">"
    start = file.read(12)
    if len(start) < 8 or struct.unpack(f"{order}HH", start[:4]) != (0x7FE0, 0x0010):
        return None
    offset = file.tell() - len(start)
    if not syntax.is_private and syntax.is_implicit_VR:
        return "OW", offset + 8, struct.unpack(f"{order}L", start[4:8])[0]
    return start[4:6].decode("ascii"), offset + 12, struct.unpack(f"{order}L", start[8:12])[0]


def _image_header(path: Path, dataset: Any, pixels: tuple[str, int, int] | None) -> ImageHeader:
    rows, columns = int(dataset.get("Rows") or 0), int(dataset.get("Columns") or 0)
    frames = int(dataset.get("NumberOfFrames") or 1)
    size = path.stat().st_size
    _check_image(path, pixels=pixels, shape=(rows, columns), frames=frames, size=size)
    vr, offset, length = pixels or ("", 0, 0)
    meta, stored = dataset.file_meta, int(dataset.get("BitsStored") or dataset.get("BitsAllocated") or 0)
    return ImageHeader(
        path=path,
        transfer_syntax=UID(meta.get("TransferSyntaxUID") or ""),
        sop_instance_uid=str(dataset.get("SOPInstanceUID") or meta.get("MediaStorageSOPInstanceUID") or ""),
        sop_class_uid=str(dataset.get("SOPClassUID") or meta.get("MediaStorageSOPClassUID") or ""),
        series_instance_uid=str(dataset.get("SeriesInstanceUID") or ""),
        modality=str(dataset.get("Modality") or ""),
        number_of_frames=frames,
        rows=rows,
        columns=columns,
        samples=int(dataset.get("SamplesPerPixel") or 1),
        photometric=str(dataset.get("PhotometricInterpretation") or ""),
        planar_configuration=int(dataset.get("PlanarConfiguration") or 0),
        bits_allocated=int(dataset.get("BitsAllocated") or 0),
        bits_stored=stored,
        high_bit=int(dataset.get("HighBit", stored - 1)),
        pixel_representation=int(dataset.get("PixelRepresentation") or 0),
        pixel_vr=vr,
        value_offset=offset,
        value_length=length,
        file_size=size,
        dataset=dataset,
    )


def _check_image(
    path: Path, *, pixels: tuple[str, int, int] | None, shape: tuple[int, int], frames: int, size: int
) -> None:
    if pixels is None:
        found, remedy = "a DICOM object without pixel data, or one that is cut off before it", "Leave this file out."
    elif min(shape) < 1:
        found, remedy = f"{shape[0]} rows and {shape[1]} columns", "Leave this file out."
    elif not 1 <= frames <= size:  # a frame takes a byte at least; a list of them is made elsewhere
        found, remedy = f"{frames} frames announced in a file of {size} bytes", "Export the file again."
    else:
        return
    raise InputError("a DICOM image with pixels", found=found, remedy=remedy, path=path)
