"""Read a CT, MR or PET series as a volume: HU, SUVbw or MR intensities, and their grid in the patient."""

from __future__ import annotations

import multiprocessing
import os
from collections import defaultdict
from collections.abc import Collection, Iterable, Iterator, Sequence
from concurrent.futures import Future, ProcessPoolExecutor, ThreadPoolExecutor
from dataclasses import dataclass
from functools import lru_cache
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np

from pyraseg.transforms.dicom.files.header import ImageHeader
from pyraseg.transforms.dicom.files.values import readable
from pyraseg.transforms.dicom.pixels.codecs import decode_grey
from pyraseg.transforms.dicom.pixels.decode import FrameDecoder
from pyraseg.transforms.dicom.series.find import Series, find_series, the_series
from pyraseg.transforms.dicom.series.pet_facts import private_value
from pyraseg.transforms.dicom.series.planes import PlaneHeader
from pyraseg.transforms.dicom.series.rescale import Line, ct_lines, mr_lines, pet_lines
from pyraseg.transforms.dicom.series.source_series import SourceSeries
from pyraseg.transforms.dicom.series.stacks import Stack, arrange, copies, described, split_stacks
from pyraseg.transforms.dicom.series.suv import SUV_UNIT, warn_of_mean
from pyraseg.transforms.errors import GeometryError, InputError, Option
from pyraseg.transforms.geometry.grid import VolumeGrid
from pyraseg.transforms.io.limits import check_volume
from pyraseg.transforms.io.reading_options import ReadingOptions

__all__ = ["Volume", "check_planes", "read_series", "read_source_series", "source_series_of", "stored_planes"]

INT16 = np.iinfo(np.int16)
LARGEST = float(np.finfo(np.float32).max)
MOSAIC = ("SIEMENS MR HEADER", 0x0019, 0x0A)  # Number of Images In Mosaic
AHEAD = 4  # planes for each worker that are decoded ahead
WORTH_PROCESSES = 2**23  # pixels of compressed data, about a second; starting processes takes as long


@dataclass(frozen=True, eq=False)
class Volume:
    """A volume and its grid.

    Attributes:
        array: (x, y, z) = (column, row, slice); int16 for CT and MR where its values fit, else float32.
        unit: "HU", "g/ml{SUVbw}", empty for MR, or the UCUM unit of MR's real world value mapping.
        modality: "CT", "MR" or "PT".
        source: the grid, and the file and frame of each slice in the order of z.

    >>> from pyraseg.transforms.io.volumes import read_volume
    >>> volume = read_volume(series)
    >>> volume.modality, volume.unit, volume.affine.shape
    ('CT', 'HU', (4, 4))
    """

    array: np.ndarray
    unit: str
    modality: str
    source: SourceSeries

    @property
    def grid(self) -> VolumeGrid:
        """The grid of the voxels."""
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
    """Read one of the series from `find_series`.

    Slices are ordered by their position along the normal. Nothing is interpolated.

    Args:
        stack, repair, assume_hu: see `ReadingOptions`.
        workers: how many threads or processes decode; all cores by default.

    Raises:
        GeometryError: the series is no single stack of evenly spaced slices; the message describes it.
        InputError: a slice cannot be decoded, or its values have no known meaning.
        ConfigError: as `ReadingOptions`.

    >>> from pyraseg.transforms.dicom import find_series, the_series
    >>> volume = read_series(the_series(find_series(series)))
    >>> volume.array.shape, volume.unit, volume.grid.spacing
    ((8, 6, 5), 'HU', (0.75, 1.5, 2.5))
    """
    options = ReadingOptions(stack=stack, repair=repair, assume_hu=assume_hu)
    planes, lines, source = _arranged(series, options)
    array = _values(planes, lines, source.grid, workers=workers)
    if lines[0].unit == SUV_UNIT:
        warn_of_mean(array)
    return Volume(array, lines[0].unit, series.modality, source)


def read_source_series(
    series: Series, *, stack: int | None = None, repair: Collection[str] = (), assume_hu: bool = False
) -> SourceSeries:
    """The grid and the files of a series, from its headers.

    Args:
        stack, repair, assume_hu: as `read_series`; of slices at one place the pixels are compared.

    Raises:
        GeometryError, InputError, ConfigError: as `read_series`, except for undecodable pixels.

    >>> from pyraseg.transforms.dicom import find_series, the_series
    >>> len(read_source_series(the_series(find_series(series))).slices)
    5
    """
    return _arranged(series, ReadingOptions(stack=stack, repair=repair, assume_hu=assume_hu))[2]


