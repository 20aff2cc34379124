"""CT, MR and PET series among files, and the labels that refer to them."""

from __future__ import annotations

import os
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from pydicom.uid import RTStructureSetStorage

from pyraseg.pipeline.datalist.groups import Grouping
from pyraseg.pipeline.datalist.items import Collection, Entry
from pyraseg.transforms.dicom.files.discover import files_and_passed
from pyraseg.transforms.dicom.files.header import ParsedFile, parse_file
from pyraseg.transforms.dicom.files.objects import passed_over, volume_modality
from pyraseg.transforms.dicom.files.search import PASSED_REMEDIES
from pyraseg.transforms.dicom.labels.drawn_labels import LABEL_CLASSES, DrawnLabels, read_drawn_labels
from pyraseg.transforms.dicom.series.find import is_slice
from pyraseg.transforms.dicom.series.planes import VOLUME_TAGS
from pyraseg.transforms.errors import DatalistError, item_error

__all__ = ["LABEL_KINDS", "MODALITIES", "PATIENT", "SeriesFile", "SeriesSource", "by_series", "series_file"]

MODALITIES = {"ct": "CT", "mr": "MR", "pet": "PT"}  # Modality (0008,0060)
LABEL_KINDS = ("seg", "rtstruct")
PATIENT = Grouping(source="patient_id")


@dataclass(frozen=True)
class SeriesFile:
    """One file of a series, identified by its Series Instance UID, else by its folder."""

    path: Path
    series: str
    modality: str
    instance: str
    frame_of_reference: str
    several_frames: bool


def series_file(parsed: ParsedFile) -> SeriesFile | None:
    """The file of a CT, MR or PET series; None for other objects and localizers."""
    if not is_slice(parsed):
        return None
    return SeriesFile(
        parsed.path,
        parsed.text("SeriesInstanceUID") or f"in {parsed.path.parent}",
        volume_modality(parsed.sop_class_uid, parsed.text("Modality")),
        parsed.sop_instance_uid,
        parsed.text("FrameOfReferenceUID"),
        several_frames=parsed.text("NumberOfFrames") not in ("", "1"),
    )


def by_series(files: Iterable[SeriesFile]) -> Iterator[tuple[list[SeriesFile], Path, int]]:
    """The files of each series, the deepest folder that holds them, and the number of series below it."""
    groups: dict[str, list[SeriesFile]] = defaultdict(list)
    owners: dict[Path, set[str]] = defaultdict(set)
    for file in files:
        groups[file.series].append(file)
        for folder in file.path.parents:
            owners[folder].add(file.series)
    for members in groups.values():
        folder = Path(os.path.commonpath([member.path.parent for member in members]))
        yield members, folder, len(owners[folder])


@dataclass(frozen=True)
class _Image:
    """A series that a path can name: alone in a folder, or one multi-frame file."""

    uid: str
    path: Path
    modality: str
    instances: frozenset[str]
    frame_of_reference: str


