"""Clean-up of a predicted label map: small components, holes, fluid outside the kidney."""

from __future__ import annotations

import math
from collections.abc import Callable, Hashable, Mapping, Sequence
from typing import Any

import numpy as np
from monai.config import KeysCollection, NdarrayOrTensor
from monai.transforms import MapTransform, Transform
from monai.utils import TransformBackends, convert_data_type, convert_to_dst_type
from scipy import ndimage

from pyraseg.pipeline.inference.decision import WEAK, Decision
from pyraseg.transforms.errors import ConfigError, GeometryError, LabelError
from pyraseg.transforms.geometry.components import foreground_box, label_regions

__all__ = ["CleanUpLabels", "CleanUpLabelsd", "keep_strong"]

KIDNEY, FLUID = "kidney", "hydronephrosis"
OFF = {"minimum_area": 0.0, "fill_holes": False, "fluid_in_kidney": False}  # all but the smallest sizes
ROUNDING = 1e-9  # of a limit in voxels that comes from a spacing
LabelMap = np.ndarray[Any, np.dtype[np.integer[Any]]]


class CleanUpLabels(Transform):
    """Clean up a label map (1, H, W) or (1, X, Y, Z) in steps, each with its switch, in this order.

    1. ``minimum_area``, ``minimum_ml``: remove components of one class (diagonal neighbours count) below this
       fraction of the frame, or below this volume. Prefer ``minimum_ml`` for volumes: the size of a fraction
       depends on the field of view.
    2. ``largest_component``: keep the largest component of each class, the first of equals.
    3. ``fill_holes``: fill background that face neighbours do not join to the frame's edge.
    4. ``smallest``: remove components of a class below its own smallest size, as an operating point has it.
       They are measured as they will be delivered, with their holes filled.
    5. ``fluid_in_kidney``: remove components of hydronephrosis that neither touch nor lie in the kidney with
       its holes filled; without a kidney, all of them.

    Removed and filled pixels take the most frequent class of their face neighbours. So a speck of fluid
    inside the kidney becomes kidney, and one on background becomes background. A second application changes
    nothing. No new class appears.

    Args:
        label_names: the classes in the order of their values, "background" first.
        minimum_area: a fraction from 0 (off) to below 1. The default is 45 pixels of 473 x 473.
        minimum_ml: millilitres, 0 for off; for volumes only.
        smallest: by class, a fraction of a frame, or millilitres of a volume.
        largest_component, fill_holes, fluid_in_kidney: the switches. ``fluid_in_kidney`` needs the classes
            "kidney" and "hydronephrosis", else the step is left out (see ``steps``).

    Raises:
        ConfigError: ``minimum_area`` or ``minimum_ml`` is out of its range.
        GeometryError: when called with another shape, or with ``minimum_ml`` and no volume with a spacing.
        LabelError: when called with a value that is no class.

    >>> labels = np.zeros((1, 20, 20), np.uint8)
    >>> labels[0, 5:15, 5:15] = 1
    >>> labels[0, 8, 8], labels[0, 0, 0] = 0, 1  # a hole, and a speck of one pixel
    >>> cleaned = CleanUpLabels(["background", "kidney"], minimum_area=0.01)(labels)
    >>> int(cleaned.sum()), int(cleaned[0, 0, 0])
    (100, 0)
    """

    backend = [TransformBackends.NUMPY]  # noqa: RUF012 - MONAI's way to declare it

    def __init__(
        self,
        label_names: Sequence[str],
        *,
        minimum_area: float = 0.0002,
        minimum_ml: float = 0.0,
        largest_component: bool = False,
        fill_holes: bool = True,
        fluid_in_kidney: bool = True,
        smallest: Mapping[str, float] | None = None,
    ) -> None:
        if not 0 <= minimum_area < 1:
            remedy = "Give the smallest component as a fraction of the frame, for example 0.0002."
            raise ConfigError("a minimum_area from 0 to below 1", found=f"{minimum_area}", remedy=remedy)
        if not 0 <= minimum_ml < np.inf:
            remedy = "Give the smallest component in millilitres, for example 0.5, or 0 to keep all."
            raise ConfigError("a minimum_ml of 0 or more", found=f"{minimum_ml}", remedy=remedy)
        self.label_names = tuple(label_names)
        self.minimum_area = minimum_area
        self.minimum_ml = minimum_ml
        self.smallest = [float((smallest or {}).get(name, 0.0)) for name in self.label_names]
        self._steps: dict[str, Callable[[LabelMap, Any], None]] = {}
        if minimum_area:
            self._steps["minimum_area"] = _remove_small
        if minimum_ml:
            self._steps["minimum_ml"] = _remove_small
        if largest_component:
            self._steps["largest_component"] = _keep_largest
        if fill_holes:
            self._steps["fill_holes"] = _fill_holes
        if any(self.smallest):
            self._steps["smallest"] = _remove_small
        if fluid_in_kidney and {KIDNEY, FLUID} <= set(self.label_names):
            self._steps["fluid_in_kidney"] = self._remove_stray_fluid

    @property
    def steps(self) -> tuple[str, ...]:
        """The steps that run, in order: those switched on for which the label set has the classes."""
        return tuple(self._steps)

    def __call__(
        self,
        img: NdarrayOrTensor,
        *,
        spacing_mm: Sequence[float] | None = None,
        whole: int | None = None,
    ) -> NdarrayOrTensor:
        """Clean up one label map.

        Args:
            spacing_mm: per axis, for ``minimum_ml``; by default that in a `MetaTensor`'s metadata.
            whole: the pixels that ``minimum_area`` is a fraction of, where ``img`` is a part of the frame
                with all its foreground and, but at the frame's edge, one pixel of background around it.
        """
        source = convert_data_type(img, np.ndarray)[0]
        labels = self._checked(source)
        limits: dict[str, Any] = {"minimum_area": self.minimum_area * (whole or labels.size)}
        if self.minimum_ml:
            limits["minimum_ml"] = self.minimum_ml / _voxel_ml(labels, img, spacing_mm)
        if any(self.smallest):
            one = 1 / (whole or labels.size) if labels.ndim == 2 else _voxel_ml(labels, img, spacing_mm)
            limits["smallest"] = np.array(self.smallest) / one
        box = foreground_box(labels)
        if box is not None:
            # one more pixel, which joins the background around the foreground
            around = tuple(slice(max(0, side.start - 1), side.stop + 1) for side in box)
            for name, step in self._steps.items():
                step(labels[around], limits.get(name, 0.0))
        return convert_to_dst_type(labels[None].astype(source.dtype, copy=False), img)[0]

    def _checked(self, source: np.ndarray) -> LabelMap:
        """The map without its channel, as a copy in the smallest integers, which speed up the steps."""
        if source.ndim not in (3, 4) or source.shape[0] != 1 or not source.size:
            remedy = "Take the argmax over the classes before the clean-up."
            wanted = "a label map (1, H, W) or (1, H, W, D)"
            raise GeometryError(wanted, found=f"{source.shape}", remedy=remedy)
        with np.errstate(invalid="ignore"):  # NaN is refused below
            labels = source[0].astype(np.uint8)
        if not np.array_equal(labels, source[0]) or labels.max() >= len(self.label_names):
            wanted = f"a label map with the values 0 to {len(self.label_names) - 1}"
            remedy = "Give the label names that the network was trained with."
            raise LabelError(wanted, found="others", remedy=remedy)
        return labels

    def _remove_stray_fluid(self, labels: LabelMap, _: float) -> None:
        kidney, fluid = (labels == self.label_names.index(name) for name in (KIDNEY, FLUID))
        if not fluid.any():
            return
        # Components of fluid do not touch: one joined to the filled kidney touches it or lies in it.
        structure = ndimage.generate_binary_structure(labels.ndim, labels.ndim)
        components, number = ndimage.label(fluid | kidney | _enclosed(~kidney), structure)
        stray = np.ones(number + 1, bool)
        stray[components[kidney]] = stray[0] = False
        _blend(labels, stray[components])


