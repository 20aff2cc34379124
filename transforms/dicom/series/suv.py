"""Dose, decay and time of a PET series, and the factor from its values to SUVbw."""

from __future__ import annotations

import math
import re
import warnings
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Any

from pydicom import dcmread

from pyraseg.transforms.dicom.files.header import open_bounded
from pyraseg.transforms.dicom.files.values import (
    BrokenFile,
    first_item,
    malformed,
    number,
    readable,
    text,
    texts,
)
from pyraseg.transforms.dicom.pixels.checks import code_text
from pyraseg.transforms.errors import InputError

__all__ = ["SUV_UNIT", "PetFacts", "pet_facts", "private_value", "scan_start", "suv_factor"]

ENHANCED = "1.2.840.10008.5.1.4.1.1.130"
TIME = re.compile(r"(\d{2}):?(\d{2})?:?(\d{2})?(?:\.(\d{1,6}))?")
MOMENT = re.compile(r"(\d{8})(\d{0,6})(?:\.(\d{1,6}))?([+-]\d{4})?")
ZONE = re.compile(r"([+-])([01]\d|2[0-3])([0-5]\d)")
PRIVATE = {"scan": ("GEMS_PETD_01", 0x0009, 0x0D)}

Header = tuple[Path, Mapping[str, Any]]  # a file and its attributes
SUV_UNIT = "g/ml{SUVbw}"
HALF_LIFE = "Radionuclide Half Life (0018,1075)"
PHILIPS = "Philips PET Private Group"
DAY_S = 86400.0
LONGEST_WRAP_S = 12 * 3600.0  # from an injection before midnight to the scan after it
MOST_HALF_LIVES = 10
TOLERANCE_S = 10.0  # between planes of one scan: 0.1 % of the dose of F-18
LEAST_BQ = 1e4  # a lower dose is in MBq
MOST_MBQ = 1e5  # a higher dose is in Bq
REMEDY = "Correct the attribute from the examination's record and export the series again; no SUV is guessed."


@dataclass(frozen=True)
class PetFacts:
    """The facts for SUV. Times are seconds after the midnight of the series' date: no date is kept.

    Attributes:
        enhanced: whether it is an enhanced PET image: dose in MBq, its own decay attributes.
        units, suv_type, decay_correction: (0054,1001), (0054,1006), (0054,1102), as written.
        corrected: (0028,0051); of an enhanced image ATTN and DECY by its own attributes.
        weight_kg, dose, half_life_s: Patient's Weight, Radionuclide Total Dose and Half Life as stated.
        injection: Radiopharmaceutical Start DateTime.
        injection_time: Radiopharmaceutical Start Time, without a date.
        series_start, earliest_acquisition: Series Date and Time; the earliest Acquisition Date and Time.
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
    acquired = [clock.of(values, "Acquisition") for _, values in headers]
    return PetFacts(
        enhanced=enhanced,
        units=text(first, "Units"),
        suv_type=text(first, "SUVType"),
        decay_correction=text(first, "DecayCorrection"),
        corrected=_corrected(first, enhanced),
        weight_kg=number(first, "PatientWeight"),
        dose=number(drug, "RadionuclideTotalDose"),
        half_life_s=number(drug, "RadionuclideHalfLife"),
        injection=clock.moment(text(drug, "RadiopharmaceuticalStartDateTime")),
        injection_time=_seconds(text(drug, "RadiopharmaceuticalStartTime")),
        series_start=clock.of(first, "Series"),
        earliest_acquisition=min((moment for moment in acquired if moment is not None), default=None),
        private_scan=None if enhanced else clock.moment(private_value(path, *PRIVATE["scan"])),
        frames=tuple(sorted(set(_frames(headers, acquired)))),
        decay_moment=clock.moment(text(first, "DecayCorrectionDateTime")),
        path=path,
    )


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
    dates += [text(values, "DecayCorrectionDateTime")[:8] for _, values in headers]
    known = [date.replace(".", "") for date in dates if date]
    return _date(min(known)) if known else None


def _date(text: str) -> datetime:
    try:
        return datetime.strptime(text, "%Y%m%d")
    except ValueError:
        raise BrokenFile("a date that is none") from None


def _seconds(text: str) -> float | None:
    """The seconds after midnight of a TM value."""
    if not text:
        return None
    match = TIME.fullmatch(text)
    if not match:
        raise BrokenFile("a time that is none")
    hours, minutes, seconds = (int(part or 0) for part in match.groups()[:3])
    return 3600 * hours + 60 * minutes + seconds + float(f"0.{match[4] or 0}")


@dataclass(frozen=True)
class _Clock:
    """Times as seconds after a midnight in the scanner's time zone."""

    midnight: datetime | None
    zone: str

    def of(self, values: Mapping[str, Any], kind: str) -> float | None:
        """The seconds of a date and a time."""
        date, seconds = text(values, f"{kind}Date").replace(".", ""), _seconds(text(values, f"{kind}Time"))
        if not date or seconds is None or self.midnight is None:
            return None
        return (_date(date) - self.midnight).total_seconds() + seconds

    def moment(self, text: str) -> float | None:
        """The seconds of a DT value, in the scanner's time zone where both zones are stated."""
        match = MOMENT.fullmatch(text)
        if not match or self.midnight is None:
            return None
        date, clock, fraction, zone = match.groups()
        moment = _date(date) + timedelta(seconds=_seconds(clock or "00") or 0.0)
        if zone and self.zone:
            moment = moment.replace(tzinfo=_zone(zone)).astimezone(_zone(self.zone)).replace(tzinfo=None)
        return (moment - self.midnight).total_seconds() + float(f"0.{fraction or 0}")


