"""The unit that a split keeps together: a patient, a study, a folder."""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from pathlib import Path, PurePosixPath

from pyraseg.pipeline.datalist.items import Collection
from pyraseg.pipeline.datalist.notes import alike_names
from pyraseg.pipeline.datalist.sources.headers import stem
from pyraseg.transforms.dicom.files.header import parse_file
from pyraseg.transforms.dicom.files.search import search
from pyraseg.transforms.errors import DatalistError, InputError
from pyraseg.transforms.privacy import case_name

__all__ = ["GROUP_FROM", "Grouping", "group_name"]

GROUP_FROM = ("parent", "patient_id", "file", "stem")


def group_name(text: str) -> str:
    """A keyed hash of a folder name, table value or PatientID, because groups may identify."""
    return "g" + case_name(f"group:{text}")[1:]


@dataclass(frozen=True)
class Grouping:
    """The rule for an image's group: a regular expression on its path, or one of ``GROUP_FROM``.

    Attributes:
        pattern: searched in the image's relative path; its group "group", its first, or the whole match
            counts.
        source: "parent" (the image's folder), "patient_id" (DICOM (0010,0020), always hashed), "file" (each
            image is a group) or "stem" (the name without ending: ``ct/P1.nii.gz`` and ``mr/P1.nii.gz`` are
            one).
    """

    pattern: str | None = None
    source: str | None = None

    def apply(self, collected: Collection) -> Collection:
        """Give each entry its group; leave out entries without one, with the reason.

        Raises:
            DatalistError: neither or both are given, or the pattern is no regular expression.
        """
        if (self.pattern is None) == (self.source is None) or self.source not in (None, *GROUP_FROM):
            raise DatalistError(
                "one way to tell which images belong to one patient",
                found="none" if self.pattern is self.source is None else "several, or an unknown one",
                remedy=f"Give --group-pattern REGEX, or --group-from with one of {', '.join(GROUP_FROM)}.",
            )
        try:
            re.compile(self.pattern or "")
        except re.error as error:
            remedy = r"For example 'images/(\w+)_\d+' for images/g391_0001.jpg."
            wanted = "a regular expression for the group"
            raise DatalistError(wanted, found=str(error), remedy=remedy) from error
        images = dict.fromkeys(entry.image for entry in collected.entries)
        names = {image: self._group(image, collected.root) for image in images}
        shown = group_name if self.source == "patient_id" else str  # hashed before anything can print it
        groups = {image: name and shown(name) for image, name in names.items()}
        entries = (replace(entry, group=groups[entry.image]) for entry in collected.entries)
        pattern = "the group's pattern does not match its path"
        reason = "no PatientID that can be read" if self.source == "patient_id" else pattern
        without = tuple((image, reason) for image, group in groups.items() if not group)
        kept = tuple(entry for entry in entries if entry.group)
        alike = tuple(tuple(map(shown, same)) for same in alike_names(filter(None, names.values())))
        return Collection(collected.root, kept, collected.left_out + without, alike)

    def _group(self, image: str, root: Path) -> str:
        if self.pattern is not None:
            return _matched(re.search(self.pattern, image))
        if self.source == "parent":
            return PurePosixPath(image).parent.as_posix()
        if self.source == "stem":
            return stem(image)
        return image if self.source == "file" else _patient(root / image)


def _matched(match: re.Match[str] | None) -> str:
    if match is None:
        return ""
    if "group" in match.groupdict():
        return match["group"] or ""
    return match[1] or "" if match.groups() else match[0]


def _patient(path: Path) -> str:
    """PatientID; for a folder that of its first file with one."""
    return next(filter(None, map(_patient_of_file, search(path)[0])), "")


def _patient_of_file(path: Path) -> str:
    try:
        identity = parse_file(path, tags=["PatientID"]).text("PatientID")
    except InputError:
        return ""
    return identity.strip()