class CleanUpLabelsd(MapTransform):
    """`CleanUpLabels` in a dictionary; ``options`` are its switches, or None for no clean-up.

    Args:
        decision: the operating points, for the smallest sizes of classes.

    >>> clean_up = CleanUpLabelsd("pred", ["background", "tumour"], {"minimum_area": 0, "minimum_ml": 0.5})
    >>> clean_up.clean_up.steps
    ('minimum_ml', 'fill_holes')
    """

    backend = CleanUpLabels.backend

    def __init__(
        self,
        keys: KeysCollection,
        label_names: Sequence[str],
        options: Mapping[str, Any] | None,
        *,
        allow_missing_keys: bool = False,
        decision: Decision | None = None,
    ) -> None:
        super().__init__(keys, allow_missing_keys)
        smallest = {} if decision is None else decision.smallest
        chosen = OFF if options is None and smallest else options
        self.clean_up = None if chosen is None else CleanUpLabels(label_names, **chosen, smallest=smallest)
        self._given = (keys, label_names, options)

    def at(self, decision: Decision) -> CleanUpLabelsd:
        """The same with other operating points."""
        return CleanUpLabelsd(*self._given, allow_missing_keys=self.allow_missing_keys, decision=decision)

    def __call__(self, data: Mapping[Hashable, Any]) -> dict[Hashable, Any]:
        item = dict(data)
        if self.clean_up is not None:
            for key in self.key_iterator(item):
                item[key] = self.clean_up(item[key])
        return item


