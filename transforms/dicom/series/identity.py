"""Whose images the files under one Series Instance UID are: of one patient, study and device, or several."""

from __future__ import annotations

import unicodedata
import warnings
from collections import defaultdict
from collections.abc import Mapping, Sequence
from types import MappingProxyType

from pydicom import Dataset
from pydicom.tag import Tag

from pyraseg.transforms.dicom.files.header import ParsedFile
from pyraseg.transforms.dicom.files.objects import volume_modality
from pyraseg.transforms.dicom.files.values import BrokenFile, first_item, readable, text
from pyraseg.transforms.errors import InputError

__all__ = ["IDENTITY_TAGS", "check_one_dose", "split_by_identity"]

DOSE = (
    "RadionuclideTotalDose",
    "RadionuclideHalfLife",
    "RadiopharmaceuticalStartTime",
    "RadiopharmaceuticalStartDateTime",
)

# Read as stored and compared in place: no value of these is kept, shown or logged.
IDENTITY_TAGS: Mapping[str, str] = MappingProxyType(
    {
        "PatientID": "patient",
        "PatientName": "patient",
        "PatientBirthDate": "patient",
        "Manufacturer": "device",
        "DeviceSerialNumber": "device",
        "StationName": "device",
    }
)


def split_by_identity(
    files: Sequence[ParsedFile],
) -> list[tuple[list[ParsedFile], tuple[str, ...]]]:
    """The files of each patient, study, frame of reference, modality and device, and what tells them apart.

    A file that leaves an attribute empty belongs to those that state it, as some software writes it only
    into some files; where several values are stated, such files stand apart, for nothing says whose they are.

    Args:
        files: under one Series Instance UID, parsed with `IDENTITY_TAGS` as ``raw``.
    """
    columns = {
        ("study", "StudyInstanceUID"): [file.text("StudyInstanceUID") for file in files],
        ("frame of reference", "FrameOfReferenceUID"): [file.text("FrameOfReferenceUID") for file in files],
        ("modality", "Modality"): [
            volume_modality(file.sop_class_uid, file.text("Modality")) for file in files
        ],
    }
    columns |= {(word, name): _stated(files, name) for name, word in IDENTITY_TAGS.items()}
    telling = {key: values for key, values in columns.items() if len({*values} - {""}) > 1}
    groups: dict[tuple[str, ...], list[ParsedFile]] = defaultdict(list)
    for number, file in enumerate(files):
        groups[tuple(values[number] for values in telling.values())].append(file)
    words = tuple(dict.fromkeys(word for word, _ in telling))
    return [(members, words) for members in groups.values()]


def _stated(files: Sequence[ParsedFile], name: str) -> list[str]:
    """The values of an attribute, with one spelling of each; most often all are the same bytes."""
    tag = Tag(name)
    stored = [file.raw.get_item(tag) if tag in file.raw else None for file in files]
    values = [None if element is None else element.value for element in stored]
    spelt: dict[object, str] = {}
    for value, file in zip(values, files, strict=True):
        if value not in spelt:
            spelt[value] = _spelling(file.raw, name)
    return [spelt[value] for value in values]


def _spelling(dataset: Dataset, name: str) -> str:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # pydicom's warnings quote values
            value = text(dataset, name)
    except BrokenFile:
        return "broken"
    plain = unicodedata.normalize("NFKC", value.partition("=")[0]).casefold()
    return " ".join(plain.replace("^", " ").replace(".", "").split())


def check_one_dose(files: Sequence[ParsedFile]) -> None:
    """Refuse a PET series whose files state different doses, half-lives or injections: they share one SUV.

    Raises:
        InputError: by the name of the attribute; or the sequence is broken.
    """
    found, remedy = "one that is broken", "Export the series again."
    with readable("a readable tracer", path=files[0].path, found=found, remedy=remedy):
        drugs = [first_item(file.values, "RadiopharmaceuticalInformationSequence") for file in files]
        for name in DOSE:
            values = {_as_number(text(drug, name)) for drug in drugs}
            if len(values) > 1:
                found, remedy = f"{len(values)} different ones", "Export the scans of the series apart."
                wanted = f"a PET series of one {name}"
                raise InputError(wanted, found=found, remedy=remedy, path=files[0].path)


def _as_number(value: str) -> float | str:
    try:
        return float(value)
    except ValueError:
        return value