@dataclass(frozen=True)
class SeriesSource:
    """CT, MR and PET series, one per folder, each with the SEG or RTSTRUCT that refers to it.

    Attributes:
        folder: searched at any depth.
        grouping: the unit of the split; the Patient ID, hashed, by default.
        modality: "ct", "mr" or "pet" to take only these series.
        label_kind: "seg" or "rtstruct" to take only these labels.
        dataset_dir: the folder of the datalist's relative paths, ``folder`` or above it; None for ``folder``.
    """

    folder: str | Path
    grouping: Grouping = PATIENT
    modality: str | None = None
    label_kind: str | None = None
    dataset_dir: str | Path | None = None

    def collect(self) -> Collection:
        """Match series and labels, and group them.

        Raises:
            DatalistError: the folder is missing or outside ``dataset_dir``, or it holds no pair.
        """
        folder = Path(os.path.abspath(self.folder))
        root = folder if self.dataset_dir is None else Path(os.path.abspath(self.dataset_dir))
        if not folder.is_dir() or not folder.is_relative_to(root):
            wanted, remedy = "a folder of DICOM series in the data set's", "Check --series and --dataset_dir."
            found = "none" if not folder.is_dir() else "one outside"
            raise DatalistError(wanted, found=found, remedy=remedy, path=folder)
        left_out: list[tuple[Path, str]] = []
        passed = Counter[str]()
        files, labels = self._read(folder, left_out, passed)
        images = _images(files, left_out)
        asked = MODALITIES.values() if self.modality is None else (MODALITIES[self.modality],)
        pairs = _pairs([image for image in images if image.modality in asked], labels, left_out, images)
        if not pairs:
            wanted = "series with a SEG or RTSTRUCT that refers to them"
            remedy = "Check the folder, --modality and --label-kind."
            found = f"{len(images)} series and {len(labels)} labels, none asked for that belong together"
            passed.update(reason for _, reason in left_out)
            if not images and passed:
                found += "; passed over: " + "; ".join(
                    f"{n} x {reason}" for reason, n in passed.most_common()
                )
            raise DatalistError(wanted, found=found, remedy=remedy, path=folder)
        entries = tuple(Entry(_posix(image, root), _posix(label, root)) for image, label in sorted(pairs))
        reasons = tuple((_posix(path, root), reason) for path, reason in sorted(left_out))
        return self.grouping.apply(Collection(root, entries, reasons))

    def _read(
        self, folder: Path, left_out: list[tuple[Path, str]], passed: Counter[str]
    ) -> tuple[list[SeriesFile], list[tuple[Path, DrawnLabels]]]:
        """The files of series and the requested labels; other objects are counted by reason."""
        files: list[SeriesFile] = []
        labels: list[tuple[Path, DrawnLabels]] = []
        paths, skipped = files_and_passed(folder)
        left_out += [(each.path, each.reason) for each in skipped if each.reason in PASSED_REMEDIES]
        for path in paths:
            try:
                parsed = parse_file(path, tags=VOLUME_TAGS)
                kind = parsed.sop_class_uid
                if kind in LABEL_CLASSES:
                    if self.label_kind in (None, "rtstruct" if kind == RTStructureSetStorage else "seg"):
                        labels.append((path, read_drawn_labels(path)))
                elif file := series_file(parsed):
                    files.append(file)
                else:
                    passed[passed_over(parsed) or "a localizer"] += 1
            except Exception as error:  # one file's fault costs that file alone, whatever it is
                refused = item_error(error)
                left_out.append((path, f"wanted {refused.wanted}, found {refused.found}"))
        return files, labels


def _images(files: Iterable[SeriesFile], left_out: list[tuple[Path, str]]) -> list[_Image]:
    images = []
    for members, folder, number in by_series(files):
        first = members[0]
        if number > 1 and not (len(members) == 1 and first.several_frames):
            left_out.append((first.path, f"a folder of {number} series: give each a folder of its own"))
            continue
        instances = frozenset(member.instance for member in members) - {""}
        path = folder if number == 1 else first.path
        images.append(_Image(first.series, path, first.modality, instances, first.frame_of_reference))
    return images


def _pairs(
    asked: Iterable[_Image],
    labels: Iterable[tuple[Path, DrawnLabels]],
    left_out: list[tuple[Path, str]],
    images: Sequence[_Image],
) -> list[tuple[Path, Path]]:
    """Each requested image with its label; ambiguous pairs are left out."""
    drawn_on: dict[Path, list[Path]] = {image.path: [] for image in asked}
    for path, label in labels:
        homes = [image for image in images if _refers(label, image)]
        if len(homes) == 1:
            drawn_on.get(homes[0].path, []).append(path)
        else:
            number = f"{len(homes)} series" if homes else "no series that is here"
            left_out.append((path, f"refers to {number}"))
    for image, paths in drawn_on.items():
        if not paths:
            left_out.append((image, "no SEG or RTSTRUCT that refers to it"))
        elif len(paths) > 1:
            reason = f"{len(paths)} labels that refer to it: choose with --label-kind or a table"
            left_out.append((image, reason))
    return [(image, paths[0]) for image, paths in drawn_on.items() if len(paths) == 1]


def _refers(label: DrawnLabels, image: _Image) -> bool:
    """As `check_belongs`: by series or instances, else by the frame of reference."""
    if not label.series and not label.images:
        return image.frame_of_reference in label.frames_of_reference - {""}
    homes = {uid: instances for uid, instances in label.series.items() if instances & label.images}
    homes = homes or dict(label.series)
    named = label.images.union(*homes.values())
    return image.uid in set(homes) - {""} or bool(named & image.instances)


def _posix(path: Path, root: Path) -> str:
    return path.relative_to(root).as_posix()
