"""What a path string names: NIfTI, a picture, or a frame of DICOM, which any other file is assumed to be."""

from __future__ import annotations

import re
from pathlib import Path

from pyraseg.transforms.records import SourceRef

__all__ = [
    "NIFTI_SUFFIXES",
    "PICTURE_SUFFIXES",
    "frame_path",
    "frame_paths",
    "is_nifti",
    "is_picture",
    "split_frame_path",
]

NIFTI_SUFFIXES = (".nii", ".nii.gz")
PICTURE_SUFFIXES = (".png", ".jpg", ".jpeg", ".bmp")
FRAGMENT = re.compile(r"(?P<path>.+)#frame_index=(?P<index>\d+)", re.DOTALL)


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


def split_frame_path(text: str | Path) -> tuple[Path, int | None]:
    """Undo `frame_path`: the file, and the frame's index or None for a whole file.

    >>> split_frame_path("cine.dcm#frame_index=3")
    (PosixPath('cine.dcm'), 3)
    """
    match = FRAGMENT.fullmatch(str(text))
    return (Path(match["path"]), int(match["index"])) if match else (Path(text), None)


def frame_paths(ref: SourceRef) -> list[str]:
    """The path strings of an image's frames: the file itself for a single frame, each index of a cine.

    >>> from pyraseg.transforms.dicom import source_ref
    >>> [path.rpartition("#")[2] for path in frame_paths(source_ref(cine))]
    ['frame_index=0', 'frame_index=1']
    """
    if ref.number_of_frames == 1:
        return [ref.path]
    return [frame_path(ref.path, index) for index in range(ref.number_of_frames)]
