"""Regions of interest of an RT Structure Set as masks and label maps on the grid of their series."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np

from pyraseg.transforms.dicom.labels.contours import fill_contours, on_lattice
from pyraseg.transforms.dicom.labels.overlaps import check_classes, overlap_notes, put
from pyraseg.transforms.dicom.labels.rtstruct import Contour, Roi, StructureSet
from pyraseg.transforms.dicom.series.source_series import ON_SLICE, SourceSeries, check_belongs
from pyraseg.transforms.errors import GeometryError, InputError, LabelError

__all__ = ["RoiMask", "choose_roi", "roi_label_map", "roi_mask"]

FILLED = {"CLOSED_PLANAR", "CLOSEDPLANAR_XOR"}
CONTOUR_TYPES = FILLED | {"POINT", "OPEN_PLANAR", "OPEN_NONPLANAR"}


@dataclass(frozen=True)
class RoiMask:
    """A region of interest on a grid.

    Attributes:
        roi: the region as drawn.
        mask: (columns, rows, slices) bool.
        notes: what was left out or moved; they identify nobody.
    """

    roi: Roi
    mask: np.ndarray = field(repr=False, compare=False)
    notes: tuple[str, ...] = ()


def choose_roi(structures: StructureSet, roi: str | int | None = None) -> Roi:
    """The region with that number (ROI Number) or name; without either, the only one with contours.

    Names are compared without regard to case and surrounding space. Errors list candidates by number, because
    names may be a person's.

    Raises:
        LabelError: none has that number or name, or several have.
    """
    drawn = [each for each in structures.rois if each.contours]
    if roi is None:
        wanted, rois = "one region of interest", drawn
    elif isinstance(roi, int):
        wanted, rois = f"region of interest {roi}", [each for each in structures.rois if each.number == roi]
    else:
        wanted = "one region of interest of the given name"
        rois = [each for each in structures.rois if each.name.casefold() == roi.strip().casefold()]
    if len(rois) != 1:
        numbers, choices = (", ".join(str(each.number) for each in listed) for listed in (rois, drawn))
        found = f"{len(rois)} such" + (f" (numbers {numbers})" if rois else "")
        remedy = f"Choose one by its ROI Number; with contours there are: {choices or 'none'}."
        raise LabelError(wanted, found=found, remedy=remedy, path=structures.path)
    return rois[0]


def roi_mask(structures: StructureSet, series: SourceSeries, *, roi: str | int | None = None) -> RoiMask:
    """The mask of one region on the grid of the series that it was drawn on.

    Every contour fills its slice by the rule of `fill_contours`: a voxel belongs to the region if its centre
    is inside an odd number of that slice's contours, which makes holes, or on the path of one. Nothing is
    interpolated between slices. A repeated contour counts once. Points, and closed contours of less than
    three points, are left out with a note.

    Args:
        roi: number or name, as `choose_roi`.

    Raises:
        LabelError: as `choose_roi`.
        InputError: the region has no closed contours, or open ones among them.
        GeometryError: it was drawn on another series, in another frame of reference, on planes that are not
            parallel to the slices, between slices, or beyond them.
    """
    chosen = choose_roi(structures, roi)
    check_belongs(
        series,
        wanted="a structure set of this series",
        frame_of_reference_uid=chosen.frame_of_reference_uid,
        listed=structures.series,
        images={uid for contour in chosen.contours for uid, _ in contour.images if uid},
        path=structures.path,
    )
    closed, notes = _closed(chosen, structures.path)
    slices = _by_slice(closed, series, structures.path)
    mask = series.grid_array(bool)
    repeated = 0
    for index, loops in slices.items():
        # Without repetition: two equal contours would cancel each other
        unique = list({_canonical(loop): loop for loop in reversed(loops)}.values())
        repeated += len(loops) - len(unique)
        mask[:, :, index] = fill_contours(unique, series.grid.shape[:2])
    if repeated:
        notes.append(f"contours that stand in the file more than once, counted once: {repeated}")
    if not mask.any():
        notes.append("the contours hold no voxel of the series")
    return RoiMask(chosen, mask, tuple(notes))


def roi_label_map(
    structures: StructureSet, series: SourceSeries, rois: Mapping[str | int, int], *, overlap: str = "refuse"
) -> tuple[np.ndarray, tuple[str, ...]]:
    """A label map (columns, rows, slices) uint8 of several regions, and the notes on them.

    Args:
        rois: from a region's number or name to its class.
        overlap: "refuse" regions that overlap, or let the "last" one in the order of ``rois`` count.

    Raises:
        ConfigError: another ``overlap``.
        LabelError: a class beyond 1 to 255, regions of different classes that overlap, or as `choose_roi`.
        InputError, GeometryError: as `roi_mask`.
    """
    check_classes(rois, overlap)
    labels, notes = series.grid_array(np.uint8), []
    shared = 0
    for key, value in rois.items():
        one = roi_mask(structures, series, roi=key)
        shared += put(labels, one.mask, value)
        notes += [f"region {one.roi.number}: {note}" for note in one.notes]
    return labels, (*notes, *overlap_notes(shared, overlap, path=structures.path))


def _closed(roi: Roi, path: str) -> tuple[list[Contour], list[str]]:
    kinds = Counter(contour.kind for contour in roi.contours)
    others = [kind for kind in kinds if kind not in FILLED | {"POINT"}]
    closed = [contour for contour in roi.contours if contour.kind in FILLED and len(contour.points) > 2]
    small = sum(kinds[kind] for kind in FILLED) - len(closed)
    if others or not closed:
        # The file's types; only those that DICOM knows are shown
        names = [kind if kind in CONTOUR_TYPES else "other" for kind in kinds]
        parts = [f"{count} {name}" for name, count in zip(names, kinds.values(), strict=True)]
        parts += [f"{small} of them with less than three points"] if small else []
        remedy = "Draw the region, or leave the case out."
        if others:
            remedy = "Close them in the program that drew them, or choose another region."
        wanted = f"closed planar contours in region of interest {roi.number}"
        raise InputError(wanted, found=", ".join(parts) or "no contours at all", remedy=remedy, path=path)
    if any(contour.shifted for contour in closed):
        found, remedy = "contours with an offset (3006,0045)", "Export them without a slab offset."
        raise GeometryError("contours where they are drawn", found=found, remedy=remedy, path=path)
    left = {"points": kinds["POINT"], "closed contours of less than three points": small}
    return closed, [f"left out: {count} {what}" for what, count in left.items() if count]


def _by_slice(contours: list[Contour], series: SourceSeries, path: str) -> dict[int, list[np.ndarray]]:
    """The contours' index coordinates (N, 2) by slice."""
    to_index = np.linalg.inv(series.grid.affine_lps)
    slices: dict[int, list[np.ndarray]] = {}
    beyond, between = 0, []
    for contour in contours:
        index = contour.points @ to_index[:3, :3].T + to_index[:3, 3]
        plane = _plane(index[:, 2], path)
        at = round(plane)
        if not 0 <= at < series.grid.shape[2]:
            beyond += 1
            continue
        if abs(plane - at) > ON_SLICE:
            between.append(abs(plane - at) * series.grid.spacing[2])
        else:
            _check_reference(contour, at, series, path)
        slices.setdefault(at, []).append(index[:, :2])
    if between:
        found = f"{len(between)} between slices, up to {max(between):.2f} mm off"
        remedy = "Give the series that they were drawn on."
        raise GeometryError("contours on slices of the series", found=found, remedy=remedy, path=path)
    if beyond:
        found = f"{beyond} contours beyond the first or last slice"
        raise GeometryError(
            "slices where the contours are", found=found, remedy="Add the missing slices.", path=path
        )
    return slices


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


def _canonical(loop: np.ndarray) -> bytes:
    """A form that is equal for every start and direction of a contour's points."""
    points = on_lattice(loop)
    smallest = points[np.lexsort(points.T)[0]]
    starts = np.flatnonzero((points == smallest).all(axis=1))  # a keyhole passes some vertices twice
    turned = [np.roll(points, -start, axis=0) for start in starts]
    return min(each.tobytes() for one in turned for each in (one, np.roll(one[::-1], 1, axis=0)))
