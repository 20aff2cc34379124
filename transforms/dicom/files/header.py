"""Read the header of a DICOM file without its pixels and without attributes that identify a patient."""

from __future__ import annotations

import hashlib
import os
import struct
import warnings
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import Any, BinaryIO

from pydicom import Dataset, dcmread, uid
from pydicom.dataelem import RawDataElement
from pydicom.dataset import FileDataset
from pydicom.tag import BaseTag, Tag
from pydicom.uid import UID

from pyraseg.transforms.dicom.files.bounded import open_bounded
from pyraseg.transforms.dicom.files.content import is_dicom
from pyraseg.transforms.dicom.files.opening import file_version, open_version
from pyraseg.transforms.dicom.files.search import check_regular
from pyraseg.transforms.dicom.files.values import (
    BrokenFile,
    foreign,
    malformed,
    no_misplaced_sequence,
    readable,
    whole,
)
from pyraseg.transforms.errors import InputError
from pyraseg.transforms.io.limits import FEW_FRAMES, FRAMES, SIDE
from pyraseg.transforms.records import SourceRef

__all__ = [
    "STAMPED",
    "TAGS",
    "UNDEFINED_LENGTH",
    "ImageHeader",
    "ParsedFile",
    "image_header",
    "malformed",
    "parse_file",
    "read_attributes",
    "read_header",
    "source_ref",
]

UNDEFINED_LENGTH = 0xFFFFFFFF
CHARACTER_SET = Tag("SpecificCharacterSet")
PIXEL_VRS = {b"OB": "OB", b"OW": "OW", b"UN": "OW"}  # UN: written by software that did not know the attribute
# By implicit VR and little endian, as pydicom finds them in a data set that states no transfer syntax
NATIVE: dict[Any, UID] = {
    (True, True): uid.ImplicitVRLittleEndian,
    (False, True): uid.ExplicitVRLittleEndian,
    (False, False): uid.ExplicitVRBigEndian,
}
# What tells a file from another at its place: read as stored, and not kept but for the hash
STAMPED = (
    "SOPInstanceUID", "SeriesInstanceUID", "StudyInstanceUID", "PatientID", "PatientName", "PatientBirthDate",
)  # fmt: skip
SLICES = ("CT", "MR", "PT")  # of which small parts are cut out
NO_PREFIX = "no DICM prefix: read as a bare data set"
OTHER_VR = "a data set in {} VR, against its transfer syntax"
NO_PHOTOMETRIC = "no Photometric Interpretation: taken for MONOCHROME2"
HEADER = {
    "wanted": "a readable DICOM header",
    "found": "a header that is cut off or broken",
    "remedy": "Export the file again.",
}
# Only these attributes go along with pixels: no name, ID or date reaches a transform.
TAGS = [
    "SOPClassUID", "SOPInstanceUID", "StudyInstanceUID", "SeriesInstanceUID", "Modality", "ImageType",
    "WindowCenter", "WindowWidth", "VOILUTFunction", "VOILUTSequence", "RescaleSlope", "RescaleIntercept",
    "ModalityLUTSequence", "SequenceOfUltrasoundRegions", "SamplesPerPixel", "PhotometricInterpretation",
    "PlanarConfiguration", "NumberOfFrames", "Rows", "Columns", "PixelSpacing", "BitsAllocated", "BitsStored",
    "HighBit", "PixelRepresentation", "ExtendedOffsetTable", "ExtendedOffsetTableLengths",
    *(
        f"{prefix}PaletteColorLookupTable{part}"
        for colour in ("Red", "Green", "Blue")
        for prefix, part in ((colour, "Descriptor"), (colour, "Data"), (f"Segmented{colour}", "Data"))
    ),
]  # fmt: skip


