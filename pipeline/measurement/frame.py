"""Clinical quantities of a label map, as a bundle declares them: a value with its unit, or a reason.

They inform and are no diagnosis: one B-mode frame cannot grade hydronephrosis.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache, cached_property
from typing import Any

import numpy as np
from scipy import ndimage

from pyraseg.pipeline.bundle.metadata import DeclaredQuantity
from pyraseg.pipeline.measurement.declared import Measure, Measured, measure_declared
from pyraseg.pipeline.measurement.lengths import feret_ends, inscribed_diameter, wall_thickness
from pyraseg.transforms.errors import GeometryError
from pyraseg.transforms.geometry.components import foreground_box
from pyraseg.transforms.io.limits import spacing_fault
from pyraseg.transforms.records import Quantity

__all__ = ["FRAME_MEASURES", "measure_frame"]


@dataclass(frozen=True)
class Structures:
    """The input of a measure: the masks (H, W) of its segments in order, and the spacing (row, column).

    Measures of the same segments share one object, and with it the slow intermediate results.
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


def measure_frame(
    label_map: np.ndarray,
    *,
    label_names: Sequence[str],
    declared: Iterable[Mapping[str, Any] | DeclaredQuantity],
    spacing_mm: Sequence[float] | None = None,
) -> tuple[Quantity, ...]:
    """Measure the declared quantities on one frame.

    Args:
        label_map: (H, W) or (1, H, W), class indices on the source grid.
        label_names: the classes by index.
        declared: the entries under "quantities" of a bundle's metadata.json, ``{"name": "kidney_area",
            "measure": "area", "segments": ["kidney"], "code": ["42798000", "SCT", "Area"]}``; the code is
            optional. ``FRAME_MEASURES`` has the measures.
        spacing_mm: (row, column); None without calibration, for no quantities in millimetres.

    Raises:
        ConfigError: a declaration with an unknown measure, or with the wrong segments.
        GeometryError: a label map of another shape.

    >>> entry = {"name": "kidney_area", "measure": "area", "segments": ["kidney"]}
    >>> frame, names = np.pad(np.ones((3, 4), np.uint8), 2), ["background", "kidney"]
    >>> [area] = measure_frame(frame, label_names=names, declared=[entry], spacing_mm=(2, 2))
    >>> area.value, area.unit
    (48.0, 'mm2')
    """
    labels = np.asarray(label_map)
    labels = labels[0] if labels.ndim == 3 and labels.shape[0] == 1 else labels
    if labels.ndim != 2:
        remedy = "Measure frames one by one."
        raise GeometryError("a label map (H, W) or (1, H, W)", found=f"{labels.shape}", remedy=remedy)
    box = foreground_box(labels)
    cropped = labels if box is None else labels[box]
    spacing = (1.0, 1.0) if spacing_mm is None else tuple(spacing_mm)
    fault = spacing_fault(spacing, labels.shape)

    @cache
    def structures(*segments: str) -> Structures:
        return Structures(tuple(cropped == label_names.index(segment) for segment in segments), spacing)

    def take(how: Measure, segments: tuple[str, ...]) -> Measured:
        if how.calibrated and spacing_mm is None:
            return "the image is not calibrated"
        if how.calibrated and fault:
            return f"no image has pixels of {fault}"
        result = how.function(structures(*segments))
        if not isinstance(result, tuple) or box is None:
            return result
        down, right = (side.start for side in box)
        return result[0], tuple((row + down, column + right) for row, column in result[1])

    return measure_declared(declared, FRAME_MEASURES, label_names=label_names, take=take)


def _ratio(part: int, whole: int, scale: float = 1.0, *, without: str) -> float | str:
    return scale * part / whole if whole else f"no {without} in the frame"


def _share(index: int, scale: float = 1.0) -> Callable[[Structures], float | str]:
    """Of a kidney its parenchyma (0) or its fluid (1)."""
    return lambda of: _ratio(of.counts[index], sum(of.counts), scale, without="kidney")


def _length(of: Structures) -> Measured:
    if not any(of.counts):
        return "no kidney in the frame"
    components, number = ndimage.label(of.masks[0] | of.masks[1], np.ones((3, 3)))
    largest = np.bincount(components.ravel())[1:].argmax() + 1 if number > 1 else 1
    ends = feret_ends(components == largest, of.spacing_mm)
    return math.dist(*ends * of.spacing_mm), tuple((float(row), float(column)) for row, column in ends)


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
FRAME_MEASURES: dict[str, Measure] = {
    "area": Measure(lambda of: of.counts[0] * math.prod(of.spacing_mm), "mm2", ("segment",), calibrated=True),
    # 100 (A_t - A_f) / A_t: Shapiro et al., Urology 72:536, 2008
    "hydronephrosis_index": Measure(_share(0, 100.0), "%", KIDNEY),
    # A_f / A_p: Song et al., 2022; and its inverse
    "harp": Measure(lambda of: _ratio(*of.counts[::-1], without="parenchyma"), "{ratio}", KIDNEY),
    "phar": Measure(lambda of: _ratio(*of.counts, without="fluid"), "{ratio}", KIDNEY),
    "fluid_fraction": Measure(_share(1), "{ratio}", KIDNEY),
    # the largest Feret diameter of parenchyma and fluid together, of their largest component
    "length": Measure(_length, "mm", KIDNEY, calibrated=True),
    # the diameter of the largest inscribed circle
    "inscribed_circle": Measure(_inscribed, "mm", ("segment",), calibrated=True),
    # from the fluid's contour to the kidney's outer contour
    "thickness_minimum": Measure(_thickness(np.min), "mm", KIDNEY, calibrated=True),
    "thickness_median": Measure(_thickness(np.median), "mm", KIDNEY, calibrated=True),
}
