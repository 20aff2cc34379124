"""Find DICOM files and images in files and folders, by names, contents and headers."""

from __future__ import annotations

import os
from collections.abc import Collection, Iterable
from pathlib import Path

from pydicom import Dataset

from pyraseg.transforms.dicom.files.content import is_dicom
from pyraseg.transforms.dicom.files.header import source_ref
from pyraseg.transforms.dicom.files.search import FOREIGN_LINK, UNLISTED, Passed, search
from pyraseg.transforms.errors import InputError, PyrasegError
from pyraseg.transforms.records import SourceRef

__all__ = ["DICOM_SUFFIXES", "dicom_files", "discover", "normalise_character_set", "source_ref"]

DICOM_SUFFIXES = frozenset({"", ".dcm", ".dicom", ".ima"})
PASSED_REMEDIES = {
    FOREIGN_LINK: "Name the file or folder that it points to as an input of its own.",
    UNLISTED: "Give yourself the right to read it.",
}


def discover(inputs: str | Path | Iterable[str | Path]) -> tuple[list[SourceRef], list[PyrasegError]]:
    """All DICOM images among files and folders, at any depth, sorted by path; an error for each left out.

    Files need no suffix. In a folder, hidden files and folders, DICOMDIR and files of another format (by
    suffix and content) are skipped. Links are not followed; one that leaves the folder is reported. Of files
    with one SOP Instance UID the first by path stays and the others are reported.

    >>> images, errors = discover(cine)
    >>> [image.modality for image in images], errors
    (['US'], [])
    """
    refs: list[SourceRef] = []
    instances: set[str] = set()
    files, passed = _files(inputs, DICOM_SUFFIXES)
    errors: list[PyrasegError] = [
        InputError("files that lie in the input folder", found=each.reason, remedy=remedy, path=each.path)
        for each in passed
        if (remedy := PASSED_REMEDIES.get(each.reason))
    ]
    for path in files:
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


def dicom_files(source: str | Path | Iterable[str | Path]) -> list[Path]:
    """The DICOM files of folders, at any depth, by content or name, and given files; each once.

    A file that has lost its content is still DICOM by its suffix.
    """
    return _files(source, DICOM_SUFFIXES - {""})[0]


def _files(
    source: str | Path | Iterable[str | Path], suffixes: Collection[str]
) -> tuple[list[Path], list[Passed]]:
    """Every file once, by its real path, as inputs may overlap."""
    files: dict[str, Path] = {}
    passed: list[Passed] = []
    for root in [Path(source)] if isinstance(source, str | Path) else map(Path, source):
        paths, others = search(root) if root.is_dir() else ([root], [])
        passed += others
        for path in paths:
            if path is root or path.suffix.lower() in suffixes or is_dicom(path):
                files.setdefault(os.path.realpath(path), path)
    return sorted(files.values()), passed


def normalise_character_set(dataset: Dataset) -> None:
    """Correct the spelling of (0008,0005) in place, "ISO-IR 100" to "ISO_IR 100", so it can be written."""
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
