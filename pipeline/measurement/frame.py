"""Clinical quantities of a label map, as a bundle declares them: a value with its unit, or why there is none.

They inform and are no diagnosis: one B-mode frame cannot give a grade of hydronephrosis.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache, cached_property
from typing import Any, TypeVar

import numpy as np
from scipy import ndimage

from pyraseg.pipeline.measurement.lengths import feret_diameter, inscribed_diameter, wall_thickness
from pyraseg.transforms.errors import ConfigError, GeometryError
from pyraseg.transforms.records import Code, Quantity

__all__ = ["MEASURES", "Measure", "as_quantity", "declared_measure", "measure"]

KEYS = {"name", "measure", "segments", "code"}


@dataclass(frozen=True)
class Structures:
    """What a measure is taken on: the segments' masks (H, W) in its roles' order, and the (row, column)
    spacing.

    Several measures of the same segments share one, and so what is dear to compute.
    """

    masks: tuple[np.ndarray, ...]
    spacing_mm: tuple[float, ...]

    @cached_property
    def counts(self) -> tuple[int, ...]:
        """Pixels of each mask."""
        return tuple(int(np.count_nonzero(mask)) for mask in self.masks)

    @cached_property
    def thickness(self) -> np.ndarray:
        """`wall_thickness` of the first mask around the second."""
        return wall_thickness(self.masks[0], self.masks[1], self.spacing_mm)


@dataclass(frozen=True)
class Measure:
    """How a quantity is measured: ``function`` gives a value or the reason why there is none.

    Attributes:
        unit: UCUM.
        roles: what the segments are, in order.
        calibrated: whether it needs millimetres.
    """

    function: Callable[[Any], float | str]
    unit: str
    roles: tuple[str, ...]
    calibrated: bool


AnyMeasure = TypeVar("AnyMeasure", bound=Measure)


def measure(
    label_map: np.ndarray,
    *,
    label_names: Sequence[str],
    declared: Iterable[Mapping[str, Any]],
    spacing_mm: Sequence[float] | None = None,
) -> tuple[Quantity, ...]:
    """Measure what is declared on one frame.

    Args:
        label_map: (H, W) or (1, H, W), class indices on the source grid.
        label_names: the classes by index.
        declared: the entries under "quantities" of a bundle's metadata.json, as
            ``{"name": "kidney_area", "measure": "area", "segments": ["kidney"], "code": ["42798000", "SCT", "Area"]}``; the measures are ``MEASURES``.
        spacing_mm: (row, column), None without calibration: what needs millimetres is then absent.

    Raises:
        ConfigError: a declaration with an unknown measure, or with other segments than it takes.
        GeometryError: a label map of another shape.
    """
    labels = np.asarray(label_map)
    labels = labels[0] if labels.ndim == 3 and labels.shape[0] == 1 else labels
    if labels.ndim != 2:
        remedy = "Measure frames one by one."
        raise GeometryError("a label map (H, W) or (1, H, W)", found=f"{labels.shape}", remedy=remedy)
    cropped, spacing = (
        labels[_around_foreground(labels)],
        (1.0, 1.0) if spacing_mm is None else tuple(spacing_mm),
    )

    @cache
    def structures(*segments: str) -> Structures:
        return Structures(tuple(cropped == label_names.index(segment) for segment in segments), spacing)

    return tuple(
        _measure(entry, structures, label_names, calibrated=spacing_mm is not None) for entry in declared
    )


def _around_foreground(labels: np.ndarray) -> tuple[slice, slice]:
    """The box of what is not background, all where there is nothing else."""
    rows, columns = (np.flatnonzero(labels.any(axis=1 - axis)) for axis in (0, 1))
    if not len(rows):
        return slice(None), slice(None)
    return slice(rows[0], rows[-1] + 1), slice(columns[0], columns[-1] + 1)


def _measure(
    entry: Mapping[str, Any], structures: Callable[..., Structures], names: Sequence[str], *, calibrated: bool
) -> Quantity:
    how = declared_measure(entry, MEASURES)
    unknown = [segment for segment in entry["segments"] if segment not in names]
    result: float | str
    if unknown:
        result = f"the label set has no {unknown[0]}"
    elif how.calibrated and not calibrated:
        result = "the image is not calibrated"
    else:
        result = how.function(structures(*entry["segments"]))
    return as_quantity(entry, how, result)


def as_quantity(entry: Mapping[str, Any], how: Measure, result: float | str) -> Quantity:
    """The quantity that an entry declares, with its value or, in words, the reason why there is none."""
    code = Code(*entry["code"]) if "code" in entry else None
    value, reason = (None, result) if isinstance(result, str) else (float(result), "")
    return Quantity(
        entry["name"], value, how.unit, reason=reason, segments=tuple(entry["segments"]), code=code
    )


def declared_measure(entry: Mapping[str, Any], measures: Mapping[str, AnyMeasure]) -> AnyMeasure:
    """How a declared quantity is measured.

    Raises:
        ConfigError: a measure that is none of ``measures``, or another number of segments than it takes.
    """
    how = measures.get(str(entry.get("measure")))
    segments, code = entry.get("segments", ()), entry.get("code", ("", "", ""))
    if how is None or not entry.get("name") or set(entry) - KEYS or len(code) != 3:
        known = ", ".join(measures)
        found = repr(entry.get("measure"))
        remedy = f'Correct "quantities" in the bundle\'s metadata.json; measures are {known}.'
        raise ConfigError("a quantity with name, measure, segments and code", found=found, remedy=remedy)
    if len(segments) != len(how.roles):
        wanted = f"{len(how.roles)} segments ({', '.join(how.roles)}) for {entry['measure']}"
        remedy = 'Correct "quantities" in the bundle\'s metadata.json.'
        raise ConfigError(wanted, found=f"{len(segments)}", remedy=remedy)
    return how


def _area(of: Structures) -> float:
    return of.counts[0] * math.prod(of.spacing_mm)


def _ratio(part: int, whole: int, scale: float = 1.0, *, without: str) -> float | str:
    return scale * part / whole if whole else f"no {without} in the frame"


def _hydronephrosis_index(of: Structures) -> float | str:
    parenchyma, fluid = of.counts
    return _ratio(parenchyma, parenchyma + fluid, 100.0, without="kidney")


def _fluid_fraction(of: Structures) -> float | str:
    parenchyma, fluid = of.counts
    return _ratio(fluid, parenchyma + fluid, without="kidney")


def _harp(of: Structures) -> float | str:
    parenchyma, fluid = of.counts
    return _ratio(fluid, parenchyma, without="parenchyma")


def _phar(of: Structures) -> float | str:
    parenchyma, fluid = of.counts
    return _ratio(parenchyma, fluid, without="fluid")


def _length(of: Structures) -> float | str:
    if not any(of.counts):
        return "no kidney in the frame"
    components, number = ndimage.label(of.masks[0] | of.masks[1], np.ones((3, 3)))
    largest = np.bincount(components.ravel())[1:].argmax() + 1 if number > 1 else 1
    return feret_diameter(components == largest, of.spacing_mm)


def _inscribed(of: Structures) -> float | str:
    return inscribed_diameter(of.masks[0], of.spacing_mm) if of.counts[0] else "no fluid in the frame"


def _thickness(reduce: Callable[[np.ndarray], Any]) -> Callable[[Structures], float | str]:
    def thickness(of: Structures) -> float | str:
        for pixels, name in zip(of.counts, ("parenchyma", "fluid"), strict=True):
            if not pixels:
                return f"no {name} in the frame"
        return float(reduce(of.thickness))

    return thickness


KIDNEY = ("parenchyma", "fluid")
MEASURES: dict[str, Measure] = {
    "area": Measure(_area, "mm2", ("segment",), calibrated=True),
    # 100 (A_t - A_f) / A_t: Shapiro et al., Urology 72:536, 2008
    "hydronephrosis_index": Measure(_hydronephrosis_index, "%", KIDNEY, calibrated=False),
    # A_f / A_p: Song et al., 2022; and its inverse
    "harp": Measure(_harp, "{ratio}", KIDNEY, calibrated=False),
    "phar": Measure(_phar, "{ratio}", KIDNEY, calibrated=False),
    "fluid_fraction": Measure(_fluid_fraction, "{ratio}", KIDNEY, calibrated=False),
    # the largest Feret diameter of parenchyma and fluid together, of their largest component
    "length": Measure(_length, "mm", KIDNEY, calibrated=True),
    # the diameter of the largest inscribed circle
    "inscribed_circle": Measure(_inscribed, "mm", ("segment",), calibrated=True),
    # from the fluid's contour to the kidney's outer contour
    "thickness_minimum": Measure(_thickness(np.min), "mm", KIDNEY, calibrated=True),
    "thickness_median": Measure(_thickness(np.median), "mm", KIDNEY, calibrated=True),
}
