"""What all written DICOM objects share: their record, their modules, and saving them."""

from __future__ import annotations

import datetime
import struct
from collections.abc import Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from pydicom import Dataset
from pydicom.dataset import FileMetaDataset
from pydicom.uid import UID, ExplicitVRLittleEndian

from pyraseg.pipeline.utils.files import atomic_write
from pyraseg.pipeline.utils.version import package_version
from pyraseg.pipeline.writers.dicom.source import SourceHeader, add_uid, derive_uid
from pyraseg.pipeline.writers.prediction import Algorithm, Replaced
from pyraseg.transforms.dicom.files.header import parse_file
from pyraseg.transforms.dicom.series.source_series import SourceSeries
from pyraseg.transforms.errors import InputError
from pyraseg.transforms.records import Code, SourceRef

__all__ = [
    "MANUFACTURER",
    "NO_FRAME",
    "SHORT_STRING",
    "WrittenObject",
    "code_item",
    "cut",
    "frame_of_reference",
    "image_items",
    "make_item",
    "new_object",
    "replaced_objects",
    "save",
    "uid_item",
]

MANUFACTURER = "pyraseg"
LONG_STRING = 64  # characters of VR LO
WEIGHTS = 6  # characters of their hash in a description
# The source's series number is added
FIRST_SERIES_NUMBERS = {
    "SEG binary": 1000,
    "SR": 2000,
    "RTSTRUCT": 3000,
    "SEG labelmap": 4000,
    "SEG fractional": 5000,
}
SHORT_STRING = 16  # of VR SH
NOT_OF_SOURCE = ("SOPClassUID", "SOPInstanceUID", "SeriesInstanceUID")  # an object has UIDs of its own
PIXEL_DATA = (0x7FE0, 0x0010)
NO_FRAME = "no Frame of Reference in the source: results name one that follows from the series"


@dataclass(frozen=True)
class WrittenObject:
    """A DICOM object on disk.

    Attributes:
        notes: repairs of the source's header, in words that identify nobody.
        frame_numbers: of a segmentation: its frame numbers from 1 by the segment's name, one for each source
            frame in order, in a volume for each slice with the segment; empty for a report.
    """

    path: Path
    sop_class_uid: str
    sop_instance_uid: str
    series_instance_uid: str
    notes: tuple[str, ...] = ()
    frame_numbers: Mapping[str, tuple[int, ...]] = field(default_factory=dict)


def replaced_objects(folder: Path, *, keep_uids: bool) -> dict[str, Replaced]:
    """The earlier objects in an item's folder by SOP Class UID; a broken file counts for none."""
    found = {}
    for path in sorted(folder.glob("*.dcm")):
        with suppress(InputError):
            parsed = parse_file(path)
            uids = (parsed.sop_class_uid, parsed.sop_instance_uid, parsed.text("SeriesInstanceUID"))
            found[parsed.sop_class_uid] = Replaced(*uids, keep_uids=keep_uids)
    return found


def new_object(
    header: SourceHeader,
    algorithm: Algorithm,
    *,
    kind: str,
    sop_class_uid: str,
    salt: str,
    replaced: Mapping[str, Replaced],
) -> tuple[Dataset, Replaced | None]:
    """A data set with the modules that all objects share and the time of writing, and the earlier object.

    Patient, General Study, General Series, Enhanced General Equipment and SOP Common (PS3.3 C.7.1.1, C.7.2.1,
    C.7.3.1, C.7.5.2, C.12.1). UIDs are the same for equal source, weights and salt. Objects of one kind from
    one source series form one series, and copy the source's Instance Number. Viewers list series by number
    and description: both tell the kind, the description the model, too.
    """
    result, earlier = (algorithm.weights, salt, kind), replaced.get(sop_class_uid)
    instance = derive_uid(header.identity.SOPInstanceUID, *result, "instance")
    series = derive_uid(header.identity.SeriesInstanceUID, *result, "series")
    if earlier and earlier.keep_uids:
        instance, series = UID(earlier.sop_instance_uid), UID(earlier.series_instance_uid)
    if earlier and earlier.sop_instance_uid == instance:
        earlier = None
    now = datetime.datetime.now()
    date, time = now.strftime("%Y%m%d"), now.strftime("%H%M%S.%f")
    dataset = make_item(
        SOPClassUID=sop_class_uid,
        SOPInstanceUID=instance,
        SeriesInstanceUID=series,
        SeriesNumber=FIRST_SERIES_NUMBERS[kind] + header.series_number,
        SeriesDescription=_description(algorithm, kind),
        InstanceNumber=header.instance_number,
        Manufacturer=MANUFACTURER,
        ManufacturerModelName=cut(algorithm.name),
        DeviceSerialNumber=cut(algorithm.weights),
        SoftwareVersions=cut(package_version()),
        InstanceCreationDate=date,
        InstanceCreationTime=time,
        ContentDate=date,
        ContentTime=time,
    )
    for element in header.identity:  # a changed copy would change the header, whose elements it shares
        if element.keyword not in NOT_OF_SOURCE:
            dataset.add(element)
    if earlier:
        related = make_item(SeriesInstanceUID=earlier.series_instance_uid, PurposeOfReferenceCodeSequence=[])
        add_uid(related, "StudyInstanceUID", header.identity.StudyInstanceUID)
        dataset.RelatedSeriesSequence = [related]
    return dataset, earlier


