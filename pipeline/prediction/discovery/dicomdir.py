"""The files that a DICOMDIR lists (PS3.3 annex F, PS3.10 section 8)."""

from __future__ import annotations

import os
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from pydicom import dcmread

from pyraseg.transforms.dicom.files.bounded import open_bounded
from pyraseg.transforms.dicom.files.content import has_dicom_marker
from pyraseg.transforms.dicom.files.header import malformed
from pyraseg.transforms.errors import InputError

__all__ = ["Listed", "listed_files"]

TAGS = ["DirectoryRecordSequence", "RecordInUseFlag", "ReferencedFileID"]
INACTIVE = 0  # (0004,1410) Record In-use Flag; FFFF is in use
REMEDY = "Give its folder as INPUT instead; the files in it are searched then."


@dataclass
class Listed:
    """The files of a DICOMDIR in order; the File IDs, joined by slashes, without a usable file, and why."""

    files: list[Path] = field(default_factory=list)
    missing: list[tuple[str, str]] = field(default_factory=list)


def listed_files(path: Path) -> Listed:
    """The files that a DICOMDIR refers to, in its folder or below; each once.

    Names match exactly, else without case and ISO 9660's version and dot ("im0001.;1" is IM0001).

    Raises:
        InputError: it cannot be read, or lists no file.
    """
    if not has_dicom_marker(path):
        raise _broken(path, "a file without the DICM prefix")
    with _reading(path), open_bounded(path) as file:
        dataset = dcmread(file, specific_tags=list(TAGS), stop_before_pixels=True)
        ids = list(dict.fromkeys(_file_ids(dataset.get("DirectoryRecordSequence") or [])))
    if not ids:
        raise _broken(path, "one that lists no file")
    return _located(path.parent, ids)


@contextmanager
def _reading(path: Path) -> Iterator[None]:
    found = "one that is cut off or broken"
    with warnings.catch_warnings(), malformed("a readable DICOMDIR", path=path, found=found, remedy=REMEDY):
        warnings.simplefilter("ignore")  # pydicom's warnings quote values, which may be the patient's
        yield


def _broken(path: Path, found: str) -> InputError:
    return InputError("a readable DICOMDIR", found=found, remedy=REMEDY, path=path)


def _file_ids(records: Any) -> Iterator[tuple[str, ...]]:
    for record in records:
        value = record.get("ReferencedFileID")
        if value and record.get("RecordInUseFlag") != INACTIVE:
            yield (value,) if isinstance(value, str) else tuple(str(part) for part in value)


def _located(root: Path, ids: list[tuple[str, ...]]) -> Listed:
    listed, names = Listed(), dict[Path, dict[str, str]]()
    real = os.path.realpath(root)
    for parts in ids:
        path = _find(root, parts, names) if all(map(_is_component, parts)) else None
        if path is not None and Path(os.path.realpath(path)).is_relative_to(real) and os.path.isfile(path):
            listed.files.append(path)
        elif path is not None or not all(map(_is_component, parts)):
            listed.missing.append(("/".join(parts), "a reference that leads out of the DICOMDIR's folder"))
        else:
            listed.missing.append(("/".join(parts), "a reference to a file that is not there"))
    return listed


def _is_component(text: str) -> bool:
    return text not in ("", ".", "..") and not any(character in text for character in "/\\\0")


def _find(root: Path, parts: tuple[str, ...], names: dict[Path, dict[str, str]]) -> Path | None:
    path = root
    for part in parts:
        if path not in names:
            names[path] = _entries(path)
        name = part if os.path.lexists(path / part) else names[path].get(part.casefold())
        if name is None:
            return None
        path = path / name
    return path


def _entries(folder: Path) -> dict[str, str]:
    """The names in a folder by their case-folded form, without a version after ";" and a final dot."""
    try:
        names = sorted(os.listdir(folder), reverse=True)
    except OSError:
        return {}
    return {name.casefold().partition(";")[0].rstrip("."): name for name in names}
