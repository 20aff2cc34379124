"""Regions of interest of an RT Structure Set as masks and label maps on the grid of their series."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

import numpy as np

from pyraseg.transforms.dicom.labels.contours import fill_contours
from pyraseg.transforms.dicom.labels.nesting import draw_contours
from pyraseg.transforms.dicom.labels.overlaps import CROP, check_classes, overlap_notes, put
from pyraseg.transforms.dicom.labels.rtstruct import Contour, Roi, StructureSet
from pyraseg.transforms.dicom.series.source_series import ON_SLICE, SourceSeries, check_belongs
from pyraseg.transforms.errors import GeometryError, InputError, Option

__all__ = ["RoiMask", "roi_label_map", "roi_mask"]

XOR, INTERPOLATED = "CLOSEDPLANAR_XOR", "INTERPOLATED_PLANAR"  # the latter is OsiriX', between drawn ones
FILLED = {"CLOSED_PLANAR", XOR, INTERPOLATED}
# Names for notes; only types that are known are shown
LEFT_OUT = {"POINT": "points", "OPEN_PLANAR": "open contours", "OPEN_NONPLANAR": "open nonplanar contours"}
CONTOUR_TYPES = FILLED | LEFT_OUT.keys()


@dataclass(frozen=True)
class RoiMask:
    """A region of interest on a grid.

    Attributes:
        mask: (columns, rows, slices) bool.
        notes: what was left out or moved; they identify nobody.
    """

    mask: np.ndarray = field(repr=False, compare=False)
    notes: tuple[str, ...] = ()


def roi_mask(
    structures: StructureSet,
    series: SourceSeries,
    roi: Roi,
    *,
    nearest: bool = False,
    crop: bool = False,
) -> RoiMask:
    """The mask of one region on the grid of the series that it was drawn on.

    The contours of a slice are drawn as by `draw_contours` (nested ones are holes, ones that overlap in part
    are united), those of CLOSEDPLANAR_XOR as by `fill_contours` (PS3.3 C.8.8.6). Nothing is interpolated
    between slices. Left out with a note: points, open contours, closed ones of less than three points, and
    ones that are more than half a voxel beyond the volume.

    Args:
        roi: one of the structure set's.
        nearest: draw contours that lie between slices on the nearest one.
        crop: a region that lies wholly beyond the slices is empty, not refused.

    Raises:
        InputError: the region has no closed contours.
        GeometryError: it was drawn on another series, in another frame of reference, on planes that are not
            parallel to the slices, between slices, or wholly beyond them.
    """
    check_belongs(
        series,
        wanted="a structure set of this series",
        frame_of_reference_uid=roi.frame_of_reference_uid,
        listed=structures.series,
        images={uid for contour in roi.contours for uid, _ in contour.images if uid},
        path=structures.path,
    )
    closed, notes = _closed(roi, structures.path)
    planes, moved = _by_plane(closed, series, structures.path, nearest=nearest, crop=crop)
    mask = series.grid_array(bool)
    xor = any(contour.kind == XOR for contour in closed)  # then all of the region are
    return RoiMask(mask, (*notes, *moved, *_draw(mask, planes, xor=xor)))


def roi_label_map(
    structures: StructureSet,
    series: SourceSeries,
    classes: Mapping[int, int],
    *,
    nearest: bool = False,
    crop: bool = False,
) -> tuple[np.ndarray, tuple[str, ...]]:
    """A label map (columns, rows, slices) uint8 of several regions, and the notes on them.

    Args:
        classes: from a region's number to its class; where regions overlap the last one counts.
        nearest, crop: as `roi_mask`.

    Raises:
        LabelError: a class beyond 1 to 255.
        KeyError: a number that no region has.
        InputError, GeometryError: as `roi_mask`.
    """
    check_classes(classes)
    regions = {roi.number: roi for roi in structures.rois}
    labels, notes = series.grid_array(np.uint8), []
    shared = 0
    for number, value in classes.items():
        one = roi_mask(structures, series, regions[number], nearest=nearest, crop=crop)
        shared += put(labels, one.mask, value)
        notes += [f"region {number}: {note}" for note in one.notes]
    return labels, (*notes, *overlap_notes(shared))


def _closed(roi: Roi, path: str) -> tuple[list[Contour], list[str]]:
    kinds = Counter(contour.kind for contour in roi.contours)
    closed = [contour for contour in roi.contours if contour.kind in FILLED and len(contour.points) > 2]
    small = sum(kinds[kind] for kind in FILLED) - len(closed)
    if not closed:
        names = [kind if kind in CONTOUR_TYPES else "other" for kind in kinds]
        parts = [f"{count} {name}" for name, count in zip(names, kinds.values(), strict=True)]
        parts += [f"{small} of them with less than three points"] if small else []
        found, remedy = ", ".join(parts) or "no contours at all", "Draw the region, or leave the case out."
        wanted = f"closed planar contours in region of interest {roi.number}"
        raise InputError(wanted, found=found, remedy=remedy, path=path)
    if any(contour.shifted for contour in closed):
        found, remedy = "contours with an offset (3006,0045)", "Export them without a slab offset."
        raise GeometryError("contours where they are drawn", found=found, remedy=remedy, path=path)
    left = {what: kinds[kind] for kind, what in LEFT_OUT.items()}
    strange = sum(count for kind, count in kinds.items() if kind not in CONTOUR_TYPES)
    left["contours of a type that DICOM does not know"] = strange
    left["closed contours of less than three points"] = small
    notes = [f"left out: {count} {what}" for what, count in left.items() if count]
    if taken := sum(contour.kind == INTERPOLATED for contour in closed):
        notes.append(f"taken for closed planar: {taken} contours of the type {INTERPOLATED}")
    return closed, notes


def _draw(mask: np.ndarray, planes: list[tuple[int, list[np.ndarray]]], *, xor: bool) -> Iterator[str]:
    """Draw the contours of each plane into the mask; notes on what they are to each other."""
    repeated = united = 0
    for at, loops in planes:
        if xor:
            mask[:, :, at] |= fill_contours(loops, mask.shape[:2])
            continue
        drawn, again, overlap = draw_contours(loops, mask.shape[:2])
        mask[:, :, at] |= drawn
        repeated, united = repeated + again, united + overlap
    if repeated:
        yield f"contours that stand in the file more than once, counted once: {repeated}"
    if united:
        yield f"slices where contours overlap in part, which are united: {united}"
    if not mask.any():
        yield "the contours hold no voxel of the series"


def _by_plane(
    contours: list[Contour], series: SourceSeries, path: str, *, nearest: bool, crop: bool
) -> tuple[list[tuple[int, list[np.ndarray]]], list[str]]:
    """The slice and the index coordinates (N, 2) of the contours of each plane, and notes.

    Contours of two planes that go to one slice stay apart: neither is a hole in the other.
    """
    to_index = np.linalg.inv(series.grid.affine_lps)
    planes: dict[tuple[int, int], list[np.ndarray]] = {}
    off, beside, beyond = [], 0, 0
    for contour in contours:
        index = contour.points @ to_index[:3, :3].T + to_index[:3, 3]
        inside = (index.max(axis=0) > -0.5) & (index.min(axis=0) < np.array(series.grid.shape) - 0.5)
        if not inside.all():
            beside, beyond = beside + bool(inside[2]), beyond + 1
            continue
        plane = _plane(index[:, 2], path)
        at = min(max(math.floor(round(plane, 3) + 0.5), 0), series.grid.shape[2] - 1)
        if abs(plane - at) > ON_SLICE:
            off.append(abs(plane - at) * series.grid.spacing[2])
            # The third keeps the borders between planes away from all usual fractions of a slice
            planes.setdefault((at, math.floor(20 * plane + 1 / 3)), []).append(index[:, :2])
        else:
            _check_reference(contour, at, series, path)
            planes.setdefault((at, -1), []).append(index[:, :2])
    if off and not nearest:
        found = f"{len(off)} between slices, up to {max(off):.2f} mm off"
        option = Option("draw each on the nearest slice", "nearest", True)
        wanted, remedy = "contours on slices of the series", "Give the series that they were drawn on."
        raise GeometryError(wanted, found=found, remedy=remedy, path=path, option=option)
    if not (planes or beside or crop):
        found = f"{beyond} contours, all beyond the first or last slice"
        wanted, remedy = "slices where the contours are", "Add the missing slices."
        raise GeometryError(wanted, found=found, remedy=remedy, path=path, option=Option(CROP, "crop", True))
    notes = [f"left out: {beyond} contours beyond the volume"] if beyond else []
    notes += [f"drawn on the nearest slice: {len(off)} contours, up to {max(off):.2f} mm off"] if off else []
    return [(at, loops) for (at, _), loops in planes.items()], notes


def _plane(depths: np.ndarray, path: str) -> float:
    """The position of a contour between slices, as an index."""
    if np.ptp(depths) > 2 * ON_SLICE:
        found = f"one that runs through {np.ptp(depths):.1f} of their distances"
        remedy = "Give the series that it was drawn on; reformatted planes are another series."
        raise GeometryError("contours parallel to the slices", found=found, remedy=remedy, path=path)
    return float(depths.mean())


def _check_reference(contour: Contour, at: int, series: SourceSeries, path: str) -> None:
    named = {series.slice_indices[image] for image in contour.images if image in series.slice_indices}
    if named and at not in named:
        found = f"one that lies on slice {at} and names slice {min(named)}, both from 0"
        remedy = "Export the structure set again; position and reference contradict each other."
        raise GeometryError("contours on the slices that they name", found=found, remedy=remedy, path=path)
