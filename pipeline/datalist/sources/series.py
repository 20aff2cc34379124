"""DICOM series and what was drawn on them, anywhere below a folder, matched by their references."""

from __future__ import annotations

import os
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from pyraseg.pipeline.datalist.groups import Grouping
from pyraseg.pipeline.datalist.items import Collection, Entry
from pyraseg.transforms.errors import DatalistError, PyrasegError

if TYPE_CHECKING:
    from pyraseg.transforms.dicom.labels.drawn_labels import DrawnLabels

__all__ = ["LABEL_KINDS", "MODALITIES", "SeriesSource"]

MODALITIES = ("ct", "mr", "pet")
LABEL_KINDS = ("seg", "rtstruct")
PATIENT = Grouping(source="patient_id")


@dataclass(frozen=True)
class _Image:
    """One series: its Series Instance UID, its folder or only file, its instances and its frame of
    reference."""

    uid: str
    place: Path
    modality: str
    instances: frozenset[str]
    frame_of_reference: str


@dataclass(frozen=True)
class _File:
    """One file of a series."""

    path: Path
    series: str
    modality: str
    instance: str
    frame_of_reference: str
    several_frames: bool


@dataclass(frozen=True)
class SeriesSource:
    """CT, MR and PET series, a folder each, with the SEG or RTSTRUCT that refers to each.

    Attributes:
        folder: searched at any depth.
        grouping: what the split keeps together; the Patient ID, hashed, by default.
        modality: "ct", "mr" or "pet" to take only these series.
        label_kind: "seg" or "rtstruct" to take only these labels.
        dataset_dir: the folder that the datalist's paths are relative to, itself or above; ``folder`` where
            None.
    """

    folder: str | Path
    grouping: Grouping = PATIENT
    modality: str | None = None
    label_kind: str | None = None
    dataset_dir: str | Path | None = None

    def collect(self) -> Collection:
        """Raises DatalistError: the folder is missing or outside ``dataset_dir``, or it holds no pair."""
        folder = Path(os.path.abspath(self.folder))
        root = folder if self.dataset_dir is None else Path(os.path.abspath(self.dataset_dir))
        if not folder.is_dir() or not folder.is_relative_to(root):
            found, remedy = (
                "none" if not folder.is_dir() else "one outside",
                "Check --series and --dataset_dir.",
            )
            raise DatalistError(
                "a folder of DICOM series in the data set's", found=found, remedy=remedy, path=folder
            )
        left_out: list[tuple[Path, str]] = []
        files, labels = self._read(folder, left_out)
        images = _images(files, left_out)
        pairs = _pairs(images, labels, left_out, modalities=_dicom_modality(self.modality))
        if not pairs:
            raise DatalistError(
                "series with a SEG or RTSTRUCT that refers to them",
                found=f"{len(images)} series and {len(labels)} labels, none that are asked for and belong together",
                remedy="Check the folder, --modality and --label-kind.",
                path=folder,
            )
        entries = tuple(Entry(_posix(image, root), _posix(label, root)) for image, label in sorted(pairs))
        reasons = tuple((_posix(path, root), reason) for path, reason in sorted(left_out))
        return self.grouping.apply(Collection(root, entries, reasons))

    def _read(
        self, folder: Path, left_out: list[tuple[Path, str]]
    ) -> tuple[list[_File], list[tuple[Path, DrawnLabels]]]:
        """The headers of the series' files, and the labels; other objects are passed over."""
        from pyraseg.transforms.dicom.files.discover import dicom_files

        files: list[_File] = []
        labels: list[tuple[Path, DrawnLabels]] = []
        for path in dicom_files(folder):
            try:
                found = _read_file(path, self.label_kind)
            except PyrasegError as error:
                left_out.append((path, f"wanted {error.wanted}, found {error.found}"))
                continue
            if isinstance(found, _File):
                files.append(found)
            elif found is not None:
                labels.append((path, found))
        return files, labels


def _dicom_modality(name: str | None) -> tuple[str, ...]:
    """The values of Modality (0008,0060) that are asked for."""
    known = dict(zip(MODALITIES, ("CT", "MR", "PT"), strict=True))
    return tuple(known.values()) if name is None else (known[name],)


