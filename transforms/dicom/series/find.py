"""Find the CT, MR and PET series among files and folders by their headers."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydicom import uid

from pyraseg.transforms.dicom.files.discover import dicom_files
from pyraseg.transforms.dicom.files.header import ParsedFile, parse_file
from pyraseg.transforms.dicom.files.objects import is_localizer
from pyraseg.transforms.dicom.files.values import texts
from pyraseg.transforms.dicom.pixels.checks import is_secondary_capture
from pyraseg.transforms.dicom.series.pet_facts import PetFacts, pet_facts
from pyraseg.transforms.dicom.series.planes import VOLUME_TAGS, PlaneHeader, plane_headers
from pyraseg.transforms.dicom.series.stacks import described
from pyraseg.transforms.errors import GeometryError, InputError, Option, PyrasegError

__all__ = ["VOLUME_MODALITIES", "Series", "find_series", "is_slice", "is_volume_file", "the_series"]

VOLUME_MODALITIES = frozenset({"CT", "MR", "PT"})
VOLUME_CLASSES = frozenset(
    {
        uid.CTImageStorage,
        uid.EnhancedCTImageStorage,
        uid.MRImageStorage,
        uid.EnhancedMRImageStorage,
        uid.PositronEmissionTomographyImageStorage,
        uid.EnhancedPETImageStorage,
    }
)


@dataclass(frozen=True)
class Series:
    """The planes of one series, in the order of their files; nothing that identifies a patient.

    Attributes:
        modality: "CT", "MR" or "PT".
        series_instance_uid, study_instance_uid, frame_of_reference_uid: empty where the files have none.
        localizer: whether these are the localizers of a series, which are no volume.
        planes: of all its stacks.
        pet: the facts for SUV; None for other series.
        pet_problem: why these facts cannot be read; else None.
    """

    modality: str
    series_instance_uid: str
    study_instance_uid: str
    frame_of_reference_uid: str
    localizer: bool
    planes: tuple[PlaneHeader, ...]
    pet: PetFacts | None = None
    pet_problem: PyrasegError | None = None

    def __str__(self) -> str:
        sizes = {(plane.image.rows, plane.image.columns) for plane in self.planes}
        size = "{} x {}".format(*next(iter(sizes))) if len(sizes) == 1 else f"{len(sizes)} sizes"
        name = f"{self.modality} localizer" if self.localizer else self.modality
        return f"{name}, {len(self.planes)} slice{'s' if len(self.planes) > 1 else ''} of {size}"


def find_series(source: str | Path | Iterable[str | Path]) -> list[Series]:
    """The CT, MR and PET series of a folder, at any depth, or of files; localizers are separate series.

    Other objects (RTSTRUCT, SEG, reports, ultrasound) and formats are skipped. A series is identified by its
    Series Instance UID; where that is empty, by folder, study, frame of reference and series number.

    Raises:
        InputError: a file cannot be read; without its slice the volume would have a gap.

    >>> [str(found) for found in find_series(series)]
    ['CT, 5 slices of 6 x 8']
    """
    groups: dict[tuple[Any, ...], list[tuple[ParsedFile, list[PlaneHeader]]]] = defaultdict(list)
    for path in dicom_files(source):
        parsed = parse_file(path, tags=VOLUME_TAGS)
        if not is_volume_file(parsed):
            continue
        planes = plane_headers(parsed)
        for localizer in (False, True):
            if kept := [plane for plane in planes if is_localizer(plane.image_type) == localizer]:
                groups[(*_identity(parsed), localizer)].append((parsed, kept))
    return [_series(members, localizer=key[-1]) for key, members in groups.items()]


def the_series(candidates: Sequence[Series], *, number: int | None = None) -> Series:
    """The selected series: the only volume, or that of ``number``, counted from 1.

    Raises:
        InputError: there is none.
        GeometryError: there are several; the message lists them.

    >>> the_series(find_series(series)).modality
    'CT'
    """
    if number is not None:
        if 1 <= number <= len(candidates):
            return candidates[number - 1]
        wanted = f"a series number from 1 to {len(candidates)}"
        raise GeometryError(wanted, found=str(number), remedy=f"The series are: {described(candidates)}.")
    volumes = [series for series in candidates if not series.localizer]
    if len(volumes) == 1:
        return volumes[0]
    if not candidates:
        raise InputError("a CT, MR or PET series", found="none", remedy="Check the path.")
    raise GeometryError(
        "one CT, MR or PET series",
        found=f"{len(candidates)}: {described(candidates)}",
        remedy="Read a folder that holds one.",
        option=Option("choose one by its number", "series", 1),
    )


def is_volume_file(parsed: ParsedFile) -> bool:
    """Whether a file has planes of CT, MR or PET; also if cut off before its pixels, to be refused later.

    Dose pages and screen shots within a series have none.
    """
    kind, modality = parsed.sop_class_uid, parsed.text("Modality")
    if parsed.pixels is None:
        return kind in VOLUME_CLASSES or not (kind and modality)
    return modality in VOLUME_MODALITIES and not is_secondary_capture(kind)


def is_slice(parsed: ParsedFile) -> bool:
    """Whether a file holds planes of a volume, and is no localizer."""
    return is_volume_file(parsed) and not is_localizer(texts(parsed.values, "ImageType"))


def _identity(parsed: ParsedFile) -> tuple[Any, ...]:
    if series := parsed.text("SeriesInstanceUID"):
        return (series,)
    names = ("StudyInstanceUID", "FrameOfReferenceUID", "SeriesNumber", "Modality")
    return ("", str(parsed.path.parent), *(parsed.text(name) for name in names))


def _series(members: Sequence[tuple[ParsedFile, list[PlaneHeader]]], *, localizer: bool) -> Series:
    first, planes = members[0]
    modality = first.text("Modality")
    facts, problem = None, None
    if modality == "PT" and not localizer:
        headers = [(parsed.path, parsed.values) for parsed, _ in members]
        try:
            facts = pet_facts(headers, sop_class_uid=planes[0].image.sop_class_uid)
        except InputError as error:
            problem = error
    return Series(
        modality=modality,
        series_instance_uid=first.text("SeriesInstanceUID"),
        study_instance_uid=first.text("StudyInstanceUID"),
        frame_of_reference_uid=first.text("FrameOfReferenceUID"),
        localizer=localizer,
        planes=tuple(plane for _, planes in members for plane in planes),
        pet=facts,
        pet_problem=problem,
    )
