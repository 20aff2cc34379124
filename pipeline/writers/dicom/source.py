"""What a written object copies from its source's header: patient, study and references to frames."""

from __future__ import annotations

import re
import warnings
from collections.abc import Iterable, Mapping
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from pathlib import Path

from pydicom import Dataset, config, dcmread
from pydicom.datadict import dictionary_description
from pydicom.dataelem import DataElement
from pydicom.uid import UID, generate_uid

from pyraseg.pipeline.writers.dicom.repair import CharacterSet, character_set, header_text, repaired
from pyraseg.transforms.dicom.files.bounded import open_bounded
from pyraseg.transforms.dicom.files.header import malformed
from pyraseg.transforms.errors import InputError
from pyraseg.transforms.records import SourceRef

__all__ = [
    "SOURCE_TAGS",
    "SourceHeader",
    "add_uid",
    "check_images",
    "derive_uid",
    "frame_reference",
    "read_source",
    "source_header",
    "unquoted",
]

# Type 2 in the Patient and General Study modules (PS3.3 C.7.1.1, C.7.2.1): required, may be empty.
TYPE_2 = (
    *("PatientName", "PatientID", "PatientBirthDate", "PatientSex", "StudyDate", "StudyTime"),
    *("ReferringPhysicianName", "StudyID", "AccessionNumber"),
)
TYPE_3 = ("IssuerOfPatientID", "PatientAge", "StudyDescription")
COMPRESSION = ("LossyImageCompression", "LossyImageCompressionRatio", "LossyImageCompressionMethod")
NUMBERS = ("SeriesNumber", "InstanceNumber")
UIDS = ("StudyInstanceUID", "SeriesInstanceUID")
PIXELS = {"BitsAllocated": 8, "SamplesPerPixel": 1}  # and their defaults
SOURCE_TAGS = (*TYPE_2, *TYPE_3, *COMPRESSION, *NUMBERS, *UIDS, *PIXELS)
# Ultrasound (retired, then today's), secondary capture, X-ray, nuclear medicine, enhanced CT, MR, PET, video.
MULTI_FRAME = re.compile(
    r"1\.2\.840\.10008\.5\.1\.4\.1\.1\."
    r"(3|3\.1|6\.2|7\.[1-4]|12\.1(\.1)?|12\.2(\.1)?|20|2\.[12]|4\.[134]|128\.1|130|77\.1\.[124]\.1|77\.1\.6)"
)
# The beginnings of transfer syntaxes: JPEG, JPEG-LS, JPEG 2000.
METHODS = {
    "1.2.840.10008.1.2.4.5": "ISO_10918_1",
    "1.2.840.10008.1.2.4.81": "ISO_14495_1",
    "1.2.840.10008.1.2.4.9": "ISO_15444_1",
}
WELL_FORMED = re.compile(r"[0-2](\.(0|[1-9][0-9]*))+")  # PS3.5 section 9.1
LOSSLESS = re.compile(r"1\.2\.840\.10008\.1\.2(\.[125]|\.1\.99|\.4\.(57|70|80|90|92|201|202))?")


@dataclass(frozen=True)
class SourceHeader:
    """The repaired header of a source.

    Attributes:
        identity: attributes of the Patient and General Study modules that objects of the same study repeat,
            with the source's SOP Class, SOP Instance and Series Instance UID; text as UTF-8. Never change it.
        compression: whether and how the source's pixels were compressed with loss (PS3.3 C.7.6.1.1.5).
        series_number, instance_number: the source's, 1 where it has none.
        multi_frame: whether its SOP class has frames; some cines have a class without frames.
        notes: repairs, in words without values.
    """

    identity: Dataset
    compression: Dataset
    series_number: int
    instance_number: int
    multi_frame: bool
    notes: tuple[str, ...]