def source_series_of(path: str | Path, reading: ReadingOptions) -> SourceSeries:
    """The grid and the files of the one series at a path, or of the one that ``reading`` chooses there.

    Raises:
        GeometryError, InputError: as `find_series`, `the_series` and `read_source_series`.
    """
    return _arranged(the_series(find_series(path), number=reading.series), reading)[2]


def _arranged(
    series: Series, options: ReadingOptions
) -> tuple[tuple[PlaneHeader, ...], list[Line], SourceSeries]:
    """The slices in order, the lines of their values, and their grid."""
    _check_no_mosaic(series.planes)
    chosen = _chosen(split_stacks(_each_once(series.planes)), options.stack)
    check_planes(chosen.planes)
    drop = "copies" in options.repair
    chosen = Stack(tuple(_without_copies(chosen.planes, drop=drop)), chosen.label)
    planes, grid = arrange(chosen, repair=options.repair)
    check_volume(grid.shape, grid.spacing, path=planes[0].image.path)
    lines = _lines(series, planes, assume_hu=options.assume_hu)
    refs = {plane.image.path: plane.image.source_ref for plane in planes}
    frames = tuple(plane.frame_index for plane in planes) if len(refs) < len(planes) else ()
    slices = tuple(refs[plane.image.path] for plane in planes)
    return planes, lines, SourceSeries(grid, series.frame_of_reference_uid, slices, frames)


def _chosen(stacks: Sequence[Stack], number: int | None) -> Stack:
    if number is not None and number <= len(stacks):
        return stacks[number - 1]
    if number is not None:
        wanted = f"the number of a stack, of {len(stacks)}"
        raise GeometryError(
            wanted, found=str(number), remedy=f"Choose one that is there: {described(stacks)}."
        )
    if len(stacks) == 1:
        return stacks[0]
    raise GeometryError(
        "slices of one size, orientation, time point and kind",
        found=f"{len(stacks)} stacks: {described(stacks)}",
        remedy="Export them apart.",
        option=Option("choose one by its number", "stack", 1),
    )


def _check_no_mosaic(planes: Sequence[PlaneHeader]) -> None:
    """Refuse Siemens' mosaics, which are no slices though they state a place and a spacing."""
    first = planes[0]
    path, lone = first.image.path, len(planes) == 1 and first.image.modality == "MR"
    if any("MOSAIC" in plane.image_type for plane in planes) or (lone and private_value(path, *MOSAIC)):
        found = "a Siemens mosaic: a picture of all slices side by side"
        remedy = "Take it apart first, with dcm2niix, and give the NIfTI."
        raise GeometryError("an image for each slice", found=found, remedy=remedy, path=path)


def _each_once(planes: Sequence[PlaneHeader]) -> list[PlaneHeader]:
    """The planes without those that repeat an image by its UID, in another encoding or not.

    Raises:
        GeometryError: the files under one UID differ in pixels, place or meaning.
    """
    groups: dict[tuple[str, int], list[PlaneHeader]] = defaultdict(list)
    for number, plane in enumerate(planes):
        uid = plane.image.sop_instance_uid
        groups[(uid, plane.frame_index) if uid else ("", number)].append(plane)
    for group in groups.values():
        if len(group) > 1 and not _equal(group, placed=True):
            raise GeometryError(
                "one image under each SOP Instance UID",
                found="files under the same one whose pixels, places or meanings differ",
                remedy="Remove the wrong ones, or give each a SOP Instance UID of its own.",
                path=group[1].image.path,
            )
    return [group[0] for group in groups.values()]


def _equal(group: Sequence[PlaneHeader], *, placed: bool) -> bool:
    """Whether planes have the same pixels with the same meaning and, if asked, the same place."""
    check_planes(group)
    first, *others = group
    if any(_meaning(plane) != _meaning(first) for plane in others):
        return False
    if placed and any(_place(plane) != _place(first) for plane in others):
        return False
    frames = stored_planes(group, workers=1)
    one = next(frames)
    return all(np.array_equal(one, frame) for frame in frames)


def _meaning(plane: PlaneHeader) -> tuple[object, ...]:
    return plane.slope, plane.intercept, plane.rescale_type, plane.padding, plane.mappings


def _place(plane: PlaneHeader) -> tuple[object, ...]:
    return plane.position, plane.orientation, plane.pixel_spacing


