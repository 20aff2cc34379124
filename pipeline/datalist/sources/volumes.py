"""The volumes among files: NIfTI, and DICOM series that a path can name, each checked by its headers."""

from __future__ import annotations

import os
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from pyraseg.pipeline.datalist.sources.headers import is_nifti, is_raster
from pyraseg.transforms.errors import InputError, PyrasegError

__all__ = ["volume_places"]

NO_VOLUME = "no slice of CT, MR or PET"


@dataclass(frozen=True)
class _Slice:
    """One file of a series, told by its Series Instance UID, else by its folder."""

    path: Path
    series: str


def volume_places(files: Iterable[Path], left_out: dict[Path, str]) -> dict[Path, str]:
    """Find what `LoadVolume` takes: NIfTI files, folders of one series, and files that are a series by
    themselves.

    Args:
        files: sorted.
        left_out: gets every file that is no volume, and the first of each series that makes none, with the
            reason.

    Returns:
        The path of each volume by its first file.
    """
    from pyraseg.transforms.dicom.files.search import is_dicomdir_name

    slices: list[_Slice] = []
    places: dict[Path, str] = {}
    for file in (each for each in files if not is_dicomdir_name(each.name)):
        try:
            if is_nifti(file):
                _check_nifti(file)
                places[file] = str(file)
            elif (found := _slice(file)) is not None:
                slices.append(found)
            else:
                left_out[file] = NO_VOLUME
        except PyrasegError as error:
            left_out[file] = _reason(error)
    return places | _series_places(slices, left_out)


def _reason(error: PyrasegError) -> str:
    return f"{error.found}, wanted {error.wanted}"


def _check_nifti(file: Path) -> None:
    from pyraseg.transforms.io.nifti_volumes import check_nifti_volume

    check_nifti_volume(file)


def _slice(file: Path) -> _Slice | None:
    """The file's series; None where it is no plane of a volume: another object, or a localizer.

    Raises:
        InputError: it is no DICOM, or broken.
    """
    from pyraseg.transforms.dicom.files.header import parse_file
    from pyraseg.transforms.dicom.series.find import is_slice
    from pyraseg.transforms.dicom.series.planes import VOLUME_TAGS

    if is_raster(file):
        return None
    parsed = parse_file(file, tags=VOLUME_TAGS)
    if not is_slice(parsed):
        return None
    return _Slice(file, parsed.text("SeriesInstanceUID") or f"in {file.parent}")


def _series_places(slices: Sequence[_Slice], left_out: dict[Path, str]) -> dict[Path, str]:
    members: dict[str, list[Path]] = defaultdict(list)
    owners: dict[Path, set[str]] = defaultdict(set)
    for each in slices:
        members[each.series].append(each.path)
        for folder in each.path.parents:
            owners[folder].add(each.series)
    places = {}
    for paths in members.values():
        folder = Path(os.path.commonpath([path.parent for path in paths]))
        try:
            places[paths[0]] = _checked(paths[0] if len(paths) == 1 else folder, series=len(owners[folder]))
        except PyrasegError as error:
            left_out[paths[0]] = _reason(error)
    return places


def _checked(place: Path, *, series: int) -> str:
    """The path, once all headers have been read as they will be for the volume.

    Raises:
        PyrasegError: the series makes no volume, or its folder holds others.
    """
    from pyraseg.transforms.dicom.series.find import find_series, the_series
    from pyraseg.transforms.dicom.series.volume import read_source_series

    if place.is_dir() and series > 1:
        found, remedy = f"a folder of {series} series", "Give each series a folder of its own."
        raise InputError("a folder of one series", found=found, remedy=remedy, path=place)
    read_source_series(the_series(find_series(place)))
    return str(place)
