"""What any DICOM file says that it is, images and other objects alike; enough to decide what is to be done
with it."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pyraseg.transforms.dicom.files.discover import as_source_ref
from pyraseg.transforms.dicom.files.header import ParsedFile, image_header, malformed, parse_file
from pyraseg.transforms.dicom.pixels.decode import check_readable
from pyraseg.transforms.errors import PyrasegError
from pyraseg.transforms.records import SourceRef

__all__ = ["MODES", "ObjectHeader", "Region", "read_object"]

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
class Region:
    """What one ultrasound region shows: (0018,6012) and (0018,6014), PS3.3 C.8.5.5.1.1 and C.8.5.5.1.2."""

    spatial_format: int
    data_type: int


@dataclass(frozen=True)
class ObjectHeader:
    """The identity and kind of one DICOM file; small, so that it travels between processes.

    Attributes:
        image_type: (0008,0008), its values.
        regions: of the Sequence of Ultrasound Regions, in the file's order.
        own_instance_uid: whether the SOP Instance UID is the data set's own, not the file meta group's.
        size, modified_ns: of the file.
        source: the image; None where the file has none that can be read.
        problem: why it has none, or why its pixels cannot be decoded, as far as the header shows; else None.
    """

    path: str
    sop_instance_uid: str
    sop_class_uid: str
    study_instance_uid: str
    modality: str
    image_type: tuple[str, ...]
    regions: tuple[Region, ...]
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
    source, problem = _image(parsed)
    found, remedy = "ultrasound regions or an image type that are broken", "Export the file again."
    with malformed("a readable DICOM header", path=parsed.path, found=found, remedy=remedy):
        image_type, regions = _image_type(parsed.values), _regions(parsed.values)
    return ObjectHeader(
        path=str(path),
        sop_instance_uid=parsed.text("SOPInstanceUID", "MediaStorageSOPInstanceUID"),
        sop_class_uid=parsed.text("SOPClassUID", "MediaStorageSOPClassUID"),
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


def _image(parsed: ParsedFile) -> tuple[SourceRef | None, PyrasegError | None]:
    try:
        header = image_header(parsed)
    except PyrasegError as error:
        return None, error
    try:
        check_readable(header)
    except PyrasegError as error:
        return as_source_ref(header), error
    return as_source_ref(header), None


def _image_type(values: Mapping[str, Any]) -> tuple[str, ...]:
    value = values.get("ImageType") or ()
    return tuple(str(part).strip() for part in ((value,) if isinstance(value, str) else value))


def _regions(values: Mapping[str, Any]) -> tuple[Region, ...]:
    items = values.get("SequenceOfUltrasoundRegions") or ()
    numbers = ((item.get("RegionSpatialFormat"), item.get("RegionDataType")) for item in items)
    return tuple(Region(int(spatial or 0), int(data or 0)) for spatial, data in numbers)