def _zone(text: str) -> timezone:
    match = ZONE.fullmatch(text)
    if not match:
        raise BrokenFile("a time zone that is none")
    sign = -1 if match[1] == "-" else 1
    return timezone(sign * timedelta(hours=int(match[2]), minutes=int(match[3])))


def suv_factor(facts: PetFacts) -> float:
    """The factor from (stored * slope + intercept) to SUVbw in g/ml.

    By the units (0054,1001): BQML by weight and the dose at the time of the decay correction, GML as it is,
    CNTS by Philips' private factors (QIBA's SUV pseudo-code; PS3.3 C.8.9, C.8.22).

    Raises:
        InputError: an attribute is absent, contradictory or implausible; the message names it.
    """
    if facts.units == "GML":
        if facts.suv_type not in ("", "BW"):
            raise _refusal(facts, "SUV Type (0054,1006) BW", code_text(facts.suv_type))
        if not facts.suv_type:
            warnings.warn("a PET series in GML without SUV Type (0054,1006) is taken for SUVbw", stacklevel=2)
        return 1.0
    if facts.units == "CNTS":
        return _of_counts(facts)
    if facts.units == "BQML":
        return _of_activity(facts)
    raise _refusal(facts, "Units (0054,1001) BQML, GML or CNTS", code_text(facts.units))


def _of_counts(facts: PetFacts) -> float:
    if factor := _private_number(facts, 0x00):
        _check_basis(facts)
        return factor
    if to_activity := _private_number(facts, 0x09):
        return to_activity * _of_activity(facts)
    wanted = "Philips' SUV or activity factor (7053,xx00), (7053,xx09) with Units CNTS"
    raise _refusal(facts, wanted, "neither above zero")


def _private_number(facts: PetFacts, element: int) -> float:
    try:
        number = float(private_value(facts.path, PHILIPS, 0x7053, element) or 0)
    except ValueError:
        return 0.0
    return number if math.isfinite(number) and number > 0 else 0.0


def _of_activity(facts: PetFacts) -> float:
    """The factor for Bq/ml."""
    weight = _check_basis(facts)
    return weight * 1000 / _dose_at_correction(facts)


def _check_basis(facts: PetFacts) -> float:
    """The weight, kg, of a corrected image with stated dose and half-life."""
    missing = {"ATTN", "DECY"} - facts.corrected
    if missing:
        attributes = "(0018,9759), (0018,9758)" if facts.enhanced else "Corrected Image (0028,0051)"
        raise _refusal(facts, f"ATTN and DECY in {attributes}", f"no {' and no '.join(sorted(missing))}")
    _dose_bq(facts)
    _above_zero(facts, facts.half_life_s, HALF_LIFE)
    return _above_zero(facts, facts.weight_kg, "Patient's Weight (0010,1030)")