def _without_copies(planes: Sequence[PlaneHeader], *, drop: bool) -> list[PlaneHeader]:
    """The planes, without those equal to another at their place if they are to be dropped."""
    kept: list[PlaneHeader] = []
    for group in copies(planes):
        if len(group) > 1 and not _equal(group, placed=False):
            found = "different slices at one place, which no attribute that is known here tells apart"
            remedy = "Export the scans of the series apart, or remove one of the two."
            path = group[1].image.path
            raise GeometryError("one slice at each place", found=found, remedy=remedy, path=path)
        kept += group[:1] if drop else group
    return kept


def _lines(series: Series, planes: tuple[PlaneHeader, ...], *, assume_hu: bool) -> list[Line]:
    types = {plane.rescale_type for plane in planes} - {""}
    if len(types) > 1:
        found, remedy = f"{len(types)} of them", "Export the slices of each kind apart."
        raise InputError("slices of one Rescale Type (0028,1054)", found=found, remedy=remedy)
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
    """(x, y, z). Memory of the array is used as slices arrive, so a wrong header takes none."""
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
        ends = [int(value) * line.slope + line.intercept for value in (stored.min(), stored.max())]
        if not max(map(abs, ends)) <= LARGEST:
            wanted, found = "values of single precision", f"{ends[0]:g} to {ends[1]:g}"
            remedy = "Correct Rescale Slope and Intercept, and export the series again."
            raise InputError(wanted, found=found, remedy=remedy, path=planes[index].image.path)
        if array.dtype == np.int16 and not INT16.min <= min(ends) <= max(ends) <= INT16.max:
            array = array.astype(np.float32)
        line.apply(stored, array[index])
    return array.transpose(2, 1, 0)


def check_planes(planes: Iterable[PlaneHeader]) -> None:
    """Refuse what the headers show to be undecodable or no grey volume, before memory is allocated.

    Raises:
        InputError: colour, an unknown transfer syntax, or pixel data shorter than the header says.
    """
    for image in {plane.image.path: plane.image for plane in planes}.values():
        with readable("the file as it was found", path=image.path, found="none"), image.opened():
            pass
        FrameDecoder(image)
        if not image.photometric.startswith("MONOCHROME"):
            found = "colour or a palette, as screen shots and fused images have it"
            raise InputError("grey slices", found=found, remedy="Leave them out.", path=image.path)


def stored_planes(planes: Sequence[PlaneHeader], *, workers: int | None = None) -> Iterator[np.ndarray]:
    """Stored values (rows, columns) of each plane in order, at most 16 bits.

    Threads read uncompressed planes. Decoders of compressed ones hold the interpreter's lock, so processes
    decode large series, except in a data loader's process.

    Args:
        workers: how many; all cores by default.

    Raises:
        InputError: a plane cannot be decoded.
    """
    workers = workers or len(os.sched_getaffinity(0))
    compressed = any(plane.image.transfer_syntax.is_encapsulated for plane in planes)
    pixels = sum(plane.image.rows * plane.image.columns for plane in planes)
    if compressed and (pixels < WORTH_PROCESSES or multiprocessing.current_process().daemon):
        workers = 1
    if workers == 1 or len(planes) < 2 * workers:
        yield from map(_stored, planes)
    elif compressed:
        with ProcessPoolExecutor(workers, mp_context=multiprocessing.get_context("fork")) as pool:
            yield from _in_order(pool, planes, ahead=AHEAD * workers)
    else:
        with ThreadPoolExecutor(workers) as threads:
            yield from _in_order(threads, planes, ahead=AHEAD * workers)


def _in_order(pool: Any, planes: Sequence[PlaneHeader], *, ahead: int) -> Iterator[np.ndarray]:
    """Like `Executor.map`, with few results waiting."""
    rest = iter(planes)
    waiting: list[Future[np.ndarray]] = [pool.submit(_stored, plane) for plane in islice(rest, ahead)]
    try:
        while waiting:
            yield waiting.pop(0).result()
            waiting += [pool.submit(_stored, plane) for plane in islice(rest, 1)]
    finally:
        for future in waiting:
            future.cancel()


def _stored(plane: PlaneHeader) -> np.ndarray:
    image = plane.image
    if image.transfer_syntax.is_encapsulated:
        return _decoder(image).stored(plane.frame_index)
    with readable("decodable pixel data", path=image.path, found="none", remedy="Export the file again."):
        return decode_grey(image, plane.frame_index)


@lru_cache(maxsize=4)
def _decoder(image: ImageHeader) -> FrameDecoder:
    """The decoder, kept for further frames, which are located once."""
    return FrameDecoder(image)
