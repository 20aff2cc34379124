"""What a path names: NIfTI, a picture, or a frame of DICOM, which any other file is assumed to be."""

from __future__ import annotations

import os
import re
from dataclasses import dataclass
from pathlib import Path

from pyraseg.transforms.errors import InputError
from pyraseg.transforms.records import SourceRef

__all__ = [
    "NIFTI_SUFFIXES",
    "PICTURE_SUFFIXES",
    "FramePath",
    "frame_path",
    "frame_paths",
    "frame_source",
    "is_nifti",
    "is_picture",
    "split_frame_path",
]

NIFTI_SUFFIXES = (".nii", ".nii.gz")
PICTURE_SUFFIXES = (".png", ".jpg", ".jpeg", ".bmp")
FRAGMENT = re.compile(r"(?P<path>.+)#frame_index=(?P<index>\d+)", re.DOTALL)


@dataclass(frozen=True)
class FramePath(os.PathLike[str]):
    """One frame of a file, or a whole file whatever its name looks like: what an item has for a path.

    Datalists, tables and MONAI's own transforms, which know only strings, get it as `frame_path` spells it.

    Attributes:
        frame_index: counted from 0; None for the whole file.
    """

    path: Path
    frame_index: int | None = None

    def __fspath__(self) -> str:
        return str(self.path) if self.frame_index is None else frame_path(self.path, self.frame_index)

    __str__ = __fspath__


def is_nifti(path: str | Path) -> bool:
    """Whether a file is NIfTI, by its name."""
    return str(path).lower().endswith(NIFTI_SUFFIXES)


def is_picture(path: str | Path) -> bool:
    """Whether a file is PNG, JPEG or BMP, by its name."""
    return str(path).lower().endswith(PICTURE_SUFFIXES)


def frame_path(path: str | Path, frame_index: int) -> str:
    """The path string of one frame, counted from 0; only written objects count from 1 as DICOM does.

    >>> frame_path("cine.dcm", 3)
    'cine.dcm#frame_index=3'
    """
    return f"{path}#frame_index={frame_index}"


def split_frame_path(source: str | os.PathLike[str]) -> tuple[Path, int | None]:
    """The file, and the frame's index or None for a whole file, of a `FramePath` or a string that spells one.

    An existing file of the very name that a string spells is that file.

    Raises:
        InputError: a string spells both an existing file and a frame of another.

    >>> split_frame_path("cine.dcm#frame_index=3")
    (PosixPath('cine.dcm'), 3)
    """
    if isinstance(source, FramePath):
        return source.path, source.frame_index
    match = FRAGMENT.fullmatch(str(source))
    if match is None:
        return Path(source), None
    file = Path(match["path"])
    if not os.path.lexists(source):
        return file, int(match["index"])
    if os.path.lexists(file):
        found = "a file of this name, and beside it one that has such a frame"
        remedy = "Rename the file whose name ends with #frame_index= and a number."
        raise InputError("a path that names one image", found=found, remedy=remedy, path=file)
    return Path(source), None


def frame_source(path: str | Path, frame_index: int | None) -> str | FramePath:
    """What an item has for a path: a plain string where no reader could take it for another file's frame."""
    plain = frame_index is None and not FRAGMENT.fullmatch(str(path))
    return str(path) if plain else FramePath(Path(path), frame_index)


def frame_paths(ref: SourceRef) -> list[str | FramePath]:
    """The paths of an image's frames: the file itself for a single frame, each index of a cine.

    >>> from pyraseg.transforms.dicom import source_ref
    >>> [path.frame_index for path in frame_paths(source_ref(cine))]
    [0, 1]
    """
    if ref.number_of_frames == 1:
        return [frame_source(ref.path, None)]
    return [frame_source(ref.path, index) for index in range(ref.number_of_frames)]
