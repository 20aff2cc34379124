"""Standardised uptake value by body weight (SUVbw): the factor on a PET series' rescaled values."""

from __future__ import annotations

import math
import warnings

from pyraseg.transforms.dicom.pixels.checks import code_text
from pyraseg.transforms.dicom.series.pet_facts import PetFacts, private_value
from pyraseg.transforms.errors import InputError

__all__ = ["SUV_UNIT", "scan_start", "suv_factor"]

SUV_UNIT = "g/ml{SUVbw}"
HALF_LIFE = "Radionuclide Half Life (0018,1075)"
PHILIPS = "Philips PET Private Group"
DAY_S = 86400.0
LONGEST_WRAP_S = 12 * 3600.0  # from an injection before midnight to the scan after it
MOST_HALF_LIVES = 10
TOLERANCE_S = 10.0  # between planes of one scan: 0.1 % of the dose of F-18
LEAST_BQ = 1e4  # a dose below is MBq
MOST_MBQ = 1e5  # a dose above is Bq
REMEDY = "Correct the attribute from the examination's record and export the series again; no SUV is guessed."


def suv_factor(facts: PetFacts) -> float:
    """What (stored * slope + intercept) is multiplied by to give SUVbw in g/ml.

    By the units (0054,1001): BQML by weight and the dose at the time of the decay correction, GML as it is,
    CNTS by Philips' private factors (QIBA's SUV pseudo-code; PS3.3 C.8.9, C.8.22).

    Raises:
        InputError: what is needed is absent, contradicts itself or cannot be right; the message names the
            attribute.
    """
    if facts.units == "GML":
        return _of_gml(facts)
    if facts.units == "CNTS":
        return _of_counts(facts)
    if facts.units == "BQML":
        return _of_activity(facts)
    raise _refusal(facts, "Units (0054,1001) BQML, GML or CNTS", code_text(facts.units))


def _of_gml(facts: PetFacts) -> float:
    if not facts.suv_type:
        warnings.warn("a PET series in GML without SUV Type (0054,1006) is taken for SUVbw", stacklevel=3)
    elif facts.suv_type != "BW":
        raise _refusal(facts, "SUV Type (0054,1006) BW", code_text(facts.suv_type))
    return 1.0


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
    """From Bq/ml."""
    weight = _check_basis(facts)
    return weight * 1000 / _dose_at_correction(facts)


def _check_basis(facts: PetFacts) -> float:
    """The weight, kg, of a corrected image whose dose and half-life are stated."""
    missing = {"ATTN", "DECY"} - facts.corrected
    if missing:
        attributes = "(0018,9759), (0018,9758)" if facts.enhanced else "Corrected Image (0028,0051)"
        raise _refusal(facts, f"ATTN and DECY in {attributes}", f"no {' and no '.join(sorted(missing))}")
    _dose_bq(facts)
    _above_zero(facts, facts.half_life_s, HALF_LIFE)
    return _above_zero(facts, facts.weight_kg, "Patient's Weight (0010,1030)")


def _dose_at_correction(facts: PetFacts) -> float:
    """Bq at the moment to which the image is corrected for decay."""
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
    """The moment to which START corrects, in seconds after the midnight of the series' date.

    Raises:
        InputError: it cannot be found.
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
    """Back from the frame's mean count rate, which Frame Reference Time states (QIBA)."""
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
