"""Finding DICOM images in files and folders, by their headers alone."""

from __future__ import annotations

import os
from collections.abc import Iterable
from pathlib import Path

from pydicom import Dataset

from pyraseg.transforms.dicom.files.frame_path import frame_path
from pyraseg.transforms.dicom.files.header import ImageHeader, has_dicom_marker, read_header
from pyraseg.transforms.dicom.files.search import FOREIGN_LINK, UNLISTED, Passed, search
from pyraseg.transforms.errors import InputError, PyrasegError
from pyraseg.transforms.records import SourceRef

__all__ = [
    "DICOM_SUFFIXES",
    "as_source_ref",
    "discover",
    "frame_paths",
    "normalise_character_set",
    "source_ref",
]

DICOM_SUFFIXES = frozenset({"", ".dcm", ".dicom", ".ima"})


def source_ref(path: str | Path) -> SourceRef:
    """The identity of one image by its header; UIDs that the data set leaves empty come from the file meta
    group.

    Raises:
        InputError: no such file, not DICOM, or not an image.
    """
    return as_source_ref(read_header(path))


def as_source_ref(header: ImageHeader) -> SourceRef:
    """The identity that a header holds."""
    return SourceRef(
        path=str(header.path),
        sop_instance_uid=header.sop_instance_uid,
        sop_class_uid=header.sop_class_uid,
        series_instance_uid=header.series_instance_uid,
        modality=header.modality,
        transfer_syntax_uid=str(header.transfer_syntax),
        number_of_frames=header.number_of_frames,
        rows=header.rows,
        columns=header.columns,
        study_instance_uid=header.study_instance_uid,
    )


def frame_paths(ref: SourceRef) -> list[str]:
    """The path strings of an image's frames: the file itself where it has one, each frame by its index in a
    cine."""
    if ref.number_of_frames == 1:
        return [ref.path]
    return [frame_path(ref.path, index) for index in range(ref.number_of_frames)]


def discover(inputs: str | Path | Iterable[str | Path]) -> tuple[list[SourceRef], list[PyrasegError]]:
    """All DICOM images among files and folders, at any depth, sorted by path; and an error for each file left
    out.

    Files without a suffix count. In a folder, hidden files and folders, DICOMDIR and files of another format
    (by suffix and content) are passed over; links are not followed, and one that leads out of the folder is
    reported. Of files with one SOP Instance UID the first by path stays and the others are reported.
    """
    roots = [Path(inputs)] if isinstance(inputs, str | Path) else [Path(root) for root in inputs]
    refs: list[SourceRef] = []
    errors: list[PyrasegError] = []
    instances: set[str] = set()
    for path in _sorted_files(roots, errors):
        try:
            ref = source_ref(path)
        except PyrasegError as error:
            errors.append(error)
            continue
        if ref.sop_instance_uid and ref.sop_instance_uid in instances:
            errors.append(_duplicate(path))
            continue
        instances.add(ref.sop_instance_uid)
        refs.append(ref)
    return refs, sorted(errors, key=lambda error: error.path or "")


def normalise_character_set(dataset: Dataset) -> None:
    """Spell (0008,0005) as the standard does, "ISO-IR 100" as "ISO_IR 100", in place, so that it can be
    written."""
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


def _sorted_files(roots: list[Path], errors: list[PyrasegError]) -> list[Path]:
    """Every file once, though inputs may overlap: a file has one real path."""
    found: dict[str, Path] = {}
    for root in roots:
        files, passed = search(root) if root.is_dir() else ([root], [])
        errors += [_refusal(item) for item in passed if item.reason in (FOREIGN_LINK, UNLISTED)]
        for path in files:
            if path is root or _may_be_dicom(path):
                found.setdefault(os.path.realpath(path), path)
    return sorted(found.values())


def _may_be_dicom(path: Path) -> bool:
    return path.suffix.lower() in DICOM_SUFFIXES or has_dicom_marker(path)


def _duplicate(path: Path) -> InputError:
    return InputError(
        "one file per SOP Instance UID",
        found="a second file with the UID of an earlier one",
        remedy="Remove the copy, or give the two objects UIDs of their own.",
        path=path,
    )


def _refusal(passed: Passed) -> InputError:
    remedy = "Name the file or folder that it points to as an input of its own."
    if passed.reason == UNLISTED:
        remedy = "Give yourself the right to read it."
    return InputError(
        "files that lie in the input folder", found=passed.reason, remedy=remedy, path=passed.path
    )