def _read_file(path: Path, label_kind: str | None) -> _File | DrawnLabels | None:
    """A file of a series or a label; None for what is neither, or not asked for."""
    from pydicom.uid import RTStructureSetStorage

    from pyraseg.transforms.dicom.files.header import parse_file
    from pyraseg.transforms.dicom.labels.drawn_labels import LABEL_CLASSES, read_drawn_labels
    from pyraseg.transforms.dicom.series.find import is_slice
    from pyraseg.transforms.dicom.series.planes import VOLUME_TAGS

    parsed = parse_file(path, tags=VOLUME_TAGS)
    kind = parsed.text("SOPClassUID", "MediaStorageSOPClassUID")
    if kind in LABEL_CLASSES:
        mine = label_kind in (None, "rtstruct" if kind == RTStructureSetStorage else "seg")
        return read_drawn_labels(path) if mine else None
    if not is_slice(parsed):
        return None
    return _File(
        path,
        parsed.text("SeriesInstanceUID") or f"in {path.parent}",
        parsed.text("Modality"),
        parsed.text("SOPInstanceUID", "MediaStorageSOPInstanceUID"),
        parsed.text("FrameOfReferenceUID"),
        several_frames=parsed.text("NumberOfFrames") not in ("", "1"),
    )


def _images(files: Sequence[_File], left_out: list[tuple[Path, str]]) -> list[_Image]:
    """The series that a path can name: alone in a folder, or one multi-frame file."""
    groups: dict[str, list[_File]] = defaultdict(list)
    owners: dict[Path, set[str]] = defaultdict(set)
    for file in files:
        groups[file.series].append(file)
        for folder in file.path.parents:
            owners[folder].add(file.series)
    images = []
    for uid, members in groups.items():
        folder = Path(os.path.commonpath([member.path.parent for member in members]))
        alone = len(owners[folder]) == 1
        if not alone and not (len(members) == 1 and members[0].several_frames):
            reason = f"a folder of {len(owners[folder])} series: give each a folder of its own"
            left_out.append((members[0].path, reason))
            continue
        instances = frozenset(member.instance for member in members) - {""}
        place = folder if alone else members[0].path
        images.append(_Image(uid, place, members[0].modality, instances, members[0].frame_of_reference))
    return images


def _pairs(
    images: Sequence[_Image],
    labels: Iterable[tuple[Path, DrawnLabels]],
    left_out: list[tuple[Path, str]],
    *,
    modalities: Sequence[str],
) -> list[tuple[Path, Path]]:
    """Image and label of these modalities, one to one; what is ambiguous is left out."""
    drawn_on: dict[Path, list[Path]] = {image.place: [] for image in images if image.modality in modalities}
    for path, label in labels:
        homes = [image for image in images if _refers(label, image)]
        if len(homes) == 1:
            drawn_on.get(homes[0].place, []).append(path)
        else:
            left_out.append(
                (path, f"refers to {len(homes)} series" if homes else "refers to no series that is here")
            )
    for image, paths in drawn_on.items():
        if not paths:
            left_out.append((image, "no SEG or RTSTRUCT that refers to it"))
        elif len(paths) > 1:
            left_out.append(
                (image, f"{len(paths)} labels that refer to it: choose with --label-kind or a table")
            )
    return [(image, paths[0]) for image, paths in drawn_on.items() if len(paths) == 1]


def _refers(label: DrawnLabels, image: _Image) -> bool:
    """As `check_belongs`: by series or instances, where several are listed by those of its images; else by
    the frame of reference."""
    if not label.series and not label.images:
        return image.frame_of_reference in label.frames_of_reference - {""}
    homes = {uid: instances for uid, instances in label.series.items() if instances & label.images}
    homes = homes or dict(label.series)
    named = label.images.union(*homes.values())
    return image.uid in set(homes) - {""} or bool(named & image.instances)


def _posix(path: Path, root: Path) -> str:
    return path.relative_to(root).as_posix()
