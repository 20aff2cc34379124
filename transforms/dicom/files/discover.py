"""Finding DICOM files and images in files and folders, by their names, contents and headers."""

from __future__ import annotations

import os
from collections.abc import Iterable
from pathlib import Path

from pydicom import Dataset

from pyraseg.transforms.dicom.files.header import has_dicom_marker, source_ref
from pyraseg.transforms.dicom.files.search import FOREIGN_LINK, UNLISTED, search
from pyraseg.transforms.errors import InputError, PyrasegError
from pyraseg.transforms.records import SourceRef

__all__ = [
    "DICOM_SUFFIXES",
    "dicom_files",
    "discover",
    "normalise_character_set",
    "source_ref",
]

DICOM_SUFFIXES = frozenset({"", ".dcm", ".dicom", ".ima"})


def discover(inputs: str | Path | Iterable[str | Path]) -> tuple[list[SourceRef], list[PyrasegError]]:
    """All DICOM images among files and folders, at any depth, sorted by path; an error for each left out.

    Files without a suffix count. In a folder, hidden files and folders, DICOMDIR and files of another format
    (by suffix and content) are passed over; links are not followed, and one that leads out of the folder is
    reported. Of files with one SOP Instance UID the first by path stays and the others are reported.

    >>> images, errors = discover(cine)
    >>> [image.modality for image in images], errors
    (['US'], [])
    """
    roots = [Path(inputs)] if isinstance(inputs, str | Path) else [Path(root) for root in inputs]
    refs: list[SourceRef] = []
    errors: list[PyrasegError] = []
    instances: set[str] = set()
    for path in _image_files(roots, errors):
        try:
            ref = source_ref(path)
        except PyrasegError as error:
            errors.append(error)
            continue
        if ref.sop_instance_uid and ref.sop_instance_uid in instances:
            found = "a second file with the UID of an earlier one"
            remedy = "Remove the copy, or give the two objects UIDs of their own."
            errors.append(InputError("one file per SOP Instance UID", found=found, remedy=remedy, path=path))
            continue
        instances.add(ref.sop_instance_uid)
        refs.append(ref)
    return refs, sorted(errors, key=lambda error: error.path or "")


def _image_files(roots: list[Path], errors: list[PyrasegError]) -> list[Path]:
    """Every file once, though inputs may overlap: a file has one real path."""
    files: dict[str, Path] = {}
    for root in roots:
        paths, passed = search(root) if root.is_dir() else ([root], [])
        for skipped in passed:
            if skipped.reason in (FOREIGN_LINK, UNLISTED):
                wanted, remedy = "files that lie in the input folder", "Give yourself the right to read it."
                if skipped.reason == FOREIGN_LINK:
                    remedy = "Name the file or folder that it points to as an input of its own."
                errors.append(InputError(wanted, found=skipped.reason, remedy=remedy, path=skipped.path))
        for path in paths:
            if path is root or path.suffix.lower() in DICOM_SUFFIXES or has_dicom_marker(path):
                files.setdefault(os.path.realpath(path), path)
    return sorted(files.values())


def dicom_files(source: str | Path | Iterable[str | Path]) -> list[Path]:
    """The DICOM files of a folder, at any depth, by content or name, and files that are given; each once."""
    roots = [Path(source)] if isinstance(source, str | Path) else [Path(root) for root in source]
    files: dict[str, Path] = {}
    for root in roots:
        for path in search(root)[0] if root.is_dir() else [root]:
            # A file that has lost its content is still one by its name
            if path is root or has_dicom_marker(path) or path.suffix.lower() in DICOM_SUFFIXES - {""}:
                files.setdefault(os.path.realpath(path), path)
    return sorted(files.values())


def normalise_character_set(dataset: Dataset) -> None:
    """Spell (0008,0005) in place as the standard does, "ISO-IR 100" as "ISO_IR 100", so it can be written."""
    if values := dataset.get("SpecificCharacterSet"):
        terms = [values] if isinstance(values, str) else list(values)
        dataset.SpecificCharacterSet = [_defined_term(term) for term in terms]


def _defined_term(term: str) -> str:
    words = term.strip().upper().replace("-", " ").replace("_", " ").split()
    if words[:2] == ["ISO", "IR"]:
        return " ".join(["ISO_IR", *words[2:]])
    if words[:2] == ["ISO", "2022"]:
        return " ".join(["ISO 2022", *words[2:]])
    return term.strip()