@dataclass(frozen=True)
class ParsedFile:
    """Attributes of one DICOM file, image or not: those of `TAGS`, or others that were asked for.

    Attributes:
        values: of the data set and the file meta group by keyword, as far as present.
        pixels: VR, offset and length in bytes of the value of Pixel Data; None without one.
        size, modified_ns: of the file when it was read.
        version: what changes with every change of the file on the disk (`file_version`).
        stamp: a hash of size, time, UIDs and patient: the same as long as the file is the same.
        notes: what is not as the standard says, and harmless.
        raw: requested attributes as stored, with the file's character set.
    """

    path: Path
    dataset: Dataset
    values: Mapping[str, Any]
    transfer_syntax: UID
    pixels: tuple[str, int, int] | None
    size: int
    modified_ns: int
    version: tuple[int, ...]
    stamp: str = field(repr=False)
    notes: tuple[str, ...] = ()
    raw: Dataset = field(default_factory=Dataset, repr=False)

    def text(self, name: str, meta_name: str = "") -> str:
        """An attribute as text; where it is empty, that of the file meta group, if one is named."""
        return str(self.values.get(name) or self.values.get(meta_name) or "").strip()

    @property
    def sop_class_uid(self) -> str:
        """The data set's, else the file meta group's, else empty."""
        return self.text("SOPClassUID", "MediaStorageSOPClassUID")

    @property
    def sop_instance_uid(self) -> str:
        """The data set's, else the file meta group's, else empty."""
        return self.text("SOPInstanceUID", "MediaStorageSOPInstanceUID")


@dataclass(frozen=True)
class ImageHeader:
    """The Image Pixel module (PS3.3 C.7.6.3) and the identity of one file.

    Attributes:
        sop_instance_uid, sop_class_uid: from the data set, else from the file meta group, else empty.
        photometric: (0028,0004) as the file states it, true or not; MONOCHROME2 for one sample without it.
        value_offset, value_length: of the value of Pixel Data (7FE0,0010) in the file, in bytes.
        version, stamp: as those of `ParsedFile`.
        notes: what is not as the standard says, and harmless.
        dataset: the attributes of `TAGS`; nothing that identifies a patient.
        of_volume: whether it is part of a CT, MR or PET series, so that its values are not for display.
    """

    path: Path
    transfer_syntax: UID
    sop_instance_uid: str
    sop_class_uid: str
    series_instance_uid: str
    study_instance_uid: str
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
    version: tuple[int, ...]
    stamp: str = field(repr=False)
    notes: tuple[str, ...]
    dataset: Dataset = field(repr=False, compare=False)
    of_volume: bool = False

    def opened(self) -> BinaryIO:
        """The file, to read its pixels from.

        Raises:
            InputError: it is not the file any more whose header this is.
            BrokenFile: it cannot be opened.
        """
        return open_version(self.path, self.version)

    @property
    def source_ref(self) -> SourceRef:
        """The identity alone."""
        return SourceRef(
            path=str(self.path),
            sop_instance_uid=self.sop_instance_uid,
            sop_class_uid=self.sop_class_uid,
            series_instance_uid=self.series_instance_uid,
            modality=self.modality,
            transfer_syntax_uid=str(self.transfer_syntax),
            number_of_frames=self.number_of_frames,
            rows=self.rows,
            columns=self.columns,
            study_instance_uid=self.study_instance_uid,
            stamp=self.stamp,
        )


def source_ref(path: str | Path) -> SourceRef:
    """The identity of one image by its header; empty UIDs are taken from the file meta group.

    Raises:
        InputError: no such file, not DICOM, or not an image.

    >>> source_ref(cine).number_of_frames
    2
    """
    return read_header(path).source_ref


def read_header(path: str | Path) -> ImageHeader:
    """Read the header of a DICOM image, stopping before the pixels.

    Raises:
        InputError: no such file, not DICOM, cut off in the header, without pixel data, or of zero size.
    """
    return image_header(parse_file(path))


