"""Check a collection: images against labels, labels against declared values, no image in two groups."""

from __future__ import annotations

import os
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from functools import partial
from itertools import chain
from pathlib import Path

import numpy as np

from pyraseg.pipeline.datalist.items import Collection, Entry
from pyraseg.pipeline.datalist.labels import sort_keys
from pyraseg.pipeline.datalist.sources.headers import Grid, mask_values, read_grid
from pyraseg.pipeline.utils.files import sha256_of
from pyraseg.pipeline.utils.reading_options import as_typed, reason_and_option
from pyraseg.transforms.dicom.copies import part_copies
from pyraseg.transforms.dicom.files.objects import instance_uid
from pyraseg.transforms.dicom.files.search import search
from pyraseg.transforms.dicom.labels.drawn_labels import read_drawn_labels
from pyraseg.transforms.dicom.series.source_series import SourceSeries
from pyraseg.transforms.dicom.series.volume import source_series_of
from pyraseg.transforms.errors import DatalistError, LabelError, PyrasegError, item_error
from pyraseg.transforms.io.dicom_reader import FrameHandle
from pyraseg.transforms.io.display_range import contrast_fault
from pyraseg.transforms.io.frames import FrameReader
from pyraseg.transforms.io.nifti_volumes import check_nifti_volume, read_nifti_labels
from pyraseg.transforms.io.paths import frame_path, is_nifti, split_frame_path
from pyraseg.transforms.io.reading_options import ReadingOptions

__all__ = ["check_collection", "check_duplicates"]

DEFAULT = ReadingOptions()
Checked = tuple[list[Entry], list[tuple[str, str]]]
LabelMap = Mapping[int | str, int]
THREADS = 8


def check_collection(
    collected: Collection, declared: LabelMap | None, *, reading: ReadingOptions = DEFAULT
) -> Collection:
    """Read headers and labels, expand cines into frames, and leave out bad entries with the reason.

    Pixels are decoded for every label and frame, and for NIfTI images that may hold NaN, but not for series.

    Args:
        collected: the entries with relative paths. An image is a file or the folder of one series.
        declared: from mask value (or name of a part) to class; None accepts all values and parts.
        reading: how to read series and the labels drawn on them.

    Returns:
        The entries that passed, each with the values in its label, and all that was left out so far.
    """
    entries: list[Entry] = []
    left_out = list(collected.left_out)
    # reading waits for the disk, and Pillow decodes without the GIL
    with ThreadPoolExecutor(max_workers=min(THREADS, (os.cpu_count() or 1) + 2)) as pool:
        check = partial(_check, root=collected.root, declared=declared, reading=reading)
        for passed, refused in pool.map(check, collected.entries):
            entries += passed
            left_out += refused
    return replace(collected, entries=tuple(entries), left_out=tuple(left_out))


def _check(entry: Entry, root: Path, declared: LabelMap | None, reading: ReadingOptions) -> Checked:
    try:
        image = None if (root / entry.image).is_dir() else read_grid(root / entry.image)
        if image is None or image.volume:
            volume, reason = _check_volume(entry, root, declared, reading)
            return _check_values([volume], declared) if volume else ([], [(entry.image, reason)])
        label = read_grid(root / entry.label)
        if reason := _misfit(entry, image, label):
            return [], [(entry.image, reason)]
        frames = [entry]
        if image.cine and entry.frame is None:  # its DICOM mask has as many frames: one item per frame
            frames = [replace(entry, frame=index, label_frame=index) for index in range(image.depth)]
        for one in frames:  # in the list a frame is spelled, and must be read as it was meant
            for path, frame in ((one.image, one.frame), (one.label, one.label_frame)):
                split_frame_path(root / (path if frame is None else frame_path(path, frame)))
        passed, left_out = _check_values([_with_values(one, root, declared) for one in frames], declared)
        return [_with_contrast(one, root, reading) for one in passed], left_out
    except Exception as error:  # one entry's fault costs that entry alone, whatever it is
        refused = item_error(error)
        of_mask = isinstance(refused, LabelError) or refused.path == str(root / entry.label)
        reason = reason_and_option(refused, as_typed()) if refused.option else refused.found
        return [], [(entry.image, f"{'mask' if of_mask else 'image'}: {reason}")]


def _with_contrast(entry: Entry, root: Path, reading: ReadingOptions) -> Entry:
    """The entry with a note where its greys look wrong.

    Raises:
        InputError: its pixels cannot be decoded, or nothing says which are black and white.
    """
    reader, path = FrameReader(reading=reading), root / entry.image
    array, metadata = reader.get_data([FrameHandle(path, entry.frame)])
    fault = contrast_fault(array, metadata["display_max"])
    return replace(entry, notes=(*entry.notes, f"the image is {fault}")) if fault else entry


def _misfit(entry: Entry, image: Grid, label: Grid) -> str:
    """Why image and label do not belong together; empty if they do."""
    if (image.rows, image.columns) != (label.rows, label.columns):
        return f"image of {image} pixels, mask of {label} (rows x columns)"
    if entry.frame is not None:
        if entry.frame >= image.depth:
            return f"a mask for frame {entry.frame} (from 0) of {image.depth}"
        return "" if label.depth == 1 else f"a mask of {label.depth} frames for one frame"
    if image.depth == label.depth and image.cine == label.cine:
        return ""
    if image.cine and not label.cine:
        return f"one mask file for a cine of {image.depth} frames: write one a frame, STEM_f000 for the first"
    return f"image of {image.depth} frames or slices, mask of {label.depth}"


