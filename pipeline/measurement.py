"""Clinical quantities of a label map, as a bundle declares them: a value with its unit, or why there is none.

They inform and are no diagnosis: one B-mode frame cannot give a grade of hydronephrosis.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy import ndimage

from pipeline.lengths import feret_diameter, inscribed_diameter, wall_thickness
from transforms.errors import ConfigError, GeometryError
from transforms.records import Code, Quantity

__all__ = ["MEASURES", "measure"]

Masks = Sequence[np.ndarray]
Spacing = Sequence[float]
KEYS = {"name", "measure", "segments", "code"}


@dataclass(frozen=True)
class Measure:
    """How a quantity is measured: ``function`` takes the segments' masks and the spacing, and gives a value or the
    reason why there is none.

    Attributes:
        unit: UCUM.
        roles: what the segments are, in order.
        calibrated: whether it needs millimetres.
    """

    function: Callable[[Masks, Spacing], float | str]
    unit: str
    roles: tuple[str, ...]
    calibrated: bool


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
        declared: the entries under "quantities" of a bundle's metadata.json, as ``{"name": "kidney_area", "measure":
            "area", "segments": ["kidney"], "code": ["42798000", "SCT", "Area"]}``; the measures are ``MEASURES``.
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
    box = ndimage.find_objects((labels > 0).view(np.uint8), max_label=1)[0]
    cropped = labels if box is None else labels[box]
    return tuple(_measure(entry, cropped, label_names, spacing_mm) for entry in declared)


def _measure(entry: Mapping[str, Any], labels: np.ndarray, names: Sequence[str], spacing: Spacing | None) -> Quantity:
    how = _declared(entry)
    unknown = [segment for segment in entry["segments"] if segment not in names]
    result: float | str
    if unknown:
        result = f"the label set has no {unknown[0]}"
    elif how.calibrated and spacing is None:
        result = "the image is not calibrated"
    else:
        masks = [labels == names.index(segment) for segment in entry["segments"]]
        result = how.function(masks, (1.0, 1.0) if spacing is None else tuple(spacing))
    code = Code(*entry["code"]) if "code" in entry else None
    value, reason = (None, result) if isinstance(result, str) else (float(result), "")
    return Quantity(entry["name"], value, how.unit, reason=reason, segments=tuple(entry["segments"]), code=code)


def _declared(entry: Mapping[str, Any]) -> Measure:
    how = MEASURES.get(str(entry.get("measure")))
    segments, code = entry.get("segments", ()), entry.get("code", ("", "", ""))
    if how is None or not entry.get("name") or set(entry) - KEYS or len(code) != 3:
        known = ", ".join(MEASURES)
        found = repr(entry.get("measure"))
        remedy = f'Correct "quantities" in the bundle\'s metadata.json; measures are {known}.'
        raise ConfigError("a quantity with name, measure, segments and code", found=found, remedy=remedy)
    if len(segments) != len(how.roles):
        wanted = f"{len(how.roles)} segments ({', '.join(how.roles)}) for {entry['measure']}"
        remedy = 'Correct "quantities" in the bundle\'s metadata.json.'
        raise ConfigError(wanted, found=f"{len(segments)}", remedy=remedy)
    return how


def _area(masks: Masks, spacing: Spacing) -> float:
    return int(np.count_nonzero(masks[0])) * math.prod(spacing)


def _ratio(part: int, whole: int, scale: float = 1.0, *, without: str) -> float | str:
    return scale * part / whole if whole else f"no {without} in the frame"


def _counts(masks: Masks) -> tuple[int, int]:
    return int(np.count_nonzero(masks[0])), int(np.count_nonzero(masks[1]))


def _hydronephrosis_index(masks: Masks, _: Spacing) -> float | str:
    parenchyma, fluid = _counts(masks)
    return _ratio(parenchyma, parenchyma + fluid, 100.0, without="kidney")


def _fluid_fraction(masks: Masks, _: Spacing) -> float | str:
    parenchyma, fluid = _counts(masks)
    return _ratio(fluid, parenchyma + fluid, without="kidney")


def _harp(masks: Masks, _: Spacing) -> float | str:
    parenchyma, fluid = _counts(masks)
    return _ratio(fluid, parenchyma, without="parenchyma")


def _phar(masks: Masks, _: Spacing) -> float | str:
    parenchyma, fluid = _counts(masks)
    return _ratio(parenchyma, fluid, without="fluid")


def _length(masks: Masks, spacing: Spacing) -> float | str:
    whole = masks[0] | masks[1]
    if not whole.any():
        return "no kidney in the frame"
    components, _ = ndimage.label(whole, np.ones((3, 3)))
    return feret_diameter(components == np.bincount(components.ravel())[1:].argmax() + 1, spacing)


def _inscribed(masks: Masks, spacing: Spacing) -> float | str:
    return inscribed_diameter(masks[0], spacing) if masks[0].any() else "no fluid in the frame"


def _thickness(reduce: Callable[[np.ndarray], Any]) -> Callable[[Masks, Spacing], float | str]:
    def thickness(masks: Masks, spacing: Spacing) -> float | str:
        for mask, name in zip(masks, ("parenchyma", "fluid"), strict=True):
            if not mask.any():
                return f"no {name} in the frame"
        return float(reduce(wall_thickness(masks[0], masks[1], spacing)))

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