def _dose_at_correction(facts: PetFacts) -> float:
    """Dose in Bq at the time to which the image is corrected for decay."""
    dose = _dose_bq(facts)
    half_life = _above_zero(facts, facts.half_life_s, HALF_LIFE)
    kind = "START" if facts.enhanced else facts.decay_correction
    if kind == "ADMIN":
        return dose
    if kind != "START":
        raise _refusal(facts, "Decay Correction (0054,1102) START or ADMIN", code_text(kind))
    start = scan_start(facts)
    delay = _since_injection(facts, start, half_life)
    return float(dose * 2 ** (-delay / half_life))


def _dose_bq(facts: PetFacts) -> float:
    name = "Radionuclide Total Dose (0018,1074)"
    dose = _above_zero(facts, facts.dose, name)
    if facts.enhanced:
        if dose > MOST_MBQ:
            raise _refusal(facts, f"{name} in MBq", f"{dose:g}, which must be Bq")
        return dose * 1e6
    if dose < LEAST_BQ:
        raise _refusal(facts, f"{name} in Bq", f"{dose:g}, which must be MBq")
    return dose


def scan_start(facts: PetFacts) -> float:
    """The time to which START corrects, in seconds after the midnight of the series' date.

    Raises:
        InputError: it is not stated.
    """
    if facts.enhanced:
        if facts.decay_moment is None:
            raise _refusal(facts, "Decay Correction DateTime (0018,9701)", "none")
        return facts.decay_moment
    if facts.earliest_acquisition is None:
        raise _refusal(facts, "Acquisition Date and Time (0008,0022), (0008,0032)", "none")
    if facts.series_start is not None and facts.series_start <= facts.earliest_acquisition:
        return facts.series_start
    if facts.private_scan is not None:
        return facts.private_scan
    starts = [_start_of_frame(facts, *frame) for frame in facts.frames]
    if starts and max(starts) - min(starts) > TOLERANCE_S:
        found = f"planes that put it up to {max(starts) - min(starts):.0f} s apart"
        raise _refusal(facts, "one start of the scan by Frame Reference Time (0054,1300)", found)
    if starts:
        return min(starts)
    found = (
        "a Series Time (0008,0031) that is later than an acquisition or absent, and no Frame Reference Time"
    )
    found += " (0054,1300) with Actual Frame Duration (0018,1242)"
    raise _refusal(facts, "the start of the scan", found)


def _start_of_frame(facts: PetFacts, acquisition: float, reference_ms: float, duration_ms: float) -> float:
    """The start, from the frame's mean count rate time, which Frame Reference Time states (QIBA)."""
    decay = math.log(2) / _above_zero(facts, facts.half_life_s, HALF_LIFE)
    exponent = decay * _above_zero(facts, duration_ms, "Actual Frame Duration (0018,1242)") / 1000
    mean_s = math.log(exponent / -math.expm1(-exponent)) / decay
    return acquisition - reference_ms / 1000 + mean_s


def _since_injection(facts: PetFacts, start: float, half_life: float) -> float:
    """Seconds from the injection to ``start``."""
    if facts.injection is not None:
        name, delay = "Radiopharmaceutical Start DateTime (0018,1078)", start - facts.injection
    elif facts.injection_time is not None:
        name, delay = "Radiopharmaceutical Start Time (0018,1072)", start % DAY_S - facts.injection_time
        if delay < 0 and delay + DAY_S <= LONGEST_WRAP_S:
            delay += DAY_S
    else:
        wanted = "Radiopharmaceutical Start DateTime (0018,1078) or Start Time (0018,1072)"
        raise _refusal(facts, wanted, "neither")
    if delay < 0:
        found = f"an injection {-delay / 60:.0f} minutes after its start"
        raise _refusal(facts, f"{name} before the scan", found)
    if delay > MOST_HALF_LIVES * half_life:
        found = f"a scan {delay / half_life:.0f} half-lives after it"
        raise _refusal(facts, f"{name} within {MOST_HALF_LIVES} half-lives of the scan", found)
    return delay


def _above_zero(facts: PetFacts, value: float | None, name: str) -> float:
    if value is None or not math.isfinite(value) or value <= 0:
        raise _refusal(facts, f"{name} above zero", "none" if value is None else f"{value:g}")
    return value


def _refusal(facts: PetFacts, wanted: str, found: str) -> InputError:
    return InputError(f"{wanted} for SUV", found=found, remedy=REMEDY, path=facts.path)
