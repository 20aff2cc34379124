"""Finding the images to predict: a file, a whole folder tree, or a glob. Every frame of a cine is an item,
and every
volume: a series of CT, MR or PET, or a NIfTI file.
"""

from __future__ import annotations

import glob
import os
from dataclasses import dataclass
from pathlib import Path

from pyraseg.pipeline.datalist.items import Item
from pyraseg.pipeline.datalist.sources.folders import walk
from pyraseg.pipeline.datalist.sources.headers import is_nifti, is_raster, read_grid
from pyraseg.pipeline.datalist.sources.volumes import volume_places
from pyraseg.transforms.errors import ConfigError, DatalistError, InputError
from pyraseg.transforms.privacy import case_name

__all__ = ["FoundImages", "find_images"]

WANTED = {"frame": "DICOM, NIfTI, PNG or JPEG images", "volume": "CT, MR or PET series or NIfTI volumes"}


@dataclass(frozen=True)
class FoundImages:
    """Items with ``image`` (absolute) and ``case``, and (relative path, reason) of what is no image."""

    items: tuple[Item, ...]
    left_out: tuple[tuple[str, str], ...]


def find_images(place: str | Path, *, kind: str = "frame") -> FoundImages:
    """Find what a bundle takes, sorted by path.

    Args:
        place: a file, a folder, or a glob ("cases/**/*.dcm").
        kind: "frame": ultrasound DICOM (whatever its suffix), NIfTI, PNG, JPEG, BMP and TIFF. "volume":
            series of CT, MR and PET, each alone in a folder or in one file, and NIfTI.

    Raises:
        ConfigError: another kind.
        DatalistError: nothing is there, or nothing of it is an image; ``path`` is the place.
    """
    if kind not in WANTED:
        raise ConfigError('"frame" or "volume"', found=repr(kind), remedy="Correct the preprocessing's kind.")
    root, files = _files(place)
    left_out = {file: "a link that leads out of the folder" for file in files if _leads_out(file, root)}
    candidates = [file for file in files if file not in left_out]
    if kind == "volume":
        images = {file: [path] for file, path in volume_places(candidates, left_out).items()}
    else:
        images = _frames(candidates, left_out)
    items = [_item(text, root) for file in files for text in images.get(file, ())]
    if not items:
        raise DatalistError(
            WANTED[kind],
            found=f"{len(files)} files and no image among them" if files else "nothing",
            remedy="Check the path.",
            path=place,
        )
    named = ((file.relative_to(root).as_posix(), reason) for file, reason in left_out.items())
    return FoundImages(tuple(items), tuple(sorted(named)))


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
    """The folder before the first wildcard: the same file keeps its case name whichever files match beside
    it."""
    parts = path.parts
    first = next(number for number, part in enumerate(parts) if glob.has_magic(part))
    return Path(*parts[:first])


def _leads_out(file: Path, root: Path) -> bool:
    return file.is_symlink() and not file.resolve().is_relative_to(root.resolve())


def _frames(files: list[Path], left_out: dict[Path, str]) -> dict[Path, list[str]]:
    pictures = [file for file in files if is_nifti(file) or is_raster(file)]
    images = {file: [str(file)] for file in pictures if not _refused(file, left_out)}
    return images | _dicom([file for file in files if file not in pictures], left_out)


def _refused(file: Path, left_out: dict[Path, str]) -> bool:
    try:
        read_grid(file)
    except InputError as error:
        left_out[file] = error.found
    return file in left_out


def _dicom(files: list[Path], left_out: dict[Path, str]) -> dict[Path, list[str]]:
    """The frames of each DICOM picture; copies of one object, CT, MR or PET and what is not DICOM are left
    out."""
    from pyraseg.transforms.dicom.files.discover import discover
    from pyraseg.transforms.dicom.pixels.checks import check_display_valued
    from pyraseg.transforms.io.paths import frame_paths

    refs, errors = discover(files)
    frames: dict[Path, list[str]] = {}
    for ref in refs:
        try:
            check_display_valued(ref)
            frames[Path(ref.path)] = frame_paths(ref)
        except InputError as error:
            errors.append(error)
    left_out.update({Path(error.path): error.found for error in errors if error.path})
    return frames


def _item(text: str, root: Path) -> Item:
    path = Path(text)
    name = (
        path.name if path == root else path.relative_to(root).as_posix()
    )  # a place may be one series' folder
    return {"image": text, "case": case_name(name)}
