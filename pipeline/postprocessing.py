"""Clearing up a predicted label map: small components, holes, and fluid outside the kidney."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Mapping, Sequence
from typing import Any

import numpy as np
from monai.config import KeysCollection, NdarrayOrTensor
from monai.transforms import MapTransform, Transform
from monai.utils import TransformBackends, convert_data_type, convert_to_dst_type
from scipy import ndimage

from transforms.errors import ConfigError, GeometryError, LabelError

__all__ = ["FLUID", "KIDNEY", "Postprocess", "Postprocessd"]

KIDNEY, FLUID = "kidney", "hydronephrosis"
LabelMap = np.ndarray[Any, np.dtype[np.integer[Any]]]


class Postprocess(Transform):
    """Clear up a label map (1, H, W) or (1, H, W, D) in three steps, each with its switch, in this order.

    1. ``minimum_area``: a component of one class (diagonal neighbours count) that covers less than this fraction of the
       frame, or in 3D of the volume, is removed.
    2. ``fill_holes``: background that no way through face neighbours joins to the frame's edge is filled.
    3. ``fluid_in_kidney``: a component of hydronephrosis is kept where it touches or lies in the kidney with its holes
       filled, and removed elsewhere; without any kidney no fluid is left.

    What is removed or filled takes the class that most of its face neighbours have. So a speck of fluid amid the kidney
    becomes kidney, since background there would falsify the kidney's area, and one on background becomes background.
    The result is a fixed point: applied again, nothing changes. No class appears that was not there.

    Args:
        label_names: the classes in the order of their values, "background" first.
        minimum_area: a fraction from 0 (off) to below 1. The default is 45 pixels of 473 x 473.
        fill_holes, fluid_in_kidney: the switches. The third step needs the classes "kidney" and "hydronephrosis": a
            label set without one of them (two classes) has no such step, as ``steps`` says.

    Raises:
        ConfigError: ``minimum_area`` is out of its range.
        GeometryError: a label map of another shape, when called.
        LabelError: a value in it that is no class, when called.
    """

    backend = [TransformBackends.NUMPY]  # noqa: RUF012 - MONAI's way to declare it

    def __init__(
        self,
        label_names: Sequence[str],
        *,
        minimum_area: float = 0.0002,
        fill_holes: bool = True,
        fluid_in_kidney: bool = True,
    ) -> None:
        if not 0 <= minimum_area < 1:
            remedy = "Give the smallest component as a fraction of the frame, for example 0.0002."
            raise ConfigError("a minimum_area from 0 to below 1", found=f"{minimum_area}", remedy=remedy)
        self.label_names = tuple(label_names)
        self.minimum_area = minimum_area
        self._steps: dict[str, Callable[[LabelMap, int], LabelMap]] = {}
        if minimum_area:
            self._steps["minimum_area"] = self._without_small_components
        if fill_holes:
            self._steps["fill_holes"] = self._without_holes
        if fluid_in_kidney and {KIDNEY, FLUID} <= set(self.label_names):
            self._steps["fluid_in_kidney"] = self._without_stray_fluid

    @property
    def steps(self) -> tuple[str, ...]:
        """The steps that run, in order: those switched on that the label set has the classes for."""
        return tuple(self._steps)

    def __call__(self, img: NdarrayOrTensor) -> NdarrayOrTensor:
        source = convert_data_type(img, np.ndarray)[0]
        labels = self._checked(source)
        around = _around_foreground(labels)
        if around is not None:
            part = labels[around]
            for step in self._steps.values():
                part = step(part, labels.size)
            labels[around] = part
        return convert_to_dst_type(labels[None].astype(source.dtype, copy=False), img)[0]

    def _checked(self, source: np.ndarray) -> LabelMap:
        """The map without its channel, as a copy in the smallest integers: the steps count them often."""
        if source.ndim not in (3, 4) or source.shape[0] != 1 or not source.size:
            remedy = "Take the argmax over the classes before post-processing."
            raise GeometryError("a label map (1, H, W) or (1, H, W, D)", found=f"{source.shape}", remedy=remedy)
        with np.errstate(invalid="ignore"):  # NaN is refused below
            labels = source[0].astype(np.uint8)
        if not np.array_equal(labels, source[0]) or labels.max() >= len(self.label_names):
            wanted = f"a label map with the values 0 to {len(self.label_names) - 1}"
            raise LabelError(wanted, found="others", remedy="Give the label names that the network was trained with.")
        return labels

    def _without_small_components(self, labels: LabelMap, frame_size: int) -> LabelMap:
        from skimage.measure import label

        components = label(labels, background=0, connectivity=labels.ndim)
        small = np.bincount(components.ravel()) < self.minimum_area * frame_size
        small[0] = False
        return _blend(labels, small[components]) if small.any() else labels

    def _without_holes(self, labels: LabelMap, _: int) -> LabelMap:
        return _blend(labels, _enclosed(labels == 0))

    def _without_stray_fluid(self, labels: LabelMap, _: int) -> LabelMap:
        kidney, fluid = (labels == self.label_names.index(name) for name in (KIDNEY, FLUID))
        if not fluid.any():
            return labels
        # Components of fluid never touch each other: one that is joined to the filled kidney touches it or lies in it.
        structure = ndimage.generate_binary_structure(labels.ndim, labels.ndim)
        components, number = ndimage.label(fluid | kidney | _enclosed(~kidney), structure)
        stray = np.ones(number + 1, bool)
        stray[components[kidney]] = stray[0] = False
        return _blend(labels, stray[components]) if stray.any() else labels


class Postprocessd(MapTransform):
    """``Postprocess`` for label maps in a dictionary; the arguments after ``keys`` are its own."""

    backend = Postprocess.backend

    def __init__(
        self, keys: KeysCollection, label_names: Sequence[str], *, allow_missing_keys: bool = False, **options: Any
    ) -> None:
        super().__init__(keys, allow_missing_keys)
        self.postprocess = Postprocess(label_names, **options)

    def __call__(self, data: Mapping[Hashable, Any]) -> dict[Hashable, Any]:
        out = dict(data)
        for key in self.key_iterator(out):
            out[key] = self.postprocess(out[key])
        return out


def _around_foreground(labels: LabelMap) -> tuple[slice, ...] | None:
    """The foreground's bounding box and one more pixel, so that background stays joined around it; or None."""
    box = []
    for axis in range(labels.ndim):
        (at,) = np.nonzero(labels.max(axis=tuple(other for other in range(labels.ndim) if other != axis)))
        if not len(at):
            return None
        box.append(slice(max(0, int(at[0]) - 1), int(at[-1]) + 2))
    return tuple(box)


def _enclosed(mask: np.ndarray) -> np.ndarray:
    """The components of a mask (face neighbours) that do not touch the array's edge."""
    components, number = ndimage.label(mask)
    enclosed = np.ones(number + 1, bool)
    enclosed[0] = False
    for axis in range(mask.ndim):
        for side in (0, -1):
            enclosed[components.take(side, axis)] = False
    return enclosed[components] if enclosed.any() else np.zeros(mask.shape, bool)


def _blend(labels: LabelMap, gone: np.ndarray) -> LabelMap:
    """Give each region of ``gone`` the class of most of its face neighbours; the lower one at a tie."""
    if not gone.any():
        return labels
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
    return np.where(gone, winners[regions], labels)
