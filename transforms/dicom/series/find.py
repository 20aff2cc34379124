"""Find the CT, MR and PET series among files and folders by their headers."""

from __future__ import annotations

import warnings
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pyraseg.transforms.dicom.files.discover import files_and_passed
from pyraseg.transforms.dicom.files.header import ParsedFile, parse_file
from pyraseg.transforms.dicom.files.objects import is_localizer, passed_over, volume_modality
from pyraseg.transforms.dicom.files.search import PASSED_REMEDIES
from pyraseg.transforms.dicom.files.values import texts
from pyraseg.transforms.dicom.pixels.checks import is_secondary_capture
from pyraseg.transforms.dicom.series.identity import IDENTITY_TAGS, check_one_dose, split_by_identity
from pyraseg.transforms.dicom.series.pet_facts import PetFacts, pet_facts
from pyraseg.transforms.dicom.series.planes import TELLING_TAGS, VOLUME_TAGS, PlaneHeader, plane_headers
from pyraseg.transforms.dicom.series.stacks import described
from pyraseg.transforms.errors import GeometryError, InputError, Option, PyrasegError

__all__ = ["AMONG_SLICES", "FoundSeries", "Series", "find_series", "is_slice", "the_series"]

AMONG_SLICES = "a secondary capture among slices"


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
        told_by: what tells it from others under its Series Instance UID, such as "patient" or "study".
    """

    modality: str
    series_instance_uid: str
    study_instance_uid: str
    frame_of_reference_uid: str
    localizer: bool
    planes: tuple[PlaneHeader, ...]
    pet: PetFacts | None = None
    pet_problem: PyrasegError | None = None
    told_by: tuple[str, ...] = ()

    def __str__(self) -> str:
        sizes = {(plane.image.rows, plane.image.columns) for plane in self.planes}
        size = "{} x {}".format(*next(iter(sizes))) if len(sizes) == 1 else f"{len(sizes)} sizes"
        name = f"{self.modality} localizer" if self.localizer else self.modality
        return f"{name}, {len(self.planes)} slice{'s' if len(self.planes) > 1 else ''} of {size}"


class FoundSeries(list[Series]):
    """Series in the order of their files.

    Attributes:
        passed: how many files were passed over, by reason.
    """

    def __init__(self, series: Iterable[Series] = (), passed: Mapping[str, int] | None = None) -> None:
        super().__init__(series)
        self.passed = Counter(passed)


def find_series(source: str | Path | Iterable[str | Path]) -> FoundSeries:
    """The CT, MR and PET series of a folder, at any depth, or of files; localizers are separate series.

    Other objects (RTSTRUCT, SEG, reports, ultrasound) and formats are passed over (`passed_over`), and so are
    secondary captures among the slices of a series. A series is identified by its Series Instance UID; where
    that is empty, by folder, study, frame of reference and series number. Files under one UID that state
    different patients, studies, frames of reference, modalities or devices are series of their own.

    Raises:
        InputError: a file cannot be read; without its slice the volume would have a gap.

    >>> [str(found) for found in find_series(series)]
    ['CT, 5 slices of 6 x 8']
    """
    paths, skipped = files_and_passed(source)
    passed = Counter(each.reason for each in skipped if each.reason in PASSED_REMEDIES)
    groups: dict[tuple[Any, ...], list[ParsedFile]] = defaultdict(list)
    for path in paths:
        parsed = parse_file(path, tags=VOLUME_TAGS, raw=(*IDENTITY_TAGS, *TELLING_TAGS))
        if reason := passed_over(parsed):
            passed[reason] += 1
        else:
            groups[_identity(parsed)].append(parsed)
    found = FoundSeries(passed=passed)
    for group in groups.values():
        found += _series_of(group, found.passed)
    if found and (links := sum(passed[reason] for reason in PASSED_REMEDIES)):
        warnings.warn(f"{links} links or folders are not followed; the series may be short", stacklevel=2)
    return found


def _series_of(files: Sequence[ParsedFile], passed: Counter[str]) -> Iterable[Series]:
    """The series under one UID: its volume and its localizers, of each patient, study, place and device."""
    planes = [(parsed, plane_headers(parsed)) for parsed in files]
    for localizer in (False, True):
        kept = {
            parsed.path: chosen
            for parsed, own in planes
            if (chosen := [plane for plane in own if is_localizer(plane.image_type) == localizer])
        }
        members = [parsed for parsed in files if parsed.path in kept]
        slices = [parsed for parsed in members if not is_secondary_capture(parsed.sop_class_uid)]
        if 0 < len(slices) < len(members):
            passed[AMONG_SLICES] += len(members) - len(slices)
            members = slices
        for alike, told_by in split_by_identity(members):
            of_alike = tuple(plane for parsed in alike for plane in kept[parsed.path])
            yield _series(alike, of_alike, localizer=localizer, told_by=told_by)


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
        raise _none_found(candidates.passed if isinstance(candidates, FoundSeries) else {})
    apart = dict.fromkeys(word for series in candidates for word in series.told_by)
    mixed = f", which share a Series Instance UID and differ in {', '.join(apart)}" if apart else ""
    raise GeometryError(
        "one CT, MR or PET series",
        found=f"{len(candidates)}: {described(candidates)}{mixed}",
        remedy="Read a folder that holds one.",
        option=Option("choose one by its number", "series", 1),
    )


def _none_found(passed: Mapping[str, int]) -> InputError:
    remedy = next((PASSED_REMEDIES[reason] for reason in passed if reason in PASSED_REMEDIES), "")
    counted = sorted(passed.items(), key=lambda pair: -pair[1])
    among = f" among {sum(passed.values())} files: " if passed else ""
    reasons = "; ".join(f"{number} x {reason}" for reason, number in counted)
    return InputError(
        "a CT, MR or PET series", found=f"none{among}{reasons}", remedy=remedy or "Check the path."
    )


def is_slice(parsed: ParsedFile) -> bool:
    """Whether a file holds planes of a volume, and is no localizer."""
    return not passed_over(parsed) and not is_localizer(texts(parsed.values, "ImageType"))


def _identity(parsed: ParsedFile) -> tuple[Any, ...]:
    if series := parsed.text("SeriesInstanceUID"):
        return (series,)
    names = ("StudyInstanceUID", "FrameOfReferenceUID", "SeriesNumber", "Modality")
    return ("", str(parsed.path.parent), *(parsed.text(name) for name in names))


def _series(
    members: Sequence[ParsedFile],
    planes: tuple[PlaneHeader, ...],
    *,
    localizer: bool,
    told_by: tuple[str, ...],
) -> Series:
    first = members[0]
    modality = volume_modality(first.sop_class_uid, first.text("Modality"))
    facts, problem = None, None
    if modality == "PT" and not localizer:
        headers = [(parsed.path, parsed.values) for parsed in members]
        try:
            check_one_dose(members)
            facts = pet_facts(headers, sop_class_uid=planes[0].image.sop_class_uid)
        except InputError as error:
            problem = error
    frame = next((uid for parsed in members if (uid := parsed.text("FrameOfReferenceUID"))), "")
    return Series(
        modality=modality,
        series_instance_uid=first.text("SeriesInstanceUID"),
        study_instance_uid=first.text("StudyInstanceUID"),
        frame_of_reference_uid=frame,
        localizer=localizer,
        planes=planes,
        pet=facts,
        pet_problem=problem,
        told_by=told_by,
    )
