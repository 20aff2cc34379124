"""The images for prediction or pretraining, from a file, a folder tree or a glob.

An item is a frame, also each of a cine, or a volume: a series of CT, MR or PET, or a NIfTI file.
"""

from __future__ import annotations

import glob
import os
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pyraseg.pipeline.datalist.items import Item
from pyraseg.pipeline.datalist.load import load_datalist
from pyraseg.pipeline.datalist.sources.folders import walk
from pyraseg.pipeline.datalist.sources.headers import read_grid
from pyraseg.pipeline.datalist.sources.series import SeriesFile, by_series, series_file
from pyraseg.pipeline.utils.reading_options import reason_and_option
from pyraseg.transforms.dicom.files.discover import discover
from pyraseg.transforms.dicom.files.header import parse_file
from pyraseg.transforms.dicom.files.objects import passed_over
from pyraseg.transforms.dicom.files.search import FOREIGN_LINK, is_dicomdir_name
from pyraseg.transforms.dicom.pixels.checks import check_display_valued
from pyraseg.transforms.dicom.series.planes import VOLUME_TAGS
from pyraseg.transforms.dicom.series.volume import source_series_of
from pyraseg.transforms.errors import ConfigError, DatalistError, InputError, item_error
from pyraseg.transforms.io.dicom_reader import FrameHandle
from pyraseg.transforms.io.frames import FrameReader, states_range
from pyraseg.transforms.io.nifti_volumes import check_nifti_volume
from pyraseg.transforms.io.paths import (
    FramePath,
    frame_paths,
    frame_source,
    is_nifti,
    is_picture,
    split_frame_path,
)
from pyraseg.transforms.io.reading_options import ReadingOptions, as_reading
from pyraseg.transforms.privacy import case_name

__all__ = ["FoundImages", "find_images", "unlabelled_frames"]

WANTED = {"frame": "DICOM, NIfTI, PNG or JPEG images", "volume": "CT, MR or PET series or NIfTI volumes"}


@dataclass(frozen=True)
class FoundImages:
    """Items with ``image`` (absolute) and ``case``, and (relative path, reason) of all other files."""

    items: tuple[Item, ...]
    left_out: tuple[tuple[str, str], ...]


def find_images(
    source: str | Path, *, kind: str = "frame", reading: ReadingOptions | Mapping[str, Any] | None = None
) -> FoundImages:
    """Find a bundle's input images, sorted by path.

    Args:
        source: a file, a folder, a glob ("cases/**/*.dcm"), or a datalist, whose test split is taken, with
            labels or without.
        kind: "frame": ultrasound DICOM (whatever its suffix), NIfTI, PNG, JPEG and BMP. "volume": series of
            CT, MR and PET, each in one folder or one file, and NIfTI.
        reading: how to read series and frames, `ReadingOptions` or a mapping of them.

    Raises:
        ConfigError: an unknown kind.
        DatalistError: no files, or no image among them; ``path`` is the source.

    >>> from tempfile import mkdtemp
    >>> from PIL import Image
    >>> folder = Path(mkdtemp())
    >>> Image.new("L", (8, 8)).save(folder / "frame.png")
    >>> _ = (folder / "notes.png").write_text("no image")
    >>> images = find_images(folder)
    >>> [Path(item["image"]).name for item in images.items], [path for path, _ in images.left_out]
    (['frame.png'], ['notes.png'])
    """
    if kind not in WANTED:
        raise ConfigError('"frame" or "volume"', found=repr(kind), remedy="Correct the preprocessing's kind.")
    root, files, left_out = _files(source)
    links = (file for file in files if file.is_symlink())
    left_out |= {file: FOREIGN_LINK for file in links if not file.resolve().is_relative_to(root.resolve())}
    candidates = [file for file in files if file not in left_out]
    if kind == "volume":
        images = _volumes(candidates, left_out, ReadingOptions.of(reading))
    else:
        images = _frames(candidates, left_out, ReadingOptions.of(reading))
    items = [_item(text, root) for file in files for text in images.get(file, ())]
    if not items:
        total = len({*files, *left_out})
        found = f"{total} files and no image among them" if total else "nothing"
        if left_out:
            reason, number = Counter(left_out.values()).most_common(1)[0]
            found = f"{found}, most often: {reason} ({number})"
        raise DatalistError(WANTED[kind], found=found, remedy="Check the path.", path=source)
    named = ((file.relative_to(root).as_posix(), reason) for file, reason in left_out.items())
    return FoundImages(tuple(items), tuple(sorted(named)))


