"""Quantities of a label map of a CT, MR or PET volume, as a bundle declares them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache, cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pyraseg.pipeline.bundle.metadata import DeclaredQuantity
from pyraseg.pipeline.measurement.axes import in_plane_axes
from pyraseg.pipeline.measurement.declared import Measure, Measured, measure_declared
from pyraseg.pipeline.measurement.suv_peak import sphere_peak
from pyraseg.transforms.errors import GeometryError
from pyraseg.transforms.geometry.components import foreground_box
from pyraseg.transforms.io.limits import spacing_fault
from pyraseg.transforms.records import Code, Quantity

__all__ = ["HU", "SUVBW", "VOLUME_MEASURES", "as_ucum", "measure_volume"]

HU, SUVBW = "[hnsf'U]", "g/ml{SUVbw}"  # UCUM
NOWHERE = (slice(0, 0),) * 3
UNITS = {HU: "Hounsfield units", SUVBW: "SUVbw"}


@dataclass(frozen=True)
class Lesion:
    """All voxels of one segment, and the image around them.

    Attributes:
        mask: (x, y, z), the segment within ``box``; (0, 0, 0) without voxels.
        box: its slices in the volume.
        image: (X, Y, Z), the whole volume.
        steps_mm: (3, 3), whose columns are the steps in mm along x, y and z.
    """

    mask: np.ndarray
    box: tuple[slice, ...]
    image: np.ndarray
    steps_mm: NDArray[np.float64]

    @cached_property
    def volume_ml(self) -> float:
        return int(np.count_nonzero(self.mask)) * abs(float(np.linalg.det(self.steps_mm))) / 1000

    @cached_property
    def values(self) -> NDArray[np.float64]:
        """The image's values in the segment."""
        return np.asarray(self.image[self.box])[self.mask].astype(np.float64)

    @cached_property
    def axes_mm(self) -> tuple[float, float]:
        return in_plane_axes(self.mask, self.steps_mm)


def measure_volume(
    label_map: np.ndarray,
    image: np.ndarray | None = None,
    *,
    label_names: Sequence[str],
    declared: Iterable[Mapping[str, Any] | DeclaredQuantity],
    affine: np.ndarray,
    image_unit: str = "",
) -> tuple[Quantity, ...]:
    """Measure the declared quantities on one volume, on its source grid.

    A segment is measured as a whole, however many components it has; its axes are those of its longest
    component in one slice (``in_plane_axes``). Volume, metabolic volume and glycolysis of an empty segment
    are 0; all else is absent. The standard deviation divides by the number of voxels (IBSI's).

    Args:
        label_map: (X, Y, Z) or (1, X, Y, Z) = (column, row, slice), class indices. Slices are cuts at one z.
        image: its values, of the same shape, in ``image_unit``; may be memory-mapped.
        label_names: the classes by index.
        declared: as ``measure_frame`` takes them, of ``VOLUME_MEASURES``, with one segment each.
        affine: (4, 4), from index to mm, as ``VolumeGrid.affine``; may be rotated, anisotropic or sheared.
        image_unit: ``HU``, ``SUVBW`` or empty; quantities of another unit are absent.

    Raises:
        ConfigError: a declaration with an unknown measure, or with the wrong segments.
        GeometryError: arrays of other shapes, or an affine without an inverse or of voxels that
            no image has.

    >>> size = {"name": "size", "measure": "volume", "segments": ["tumour"]}
    >>> cube, affine = np.ones((10, 10, 10), np.uint8), np.diag([2.0, 2.0, 5.0, 1.0])
    >>> [volume] = measure_volume(cube, label_names=["background", "tumour"], declared=[size], affine=affine)
    >>> round(volume.value, 3), volume.unit
    (20.0, 'ml')
    """
    labels = _volume(label_map, "a label map")
    values = np.broadcast_to(0.0, labels.shape) if image is None else _volume(image, "an image")
    if values.shape != labels.shape:
        wanted, remedy = f"an image of the label map's shape {labels.shape}", "Measure on the image's grid."
        raise GeometryError(wanted, found=f"{values.shape}", remedy=remedy)
    steps_mm = np.asarray(affine, np.float64)[:3, :3]
    valid = steps_mm.shape == (3, 3) and np.isfinite(steps_mm).all() and np.linalg.det(steps_mm)
    fault = spacing_fault(np.linalg.norm(steps_mm, axis=0)) if valid else "no volume"
    if fault:
        wanted, remedy = "an affine (4, 4) from index to mm", "Read the volume with its geometry."
        raise GeometryError(wanted, found=f"one with voxels of {fault}", remedy=remedy)
    integers = labels if labels.dtype.kind in "iu" else labels.astype(np.uint16)

    @cache
    def lesion(segment: str) -> Lesion:
        mask = integers == label_names.index(segment)
        box = foreground_box(mask) or NOWHERE
        return Lesion(mask[box].copy(), box, values, steps_mm)  # a view would keep the whole mask

    def take(how: Measure, segments: tuple[str, ...]) -> Measured:
        (segment,) = segments
        if how.image_unit and (image is None or how.image_unit != image_unit):
            return f"the image has no values in {UNITS[how.image_unit]}"
        if not lesion(segment).mask.any():
            return f"no {segment} in the volume" if how.empty is None else how.empty
        if how.image_unit and not np.isfinite(lesion(segment).values).all():
            return f"the image has values in the {segment} that are no numbers"
        return how.function(lesion(segment))

    return measure_declared(declared, VOLUME_MEASURES, label_names=label_names, take=take)


