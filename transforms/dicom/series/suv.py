"""The factor from the values of a PET series to SUVbw, refused where the headers do not give it."""

from __future__ import annotations

import math
import warnings

import numpy as np

from pyraseg.transforms.dicom.pixels.checks import code_text
from pyraseg.transforms.dicom.series.pet_facts import PetFacts, private_value
from pyraseg.transforms.errors import InputError

__all__ = ["SUV_UNIT", "scan_start", "suv_factor", "warn_of_mean"]

SUV_UNIT = "g/ml{SUVbw}"
WEIGHT, DOSE = "Patient's Weight (0010,1030)", "Radionuclide Total Dose (0018,1074)"
HALF_LIFE = "Radionuclide Half Life (0018,1075)"
MOMENT = "Radiopharmaceutical Start DateTime (0018,1078)"
PHILIPS = "Philips PET Private Group"
DAY_S = 86400.0
LONGEST_WRAP_S = 12 * 3600.0  # from an injection before midnight to the scan after it
MOST_HALF_LIVES = 10
TOLERANCE_S = 10.0  # between planes of one scan: 0.1 % of the dose of F-18
CONTRADICTION_S = 60.0  # between two statements of one time
# MBq per kg. People get 0.1 (Zr-89, long axial field of view) to 100 (Rb-82, Y-90), small animals more
POSSIBLE, USUAL, OF_ANIMALS = (0.05, 200.0), (0.5, 60.0), 1000.0
ANIMAL_KG, ANIMAL_MBQ = 1.0, 100.0  # at most
PEOPLE_KG = (0.3, 650.0)
MBQ = {"Bq": 1e-6, "kBq": 1e-3, "MBq": 1.0, "GBq": 1e3, "mCi": 37.0, "uCi": 0.037}
KG = {"grams": 1e-3, "tonnes": 1e3}
MEAN_SUV = (0.05, 15.0)  # of a body, or of a part of it
REMEDY = "Correct the attribute from the examination's record and export the series again; no SUV is guessed."


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
    """The weight, kg, of a corrected image with stated dose and half-life that can be."""
    missing = {"ATTN", "DECY"} - facts.corrected
    if missing:
        attributes = "(0018,9759), (0018,9758)" if facts.enhanced else "Corrected Image (0028,0051)"
        raise _refusal(facts, f"ATTN and DECY in {attributes}", f"no {' and no '.join(sorted(missing))}")
    dose = _above_zero(facts, facts.dose, DOSE)
    _above_zero(facts, facts.half_life_s, HALF_LIFE)
    weight = _above_zero(facts, facts.weight_kg, WEIGHT)
    _check_possible(facts, dose, weight)
    return weight


def _check_possible(facts: PetFacts, dose: float, weight: float) -> None:
    """Refuse a dose and a weight by the activity per kg that they mean, with the likely slip of a unit."""
    unit = "MBq" if facts.enhanced else "Bq"
    activity = dose * MBQ[unit]
    per_kg = activity / weight
    animal = weight < ANIMAL_KG and activity <= ANIMAL_MBQ
    if weight <= PEOPLE_KG[1] and POSSIBLE[0] <= per_kg <= (OF_ANIMALS if animal else POSSIBLE[1]):
        return
    slips = [
        f"a weight of {weight:g} kg, as if written in {name}"
        for name, factor in KG.items()
        if _usual(activity, weight * factor)
    ]
    slips += [
        f"a dose of {dose:g} {unit}, as if written in {name}"
        for name, factor in MBQ.items()
        if _usual(dose * factor, weight)
    ]
    found = " or ".join(slips) or "ones that do not fit"
    wanted = f"{WEIGHT} in kg and {DOSE} in {unit}"
    raise _refusal(facts, wanted, f"{found}, which means {per_kg:.2g} MBq per kg")


def _usual(activity: float, weight: float) -> bool:
    return PEOPLE_KG[0] <= weight <= PEOPLE_KG[1] and USUAL[0] <= activity / weight <= USUAL[1]


def _dose_at_correction(facts: PetFacts) -> float:
    """Dose in Bq at the time to which the image is corrected for decay."""
    dose = _above_zero(facts, facts.dose, DOSE) * (1e6 if facts.enhanced else 1)
    half_life = _above_zero(facts, facts.half_life_s, HALF_LIFE)
    kind = "START" if facts.enhanced else facts.decay_correction
    if kind == "ADMIN":
        return dose
    if kind != "START":
        raise _refusal(facts, "Decay Correction (0054,1102) START or ADMIN", code_text(kind))
    start = scan_start(facts)
    delay = _since_injection(facts, start, half_life)
    return float(dose * 2 ** (-delay / half_life))


def scan_start(facts: PetFacts) -> float:
    """The time to which START corrects, in seconds after the midnight of the series' date.

    Raises:
        InputError: it is not stated.
    """
    if facts.enhanced:
        if facts.decay_moment is None:
            raise _refusal(facts, "Decay Correction DateTime (0018,9701)", "none")
        return facts.decay_moment
    first = facts.earliest_acquisition
    if first is not None and facts.series_start is not None and facts.series_start <= first:
        return _of_series_or_private(facts, facts.series_start, first)
    if facts.private_scan is not None:
        return facts.private_scan
    if first is None:
        raise _refusal(facts, "Acquisition Date and Time (0008,0022), (0008,0032)", "none")
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