def _description(algorithm: Algorithm, kind: str) -> str:
    model, what = f"{algorithm.bundle} {algorithm.version}", f" {kind}, not for diagnosis"
    if algorithm.weights != "unknown":
        model += f" {algorithm.weights[:WEIGHTS]}"
    return cut(model)[: LONG_STRING - len(what)] + what


def make_item(**values: object) -> Dataset:
    """A data set, or an item of a sequence, from attributes by keyword."""
    item = Dataset()
    for keyword, value in values.items():
        setattr(item, keyword, value)
    return item


def code_item(code: Code) -> Dataset:
    """An item of a code sequence (PS3.3 section 8)."""
    value = "CodeValue" if len(code.value) <= SHORT_STRING else "LongCodeValue"
    return make_item(**{value: code.value}, CodingSchemeDesignator=code.scheme, CodeMeaning=cut(code.meaning))


def image_items(images: Iterable[SourceRef]) -> list[Dataset]:
    """References to images by SOP Class and SOP Instance UID, each image once."""
    pairs = dict.fromkeys((image.sop_class_uid, image.sop_instance_uid) for image in images)
    return [
        uid_item(ReferencedSOPClassUID=class_uid, ReferencedSOPInstanceUID=instance_uid)
        for class_uid, instance_uid in pairs
    ]


def uid_item(**uids: str) -> Dataset:
    """An item with a source's UIDs by keyword, unchanged."""
    item = Dataset()
    for keyword, uid in uids.items():
        add_uid(item, keyword, uid)
    return item


def frame_of_reference(header: SourceHeader, series: SourceSeries) -> str:
    """The series' Frame of Reference UID; without one, a UID that follows from its Series Instance UID."""
    return series.frame_of_reference_uid or derive_uid(header.identity.SeriesInstanceUID, "frame")


def cut(text: str) -> str:
    """Cut text to VR LO, without backslashes, which would split the value."""
    return text.replace("\\", "/")[:LONG_STRING].strip()


def save(
    dataset: Dataset,
    path: str | Path,
    *,
    notes: tuple[str, ...],
    frame_numbers: Mapping[str, tuple[int, ...]] | None = None,
    pixels: Iterable[np.ndarray] = (),
    length: int = 0,
    syntax: UID = ExplicitVRLittleEndian,
) -> WrittenObject:
    """Write the object, completely or not at all.

    Pixel Data (7FE0,0010), the last element, is written in pieces, so a long cine is never in memory.

    Args:
        notes, frame_numbers: of the `WrittenObject`.
        pixels: bytes in pieces of any size.
        length: of all pieces together.
        syntax: without pixels, Implicit VR Little Endian is possible.

    Raises:
        OutputError: the file cannot be written.
    """
    dataset.file_meta = FileMetaDataset()
    dataset.file_meta.TransferSyntaxUID = syntax
    with atomic_write(path) as file:
        dataset.save_as(file, enforce_file_format=True)
        if length:
            padding = length % 2
            file.write(struct.pack("<HH2sHL", *PIXEL_DATA, b"OB", 0, length + padding))
            for piece in pixels:
                file.write(np.ascontiguousarray(piece).data)
            file.write(b"\0" * padding)
    uids = (dataset.SOPClassUID, dataset.SOPInstanceUID, dataset.SeriesInstanceUID)
    return WrittenObject(Path(path), *uids, notes=notes, frame_numbers=frame_numbers or {})
