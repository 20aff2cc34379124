"""Quantities of a label map of a CT, MR or PET volume, as a bundle declares them: a value, or why there is
none."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cache, cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from pyraseg.pipeline.measurement.axes import in_plane_axes
from pyraseg.pipeline.measurement.frame import Measure, as_quantity, declared_measure
from pyraseg.pipeline.measurement.suv_peak import sphere_peak
from pyraseg.transforms.errors import GeometryError
from pyraseg.transforms.records import Code, Quantity

__all__ = ["HU", "SUVBW", "VOLUME_MEASURES", "as_ucum", "measure_volume"]

HU, SUVBW = "[hnsf'U]", "g/ml{SUVbw}"  # UCUM
UNITS = {HU: "Hounsfield units", SUVBW: "SUVbw"}


@dataclass(frozen=True)
class Lesion:
    """All voxels of one segment, and the image around them.

    Attributes:
        mask: (x, y, z), the segment within ``box``; (0, 0, 0) where it has no voxel.
        box: its place in the volume.
        image: (X, Y, Z), of the whole volume; None without one.
        steps_mm: (3, 3), whose columns are the mm from one voxel to the next along x, y and z.
    """

    mask: np.ndarray
    box: tuple[slice, ...]
    image: np.ndarray | None
    steps_mm: NDArray[np.float64]

    @cached_property
    def volume_ml(self) -> float:
        return int(np.count_nonzero(self.mask)) * abs(float(np.linalg.det(self.steps_mm))) / 1000

    @cached_property
    def values(self) -> NDArray[np.float64]:
        """The image's values in the segment."""
        image = np.zeros(self.mask.shape) if self.image is None else np.asarray(self.image[self.box])
        return image[self.mask].astype(np.float64)

    @cached_property
    def axes_mm(self) -> tuple[float, float]:
        return in_plane_axes(self.mask, self.steps_mm)


@dataclass(frozen=True)
class VolumeMeasure(Measure):
    """A measure of one ``Lesion``.

    Attributes:
        image_unit: the image's unit that it needs; empty: none, it is taken on the label map alone.
        empty: the value where the segment has no voxel; None: there is none.
        derivation: for a structured report, where the quantity's code names what is measured and not how.
    """

    image_unit: str = ""
    empty: float | None = None
    derivation: Code | None = None


def measure_volume(
    label_map: np.ndarray,
    image: np.ndarray | None = None,
    *,
    label_names: Sequence[str],
    declared: Iterable[Mapping[str, Any]],
    affine: np.ndarray,
    image_unit: str = "",
) -> tuple[Quantity, ...]:
    """Measure what is declared on one volume, on its source grid.

    A segment is measured as a whole, however many components it has; its axes are those of its longest
    component in one slice (``in_plane_axes``). Volume, metabolic volume and glycolysis are sums, so 0 of no
    voxels; all else is absent then. The standard deviation is that of the voxels there are, divided by their
    number (IBSI's).

    Args:
        label_map: (X, Y, Z) or (1, X, Y, Z) = (column, row, slice), class indices. Slices are cuts at one z.
        image: its values, of the same shape, in ``image_unit``; may be memory-mapped.
        label_names: the classes by index.
        declared: as ``pyraseg.pipeline.measurement.frame.measure`` takes them, of ``VOLUME_MEASURES``, with
            one segment each: ``{"name": "tumour_suv_peak", "measure": "suv_peak", "segments": ["tumour"], "code": ["126031", "DCM",
            "Peak Value Within ROI"]}``.
        affine: (4, 4), from index to mm, as ``VolumeGrid.affine``; rotated, anisotropic or sheared.
        image_unit: ``HU``, ``SUVBW`` or empty; quantities of another unit are absent.

    Raises:
        ConfigError: a declaration with an unknown measure, or with other segments than it takes.
        GeometryError: arrays of other shapes, or an affine without an inverse.
    """
    labels = _volume(label_map, "a label map")
    values = None if image is None else _volume(image, "an image")
    steps_mm = np.asarray(affine, np.float64)[:3, :3]
    _require_one_grid(labels, values, steps_mm)
    integers = labels if labels.dtype.kind in "iu" else labels.astype(np.uint16)
    boxes = ndimage.find_objects(integers, max_label=len(label_names) - 1)

    @cache
    def lesion(segment: str) -> Lesion:
        index = label_names.index(segment)
        box = boxes[index - 1] if index else (slice(None),) * 3
        box = (slice(0, 0),) * 3 if box is None else box
        return Lesion(integers[box] == index, box, values, steps_mm)

    return tuple(
        _measure(entry, lesion, label_names, image_unit if image is not None else "") for entry in declared
    )