def _with_values(entry: Entry, root: Path, declared: LabelMap | None) -> Entry:
    mask = mask_values(root / entry.label, entry.label_frame)
    values = mask.values
    if mask.one_bit and declared is not None and 1 not in declared and 255 in declared:
        values = frozenset(255 if value == 1 else value for value in values)
    return replace(entry, values=values, one_bit=mask.one_bit)


def _check_values(entries: list[Entry], declared: LabelMap | None) -> Checked:
    passed, refused = [], []
    for entry in entries:
        undeclared = sort_keys(entry.values - set(declared)) if declared is not None else []
        if undeclared:
            some = ", ".join(map(str, undeclared[:5])) + (", ..." if len(undeclared) > 5 else "")
            refused.append((entry.image, f"mask value {some} is not declared"))
        else:
            passed.append(entry)
    return passed, refused


@dataclass(frozen=True)
class _Volume:
    """The grid of a volume: shape (X, Y, Z), affine to RAS+ mm, and its series; None for NIfTI."""

    shape: tuple[int, ...]
    affine: np.ndarray
    series: SourceSeries | None = None


def _check_volume(
    entry: Entry, root: Path, declared: LabelMap | None, reading: ReadingOptions
) -> tuple[Entry | None, str]:
    """The entry of a volume with the values in its label, or None and the reason."""
    part, path = "image", root / entry.image
    try:
        if is_nifti(path):
            image = _Volume(*check_nifti_volume(path))
        else:
            series = source_series_of(path, reading)
            image = _Volume(series.grid.shape, series.grid.affine, series)
        part, path = "mask", root / entry.label
        values, notes = _volume_values(path, image, declared, reading)
        return replace(entry, values=values, notes=notes), ""
    except Exception as error:  # one volume's fault costs that volume alone, whatever it is
        return None, f"{part}: {reason_and_option(item_error(error), as_typed())}"


def _volume_values(
    path: Path, image: _Volume, declared: LabelMap | None, reading: ReadingOptions
) -> tuple[frozenset[int | str], tuple[str, ...]]:
    """The values of a NIfTI mask, or the keys of a SEG or RTSTRUCT (no map: the numbers), and notes."""
    if is_nifti(path):
        from pyraseg.transforms.io.volumes import put_on_grid  # loads MONAI, which frames do without

        labels, affine = read_nifti_labels(path)
        placed = put_on_grid(labels, affine, shape=image.shape, grid_affine=image.affine, crop=reading.crop)
        return frozenset(int(value) for value in np.unique(placed)), ()
    labels, notes = read_drawn_labels(path).label_map(image.series, declared, **reading.of_labels)
    present = set(np.unique(labels).tolist())
    keys = declared if declared is not None else {value: value for value in present}
    return frozenset(key for key, value in keys.items() if value in present), notes


def check_duplicates(collected: Collection, *, shown: Callable[[str], str]) -> None:
    """Refuse identical images in two groups: a leak that no split can repair.

    Files are identical byte by byte, of which only those of equal size are read, or by their SOP Instance UID
    and pixels (`part_copies`); series if all their files are the same bytes, or one is the same image. Copies
    with new UIDs are not recognised.

    Args:
        collected: the entries, with groups.
        shown: the name of a group in messages (its hash).

    Raises:
        DatalistError: with the groups; ``path`` has a file of two of them.
    """
    groups = {entry.image: entry.group for entry in collected.entries}
    files = {image: search(collected.root / image)[0] for image in groups}
    by_size = _alike(groups, lambda image: sorted(file.stat().st_size for file in files[image]))
    by_content = (_alike(same, lambda image: sorted(map(sha256_of, files[image]))) for same in by_size)
    for images in chain((copies for same in by_content for copies in same), _of_one_uid(groups, files)):
        concerned = {groups[image]: image for image in images}
        if len(concerned) > 1:
            names = " and ".join(shown(group) for group in list(concerned)[:2])
            raise DatalistError(
                "each image in one group",
                found=f"the same image in {len(concerned)} groups, {names}",
                remedy="Join the groups, or remove the copies.",
                path=", ".join(str(collected.root / image) for image in list(concerned.values())[:2]),
            )


def _of_one_uid(groups: Mapping[str, str], files: Mapping[str, list[Path]]) -> Iterator[list[str]]:
    """Images of two groups that hold one DICOM object, in whatever encoding."""
    homes = {path: image for image, paths in files.items() for path in paths}
    by_uid: dict[str, list[Path]] = defaultdict(list)
    for path in homes:
        by_uid[instance_uid(path)].append(path)
    shared = [
        paths for uid, paths in by_uid.items() if uid and len({groups[homes[path]] for path in paths}) > 1
    ]
    for images in part_copies(shared):
        if isinstance(images, PyrasegError):
            raise images
        yield from (list(dict.fromkeys(homes[path] for path in same)) for same in images)


def _alike(images: Iterable[str], key: Callable[[str], Iterable[object]]) -> list[list[str]]:
    """The images of one key, if there are several."""
    by_key: dict[tuple[object, ...], list[str]] = defaultdict(list)
    for image in images:
        by_key[tuple(key(image))].append(image)
    return [sorted(same) for same in by_key.values() if len(same) > 1]
