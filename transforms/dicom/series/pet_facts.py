"""What a PET series states about dose, decay and time, read from its headers; times only relative to each
other."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Any

from pydicom import Dataset, dcmread

from pyraseg.transforms.dicom.files.header import malformed, open_bounded
from pyraseg.transforms.errors import InputError

__all__ = ["PetFacts", "pet_facts", "private_value"]

ENHANCED = "1.2.840.10008.5.1.4.1.1.130"
TIME = re.compile(r"(\d{2}):?(\d{2})?:?(\d{2})?(?:\.(\d{1,6}))?")
MOMENT = re.compile(r"(\d{4})(\d{2})(\d{2})(\d{0,6})(?:\.(\d{1,6}))?([+-]\d{4})?")
PRIVATE = {"scan": ("GEMS_PETD_01", 0x0009, 0x0D)}


@dataclass(frozen=True)
class PetFacts:
    """What SUV is computed from. Times are in seconds after the midnight of the series' date, so no date is
    kept.

    Attributes:
        enhanced: whether it is an enhanced PET image: dose in MBq, its own decay attributes.
        units, suv_type, decay_correction: (0054,1001), (0054,1006), (0054,1102), as written.
        corrected: (0028,0051); of an enhanced image ATTN and DECY by its own attributes.
        weight_kg, dose, half_life_s: Patient's Weight, Radionuclide Total Dose, Radionuclide Half Life as
            stated.
        injection: Radiopharmaceutical Start DateTime.
        injection_time: Radiopharmaceutical Start Time, on no date.
        series_start, earliest_acquisition: Series Date and Time; the earliest Acquisition Date and Time.
        private_scan: GE's scan date and time.
        frames: (acquisition, Frame Reference Time ms, Actual Frame Duration ms) of planes that state the
            three.
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


def pet_facts(headers: Sequence[tuple[Path, Mapping[str, Any]]], *, sop_class_uid: str) -> PetFacts:
    """The facts of a series from the attributes of its files, parsed with `slice_header.VOLUME_TAGS`.

    Raises:
        InputError: files of the series disagree, or an attribute is broken.
    """
    path, first = headers[0]
    found = "ones that are broken"
    with malformed("readable PET attributes", path=path, found=found, remedy="Export the series again."):
        return _facts(headers, first, path, sop_class_uid.startswith(ENHANCED))


def _facts(
    headers: Sequence[tuple[Path, Mapping[str, Any]]], first: Mapping[str, Any], path: Path, enhanced: bool
) -> PetFacts:
    names = ("Units", "SUVType", "DecayCorrection", "PatientWeight")
    units, suv_type, decay, weight = (_one(headers, name) for name in names)
    drug = (first.get("RadiopharmaceuticalInformationSequence") or [Dataset()])[0]
    midnight = _midnight(headers)
    clock = _Clock(midnight, str(first.get("TimezoneOffsetFromUTC") or ""))
    acquired = [clock.of(values, "Acquisition") for _, values in headers]
    known = [moment for moment in acquired if moment is not None]
    _one(headers, "SeriesTime")
    return PetFacts(
        enhanced=enhanced,
        units=units,
        suv_type=suv_type,
        decay_correction=decay,
        corrected=_corrected(first, enhanced),
        weight_kg=_number(weight),
        dose=_number(drug.get("RadionuclideTotalDose")),
        half_life_s=_number(drug.get("RadionuclideHalfLife")),
        injection=clock.moment(drug.get("RadiopharmaceuticalStartDateTime")),
        injection_time=_seconds(drug.get("RadiopharmaceuticalStartTime")),
        series_start=clock.of(first, "Series"),
        earliest_acquisition=min(known) if known else None,
        private_scan=None if enhanced else clock.moment(private_value(path, *PRIVATE["scan"])),
        frames=tuple(sorted(set(_frames(headers, acquired)))),
        decay_moment=clock.moment(first.get("DecayCorrectionDateTime")),
        path=path,
    )


def private_value(path: Path, creator: str, group: int, element: int) -> str | None:
    """A private attribute of a file as text; None where its creator or it is absent."""
    with malformed(
        "a readable DICOM header", path=path, found="one that is broken", remedy="Export it again."
    ):
        with open_bounded(path) as file:
            blocks = [(group << 16) + number for number in range(0x10, 0x20)]
            values = [(group << 16) + (number << 8) + element for number in range(0x10, 0x20)]
            dataset = dcmread(file, stop_before_pixels=True, specific_tags=[*blocks, *values])
        for block, tag in zip(blocks, values, strict=True):
            if block in dataset and tag in dataset and _ascii(dataset[block].value) == creator:
                return _ascii(dataset[tag].value)
    return None


