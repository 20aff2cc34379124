"""Images and masks of two folders, matched by stem; masks ``stem_f002`` match frames of cines."""

from __future__ import annotations

import os
import re
from collections import defaultdict
from dataclasses import dataclass
from pathlib import Path

from pyraseg.pipeline.datalist.groups import Grouping
from pyraseg.pipeline.datalist.items import Collection, Entry
from pyraseg.pipeline.datalist.sources.headers import stem
from pyraseg.transforms.dicom.files.search import FOREIGN_LINK, HIDDEN, INNER_LINK, Passed, search
from pyraseg.transforms.errors import DatalistError

__all__ = ["FolderSource", "walk"]

LINKS = (FOREIGN_LINK, INNER_LINK)
FRAME_STEM = re.compile(r"^(?P<stem>.+)_f(?P<frame>\d+)$")
Key = tuple[str, str]


def walk(folder: Path) -> tuple[list[Path], list[Passed]]:
    """Every file below a folder, links to files too, sorted; and what is passed over but hidden names.

    A link to a folder in the same one is no loss, for it is searched there.
    """
    files, passed = search(folder)
    linked = {each.path for each in passed if each.reason in LINKS and os.path.isfile(each.path)}
    silent = {HIDDEN, INNER_LINK}
    others = [each for each in passed if each.path not in linked and each.reason not in silent]
    return sorted([*files, *linked]), others


@dataclass(frozen=True)
class FolderSource:
    """Images (files, or folders of series) and masks with the same stem in the same relative folder.

    A mask ``case_f002.png`` belongs to frame 2 (from 0) of the image ``case``, unless an image has that stem.
    If no file has its stem, a mask ``case.nii.gz`` or ``case.dcm`` belongs to the series' folder ``case``.

    Attributes:
        images, labels: the folders; may be the same with a ``label_suffix``.
        grouping: the unit of the split.
        dataset_dir: the folder of the datalist's relative paths; None for the deepest that holds both.
        image_suffix, label_suffix: the ends of the stems of images ("_image") and masks ("_mask").
    """

    images: str | Path
    labels: str | Path
    grouping: Grouping
    dataset_dir: str | Path | None = None
    label_suffix: str = ""
    image_suffix: str = ""

    def collect(self) -> Collection:
        """Pair images and masks, and group them.

        Raises:
            DatalistError: a folder is missing or outside ``dataset_dir``, two files have one stem (``path``
                lists them), or there is no pair.
        """
        images, labels = (Path(os.path.abspath(folder)) for folder in (self.images, self.labels))
        common = os.path.commonpath([images, labels])
        root = Path(os.path.abspath(self.dataset_dir)) if self.dataset_dir is not None else Path(common)
        _check_folders(images, labels, root, self.label_suffix)
        leave = self.label_suffix if images == labels else ""
        image_files = _by_stem(images, leave_suffix=leave, only_suffix=self.image_suffix)
        label_files = _by_stem(labels, only_suffix=self.label_suffix)
        entries, used, orphans = [], set(), []
        for key, label in label_files.items():
            image, frame = _owner(key, image_files, images)
            if image is None:
                orphans.append((_posix(label, root), "no image"))
                continue
            used.add(image)
            entries.append(Entry(_posix(image, root), _posix(label, root), frame=frame))
        if not entries:
            found = f"{len(image_files)} images and {len(label_files)} masks, none alike"
            remedy = "Check the folders, or name the stems' ends with --image-suffix and --label-suffix."
            wanted = "images and masks with the same names"
            raise DatalistError(wanted, found=found, remedy=remedy, path=images)
        unused = (path for path in image_files.values() if used.isdisjoint((path, *path.parents)))
        left_out = [*((_posix(path, root), "no mask") for path in unused), *orphans]
        passed = {each.path: each.reason for folder in (images, labels) for each in walk(folder)[1]}
        # a link to a folder may be the series of a mask
        left_out += [(_posix(path, root), passed[path]) for path in sorted(passed) if path not in used]
        entries.sort(key=lambda entry: (entry.image, entry.frame or 0))
        return self.grouping.apply(Collection(root, tuple(entries), tuple(left_out)))


def _check_folders(images: Path, labels: Path, root: Path, label_suffix: str) -> None:
    for folder, kind in ((images, "images"), (labels, "labels")):
        if not folder.is_dir():
            raise DatalistError(f"a folder of {kind}", found="none", remedy=f"Check --{kind}.", path=folder)
        if not folder.is_relative_to(root):
            wanted = f"{kind} in the data set's folder"
            remedy = "Give a --dataset_dir that holds both folders."
            raise DatalistError(wanted, found="a folder outside", remedy=remedy, path=folder)
    if images == labels and not label_suffix:
        remedy = "Give two folders, or what tells masks from images with --label-suffix."
        raise DatalistError(
            "images apart from masks", found="one folder for both", remedy=remedy, path=images
        )


def _by_stem(folder: Path, *, leave_suffix: str = "", only_suffix: str = "") -> dict[Key, Path]:
    """Files by (relative folder, stem without the suffix)."""
    files: dict[Key, list[Path]] = defaultdict(list)
    for path in walk(folder)[0]:
        name = stem(path)
        if (leave_suffix and name.endswith(leave_suffix)) or not name.endswith(only_suffix):
            continue
        files[path.parent.relative_to(folder).as_posix(), name.removesuffix(only_suffix)].append(path)
    ambiguous = [path for paths in files.values() if len(paths) > 1 for path in paths]
    if ambiguous:
        raise DatalistError(
            "one file for each stem",
            found=f"{len(ambiguous)} files that share theirs with another",
            remedy="Move the duplicates away, or list the pairs in a table (--table).",
            path=", ".join(map(str, ambiguous[:10])),
        )
    return {key: paths[0] for key, paths in files.items()}


def _owner(key: Key, images: dict[Key, Path], top: Path) -> tuple[Path | None, int | None]:
    """The file or the series' folder that a mask belongs to, and the frame."""
    if key in images:
        return images[key], None
    folder, name = key
    match = FRAME_STEM.match(name)
    if match and (folder, match["stem"]) in images:
        return images[folder, match["stem"]], int(match["frame"])
    series = top / folder / name
    return (series if os.path.isdir(series) else None), None


def _posix(path: Path, root: Path) -> str:
    return path.relative_to(root).as_posix()