def keep_strong(labels: LabelMap) -> None:
    """Remove, in place, components of which all pixels are marked with `WEAK`; take the marks away.

    What is removed takes the most frequent class of its face neighbours, as in `CleanUpLabels`.

    Args:
        labels: (H, W) or (X, Y, Z), uint8.

    >>> labels = np.array([[1, 129, 0, 129, 129]], np.uint8)
    >>> keep_strong(labels)
    >>> labels
    array([[1, 1, 0, 0, 0]], dtype=uint8)
    """
    if labels.max(initial=0) < WEAK:
        return
    for region in label_regions(labels):
        weak = region.own & (region.labels >= WEAK)
        region.labels[weak] -= WEAK
        numbers, sizes, _ = region.components()
        gone = np.ones(len(sizes), bool)
        gone[numbers[region.own & ~weak]] = gone[0] = False
        _blend(region.labels, gone[numbers])


def _voxel_ml(labels: LabelMap, img: NdarrayOrTensor, spacing_mm: Sequence[float] | None) -> float:
    if spacing_mm is None:
        spacing_mm = getattr(img, "meta", {}).get("spacing_mm")
    sides = [float(side) for side in ([] if spacing_mm is None else spacing_mm)]
    if labels.ndim != 3 or len(sides) != 3 or not all(0 < side < np.inf for side in sides):
        lengths = f"{len(sides)} lengths" if len(sides) != 3 else "a length of 0"
        found = "a frame" if labels.ndim != 3 else lengths
        remedy = "Give its spacing_mm, or leave minimum_ml out of the clean-up."
        raise GeometryError("a volume with its spacing in mm for minimum_ml", found=found, remedy=remedy)
    return math.prod(sides) / 1000


def _remove_small(labels: LabelMap, limit: float | np.ndarray) -> None:
    """Remove components of fewer pixels than the limit, or than their class's, (K,)."""
    for region in label_regions(labels):
        numbers, sizes, classes = region.components()
        small = sizes < (limit if isinstance(limit, float) else limit[classes]) * (1 - ROUNDING)
        small[0] = False
        _blend(region.labels, small[numbers])


def _keep_largest(labels: LabelMap, _: float) -> None:
    """Remove all but the largest component of each class."""
    largest, kept = np.zeros(256, np.intp), np.zeros(256, bool)
    for region in label_regions(labels):
        sizes, classes = region.components()[1:]
        np.maximum.at(largest, classes, sizes)
    for region in label_regions(labels):
        numbers, sizes, classes = region.components()
        gone = sizes < largest[classes]
        for number in np.flatnonzero(~gone[1:]) + 1:  # of equals the first stays
            gone[number] = kept[classes[number]]
            kept[classes[number]] = True
        _blend(region.labels, gone[numbers])


def _fill_holes(labels: LabelMap, _: float) -> None:
    # Diagonal neighbours join the pixels around a hole, so they lie in one region.
    for region in label_regions(labels):
        _blend(region.labels, _enclosed(region.labels == 0))


def _enclosed(mask: np.ndarray) -> np.ndarray:
    """The components of a mask (face neighbours) that do not touch the array's edge."""
    components, number = ndimage.label(mask)
    enclosed = np.ones(number + 1, bool)
    enclosed[0] = False
    for axis in range(mask.ndim):
        for side in (0, -1):
            enclosed[components.take(side, axis)] = False
    return enclosed[components] if enclosed.any() else np.zeros(mask.shape, bool)


def _blend(labels: LabelMap, gone: np.ndarray) -> None:
    """Give each region of ``gone`` the class of most of its face neighbours; at a tie the lower one."""
    if not gone.any():
        return
    regions, number = ndimage.label(gone)
    classes = int(labels.max()) + 1
    votes = np.zeros((number + 1) * classes, np.int64)
    for axis in range(labels.ndim):
        here, there = [slice(None)] * labels.ndim, [slice(None)] * labels.ndim
        here[axis], there[axis] = slice(1, None), slice(None, -1)
        for one, other in ((tuple(here), tuple(there)), (tuple(there), tuple(here))):
            edge = gone[one] & ~gone[other]
            votes += np.bincount(regions[one][edge] * classes + labels[other][edge], minlength=len(votes))
    winners = votes.reshape(-1, classes).argmax(axis=1).astype(labels.dtype)
    labels[gone] = winners[regions[gone]]
