"""From stored values to HU, SUVbw or MR intensities: the line and unit of each plane."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import numpy as np

from pyraseg.transforms.dicom.pixels.checks import code_text
from pyraseg.transforms.dicom.series.pet_facts import PetFacts
from pyraseg.transforms.dicom.series.planes import PlaneHeader, ValueMapping
from pyraseg.transforms.dicom.series.suv import SUV_UNIT, suv_factor
from pyraseg.transforms.errors import InputError, Option

__all__ = ["AIR_HU", "HU", "Line", "ct_lines", "mr_lines", "pet_lines"]

HU = "HU"
AIR_HU = -1000.0
MOST_HU = 3071.0  # of 12 bits: a padding value from air up to here may also be tissue or metal
ACTIVITY = frozenset({"Bq/ml", "Bq/mL"})
SUV = frozenset({SUV_UNIT, "{SUVbw}g/ml", "g/mL{SUVbw}", "{SUVbw}g/mL"})
NO_UNIT = frozenset({"", "1"})
EXPORT = "Export the series again; its values cannot be told."
EXPORT_HU = "Export the series in HU."
RESCALE = "Rescale Slope and Intercept (0028,1053), (0028,1052)"


@dataclass(frozen=True)
class Line:
    """stored * slope + intercept, in a unit (UCUM; "HU"; empty for none); stored ``padding`` becomes air."""

    slope: float
    intercept: float
    unit: str
    padding: tuple[int, int] | None = None

    def fits(self, dtype: type[np.signedinteger]) -> bool:
        """Whether whole numbers stay whole, with factors that fit this type."""
        limits = np.iinfo(dtype)
        factors = (self.slope, self.intercept)
        return all(factor.is_integer() and limits.min <= factor <= limits.max for factor in factors)

    def apply(self, stored: np.ndarray, out: np.ndarray) -> None:
        """Write the values of one plane into ``out``, of the same shape and a type that holds them."""
        if np.issubdtype(out.dtype, np.integer):  # wraps around in between, and back
            np.copyto(out, stored, casting="unsafe")
            out *= out.dtype.type(self.slope)
            out += out.dtype.type(self.intercept)
        else:
            np.copyto(out, stored * self.slope + self.intercept, casting="same_kind")
        if self.padding:
            low, high = self.padding
            out[(stored >= low) & (stored <= high)] = AIR_HU


def ct_lines(planes: tuple[PlaneHeader, ...], *, assume_hu: bool = False) -> list[Line]:
    """Each CT plane's line to HU.

    The padding value becomes air, -1000 HU, where it is not above air or is beyond 3071 HU. In between it may
    be tissue and is kept.

    Args:
        assume_hu: take values for HU although Rescale Type says otherwise or there is no rescale.

    Raises:
        InputError: no rescale, a slope of 0, or a Rescale Type (0028,1054) that is not HU.
    """
    return [_ct_line(plane, assume_hu) for plane in planes]


def _ct_line(plane: PlaneHeader, assume_hu: bool) -> Line:
    option = Option("take its values for HU if you know that they are", "assume_hu", True)
    if plane.rescale_type not in ("", HU) and not assume_hu:
        wanted, found = "CT with Rescale Type (0028,1054) HU", code_text(plane.rescale_type)
        raise _refusal(plane, wanted, found, EXPORT_HU, option)
    if plane.slope is None and plane.intercept is None:
        if not assume_hu:
            raise _refusal(plane, RESCALE, "none", EXPORT_HU, option)
        return Line(1.0, 0.0, HU)
    line = replace(_modality_line(plane, EXPORT_HU), unit=HU)
    return replace(line, padding=_padding(plane, line))


def _padding(plane: PlaneHeader, line: Line) -> tuple[int, int] | None:
    if plane.padding is None:
        return None
    ends = [value * line.slope + line.intercept for value in plane.padding]
    return plane.padding if max(ends) <= AIR_HU or min(ends) > MOST_HU else None


def mr_lines(planes: tuple[PlaneHeader, ...]) -> list[Line]:
    """Each MR plane's line: its real world value mapping, else its rescale, else the stored values.

    Raises:
        InputError: several mappings or none that is a line, planes of several units, a slope of 0.
    """
    lines = [_mr_line(plane) for plane in planes]
    units = {line.unit for line in lines}
    if len(units) > 1:
        raise _refusal(planes[0], "MR slices of one unit", f"{len(units)} units", EXPORT)
    return lines


def _mr_line(plane: PlaneHeader) -> Line:
    if plane.mappings:
        if len(set(plane.mappings)) > 1:
            found, remedy = f"{len(plane.mappings)} of them", "Export the series with one of them."
            raise _refusal(plane, "one Real World Value Mapping (0040,9096)", found, remedy)
        return _mapped(plane, plane.mappings[0])
    if plane.slope is None and plane.intercept is None:
        return Line(1.0, 0.0, "")
    return _modality_line(plane, EXPORT)


def _mapped(plane: PlaneHeader, mapping: ValueMapping) -> Line:
    if mapping.slope is None or mapping.intercept is None:
        wanted = "a Real World Value Mapping (0040,9096) with slope and intercept"
        raise _refusal(plane, wanted, "a table or nothing", EXPORT)
    unit = "" if mapping.unit in NO_UNIT else mapping.unit
    if len(unit) > 16 or not unit.isascii() or not unit.isprintable():  # does not look like a UCUM code
        unit = ""
    line = Line(mapping.slope, mapping.intercept, unit)
    return _checked(plane, line, "Real World Value Slope (0040,9225)", EXPORT)


def pet_lines(planes: tuple[PlaneHeader, ...], facts: PetFacts) -> list[Line]:
    """Each PET plane's line to SUVbw: its own rescale, times the series' factor.

    Raises:
        InputError: as `suv_factor`; no rescale, or a slope of 0.
    """
    activity, units = [], set()
    for plane in planes:
        line, unit = _pet_line(plane, facts)
        activity.append(line)
        units.add(unit)
    if len(units) > 1:
        raise _refusal(planes[0], "PET slices of one unit", f"{len(units)} units", EXPORT)
    factor = 1.0 if units == {"SUV"} else suv_factor(replace(facts, units=units.pop()))
    return [Line(line.slope * factor, line.intercept * factor, SUV_UNIT) for line in activity]


def _pet_line(plane: PlaneHeader, facts: PetFacts) -> tuple[Line, str]:
    """The line to the stated units, and the units as in (0054,1001), "SUV" for SUVbw itself."""
    if facts.enhanced:
        for wanted, unit in ((SUV, "SUV"), (ACTIVITY, "BQML")):
            for mapping in plane.mappings:
                if mapping.unit in wanted:
                    return _mapped(plane, mapping), unit
    units = facts.units or (plane.rescale_type if facts.enhanced else "")
    return _modality_line(plane, EXPORT), units


def _modality_line(plane: PlaneHeader, remedy: str) -> Line:
    if plane.slope is None or plane.intercept is None:
        raise _refusal(plane, RESCALE, "none", remedy)
    return _checked(plane, Line(plane.slope, plane.intercept, ""), "Rescale Slope (0028,1053)", remedy)


def _checked(plane: PlaneHeader, line: Line, name: str, remedy: str) -> Line:
    if line.slope == 0 or not math.isfinite(line.slope) or not math.isfinite(line.intercept):
        found = f"{line.slope:g}, with an intercept of {line.intercept:g}"
        raise _refusal(plane, f"a {name} that is a number and not 0", found, remedy)
    return line


def _refusal(
    plane: PlaneHeader, wanted: str, found: str, remedy: str, option: Option | None = None
) -> InputError:
    return InputError(wanted, found=found, remedy=remedy, path=plane.image.path, option=option)