def derive_uid(*parts: str) -> UID:
    """A UID that depends only on the parts (PS3.5 section B; pydicom's root)."""
    return generate_uid(entropy_srcs=["\0".join(("pyraseg", *parts))])


def add_uid(dataset: Dataset, keyword: str, uid: str) -> None:
    """Set a source's UID unchanged; pydicom would warn of an invalid one by quoting it."""
    dataset.add(DataElement(keyword, "UI", UID(uid, config.IGNORE), validation_mode=config.IGNORE))


def unquoted(uid: str) -> AbstractContextManager[None]:
    """Without pydicom's validation, which quotes invalid UIDs, for libraries that set a source's UID."""
    return nullcontext() if WELL_FORMED.fullmatch(uid) else config.disable_value_validation()


def frame_reference(header: SourceHeader, frame: int) -> int | None:
    """Referenced Frame Number (0008,1160), counted from 1; None where the referenced class has no frames."""
    return frame + 1 if header.multi_frame else None


def read_source(source: SourceRef) -> SourceHeader:
    """Read what written objects copy from the source's header, and repair it.

    Missing type 2 attributes become empty, as do values that DICOM does not allow. An empty Series Instance
    UID is replaced by one that follows from the study's. Class and instance are those of ``source``.

    Raises:
        InputError: the header cannot be read, or lacks the SOP Class, SOP Instance or Study Instance UID, by
            which a result is filed with its source.
    """
    found, remedy = "one that is cut off or broken", "Export the file again."
    wanted, path = "a readable DICOM header", Path(source.path)
    with malformed(wanted, path=path, found=found, remedy=remedy), warnings.catch_warnings():
        warnings.simplefilter("ignore")  # on a character set, which the notes say
        with open_bounded(path) as file:
            dataset = dcmread(file, force=True, stop_before_pixels=True, specific_tags=[*SOURCE_TAGS])
    return source_header(dataset, source)


def source_header(dataset: Dataset, source: SourceRef) -> SourceHeader:
    """As `read_source`, from the unconverted `SOURCE_TAGS` of a header that has been read.

    Raises:
        InputError: a UID is missing.
    """
    found, remedy = "one that is cut off or broken", "Export the file again."
    with malformed("a readable DICOM header", path=Path(source.path), found=found, remedy=remedy):
        texts = _texts(dataset)
    notes = list(texts.notes)
    identity = _identity(texts, notes)
    _add_uids(identity, texts, source, notes)
    series, instance = (
        int(number) if re.fullmatch(r"[0-9]{1,6}", number) and int(number) > 0 else 1
        for number in (texts.get(keyword) for keyword in NUMBERS)
    )
    return SourceHeader(
        identity=identity,
        compression=_compression(texts, source),
        series_number=series,
        instance_number=instance,
        multi_frame=MULTI_FRAME.fullmatch(source.sop_class_uid) is not None,
        notes=tuple(notes),
    )


def check_images(images: Iterable[SourceRef]) -> None:
    """Refuse images that objects cannot refer to.

    Raises:
        InputError: one has no SOP Class or SOP Instance UID.
    """
    for image in images:
        _require_uid("SOP Instance UID", image.sop_instance_uid, path=image.path)
        _require_uid("SOP Class UID", image.sop_class_uid, path=image.path)


@dataclass(frozen=True)
class _Texts:
    """The text of a header's attributes as stored; empty or absent where there is none.

    Attributes:
        values: by keyword, each with a note on its characters, if any.
        sample: bytes of a pixel.
        notes: on the character set.
    """

    values: Mapping[str, tuple[str, str]]
    sample: int
    notes: tuple[str, ...]

    def get(self, keyword: str) -> str:
        return self.values[keyword][0] if keyword in self.values else ""