def unlabelled_frames(
    dataset_dir: str | Path,
    *,
    datalist: str | Path | None = None,
    fold: int | None = None,
    reading: ReadingOptions | Mapping[str, Any] | None = None,
) -> list[Item]:
    """The frames for pretraining, as items with ``image``, ``case`` and ``group``, without labels.

    Args:
        dataset_dir: a folder, a file or a glob of images; with a datalist, the folder of its relative paths.
        datalist: take its training split alone: a backbone that has seen frames of validation or test
            patients makes their scores too good. None takes the datalist.json in ``dataset_dir`` if there is
            one, else all images, with each file (a cine) as a group.
        fold: in a datalist with folds, the one to leave out.
        reading: how to read frames, `ReadingOptions` or a mapping of them.

    Raises:
        DatalistError: no images, no usable datalist, or one with folds and no ``fold``.

    >>> from tempfile import mkdtemp
    >>> from PIL import Image
    >>> folder = Path(mkdtemp())
    >>> Image.new("L", (8, 8)).save(folder / "frame.png")
    >>> [sorted(item) for item in unlabelled_frames(folder)]
    [['case', 'group', 'image']]
    """
    own = Path(dataset_dir) / "datalist.json"
    chosen = datalist if datalist is not None else own if own.is_file() else None
    if chosen is None:
        items = find_images(dataset_dir, reading=reading).items
        return [{**item, "group": case_name(str(split_frame_path(item["image"])[0]))} for item in items]
    options: dict[str, Any] = {"dataset_dir": dataset_dir, "fold": fold, "reading": reading}
    training = load_datalist(chosen, split="training", **options).items("training")
    if fold is None and any("fold" in item for item in training):
        remedy = "Choose the one that training will validate on with --fold."
        raise DatalistError("one fold to leave out", found="folds and none chosen", remedy=remedy)
    return [{key: item[key] for key in ("image", "case", "group")} for item in training]


def _files(source: str | Path) -> tuple[Path, list[Path], dict[Path, str]]:
    """The folder that names are relative to, the files, and what is passed over, with the reason."""
    path = Path(os.path.abspath(source))
    if os.path.isdir(path):
        root, matches = path, [path]
    elif os.path.isfile(path) and path.suffix.lower() == ".json":
        data = load_datalist(path, split=())
        matches = [split_frame_path(item["image"])[0] for item in (*data.test, *data.unlabelled)]
        root = Path(os.path.commonpath([path.parent, *matches]))
    elif os.path.isfile(path):
        root, matches = path.parent, [path]
    elif glob.has_magic(str(source)):
        # up to the first wildcard, so that a file's case name does not depend on other matches
        first = next(number for number, part in enumerate(path.parts) if glob.has_magic(part))
        root = Path(*path.parts[:first])
        matches = sorted(Path(match) for match in glob.glob(str(path), recursive=True))
    else:
        return path, [], {}
    files: set[Path] = set()
    passed: dict[Path, str] = {}
    for match in matches:
        found, others = walk(match)
        files.update(found)
        passed |= {each.path: each.reason for each in others}
    return root, sorted(files), passed


def _frames(
    files: list[Path], left_out: dict[Path, str], reading: ReadingOptions
) -> dict[Path, list[str | FramePath]]:
    """The paths of each file's frames, without copies of a DICOM object, and without CT, MR and PET."""
    frames: dict[Path, list[str | FramePath]] = {}
    others = [file for file in files if not is_nifti(file) and not is_picture(file)]
    refs, errors = discover(others)
    for file in set(files).difference(others):
        try:
            read_grid(file)
            if not states_range(file):
                FrameReader(reading=reading).get_data([FrameHandle(file, None)])
            frames[file] = [frame_source(file, None)]
        except Exception as error:  # one file's fault costs that file alone, whatever it is
            refused = item_error(error)
            left_out[file] = reason_and_option(refused, as_reading) if refused.option else refused.found
    for ref in refs:
        try:
            check_display_valued(ref)
            frames[Path(ref.path)] = frame_paths(ref)
        except InputError as error:
            errors.append(error)
    left_out.update({Path(error.path): error.found for error in errors if error.path})
    return frames


def _volumes(
    files: Iterable[Path], left_out: dict[Path, str], reading: ReadingOptions
) -> dict[Path, list[str | FramePath]]:
    """Inputs of `LoadVolume`, by first file: NIfTI files, series' folders, and files of a whole series."""
    volumes: dict[Path, list[str | FramePath]] = {}
    slices: list[SeriesFile] = []
    for file in files:
        if is_dicomdir_name(file.name):
            continue
        try:
            if is_nifti(file):
                check_nifti_volume(file)
                volumes[file] = [str(file)]
            elif is_picture(file):
                left_out[file] = "no slice of CT, MR or PET"
            elif slice_ := series_file(parsed := parse_file(file, tags=VOLUME_TAGS)):
                slices.append(slice_)
            else:
                left_out[file] = f"no slice of CT, MR or PET: {passed_over(parsed) or 'a localizer'}"
        except Exception as error:  # one file's fault costs that file alone, whatever it is
            refused = item_error(error)
            left_out[file] = f"{refused.found}, wanted {refused.wanted}"
    for members, folder, number in by_series(slices):
        first = members[0].path
        path = first if len(members) == 1 else folder
        try:
            if path is folder and number > 1:
                found, remedy = f"a folder of {number} series", "Give each series a folder of its own."
                raise InputError("a folder of one series", found=found, remedy=remedy, path=folder)
            source_series_of(path, reading)
            volumes[first] = [str(path)]
        except Exception as error:  # one series' fault costs that series alone, whatever it is
            left_out[first] = reason_and_option(item_error(error), as_reading)
    return volumes


def _item(source: str | FramePath, root: Path) -> Item:
    path = Path(source)
    # the source may be the folder of one series
    name = path.name if path == root else path.relative_to(root).as_posix()
    if isinstance(source, FramePath) and source.frame_index is None:
        name = f"file:{name}"  # as a path it would be the name of another file's frame
    return {"image": source, "case": case_name(name)}