def as_ucum(unit: str) -> str:
    """A volume's unit, as its metadata or its bundle name it, in UCUM: "HU" is the only one that is not."""
    return HU if unit == "HU" else unit


def _volume(array: np.ndarray, what: str) -> np.ndarray:
    array = np.asarray(array)
    array = array[0] if array.ndim == 4 and array.shape[0] == 1 else array
    if array.ndim != 3:
        remedy = "Measure volumes one by one."
        raise GeometryError(f"{what} (X, Y, Z) or (1, X, Y, Z)", found=f"{array.shape}", remedy=remedy)
    return array


def _require_one_grid(labels: np.ndarray, image: np.ndarray | None, steps_mm: np.ndarray) -> None:
    if image is not None and image.shape != labels.shape:
        remedy = "Measure on the grid of the source image."
        raise GeometryError(
            f"an image of the label map's shape {labels.shape}", found=f"{image.shape}", remedy=remedy
        )
    if steps_mm.shape != (3, 3) or not np.isfinite(steps_mm).all() or abs(np.linalg.det(steps_mm)) < 1e-9:
        remedy = "Read the volume with its geometry."
        raise GeometryError(
            "an affine (4, 4) from index to mm", found="one without an inverse", remedy=remedy
        )


def _measure(
    entry: Mapping[str, Any], lesion: Callable[[str], Lesion], names: Sequence[str], image_unit: str
) -> Quantity:
    how = declared_measure(entry, VOLUME_MEASURES)
    (segment,) = entry["segments"]
    result: float | str
    if segment not in names:
        result = f"the label set has no {segment}"
    elif how.image_unit and how.image_unit != image_unit:
        result = f"the image has no values in {UNITS[how.image_unit]}"
    elif not lesion(segment).mask.any():
        result = f"no {segment} in the volume" if how.empty is None else how.empty
    elif how.image_unit and not np.isfinite(lesion(segment).values).all():
        result = f"the image has values in the {segment} that are no numbers"
    else:
        result = how.function(lesion(segment))
    return replace(as_quantity(entry, how, result), derivation=how.derivation)


def _volume_ml(of: Lesion) -> float:
    return of.volume_ml


def _long_axis(of: Lesion) -> float:
    return of.axes_mm[0]


def _short_axis(of: Lesion) -> float:
    return of.axes_mm[1]


def _mean(of: Lesion) -> float:
    return float(of.values.mean())


def _standard_deviation(of: Lesion) -> float:
    return float(of.values.std())


def _maximum(of: Lesion) -> float:
    return float(of.values.max())


def _peak(of: Lesion) -> float | str:
    return "no image" if of.image is None else sphere_peak(of.mask, of.box, of.image, of.steps_mm)


def _glycolysis(of: Lesion) -> float:
    return _mean(of) * of.volume_ml


SEGMENT = ("segment",)
MEAN, SD = Code("373098007", "SCT", "Mean"), Code("386136009", "SCT", "Standard Deviation")
MAXIMUM = Code("56851009", "SCT", "Maximum")
VOLUME_MEASURES: dict[str, VolumeMeasure] = {
    "volume": VolumeMeasure(_volume_ml, "ml", SEGMENT, calibrated=True, empty=0.0),
    # the longest diameter in a slice, and the longest perpendicular to it: RECIST 1.1, Eisenhauer et al.,
    # 2009
    "long_axis": VolumeMeasure(_long_axis, "mm", SEGMENT, calibrated=True),
    "short_axis": VolumeMeasure(_short_axis, "mm", SEGMENT, calibrated=True),
    "hu_mean": VolumeMeasure(_mean, HU, SEGMENT, calibrated=False, image_unit=HU, derivation=MEAN),
    "hu_sd": VolumeMeasure(_standard_deviation, HU, SEGMENT, calibrated=False, image_unit=HU, derivation=SD),
    "suv_max": VolumeMeasure(
        _maximum, SUVBW, SEGMENT, calibrated=False, image_unit=SUVBW, derivation=MAXIMUM
    ),
    "suv_mean": VolumeMeasure(_mean, SUVBW, SEGMENT, calibrated=False, image_unit=SUVBW, derivation=MEAN),
    # PERCIST: Wahl et al., J Nucl Med 50:122S, 2009
    "suv_peak": VolumeMeasure(_peak, SUVBW, SEGMENT, calibrated=True, image_unit=SUVBW),
    "metabolic_volume": VolumeMeasure(_volume_ml, "ml", SEGMENT, calibrated=True, empty=0.0),
    # SUVmean times the metabolic volume, g/ml x ml
    "total_lesion_glycolysis": VolumeMeasure(
        _glycolysis, "g", SEGMENT, calibrated=True, image_unit=SUVBW, empty=0.0
    ),
}