def as_ucum(unit: str) -> str:
    """The UCUM form of a unit in a volume's metadata or bundle; only "HU" differs."""
    return HU if unit == "HU" else unit


def _volume(array: np.ndarray, what: str) -> np.ndarray:
    array = np.asarray(array)
    array = array[0] if array.ndim == 4 and array.shape[0] == 1 else array
    if array.ndim != 3:
        remedy = "Measure volumes one by one."
        raise GeometryError(f"{what} (X, Y, Z) or (1, X, Y, Z)", found=f"{array.shape}", remedy=remedy)
    return array


def _volume_ml(of: Lesion) -> float:
    return of.volume_ml


def _mean(of: Lesion) -> float:
    return float(of.values.mean())


SEGMENT = ("segment",)
MEAN, SD = Code("373098007", "SCT", "Mean"), Code("386136009", "SCT", "Standard Deviation")
MAXIMUM = Code("56851009", "SCT", "Maximum")
VOLUME_MEASURES: dict[str, Measure] = {
    "volume": Measure(_volume_ml, "ml", SEGMENT, empty=0.0),
    # the longest diameter in a slice and the longest perpendicular to it: RECIST 1.1, Eisenhauer et al., 2009
    "long_axis": Measure(lambda of: of.axes_mm[0], "mm", SEGMENT),
    "short_axis": Measure(lambda of: of.axes_mm[1], "mm", SEGMENT),
    "hu_mean": Measure(_mean, HU, SEGMENT, image_unit=HU, derivation=MEAN),
    "hu_sd": Measure(lambda of: float(of.values.std()), HU, SEGMENT, image_unit=HU, derivation=SD),
    "suv_max": Measure(
        lambda of: float(of.values.max()), SUVBW, SEGMENT, image_unit=SUVBW, derivation=MAXIMUM
    ),
    "suv_mean": Measure(_mean, SUVBW, SEGMENT, image_unit=SUVBW, derivation=MEAN),
    # PERCIST: Wahl et al., J Nucl Med 50:122S, 2009
    "suv_peak": Measure(
        lambda of: sphere_peak(of.mask, of.box, of.image, of.steps_mm), SUVBW, SEGMENT, image_unit=SUVBW
    ),
    "metabolic_volume": Measure(_volume_ml, "ml", SEGMENT, empty=0.0),
    # SUVmean times the metabolic volume, g/ml x ml
    "total_lesion_glycolysis": Measure(
        lambda of: _mean(of) * of.volume_ml, "g", SEGMENT, image_unit=SUVBW, empty=0.0
    ),
}
