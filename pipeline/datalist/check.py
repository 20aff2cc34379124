"""Checking every image against its mask, and every mask against the declared values, in a pool of threads."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

from pyraseg.pipeline.datalist.check_volume import check_volume
from pyraseg.pipeline.datalist.items import Collection, Entry
from pyraseg.pipeline.datalist.rules import sort_keys
from pyraseg.pipeline.datalist.sources.headers import Grid, mask_values, read_grid
from pyraseg.transforms.errors import InputError, LabelError

__all__ = ["check_collection"]

Checked = tuple[list[Entry], list[tuple[str, str]]]
THREADS = 8


def check_collection(found: Collection, declared: Mapping[int | str, int] | None) -> Collection:
    """Read every header and mask, expand cines into frames, and leave out what does not fit, with the reason.

    Args:
        found: the entries with relative paths.
        declared: from mask value to class; None accepts every value.

    Returns:
        The entries that passed, each with the values in its mask, and all that was left out so far.
    """

    def check(entry: Entry) -> Checked:
        return _check(entry, found.root, declared)

    entries: list[Entry] = []
    left_out = list(found.left_out)
    for passed, refused in _parallel(check, found.entries):
        entries += passed
        left_out += refused
    return Collection(found.root, tuple(entries), tuple(left_out))


def _parallel(task: Callable[[Entry], Checked], entries: tuple[Entry, ...]) -> list[Checked]:
    """Reading waits for the disk, and Pillow decodes without the GIL."""
    with ThreadPoolExecutor(max_workers=min(THREADS, (os.cpu_count() or 1) + 2)) as pool:
        return list(pool.map(task, entries))


def _check(entry: Entry, root: Path, declared: Mapping[int | str, int] | None) -> Checked:
    try:
        image = None if (root / entry.image).is_dir() else read_grid(root / entry.image)
        if image is None or image.volume:
            volume, reason = check_volume(entry, root, declared)
            return _check_values([volume], declared) if volume else ([], [(entry.image, reason)])
        label = read_grid(root / entry.label)
        if reason := _misfit(entry, image, label):
            return [], [(entry.image, reason)]
        frames = _frames(entry, image)
        return _check_values([_with_values(one, root, declared) for one in frames], declared)
    except InputError as error:
        part = "mask" if error.path == str(root / entry.label) else "image"
        return [], [(entry.image, f"{part}: {error.found}")]
    except LabelError as error:
        return [], [(entry.image, f"mask: {error.found}")]


def _misfit(entry: Entry, image: Grid, label: Grid) -> str:
    """Why the two do not belong together; empty where they do."""
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


def _frames(entry: Entry, image: Grid) -> list[Entry]:
    """A cine whose DICOM mask has as many frames is an item for each; a NIfTI volume stays one item."""
    if not image.cine or entry.frame is not None:
        return [entry]
    return [replace(entry, frame=index, label_frame=index) for index in range(image.depth)]


def _with_values(entry: Entry, root: Path, declared: Mapping[int | str, int] | None) -> Entry:
    mask = mask_values(root / entry.label, entry.label_frame)
    values = mask.values
    if mask.one_bit and declared is not None and 1 not in declared and 255 in declared:
        values = frozenset(255 if value == 1 else value for value in values)
    return replace(entry, values=values, one_bit=mask.one_bit)


def _check_values(entries: list[Entry], declared: Mapping[int | str, int] | None) -> Checked:
    passed, refused = [], []
    for entry in entries:
        undeclared = sort_keys(entry.values - set(declared)) if declared is not None else []
        if undeclared:
            some = ", ".join(map(str, undeclared[:5])) + (", ..." if len(undeclared) > 5 else "")
            refused.append((entry.image, f"mask value {some} is not declared"))
        else:
            passed.append(entry)
    return passed, refused
