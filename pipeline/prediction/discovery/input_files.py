"""From INPUTs to files, each once, with a unique name relative to its INPUT."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from pyraseg.pipeline.prediction.discovery.dicomdir import listed_files
from pyraseg.pipeline.prediction.discovery.stored import Stored
from pyraseg.pipeline.writers.tables.item_records import Failure, LeftOut
from pyraseg.transforms.dicom.files.objects import is_dicomdir
from pyraseg.transforms.dicom.files.search import FOREIGN_LINK, PASSED_REMEDIES, walk
from pyraseg.transforms.errors import InputError
from pyraseg.transforms.privacy import case_name

__all__ = ["InputFile", "InputFiles", "find_input_files"]


BY_FILE = "file:"


@dataclass(frozen=True)
class InputFile:
    """A file of an INPUT.

    Attributes:
        name: POSIX path relative to its INPUT; preceded by the INPUT's name where there are several.
        asked: whether an INPUT or a DICOMDIR names the file itself, so that it must be DICOM.
    """

    path: Path
    name: str
    asked: bool = False

    def case(self, uid: str) -> str:
        """The hashed name of the case that ``uid`` names, or this file where it has none.

        Header bytes may be anything: what begins like the name of a file is no UID.
        """
        return case_name(uid if uid and not uid.startswith(BY_FILE) else f"{BY_FILE}{self.name}")


@dataclass(frozen=True)
class InputFiles:
    """The files of all INPUTs, sorted by name; what the search skipped; what could not be searched."""

    files: Stored[InputFile]
    left_out: tuple[LeftOut, ...]
    failures: tuple[Failure, ...]


def find_input_files(inputs: Sequence[Path], *, without: Sequence[Path] = ()) -> InputFiles:
    """Search INPUTs: files, folders (see `pyraseg.transforms.dicom.files.search`) and DICOMDIRs.

    Folders ``without`` are not searched, since results of an earlier run may lie among the INPUTs. A file in
    several INPUTs counts once, with the first. Files and DICOMDIRs are named relative to their folder.

    Raises:
        InputError: an INPUT does not exist.
    """
    for path in inputs:
        if not os.path.exists(path):
            wanted, found = "a file or a folder", "nothing of that name"
            raise InputError(wanted, found=found, remedy="Check the INPUT.", path=path)
    roots = [path if os.path.isdir(path) else path.parent for path in inputs]
    prefixes = _prefixes(roots)
    files, seen = Stored[InputFile](), set[str]()
    left_out: dict[str, LeftOut] = {}
    failures: dict[str, Failure] = {}
    for path, root in zip(inputs, roots, strict=True):
        prefix = prefixes[os.path.realpath(root)]
        for entry in _entries(path, root, prefix, {os.path.realpath(folder) for folder in without}):
            if isinstance(entry, InputFile):
                if len(inputs) > 1 or entry.asked:  # links are not followed: a folder has no file twice
                    real = os.path.realpath(entry.path)
                    if real in seen:
                        continue
                    seen.add(real)
                files.add(entry.name, entry)
            elif isinstance(entry, LeftOut):
                left_out.setdefault(entry.file, entry)
            else:
                failures.setdefault(entry.file, entry)
    return InputFiles(files, tuple(left_out.values()), tuple(failures.values()))


def _prefixes(roots: Sequence[Path]) -> dict[str, str]:
    """A prefix for each folder: none for a single folder, else its name, numbered where the name is taken."""
    real = list(dict.fromkeys(os.path.realpath(root) for root in roots))
    if len(real) < 2:
        return dict.fromkeys(real, "")
    prefixes: dict[str, str] = {}
    for folder in real:
        name = candidate = os.path.basename(folder) or "root"
        number = 1
        while f"{candidate}/" in prefixes.values():
            number += 1
            candidate = f"{name}-{number}"
        prefixes[folder] = f"{candidate}/"
    return prefixes


def _entries(
    path: Path, root: Path, prefix: str, without: set[str]
) -> Iterator[InputFile | LeftOut | Failure]:
    if os.path.isdir(path):
        for item in walk(path, without=without):
            if isinstance(item, Path):
                yield InputFile(item, _relative(item, root, prefix))
                continue
            name = _relative(item.path, root, prefix)
            if item.reason in PASSED_REMEDIES and item.reason != FOREIGN_LINK:
                yield Failure(name, item.reason, PASSED_REMEDIES[item.reason])
            else:
                yield LeftOut(name, item.reason)
    elif os.path.isfile(path) and is_dicomdir(path):
        yield from _listed(path, prefix)
    elif os.path.isfile(path):
        yield InputFile(path, f"{prefix}{path.name}", asked=True)
    else:
        yield Failure(f"{prefix}{path.name}", "no regular file", "Give a DICOM file, a folder or a DICOMDIR.")


def _listed(path: Path, prefix: str) -> Iterator[InputFile | Failure]:
    try:
        listed = listed_files(path)
    except InputError as error:
        yield Failure(f"{prefix}{path.name}", error.found, error.remedy)
        return
    for file in listed.files:
        yield InputFile(file, _relative(file, path.parent, prefix), asked=True)
    remedy = "Copy the medium again, whole, or give its folder as INPUT."
    yield from (Failure(f"{prefix}{name}", reason, remedy) for name, reason in listed.missing)


def _relative(path: Path, root: Path, prefix: str) -> str:
    return prefix + (path.relative_to(root).as_posix() if path != root else path.name)
