"""The kind of any DICOM file, image or not, as its header states it."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from pydicom.filereader import read_file_meta_info

from pyraseg.transforms.dicom.files.content import has_dicom_marker
from pyraseg.transforms.dicom.files.header import image_header, parse_file
from pyraseg.transforms.dicom.files.search import is_dicomdir_name
from pyraseg.transforms.dicom.files.values import BrokenFile, foreign, items, readable, texts, whole
from pyraseg.transforms.dicom.pixels.decode import check_readable
from pyraseg.transforms.errors import PyrasegError
from pyraseg.transforms.records import SourceRef

__all__ = [
    "DIRECTORY_CLASS",
    "MODES",
    "ObjectHeader",
    "UltrasoundRegion",
    "is_dicomdir",
    "is_localizer",
    "read_object",
]

DIRECTORY_CLASS = "1.2.840.10008.1.3.10"  # Media Storage Directory
LOCALIZER = frozenset({"LOCALIZER", "SCOUT", "TOPOGRAM"})  # the standard's word and vendors' words
# Bits of Image Type value 4 of an ultrasound image, four hexadecimal digits (PS3.3 C.8.5.6.1.1)
MODES = {
    0x0001: "2d",
    0x0002: "m_mode",
    0x0004: "cw_doppler",
    0x0008: "pw_doppler",
    0x0010: "colour_doppler",
    0x0020: "colour_m_mode",
    0x0040: "3d_rendering",
    0x0100: "power_doppler",
    0x0200: "tissue_characterization",
    0x0400: "spatially_related_frames",
}
MODE_DIGITS = re.compile(r"[0-9A-Fa-f]{4}")


@dataclass(frozen=True)
class UltrasoundRegion:
    """What one ultrasound region shows: (0018,6012) and (0018,6014), PS3.3 C.8.5.5.1.1 and C.8.5.5.1.2."""

    spatial_format: int
    data_type: int


@dataclass(frozen=True)
class ObjectHeader:
    """The identity and kind of one DICOM file; small, to travel between processes.

    Attributes:
        image_type: (0008,0008), its values.
        regions: of the Sequence of Ultrasound Regions, in the file's order.
        own_instance_uid: whether the SOP Instance UID is from the data set, not the file meta group.
        size, modified_ns: of the file.
        source: the image; None where there is no readable one.
        problem: why there is none, or why the header shows its pixels to be undecodable; else None.
    """

    path: str
    sop_instance_uid: str
    sop_class_uid: str
    study_instance_uid: str
    modality: str
    image_type: tuple[str, ...]
    regions: tuple[UltrasoundRegion, ...]
    own_instance_uid: bool
    size: int
    modified_ns: int
    source: SourceRef | None = None
    problem: PyrasegError | None = None
    series_instance_uid: str = ""

    @property
    def modes(self) -> frozenset[str]:
        """The names in `MODES` that Image Type value 4 states; empty where it states none."""
        value = self.image_type[3] if len(self.image_type) > 3 else ""
        bits = int(value, 16) if MODE_DIGITS.fullmatch(value) else 0
        return frozenset(name for bit, name in MODES.items() if bits & bit)


def read_object(path: str | Path) -> ObjectHeader:
    """Read the header of any DICOM file.

    Raises:
        InputError: no such file, not DICOM, or cut off in the header.
    """
    parsed = parse_file(path)
    source, problem = None, None
    try:
        header = image_header(parsed)
        source = header.source_ref
        check_readable(header)
    except PyrasegError as error:
        problem = error
    found, remedy = "ultrasound regions or an image type that are broken", "Export the file again."
    with readable("a readable DICOM header", path=parsed.path, found=found, remedy=remedy):
        image_type = texts(parsed.values, "ImageType")
        regions = tuple(
            UltrasoundRegion(whole(item, "RegionSpatialFormat"), whole(item, "RegionDataType"))
            for item in items(parsed.values, "SequenceOfUltrasoundRegions")
        )
    return ObjectHeader(
        path=str(path),
        sop_instance_uid=parsed.sop_instance_uid,
        sop_class_uid=parsed.sop_class_uid,
        study_instance_uid=parsed.text("StudyInstanceUID"),
        modality=parsed.text("Modality"),
        image_type=image_type,
        regions=regions,
        own_instance_uid=bool(parsed.text("SOPInstanceUID")),
        size=parsed.size,
        modified_ns=parsed.modified_ns,
        source=source,
        problem=problem,
        series_instance_uid=parsed.text("SeriesInstanceUID"),
    )


def is_localizer(image_type: Sequence[str]) -> bool:
    """Whether an image is a localizer, which is no slice of a volume, by its Image Type.

    By the standard value 3 of Image Type (0008,0008) or Frame Type (PS3.3 C.7.6.1.1.2, C.8.2.1.1.1) says so;
    some scanners use a later value or another word. Values 1 and 2 mean something else.

    >>> is_localizer(["ORIGINAL", "PRIMARY", "LOCALIZER"]), is_localizer(["ORIGINAL", "PRIMARY", "AXIAL"])
    (True, False)
    """
    return any(value.strip().upper() in LOCALIZER for value in image_type[2:])


def is_dicomdir(path: Path) -> bool:
    """Whether a file is a DICOMDIR, by its name or the SOP class in its file meta group."""
    if is_dicomdir_name(path.name) or not has_dicom_marker(path):
        return is_dicomdir_name(path.name)
    try:
        with foreign():  # the file meta group alone: the header is read later
            return bool(read_file_meta_info(path).get("MediaStorageSOPClassUID") == DIRECTORY_CLASS)
    except BrokenFile:
        return False  # whoever reads it next reports what is wrong