def _of_series_or_private(facts: PetFacts, start: float, first: float) -> float:
    """The start by Series Time; or by GE's scan time, which contradicts it, whatever dates were replaced.

    Series Time may be when the series was created, minutes before; GE's own time is what GE corrects to
    (IBSI's guideline on SUV takes it first). After the first acquisition it cannot be the start.
    """
    if facts.private_scan is None:
        return start
    later = (facts.private_scan - start + DAY_S / 2) % DAY_S - DAY_S / 2
    if abs(later) <= CONTRADICTION_S:
        return start
    counts = start + later <= first + CONTRADICTION_S
    change = 2 ** (later / _above_zero(facts, facts.half_life_s, HALF_LIFE)) - 1
    times = [f"{_clock(start)} by Series Time (0008,0031)"]
    times.insert(0 if counts else 1, f"{_clock(start + later)} by GE's scan time (0009,100D)")
    warnings.warn(
        f"the PET scan starts at {times[0]}, which counts, and at {times[1]}, {abs(later) / 60:.0f} minutes "
        f"apart: by GE's time SUV is {change:+.0%}",
        stacklevel=2,
    )
    return start + later if counts else start


def _clock(seconds: float) -> str:
    whole = int(seconds % DAY_S)
    return f"{whole // 3600:02}:{whole // 60 % 60:02}:{whole % 60:02}"


def _since_injection(facts: PetFacts, start: float, half_life: float) -> float:
    """Seconds from the injection to ``start``, by Start DateTime; by the clock where its date cannot be."""
    if facts.injection is None and facts.injection_time is None:
        raise _refusal(facts, f"{MOMENT} or Start Time (0018,1072)", "neither")
    delay = None if facts.injection is None else start - facts.injection
    if delay is not None and not 0 <= delay <= MOST_HALF_LIVES * half_life and _of_another_day(facts, delay):
        by_clock = _by_clock(facts, start, half_life)
        warnings.warn(
            f"the date in {MOMENT} is impossible, as if replaced; by the times of day the injection is "
            f"{by_clock / 60:.0f} minutes before the scan",
            stacklevel=2,
        )
        return by_clock
    if delay is None:
        return _by_clock(facts, start, half_life)
    return _checked_delay(facts, delay, half_life, MOMENT)


def _of_another_day(facts: PetFacts, delay: float) -> bool:
    """Whether the date alone is at fault: by a day and more, or with the time of day right."""
    if facts.injection is None or facts.injection_time is None:
        return False
    off = (facts.injection - facts.injection_time + DAY_S / 2) % DAY_S - DAY_S / 2
    return abs(delay) >= DAY_S or abs(off) <= CONTRADICTION_S


def _by_clock(facts: PetFacts, start: float, half_life: float) -> float:
    """Seconds from the injection's time of day to the scan's, over midnight where needed."""
    if MOST_HALF_LIVES * half_life > DAY_S:
        found = f"none that can be, and with a half-life of {half_life / 3600:.0f} h the day matters"
        raise _refusal(facts, f"a date of the injection in {MOMENT}", found)
    delay = start % DAY_S - (facts.injection_time or 0.0)
    if delay < 0 and delay + DAY_S <= LONGEST_WRAP_S:
        delay += DAY_S
    name = "Radiopharmaceutical Start Time (0018,1072)" if facts.injection is None else MOMENT
    return _checked_delay(facts, delay, half_life, name)


def _checked_delay(facts: PetFacts, delay: float, half_life: float, name: str) -> float:
    if delay < 0:
        found = f"an injection {-delay / 60:.0f} minutes after its start"
        raise _refusal(facts, f"{name} before the scan", found)
    if delay > MOST_HALF_LIVES * half_life:
        found = f"a scan {delay / half_life:.0f} half-lives after it"
        raise _refusal(facts, f"{name} within {MOST_HALF_LIVES} half-lives of the scan", found)
    return delay


def warn_of_mean(values: np.ndarray) -> None:
    """Warn of SUV whose mean over the body (the voxels above the mean of all) hardly any tracer gives.

    It is about 1 in a scan of the whole body, and up to some 10 where the field of view is an organ.

    >>> import warnings
    >>> with warnings.catch_warnings(record=True, action="always") as caught:
    ...     warn_of_mean(np.array([0, 0, 900.0]))
    >>> str(caught[0].message)
    "a body's mean SUV of 900 can hardly be: check the PET's dose, weight and units"
    """
    above = values > values.mean(dtype=np.float64)
    mean = float(values.mean(where=above, dtype=np.float64)) if above.any() else MEAN_SUV[0]
    if not MEAN_SUV[0] <= mean <= MEAN_SUV[1]:
        warnings.warn(
            f"a body's mean SUV of {mean:.3g} can hardly be: check the PET's dose, weight and units",
            stacklevel=2,
        )


def _above_zero(facts: PetFacts, value: float | None, name: str) -> float:
    if value is None or not math.isfinite(value) or value <= 0:
        raise _refusal(facts, f"{name} above zero", "none" if value is None else f"{value:g}")
    return value


def _refusal(facts: PetFacts, wanted: str, found: str) -> InputError:
    return InputError(f"{wanted} for SUV", found=found, remedy=REMEDY, path=facts.path)
