"""Finding the images to predict: a file, a whole folder tree, or a glob; every frame of a cine is an item."""

from __future__ import annotations

import glob
import os
from dataclasses import dataclass
from pathlib import Path

from pipeline.datalist.folders import walk
from pipeline.datalist.headers import is_nifti, is_raster, read_grid
from pipeline.datalist.records import Item
from transforms.dicom.paths import frame_path
from transforms.errors import DatalistError, InputError
from transforms.privacy import case_name

__all__ = ["FoundImages", "find_images", "inference_items"]


@dataclass(frozen=True)
class FoundImages:
    """Items with ``image`` (absolute) and ``case``, and (relative path, reason) of what is no image."""

    items: tuple[Item, ...]
    left_out: tuple[tuple[str, str], ...]


def inference_items(dataset_dir: str | Path) -> list[Item]:
    """The items of ``find_images``, as a list for a MONAI dataset.

    Raises:
        DatalistError: no image there.
    """
    return [dict(item) for item in find_images(dataset_dir).items]


def find_images(place: str | Path) -> FoundImages:
    """Find DICOM (whatever its suffix), NIfTI, PNG, JPEG, BMP and TIFF images, sorted by path.

    Args:
        place: a file, a folder, or a glob ("cases/**/*.dcm").

    Raises:
        DatalistError: nothing is there, or nothing of it is an image; ``path`` is the place.
    """
    root, files = _files(place)
    items: list[Item] = []
    left_out: list[tuple[str, str]] = []
    for file in files:
        name = file.relative_to(root).as_posix()
        try:
            items += _items(file, name)
        except InputError as error:
            left_out.append((name, error.found))
    if not items:
        raise DatalistError(
            "DICOM, NIfTI, PNG or JPEG images",
            found=f"{len(files)} files and no image among them" if files else "nothing",
            remedy="Check the path.",
            path=place,
        )
    return FoundImages(tuple(items), tuple(left_out))


def _files(place: str | Path) -> tuple[Path, list[Path]]:
    """The folder that names are relative to, and the files."""
    path = Path(os.path.abspath(place))
    if path.is_dir():
        return path, walk(path)
    if path.is_file():
        return path.parent, [path]
    if not glob.has_magic(str(place)):
        return path, []
    matches = sorted(Path(match) for match in glob.glob(str(path), recursive=True))
    files = sorted({file for match in matches for file in (walk(match) if match.is_dir() else [match])})
    return _fixed_part(path), files


def _fixed_part(path: Path) -> Path:
    """The folder before the first wildcard: the same file keeps its case name whichever files match beside it."""
    parts = path.parts
    first = next(number for number, part in enumerate(parts) if glob.has_magic(part))
    return Path(*parts[:first])


def _items(file: Path, name: str) -> list[Item]:
    grid = read_grid(file)
    if is_nifti(file) or is_raster(file) or grid.depth == 1:
        return [{"image": str(file), "case": case_name(name)}]
    return [
        {"image": frame_path(file, index), "case": case_name(frame_path(name, index))} for index in range(grid.depth)
    ]
