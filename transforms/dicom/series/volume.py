"""A CT, MR or PET series as a volume: HU, SUVbw or MR intensities, and where they lie in the patient."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass

import numpy as np

from pyraseg.transforms.dicom.series.find import Series
from pyraseg.transforms.dicom.series.plane_pixels import check_planes, stored_planes
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

    >>> from pyraseg.transforms.io.volumes import read_volume
    >>> volume = read_volume(series)
    >>> isinstance(volume, Volume), volume.modality, volume.affine.shape
    (True, 'CT', (4, 4))
    """

    array: np.ndarray
    unit: str
    modality: str
    source: SourceSeries

    @property
    def grid(self) -> VolumeGrid:
        """Where the voxels lie."""
        return self.source.grid

    @property
    def affine(self) -> np.ndarray:
        """(4, 4), from index to RAS+ mm."""
        return self.grid.affine


def read_series(
    series: Series,
    *,
    stack: int | None = None,
    repair: Collection[str] = (),
    assume_hu: bool = False,
    workers: int | None = None,
) -> Volume:
    """Read one of the series that `find_series` gives.

    Slices are ordered by their position along the normal. Nothing is interpolated.

    Args:
        stack: of a series of several stacks (orientations, time points, echoes) the one to read, from 1.
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

    >>> from pyraseg.transforms.dicom import find_series, the_series
    >>> volume = read_series(the_series(find_series(series)))
    >>> volume.array.shape, volume.unit, volume.grid.spacing
    ((8, 6, 5), 'HU', (0.75, 1.5, 2.5))
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
        GeometryError, InputError, ConfigError: whatever `read_series` refuses but undecodable pixels.

    >>> from pyraseg.transforms.dicom import find_series, the_series
    >>> len(read_source_series(the_series(find_series(series))).slices)
    5
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
    refs = {plane.image.path: plane.image.source_ref for plane in planes}
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
    if number is None:
        wanted = "slices of one size, orientation, time point and kind"
        found = f"{len(stacks)} stacks: {described(stacks)}"
        remedy = "Choose one by its number, for example stack=1, or export them apart."
    else:
        wanted, found = "the number of a stack", str(number)
        remedy = f"Choose one by its number, from stack=1 to stack={len(stacks)}: {described(stacks)}."
    raise GeometryError(wanted, found=found, remedy=remedy)


def _without_copies(planes: Sequence[PlaneHeader]) -> list[PlaneHeader]:
    kept = []
    for group in copies(planes):
        frames = list(stored_planes(group, workers=1)) if len(group) > 1 else []
        meanings = {(plane.slope, plane.intercept, plane.rescale_type, plane.mappings) for plane in group}
        if len(meanings) > 1 or any(not np.array_equal(frames[0], frame) for frame in frames[1:]):
            found = "different slices at one place"
            remedy = "Export the scans of the series apart, or remove one of the two."
            path = group[1].image.path
            raise GeometryError("copies that are equal", found=found, remedy=remedy, path=path)
        kept.append(group[0])
    return kept


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
    shape = slices, rows, columns
    try:
        array = np.empty(shape, np.int16 if whole else np.float32)
    except MemoryError:
        found, remedy = " x ".join(map(str, shape)), "Read a part of the series."
        path = planes[0].image.path
        raise InputError("a volume that fits into memory", found=found, remedy=remedy, path=path) from None
    for index, stored in enumerate(stored_planes(planes, workers=workers)):
        line = lines[index]
        if array.dtype == np.int16 and not _within(line, stored):
            array = array.astype(np.float32)
        line.apply(stored, array[index])
    return array.transpose(2, 1, 0)


def _within(line: Line, stored: np.ndarray) -> bool:
    ends = [int(value) * line.slope + line.intercept for value in (stored.min(), stored.max())]
    return bool(min(ends) >= INT16.min and max(ends) <= INT16.max)
