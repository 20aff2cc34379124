"""A CT, MR or PET series as a volume: HU, SUVbw or MR intensities, and where they lie in the patient."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass

import numpy as np

from pyraseg.transforms.dicom.files.discover import as_source_ref
from pyraseg.transforms.dicom.pixels.plane_pixels import check_planes, stored_planes
from pyraseg.transforms.dicom.series.find import Series
from pyraseg.transforms.dicom.series.planes import PlaneHeader
from pyraseg.transforms.dicom.series.rescale import Line, ct_lines, mr_lines, pet_lines
from pyraseg.transforms.dicom.series.source_series import SourceSeries
from pyraseg.transforms.dicom.series.stacks import REPAIRS, Stack, arrange, copies, described, split_stacks
from pyraseg.transforms.dicom.series.suv import SUV_UNIT
from pyraseg.transforms.errors import ConfigError, GeometryError, InputError
from pyraseg.transforms.geometry.grid import VolumeGrid

__all__ = ["Volume", "read_series", "read_source_series"]

INT16 = np.iinfo(np.int16)


@dataclass(frozen=True, eq=False)
class Volume:
    """A volume and its place.

    Attributes:
        array: (x, y, z) = (column, row, slice); int16 for CT and MR whose values are whole and fit, else
            float32.
        unit: "HU", "g/ml{SUVbw}", empty for MR, or the UCUM unit of MR's real world value mapping.
        modality: "CT", "MR" or "PT".
        source: the grid of the voxels, and the file and frame of each slice in the order of z.
    """

    array: np.ndarray
    unit: str
    modality: str
    source: SourceSeries

    @property
    def grid(self) -> VolumeGrid:
        """Where the voxels lie."""
        return self.source.grid


def read_series(
    series: Series,
    *,
    stack: int | None = None,
    repair: Collection[str] = (),
    assume_hu: bool = False,
    workers: int | None = None,
) -> Volume:
    """Read a series that `pyraseg.transforms.dicom.series.find.find_series` found.

    Slices are ordered by their position along the normal. Nothing is interpolated.

    Args:
        stack: of a series of several stacks (orientations, time points, echoes) the one to read, counted from
            1.
        repair: what may be mended: "copies" drops slices equal to another at their place, "longest_run" keeps
            the longest run of evenly spaced slices, "single_slice" takes the thickness of a single slice for
            its spacing.
        assume_hu: take a CT's values for HU although its Rescale Type does not say so.
        workers: how many threads or processes decode; all cores by default.

    Raises:
        GeometryError: the series is no single stack of evenly spaced slices; the message lists what it is.
        InputError: a slice cannot be decoded, or its values cannot be told; for PET the message names the
            attribute.
        ConfigError: an unknown repair.
    """
    planes, lines, source = _arranged(series, stack, repair, assume_hu=assume_hu)
    array = _values(planes, lines, source.grid, workers=workers)
    return Volume(array, lines[0].unit, series.modality, source)


def read_source_series(
    series: Series, *, stack: int | None = None, repair: Collection[str] = (), assume_hu: bool = False
) -> SourceSeries:
    """The grid and the files of a series, by its headers alone: no pixel is decoded.

    Args:
        stack, repair, assume_hu: as `read_series`; with "copies" the pixels of copies are compared.

    Raises:
        GeometryError, InputError, ConfigError: whatever `read_series` refuses but pixels that cannot be
            decoded.
    """
    return _arranged(series, stack, repair, assume_hu=assume_hu)[2]


def _arranged(
    series: Series, stack: int | None, repair: Collection[str], *, assume_hu: bool
) -> tuple[tuple[PlaneHeader, ...], list[Line], SourceSeries]:
    """The slices in their order, what their values mean, and where they lie."""
    _check_repairs(repair)
    chosen = _chosen(split_stacks(series.planes), stack)
    check_planes(chosen.planes)
    if "copies" in repair:
        chosen = Stack(tuple(_without_copies(chosen.planes)), chosen.label)
    planes, grid = arrange(chosen, repair=repair)
    lines = _lines(series, planes, assume_hu=assume_hu)
    refs = {plane.image.path: as_source_ref(plane.image) for plane in planes}
    frames = tuple(plane.frame_index for plane in planes) if len(refs) < len(planes) else ()
    slices = tuple(refs[plane.image.path] for plane in planes)
    return planes, lines, SourceSeries(grid, series.frame_of_reference_uid, slices, frames)


def _check_repairs(repair: Collection[str]) -> None:
    names = {repair} if isinstance(repair, str) else set(repair)
    if isinstance(repair, str) or not names <= REPAIRS:
        raise ConfigError(
            f"a list of repairs among {', '.join(sorted(REPAIRS))}",
            found="something else",
            remedy='Write them as a list, for example repair=["copies"].',
        )


def _chosen(stacks: Sequence[Stack], number: int | None) -> Stack:
    if number is not None and 1 <= number <= len(stacks):
        return stacks[number - 1]
    if len(stacks) == 1 and number is None:
        return stacks[0]
    raise GeometryError(
        "slices of one size, orientation, time point and kind" if number is None else "the number of a stack",
        found=f"{len(stacks)} stacks: {described(stacks)}" if number is None else str(number),
        remedy=f"Choose one by its number, from stack=1 to stack={len(stacks)}: {described(stacks)}."
        if number is not None
        else "Choose one by its number, for example stack=1, or export them apart.",
    )


def _without_copies(planes: Sequence[PlaneHeader]) -> list[PlaneHeader]:
    kept = []
    for group in copies(planes):
        frames = list(stored_planes(group, workers=1)) if len(group) > 1 else []
        if (
            any(not np.array_equal(frames[0], frame) for frame in frames[1:])
            or len(set(map(_meaning, group))) > 1
        ):
            raise GeometryError(
                "copies that are equal",
                found="different slices at one place",
                remedy="Export the scans of the series apart, or remove one of the two.",
                path=group[1].image.path,
            )
        kept.append(group[0])
    return kept


def _meaning(plane: PlaneHeader) -> tuple[object, ...]:
    return plane.slope, plane.intercept, plane.rescale_type, plane.mappings


def _lines(series: Series, planes: tuple[PlaneHeader, ...], *, assume_hu: bool) -> list[Line]:
    if series.modality == "CT":
        return ct_lines(planes, assume_hu=assume_hu)
    if series.modality == "MR":
        return mr_lines(planes)
    if series.pet is None:
        raise series.pet_problem or InputError("a PET series", found="another", remedy="Check the series.")
    return pet_lines(planes, series.pet)


def _values(
    planes: Sequence[PlaneHeader], lines: Sequence[Line], grid: VolumeGrid, *, workers: int | None
) -> np.ndarray:
    """(x, y, z). Pages of the array are taken as slices arrive, so a header that lies takes no memory."""
    columns, rows, slices = grid.shape
    whole = all(line.fits(np.int16) and line.unit != SUV_UNIT for line in lines)
    array = _empty((slices, rows, columns), np.int16 if whole else np.float32, planes[0])
    for index, stored in enumerate(stored_planes(planes, workers=workers)):
        line = lines[index]
        if array.dtype == np.int16 and not _within(line, stored):
            array = array.astype(np.float32)
        line.apply(stored, array[index])
    return array.transpose(2, 1, 0)


def _within(line: Line, stored: np.ndarray) -> bool:
    ends = [int(value) * line.slope + line.intercept for value in (stored.min(), stored.max())]
    return bool(min(ends) >= INT16.min and max(ends) <= INT16.max)


def _empty(shape: tuple[int, int, int], dtype: type, plane: PlaneHeader) -> np.ndarray:
    try:
        return np.empty(shape, dtype)
    except MemoryError:
        wanted, found = "a volume that fits into memory", " x ".join(map(str, shape))
        raise InputError(
            wanted, found=found, remedy="Read a part of the series.", path=plane.image.path
        ) from None