def parse_file(path: str | Path, *, tags: Sequence[str] = TAGS, raw: Sequence[str] = ()) -> ParsedFile:
    """Read the attributes in ``tags`` of any DICOM object, stopping before the pixels.

    Those in ``raw`` are read in the same pass but kept apart and unconverted. So none of them makes the file
    a broken one, and no patient's name gets to readers of pixels.

    Raises:
        InputError: no such file, not DICOM, or cut off in the header.
    """
    path = Path(path)
    _check_file(path)
    with readable(path=path, **HEADER), warnings.catch_warnings():
        warnings.simplefilter("ignore")  # pydicom's warnings quote values, which may be a patient's
        with foreign():
            file = open_bounded(path)
        with file:
            status = os.fstat(file.fileno())
            with foreign():
                wanted = [*_tags(tuple(tags)), *_tags(tuple(raw))]
                read = [*wanted, *_tags(STAMPED)]
                dataset = dcmread(file, force=True, stop_before_pixels=True, specific_tags=read)
                notes, stamp = _notes(dataset), _stamp(dataset, status)
                for tag in set(_tags(STAMPED)).difference(wanted):
                    dataset.pop(tag, None)
                apart = _apart(dataset, tuple(raw), tags)
                # Converts the values once, here, where warnings are suppressed
                elements = [*dataset.file_meta, *dataset]
                values = {e.keyword: no_misplaced_sequence(e.keyword, e.value) for e in elements}
                syntax = UID(values.get("TransferSyntaxUID") or NATIVE[dataset.original_encoding])
            pixels = _pixel_element(file, syntax)
    size, modified, version = status.st_size, status.st_mtime_ns, file_version(status)
    return ParsedFile(path, dataset, values, syntax, pixels, size, modified, version, stamp, notes, apart)


def _stamp(dataset: FileDataset, status: os.stat_result) -> str:
    stored: list[Any] = [dataset.get_item(tag) for tag in _tags(STAMPED) if tag in dataset]
    values = [(element.tag, element.value) for element in stored]
    uid = dataset.file_meta.get("MediaStorageSOPInstanceUID")
    text = repr((values, uid, status.st_size, status.st_mtime_ns))
    return hashlib.blake2b(text.encode("utf-8", "surrogateescape"), digest_size=16).hexdigest()


def _notes(dataset: FileDataset) -> tuple[str, ...]:
    """By the elements as they were read, not converted yet."""
    elements: Iterator[Any] = (dataset.get_item(tag) for tag in list(dataset.keys()))
    implicit = [element.is_implicit_VR for element in elements if isinstance(element, RawDataElement)][:1]
    notes = [] if dataset.preamble else [NO_PREFIX]
    if implicit and implicit[0] != dataset.original_encoding[0]:
        notes.append(OTHER_VR.format("implicit" if implicit[0] else "explicit"))
    return tuple(notes)


@lru_cache(maxsize=64)
def _tags(names: tuple[str, ...]) -> list[BaseTag]:
    """The tags of attributes; pydicom would look them up for every file."""
    return [Tag(name) for name in names]


def _apart(dataset: Dataset, names: tuple[str, ...], kept: Sequence[str]) -> Dataset:
    """A data set of the named attributes, unconverted; only those in ``kept`` stay in ``dataset`` as well."""
    apart = Dataset()
    implicit, little_endian = dataset.original_encoding
    apart.set_original_encoding(implicit, little_endian, dataset.original_character_set)
    moved = dict(zip(_tags(names), names, strict=True))
    stored = list(dataset.keys())  # iterating over a data set converts its values
    for tag in [tag for tag in stored if tag in moved or tag == CHARACTER_SET]:
        apart[tag] = dataset.get_item(tag)
        if tag in moved and moved[tag] not in kept:
            del dataset[tag]
    return apart


def _check_file(path: Path) -> None:
    check_regular(path, wanted="a DICOM file")
    if not is_dicom(path):
        found = "an empty file" if path.stat().st_size == 0 else "a file without the DICM prefix"
        if not os.access(path, os.R_OK):
            found = "a file that may not be read"
        remedy = "Export it again as DICOM, or leave it out."
        raise InputError("a DICOM file", found=found, remedy=remedy, path=path)


def _pixel_element(file: BinaryIO, syntax: UID) -> tuple[str, int, int] | None:
    """VR, offset and length of the value of Pixel Data, at which `dcmread` stopped; None without one."""
    known = syntax.is_transfer_syntax and not syntax.is_private
    order = "<" if not known or syntax.is_little_endian else ">"
    start = file.read(12)
    if len(start) < 12 or struct.unpack(f"{order}HH", start[:4]) != (0x7FE0, 0x0010):
        return None
    offset = file.tell() - len(start)
    if start[4:6] not in PIXEL_VRS:  # implicit VR, whatever is stated; no even length has the bytes of a VR
        return "OW", offset + 8, struct.unpack(f"{order}L", start[4:8])[0]
    return PIXEL_VRS[start[4:6]], offset + 12, struct.unpack(f"{order}L", start[8:12])[0]


