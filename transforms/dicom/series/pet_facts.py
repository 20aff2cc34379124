"""What the headers of a PET series state about dose, weight, decay and time."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, time, timedelta, timezone
from pathlib import Path
from typing import Any

from pydicom import dcmread

from pyraseg.transforms.dicom.files.bounded import open_bounded
from pyraseg.transforms.dicom.files.values import first_item, malformed, number, readable, text, texts
from pyraseg.transforms.errors import InputError

__all__ = ["PetFacts", "pet_facts", "private_value"]

ENHANCED = "1.2.840.10008.5.1.4.1.1.130"
TIME = re.compile(r"([01]\d|2[0-3]):?([0-5]\d)?:?([0-5]\d|60)?(?:\.(\d{1,6}))?")
MOMENT = re.compile(r"(\d{8})(\d{4}(?:\d\d)?(?:\.\d{1,6})?)([+-]\d{4})?")
ZONE = re.compile(r"([+-])([01]\d|2[0-3])([0-5]\d)")
PRIVATE = {"scan": ("GEMS_PETD_01", 0x0009, 0x0D)}

Header = tuple[Path, Mapping[str, Any]]  # a file and its attributes


@dataclass(frozen=True)
class PetFacts:
    """The facts for SUV. Times are seconds after the midnight of the series' date: no date is kept.

    A date or time that cannot be read counts as one that is not stated.

    Attributes:
        enhanced: whether it is an enhanced PET image: dose in MBq, its own decay attributes.
        units, suv_type, decay_correction: (0054,1001), (0054,1006), (0054,1102), as written.
        corrected: (0028,0051); of an enhanced image ATTN and DECY by its own attributes.
        weight_kg, dose, half_life_s: Patient's Weight, Radionuclide Total Dose and Half Life as stated.
        injection: Radiopharmaceutical Start DateTime.
        injection_time: Radiopharmaceutical Start Time, or the time of day of Start DateTime.
        series_start, earliest_acquisition: Series Date and Time; the earliest Acquisition Date and Time or
            Acquisition DateTime. A time without a date is taken for one of the series' date.
        private_scan: GE's scan date and time.
        frames: (acquisition, Frame Reference Time ms, Actual Frame Duration ms) where all are stated.
        decay_moment: Decay Correction DateTime of an enhanced image.
        path: a file of the series.
    """

    enhanced: bool
    units: str
    suv_type: str
    decay_correction: str
    corrected: frozenset[str]
    weight_kg: float | None
    dose: float | None
    half_life_s: float | None
    injection: float | None
    injection_time: float | None
    series_start: float | None
    earliest_acquisition: float | None
    private_scan: float | None
    frames: tuple[tuple[float, float, float], ...]
    decay_moment: float | None
    path: Path


def pet_facts(headers: Sequence[Header], *, sop_class_uid: str) -> PetFacts:
    """The facts of a series from its files' attributes, parsed with `planes.VOLUME_TAGS`.

    Raises:
        InputError: files of the series disagree, or an attribute is broken.
    """
    path, found, remedy = headers[0][0], "ones that are broken", "Export the series again."
    with readable("readable PET attributes", path=path, found=found, remedy=remedy):
        return _facts(headers, sop_class_uid.startswith(ENHANCED))


def _facts(headers: Sequence[Header], enhanced: bool) -> PetFacts:
    for name in ("Units", "SUVType", "DecayCorrection", "PatientWeight", "SeriesTime"):
        _check_alike(headers, name)
    path, first = headers[0]
    drug = first_item(first, "RadiopharmaceuticalInformationSequence")
    clock = _Clock(_midnight(headers), text(first, "TimezoneOffsetFromUTC"))
    acquired = [_acquired(clock, values) for _, values in headers]
    injection = clock.parse(text(drug, "RadiopharmaceuticalStartDateTime"))
    time_of_day = _seconds(text(drug, "RadiopharmaceuticalStartTime"))
    if time_of_day is None and injection and injection.time() != time():  # midnight stands for no time
        time_of_day = (injection - datetime.combine(injection, time(), injection.tzinfo)).total_seconds()
    return PetFacts(
        enhanced=enhanced,
        units=text(first, "Units"),
        suv_type=text(first, "SUVType"),
        decay_correction=text(first, "DecayCorrection"),
        corrected=_corrected(first, enhanced),
        weight_kg=number(first, "PatientWeight"),
        dose=number(drug, "RadionuclideTotalDose"),
        half_life_s=number(drug, "RadionuclideHalfLife"),
        injection=clock.since_midnight(injection),
        injection_time=time_of_day,
        series_start=clock.of(first, "Series"),
        earliest_acquisition=min((moment for moment in acquired if moment is not None), default=None),
        private_scan=None if enhanced else clock.moment(private_value(path, *PRIVATE["scan"])),
        frames=tuple(sorted(set(_frames(headers, acquired)))),
        decay_moment=clock.moment(text(first, "DecayCorrectionDateTime")),
        path=path,
    )


def _acquired(clock: _Clock, values: Mapping[str, Any]) -> float | None:
    moment = clock.of(values, "Acquisition")
    return clock.moment(text(values, "AcquisitionDateTime")) if moment is None else moment


def _frames(
    headers: Sequence[Header], acquired: Sequence[float | None]
) -> Iterator[tuple[float, float, float]]:
    for (_, values), moment in zip(headers, acquired, strict=True):
        reference, duration = number(values, "FrameReferenceTime"), number(values, "ActualFrameDuration")
        if moment is not None and reference is not None and duration is not None:
            yield moment, reference, duration


def private_value(path: Path, creator: str, group: int, element: int) -> str:
    """A private attribute of a file as text; empty where it or its creator is absent."""
    numbers = range(0x10, 0x20)
    blocks = {(group << 16) + block: (group << 16) + (block << 8) + element for block in numbers}
    with malformed(
        "a readable DICOM header", path=path, found="one that is broken", remedy="Export it again."
    ):
        with open_bounded(path) as file:
            tags = [*blocks, *blocks.values()]
            dataset = dcmread(file, force=True, stop_before_pixels=True, specific_tags=tags)
        values = {tag: dataset[tag].value for tag in tags if tag in dataset}
    for block, tag in blocks.items():
        if tag in values and _ascii(values.get(block)) == creator:
            return _ascii(values[tag])
    return ""


def _ascii(value: Any) -> str:
    text = value.decode("ascii", "replace") if isinstance(value, bytes) else str(value)
    return text.strip(" \0")


def _check_alike(headers: Iterable[Header], name: str) -> None:
    """Refuse files that differ in an attribute."""
    values: dict[str, Path] = {}
    for path, header in headers:
        values.setdefault(text(header, name), path)
    if len(values) > 1:
        found, remedy = f"{len(values)} different ones", "Export the scans of the series apart."
        second = list(values.values())[1]
        raise InputError(f"a PET series of one {name}", found=found, remedy=remedy, path=second)


def _corrected(first: Mapping[str, Any], enhanced: bool) -> frozenset[str]:
    if not enhanced:
        return frozenset(word.upper() for word in texts(first, "CorrectedImage"))
    names = {"ATTN": "AttenuationCorrected", "DECY": "DecayCorrected"}
    return frozenset(word for word, name in names.items() if text(first, name).upper() == "YES")


def _midnight(headers: Sequence[Header]) -> datetime | None:
    """The midnight of the earliest date in the series."""
    dates = [text(values, name) for _, values in headers for name in ("SeriesDate", "AcquisitionDate")]
    names = "DecayCorrectionDateTime", "AcquisitionDateTime"
    dates += [text(values, name)[:8] for _, values in headers for name in names]
    return min((known for date in dates if (known := _date(date))), default=None)


def _date(text: str) -> datetime | None:
    try:
        return datetime.strptime(text.replace(".", ""), "%Y%m%d")
    except ValueError:
        return None


def _seconds(text: str) -> float | None:
    """The seconds after midnight of a TM value."""
    match = TIME.fullmatch(text)
    if not match:
        return None
    hours, minutes, seconds = (int(part or 0) for part in match.groups()[:3])
    return 3600 * hours + 60 * minutes + seconds + float(f"0.{match[4] or 0}")


@dataclass(frozen=True)
class _Clock:
    """Times as seconds after a midnight in the scanner's time zone."""

    midnight: datetime | None
    zone: str

    def of(self, values: Mapping[str, Any], kind: str) -> float | None:
        """The seconds of a time and its date, which may be missing."""
        seconds, day = _seconds(text(values, f"{kind}Time")), _date(text(values, f"{kind}Date"))
        return None if seconds is None else seconds + (self.since_midnight(day) or 0.0)

    def since_midnight(self, moment: datetime | None) -> float | None:
        """The seconds of a moment; None where no date of the series is known."""
        return None if moment is None or self.midnight is None else (moment - self.midnight).total_seconds()

    def moment(self, text: str) -> float | None:
        """The seconds of a DT value."""
        return self.since_midnight(self.parse(text))

    def parse(self, text: str) -> datetime | None:
        """A DT value with hours and minutes, in the scanner's time zone where both zones are stated."""
        match = MOMENT.fullmatch(text)
        day, seconds = (_date(match[1]), _seconds(match[2])) if match else (None, None)
        if match is None or day is None or seconds is None:
            return None
        moment = day + timedelta(seconds=seconds)
        if not (match[3] and self.zone):
            return moment
        own, scanner = _zone(match[3]), _zone(self.zone)
        if own is None or scanner is None:
            return None
        return moment.replace(tzinfo=own).astimezone(scanner).replace(tzinfo=None)


def _zone(text: str) -> timezone | None:
    match = ZONE.fullmatch(text)
    if not match:
        return None
    sign = -1 if match[1] == "-" else 1
    return timezone(sign * timedelta(hours=int(match[2]), minutes=int(match[3])))