def _ascii(value: Any) -> str:
    text = value.decode("ascii", "replace") if isinstance(value, bytes) else str(value)
    return text.strip(" \0")


def _one(headers: Iterable[tuple[Path, Mapping[str, Any]]], name: str) -> str:
    """An attribute of which all files must hold the same value."""
    values: dict[str, Path] = {}
    for path, header in headers:
        value = header.get(name)
        values.setdefault("" if value is None else str(value).strip(), path)
    if len(values) > 1:
        raise InputError(
            f"a PET series of one {name}",
            found=f"{len(values)} different ones",
            remedy="Export the scans of the series apart.",
            path=list(values.values())[1],
        )
    return next(iter(values))


def _number(value: Any) -> float | None:
    return None if value is None or value == "" else float(value)


def _corrected(first: Mapping[str, Any], enhanced: bool) -> frozenset[str]:
    if enhanced:
        names = {"ATTN": "AttenuationCorrected", "DECY": "DecayCorrected"}
        return frozenset(
            word for word, name in names.items() if str(first.get(name) or "").strip().upper() == "YES"
        )
    value = first.get("CorrectedImage") or ()
    return frozenset(str(word).strip().upper() for word in ((value,) if isinstance(value, str) else value))


def _frames(
    headers: Sequence[tuple[Path, Mapping[str, Any]]], acquired: Sequence[float | None]
) -> Iterable[tuple[float, float, float]]:
    for (_, values), moment in zip(headers, acquired, strict=True):
        reference, duration = (
            _number(values.get(name)) for name in ("FrameReferenceTime", "ActualFrameDuration")
        )
        if moment is not None and reference is not None and duration is not None:
            yield moment, reference, duration


def _midnight(headers: Sequence[tuple[Path, Mapping[str, Any]]]) -> datetime | None:
    """Of the earliest date in the series."""
    names = ("SeriesDate", "AcquisitionDate")
    texts = [str(values.get(name) or "").strip() for _, values in headers for name in names]
    moments = [str(values.get("DecayCorrectionDateTime") or "")[:8] for _, values in headers]
    dates = [text.replace(".", "") for text in [*texts, *moments] if text]
    return datetime.strptime(min(dates), "%Y%m%d") if dates else None


def _seconds(value: Any) -> float | None:
    """Of a TM value, after midnight."""
    text = str(value or "").strip()
    if not text:
        return None
    match = TIME.fullmatch(text)
    if not match:
        raise ValueError("not a time")
    hours, minutes, seconds = (int(part or 0) for part in match.groups()[:3])
    return 3600 * hours + 60 * minutes + seconds + float(f"0.{match[4] or 0}")


@dataclass(frozen=True)
class _Clock:
    """Moments as seconds after a midnight in the scanner's time zone."""

    midnight: datetime | None
    zone: str

    def of(self, values: Mapping[str, Any], kind: str) -> float | None:
        """From a date and a time."""
        date, seconds = (
            str(values.get(f"{kind}Date") or "").strip().replace(".", ""),
            _seconds(values.get(f"{kind}Time")),
        )
        if not date or seconds is None or self.midnight is None:
            return None
        return (datetime.strptime(date, "%Y%m%d") - self.midnight).total_seconds() + seconds

    def moment(self, value: Any) -> float | None:
        """From a DT value, brought to the scanner's time zone where both zones are stated."""
        match = MOMENT.fullmatch(str(value or "").strip())
        if not match or self.midnight is None:
            return None
        year, month, day, clock, fraction, zone = match.groups()
        seconds = _seconds(clock or "00") or 0.0
        moment = datetime(int(year), int(month), int(day)) + timedelta(seconds=seconds)
        if zone and self.zone:
            moment = moment.replace(tzinfo=_zone(zone)).astimezone(_zone(self.zone)).replace(tzinfo=None)
        return (moment - self.midnight).total_seconds() + float(f"0.{fraction or 0}")


def _zone(text: str) -> timezone:
    sign = -1 if text.startswith("-") else 1
    return timezone(sign * timedelta(hours=int(text[1:3]), minutes=int(text[3:5])))