def image_header(parsed: ParsedFile) -> ImageHeader:
    """The pixel attributes of a parsed file.

    Raises:
        InputError: it has no pixels, or broken attributes, or zero size.
    """
    values = parsed.values
    with readable(path=parsed.path, **HEADER):
        rows, columns = whole(values, "Rows"), whole(values, "Columns")
        frames = whole(values, "NumberOfFrames") or 1
        allocated, stored = whole(values, "BitsAllocated"), whole(values, "BitsStored")
        stored = stored or allocated
        high_bit = whole(values, "HighBit") if "HighBit" in values else stored - 1
        planar, signed = whole(values, "PlanarConfiguration"), whole(values, "PixelRepresentation")
        photometric = parsed.text("PhotometricInterpretation")
        one = photometric.startswith(("MONOCHROME", "PALETTE")) or not photometric
        samples = whole(values, "SamplesPerPixel") or (1 if one else 3)
    notes = parsed.notes
    if not photometric and samples == 1 and "RedPaletteColorLookupTableDescriptor" not in values:
        photometric, notes = "MONOCHROME2", (*notes, NO_PHOTOMETRIC)
    _check_image(parsed, rows=rows, columns=columns, frames=frames)
    vr, offset, length = parsed.pixels or ("", 0, 0)
    return ImageHeader(
        path=parsed.path,
        transfer_syntax=parsed.transfer_syntax,
        sop_instance_uid=parsed.sop_instance_uid,
        sop_class_uid=parsed.sop_class_uid,
        series_instance_uid=parsed.text("SeriesInstanceUID"),
        study_instance_uid=parsed.text("StudyInstanceUID"),
        modality=parsed.text("Modality"),
        number_of_frames=frames,
        rows=rows,
        columns=columns,
        samples=samples,
        photometric=photometric,
        planar_configuration=planar,
        bits_allocated=allocated,
        bits_stored=stored,
        high_bit=high_bit,
        pixel_representation=signed,
        pixel_vr=vr,
        value_offset=offset,
        value_length=length,
        file_size=parsed.size,
        version=parsed.version,
        stamp=parsed.stamp,
        notes=notes,
        dataset=parsed.dataset,
    )


def _check_image(parsed: ParsedFile, *, rows: int, columns: int, frames: int) -> None:
    if parsed.pixels is None:
        found = "a DICOM object without pixel data, or one that is cut off before it"
        remedy = "Leave this file out, or export it again if it should show something."
    elif min(rows, columns) < 1:
        found, remedy = f"{rows} rows and {columns} columns", "Leave this file out."
    elif not 1 <= frames <= parsed.size:  # a frame has at least one byte; a list of frames is made elsewhere
        found = f"{frames} frames announced in a file of {parsed.size} bytes"
        remedy = "Export the file again."
    elif frames > FRAMES:
        found, remedy = f"{frames} frames, more than {FRAMES}", "Export a part of it."
    elif frames > FEW_FRAMES and min(rows, columns) < SIDE and parsed.text("Modality") not in SLICES:
        found = f"{frames} frames of {rows} x {columns} pixels, more than {FEW_FRAMES} of less than {SIDE}"
        remedy = "Leave this file out."
    else:
        return
    raise InputError("a DICOM image with pixels", found=found, remedy=remedy, path=parsed.path)


def read_attributes(path: Path, *, before_pixels: bool = False) -> Dataset:
    """All attributes of an object, within `readable`; a value shorter than its length makes it broken."""
    with foreign(), open_bounded(path) as file, warnings.catch_warnings():
        warnings.simplefilter("ignore")  # pydicom's warnings quote values
        dataset = dcmread(file, force=True, stop_before_pixels=before_pixels)
        elements = [dataset.get_item(key) for key in list(dataset.keys())]
    for element in elements:
        length = element.length if isinstance(element, RawDataElement) else 0
        if length != UNDEFINED_LENGTH and len(element.value or b"") < length:
            raise BrokenFile("a value that is cut off")
    return dataset