def _texts(dataset: Dataset) -> _Texts:
    keywords = [*TYPE_2, *TYPE_3, *COMPRESSION, *NUMBERS]
    characters = character_set(dataset)
    values = {
        keyword: header_text(dataset, keyword, characters) for keyword in keywords if keyword in dataset
    }
    ascii_only = CharacterSet(("ascii",), True)
    values |= {keyword: header_text(dataset, keyword, ascii_only) for keyword in UIDS}
    allocated, samples = (int(dataset.get(keyword) or default) for keyword, default in PIXELS.items())
    notes = (characters.note,) if characters.note else ()
    return _Texts(values, max(1, allocated // 8) * samples, notes)


def _identity(texts: _Texts, notes: list[str]) -> Dataset:
    identity = Dataset()
    identity.SpecificCharacterSet = "ISO_IR 192"
    missing = [keyword for keyword in TYPE_2 if keyword not in texts.values]
    if missing:
        names = ", ".join(dictionary_description(keyword) for keyword in missing)
        notes.append(f"missing in the source, left empty: {names}")
    for keyword in (*TYPE_2, *TYPE_3):
        text, misread = texts.values.get(keyword, ("", ""))
        value, mended = repaired(keyword, text)
        notes.extend(note for note in (misread, mended) if note)
        if value or keyword in TYPE_2:
            setattr(identity, keyword, value)
    return identity


def _add_uids(identity: Dataset, texts: _Texts, source: SourceRef, notes: list[str]) -> None:
    study, series = (texts.get(keyword) for keyword in UIDS)
    _require_uid("Study Instance UID", study, path=source.path)
    _require_uid("SOP Instance UID", source.sop_instance_uid, path=source.path)
    _require_uid("SOP Class UID", source.sop_class_uid, path=source.path)
    if not _usable(series):
        series = derive_uid(study, "series")
        notes.append(
            "no valid Series Instance UID in the source: references name one that follows from its study"
        )
    uids = dict(zip(UIDS, (study, series), strict=True))
    uids |= {"SOPInstanceUID": source.sop_instance_uid, "SOPClassUID": source.sop_class_uid}
    for keyword, uid in uids.items():
        if not WELL_FORMED.fullmatch(uid):
            name = dictionary_description(keyword)
            notes.append(f"{name}: not a valid UID, kept so that objects stay together")
        add_uid(identity, keyword, uid)


def _usable(uid: str) -> bool:
    """Whether archives can file it: a root above 2 or a leading zero is invalid, but usable."""
    return re.fullmatch(r"[0-9]+(\.[0-9]+)+", uid) is not None and len(uid) <= 64


def _require_uid(name: str, uid: str, *, path: str) -> None:
    if not _usable(uid):
        raise InputError(
            f"a source with a {name}, by which its results are filed",
            found="one of other characters than digits and dots" if uid else "none in its header",
            remedy="Export the file from its archive again, or leave seg and sr out of the formats.",
            path=path,
        )


def _compression(texts: _Texts, source: SourceRef) -> Dataset:
    """PS3.3 C.7.6.1.1.5: an image derived from one that was compressed with loss says so too."""
    stated, ratio, methods = (texts.get(keyword) for keyword in COMPRESSION)
    syntax, result = source.transfer_syntax_uid, Dataset()
    lossy = stated == "01" or (LOSSLESS.fullmatch(syntax) is None and stated != "00")
    result.LossyImageCompression = "01" if lossy else "00"
    if lossy:
        ratios = ratio.replace(" ", "").split("\\")
        if not all(re.fullmatch(r"[0-9]{1,8}(\.[0-9]{1,7})?", part) for part in ratios):
            pixels = source.number_of_frames * source.rows * source.columns * texts.sample
            ratios = [f"{max(1.0, pixels / max(1, Path(source.path).stat().st_size)):.2f}"]  # an estimate
        result.LossyImageCompressionRatio = ratios
        method = next((name for prefix, name in METHODS.items() if syntax.startswith(prefix)), "")
        if methods or method:
            result.LossyImageCompressionMethod = re.findall(r"[A-Z0-9_]{1,16}", methods) or method
    return result
