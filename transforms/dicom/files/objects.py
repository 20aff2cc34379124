"""The kind of any DICOM file, image or not, as its header states it."""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from types import MappingProxyType

from pydicom import uid
from pydicom.filereader import read_file_meta_info

from pyraseg.transforms.dicom.files.content import has_dicom_marker
from pyraseg.transforms.dicom.files.header import TAGS, ParsedFile, image_header, parse_file
from pyraseg.transforms.dicom.files.search import is_dicomdir_name
from pyraseg.transforms.dicom.files.values import BrokenFile, foreign, items, readable, texts, whole
from pyraseg.transforms.dicom.pixels.checks import code_text, is_secondary_capture
from pyraseg.transforms.dicom.pixels.decode import check_readable
from pyraseg.transforms.errors import InputError, PyrasegError
from pyraseg.transforms.records import SourceRef

__all__ = [
    "DIRECTORY_CLASS",
    "MODES",
    "VOLUME_MODALITIES",
    "ObjectHeader",
    "UltrasoundRegion",
    "instance_uid",
    "is_dicomdir",
    "is_localizer",
    "other_class",
    "parse_object",
    "passed_over",
    "read_object",
    "sop_class_uid",
    "volume_modality",
]

DIRECTORY_CLASS = "1.2.840.10008.1.3.10"  # Media Storage Directory
VOLUME_MODALITIES = frozenset({"CT", "MR", "PT"})
VOLUME_CLASSES: Mapping[str, str] = MappingProxyType(
    {
        uid.CTImageStorage: "CT",
        uid.EnhancedCTImageStorage: "CT",
        uid.LegacyConvertedEnhancedCTImageStorage: "CT",
        uid.MRImageStorage: "MR",
        uid.EnhancedMRImageStorage: "MR",
        uid.EnhancedMRColorImageStorage: "MR",
        uid.LegacyConvertedEnhancedMRImageStorage: "MR",
        uid.PositronEmissionTomographyImageStorage: "PT",
        uid.EnhancedPETImageStorage: "PT",
        uid.LegacyConvertedEnhancedPETImageStorage: "PT",
    }
)
PLACE = {
    "ImagePositionPatient": "position",
    "ImageOrientationPatient": "orientation",
    "PixelSpacing": "pixel spacing",
}
GROUPS = ("SharedFunctionalGroupsSequence", "PerFrameFunctionalGroupsSequence")
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
        passed_over: why it is no part of a CT, MR or PET series; empty where it is one.
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
    passed_over: str = ""

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
    parsed = parse_file(path, tags=(*TAGS, *PLACE))
    if is_secondary_capture(parsed.sop_class_uid) and parsed.text("Modality") in VOLUME_MODALITIES:
        parsed = parse_file(path, tags=(*TAGS, *PLACE, *GROUPS))  # where frames have their place
    source, problem = None, None
    try:
        header = replace(image_header(parsed), of_volume=not passed_over(parsed))
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
        passed_over=passed_over(parsed),
    )


def parse_object(path: str | Path, sop_classes: Collection[str], *, wanted: str, modality: str) -> ParsedFile:
    """The identity of a file that must be of one of the SOP classes: a structure set, a segmentation.

    Args:
        wanted: the name of such an object, with its article.

    Raises:
        InputError: not DICOM, cut off in the header, or another kind of object.
    """
    parsed = parse_file(path)
    if parsed.sop_class_uid not in sop_classes:
        found, remedy = "another kind of DICOM object", f"Give the file whose modality is {modality}."
        raise InputError(wanted, found=found, remedy=remedy, path=parsed.path)
    return parsed


def volume_modality(sop_class_uid: str, modality: str) -> str:
    """ "CT", "MR" or "PT" by Modality (0008,0060), or where that is empty by the SOP class; else empty.

    >>> volume_modality("1.2.840.10008.5.1.4.1.1.2.2", ""), volume_modality("1.2.840.10008.5.1.4.1.1.2", "US")
    ('CT', '')
    """
    stated = modality or VOLUME_CLASSES.get(sop_class_uid, "")
    return stated if stated in VOLUME_MODALITIES else ""


def passed_over(parsed: ParsedFile) -> str:
    """Why a file is no part of a CT, MR or PET series, for readers, datalists and batches alike; else empty.

    Images of these modalities are, classic, enhanced and converted to enhanced (PS3.3 A.70 to A.72), and so
    are secondary captures and private classes that state their place. An image that is cut off before its
    pixels is too, to be refused later: without it the volume would have a gap.

    Args:
        parsed: with `PLACE` and, of multi-frame files, `GROUPS` among its tags.
    """
    kind, modality = parsed.sop_class_uid, parsed.text("Modality")
    if kind in VOLUME_CLASSES:
        return "" if volume_modality(kind, modality) else f"modality {code_text(modality)}"
    if not kind and parsed.pixels is None:
        return ""
    captured = is_secondary_capture(kind)
    if kind in uid.UID_dictionary and not captured:
        return other_class(kind, modality, VOLUME_MODALITIES)
    name = "a secondary capture" if captured else other_class(kind, modality, ())
    if not volume_modality(kind, modality):
        return name if captured else f"{name} of modality {code_text(modality)}"
    if parsed.pixels is None:
        return f"{name} without pixels"
    missing = [word for attribute, word in PLACE.items() if not parsed.values.get(attribute)]
    return f"{name} without {missing[0]}" if missing and not parsed.values.get(GROUPS[1]) else ""


def other_class(sop_class_uid: str, modality: str, modalities: Collection[str]) -> str:
    """What an object is that is not wanted for its SOP class: by its modality, or by the class's name."""
    if sop_class_uid == DIRECTORY_CLASS:
        return "a DICOMDIR, which is an index"
    known = uid.UID_dictionary.get(sop_class_uid)
    if known and "Image" in known[0] and modality and modality not in modalities:
        return f"modality {code_text(modality)}"
    if known:
        return f"another kind of object: {known[0]}"
    return "a private or unknown SOP class" if sop_class_uid else "an object without SOP class"


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
    return is_dicomdir_name(path.name) or sop_class_uid(path) == DIRECTORY_CLASS


def instance_uid(path: Path) -> str:
    """The SOP Instance UID by the file meta group alone; empty where there is none."""
    return _of_meta(path, "MediaStorageSOPInstanceUID")


def sop_class_uid(path: Path) -> str:
    """The SOP Class UID by the file meta group alone; empty where there is none."""
    return _of_meta(path, "MediaStorageSOPClassUID")


def _of_meta(path: Path, name: str) -> str:
    if not has_dicom_marker(path):
        return ""
    try:
        with foreign():
            return str(read_file_meta_info(path).get(name) or "")
    except BrokenFile:
        return ""  # whoever reads the file next reports what is wrong
