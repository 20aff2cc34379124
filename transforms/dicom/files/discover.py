"""Find DICOM files and images in files and folders, by names, contents and headers."""

from __future__ import annotations

import os
from collections import defaultdict
from collections.abc import Collection, Iterable
from pathlib import Path

from pydicom import Dataset

from pyraseg.transforms.dicom.copies import part_copies
from pyraseg.transforms.dicom.files.content import is_dicom
from pyraseg.transforms.dicom.files.header import source_ref
from pyraseg.transforms.dicom.files.search import PASSED_REMEDIES, Passed, search
from pyraseg.transforms.errors import InputError, PyrasegError, item_error
from pyraseg.transforms.records import SourceRef

__all__ = [
    "DICOM_SUFFIXES",
    "discover",
    "files_and_passed",
    "normalise_character_set",
    "source_ref",
]

DICOM_SUFFIXES = frozenset({"", ".dcm", ".dicom", ".ima"})


def discover(inputs: str | Path | Iterable[str | Path]) -> tuple[list[SourceRef], list[PyrasegError]]:
    """All DICOM images among files and folders, at any depth, sorted by path; an error for each left out.

    Files need no suffix. In a folder, hidden files and folders, DICOMDIR and files of another format (by
    suffix and content) are skipped. Links are not followed; one that leaves the folder is reported. Of files
    that hold one image under one SOP Instance UID (`part_copies`) the first by path stays; where its pixels
    differ, none of them does.

    >>> images, errors = discover(cine)
    >>> [image.modality for image in images], errors
    (['US'], [])
    """
    files, passed = _files(inputs, DICOM_SUFFIXES)
    errors: list[PyrasegError] = [
        InputError("files that lie in the input folder", found=each.reason, remedy=remedy, path=each.path)
        for each in passed
        if (remedy := PASSED_REMEDIES.get(each.reason))
    ]
    groups: dict[tuple[str, Path | None], list[SourceRef]] = defaultdict(list)
    for path in files:
        try:
            ref = source_ref(path)
        except Exception as error:  # one file's fault costs that file alone, whatever it is
            refused = item_error(error)
            errors.append(refused if refused.path else refused.restated(path=path))
            continue
        groups[ref.sop_instance_uid, None if ref.sop_instance_uid else path].append(ref)
    refs: list[SourceRef] = []
    parted = part_copies([[Path(ref.path) for ref in group] for group in groups.values()])
    for group, images in zip(groups.values(), parted, strict=True):
        if isinstance(images, PyrasegError):
            errors += [images.restated(path=ref.path) for ref in group]
            continue
        copies = [path for _, *again in images for path in again]
        errors += [_double("the image of an earlier file again", "Remove it.", path) for path in copies]
        if len(images) == 1:
            refs.append(group[0])
        else:
            found = "different images under one UID"
            remedy = "Keep the right one, or give each a UID of its own."
            errors += [_double(found, remedy, path) for path, *_ in images]
    return sorted(refs, key=lambda ref: ref.path), sorted(errors, key=lambda error: error.path or "")


def _double(found: str, remedy: str, path: Path) -> InputError:
    return InputError("one file per SOP Instance UID", found=found, remedy=remedy, path=path)


def files_and_passed(source: str | Path | Iterable[str | Path]) -> tuple[list[Path], list[Passed]]:
    """The DICOM files of folders, at any depth, by content or name, and given files, each once; and what the
    search of folders skipped. A file that has lost its content is still DICOM by its suffix."""
    return _files(source, DICOM_SUFFIXES - {""})


def _files(
    source: str | Path | Iterable[str | Path], suffixes: Collection[str]
) -> tuple[list[Path], list[Passed]]:
    """Every file once, by its real path, as inputs may overlap."""
    files: dict[str, Path] = {}
    passed: list[Passed] = []
    for root in [Path(source)] if isinstance(source, str | Path) else map(Path, source):
        paths, others = search(root)
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
