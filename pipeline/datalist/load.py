"""Read a datalist for training and evaluation, with all checks before the first epoch."""

from __future__ import annotations

import logging
import os
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from pyraseg.pipeline.datalist.decathlon import from_decathlon
from pyraseg.pipeline.datalist.items import SPLITS, UNLABELLED, Datalist, Item
from pyraseg.pipeline.datalist.labels import check_labels, label_key
from pyraseg.pipeline.datalist.notes import absent_classes, alike_items, notes_on
from pyraseg.pipeline.datalist.rules import (
    check_items,
    check_shared_files,
    complete_item,
    content_digest,
    nameless,
    nearest,
)
from pyraseg.pipeline.utils.documents import DocumentError, parse_json, read_text
from pyraseg.transforms.errors import ConfigError, DatalistError, LabelError
from pyraseg.transforms.io.paths import frame_source, split_frame_path
from pyraseg.transforms.io.reading_options import ReadingOptions
from pyraseg.transforms.records import BACKGROUND

__all__ = ["load_datalist"]

KNOWN_KEYS = (
    *SPLITS,
    "label_names",
    "label_map",
    "seed",
    "digest",
    "keep_names",
    "reading",
    "frames_by_class",
)
REBUILD = "Build it again with `pyraseg datalist`."

logger = logging.getLogger(__name__)


def load_datalist(
    path: str | Path,
    *,
    split: str | Sequence[str] | None = None,
    dataset_dir: str | Path | None = None,
    fold: int | None = None,
    reading: ReadingOptions | Mapping[str, Any] | None = None,
) -> Datalist:
    """Read and check a datalist.

    Args:
        path: the JSON file of ``write_datalist``, one in MONAI's decathlon style with ``label_names`` added,
            or one of the Medical Segmentation Decathlon as published. Names of cases and groups are hashed if
            they are not, because they go into logs, tables and MLflow; ``"keep_names": true`` in the file
            keeps them. What may spoil a training is logged where ``split`` is given.
        split: the splits that must hold items and whose files must exist; () for none. None: all files.
        dataset_dir: the folder that paths are relative to; None for the datalist's.
        fold: in a list with folds, the one to validate on; the others train. "validation" needs it.
        reading: `ReadingOptions`, or a mapping of them, besides those that the list was built with.

    Raises:
        DatalistError: a missing or malformed file, an unknown key, a requested split without items, missing
            image or label files, a group in two splits, an image file in two groups, a repeated case, other
            reading options than it was built with.
        LabelError: the label set is contradictory.

    >>> import json
    >>> from tempfile import mkdtemp
    >>> folder = Path(mkdtemp())
    >>> (folder / "image.png").touch(), (folder / "mask.png").touch()
    (None, None)
    >>> items = [{"image": "image.png", "label": "mask.png"}]
    >>> content = {"training": items, "label_names": ["background", "kidney"]}
    >>> _ = (folder / "datalist.json").write_text(json.dumps(content))
    >>> load_datalist(folder / "datalist.json", split="training").label_map
    {0: 0, 1: 1}
    """
    wanted = SPLITS if split is None else (split,) if isinstance(split, str) else tuple(split)
    content = _read(Path(path))
    names, mapping = _label_set(content)
    root = Path(os.path.abspath(dataset_dir if dataset_dir is not None else Path(path).parent))
    splits = {name: _items(content, name, root) for name in SPLITS} | {UNLABELLED: []}
    if not any(isinstance(item, dict) and "label" in item for item in splits["test"]):
        splits |= {UNLABELLED: splits["test"], "test": []}
    alike = alike_items(splits)
    if content.get("keep_names") is not True:
        splits = {name: [nameless(item) for item in items] for name, items in splits.items()}
    check_items(splits)
    recorded, options = _reading(content, ReadingOptions.of(reading))
    digest = content_digest(splits, names, mapping, recorded.given)
    splits = _choose_fold(splits, fold, wanted if split is not None else ())
    empty = [name for name in wanted if not splits.get(name)]
    if wanted and (empty if split is not None else len(empty) == len(wanted) and not splits[UNLABELLED]):
        raise _empty(empty[0], splits, names, mapping)
    absolute = {name: tuple(_absolute(item, root) for item in items) for name, items in splits.items()}
    _check_files(item for name in wanted for item in absolute[name])
    check_shared_files(absolute)
    if split is not None:
        counts = content.get("frames_by_class", {}) if content.get("digest") == digest else {}
        absent = {name: absent_classes(counts, name, fold=fold, label_names=names) for name in wanted}
        _say(alike, *notes_on(splits, wanted, absent))
    return Datalist(
        **absolute,
        label_names=names,
        label_map=mapping,
        digest=digest,
        seed=content.get("seed"),
        reading=options,
    )


def _say(*notes: str) -> None:
    from pyraseg.pipeline.utils.distributed import is_main  # loads torch, which the verbs do without

    for note in filter(None, notes if is_main() else ()):
        logger.warning("datalist: %s", note)


def _empty(
    split: str,
    splits: Mapping[str, Sequence[Item]],
    names: Sequence[str],
    label_map: Mapping[int | str, int],
) -> DatalistError:
    counts = ", ".join(f"{name} {len(splits[name])}" for name in SPLITS)
    number = len(splits[UNLABELLED])
    if split == "test":
        predict = "Predict them: `run inference`, with the datalist as --dataset_dir. " if number else ""
        remedy = f"{predict}Evaluate another --split, or build the list anew with `pyraseg datalist`."
        found = f"{counts} and {number} without labels" if number else counts
        return DatalistError("items with labels in test", found=found, remedy=remedy)
    if not splits["training"]:
        return DatalistError(f"items in {split}", found=counts, remedy=REBUILD)
    pairs = ",".join(f"{key}={names[index]}" for key, index in label_map.items() if index)
    words = (
        f'pyraseg datalist --images DIR --labels DIR --group-from stem --label-map "{pairs}" --output JSON'
    )
    remedy = f"Split by patient, {words} (or as its --help shows), and name that list with --datalist."
    return DatalistError(f"items in {split}", found=counts, remedy=remedy)


def _read(path: Path) -> dict[str, Any]:
    wanted, remedy = "a datalist in JSON", REBUILD
    try:
        content = parse_json(read_text(path))
    except OSError as error:
        missing = isinstance(error, FileNotFoundError)
        found = "no such file" if missing else f"one that cannot be read ({error.strerror})"
        remedy = f"Check the path. {REBUILD}" if missing else "Check the path and its permissions."
        raise DatalistError("a datalist file", found=found, remedy=remedy, path=path) from error
    except DocumentError as error:
        raise DatalistError(wanted, found=str(error), remedy=remedy, path=path) from error
    if not isinstance(content, dict) or not any(name in content for name in SPLITS):
        wanted = f"a datalist with the lists {', '.join(SPLITS)}"
        raise DatalistError(wanted, found="a file without them", remedy=remedy, path=path)
    _check_keys(content)
    return from_decathlon(content)


def _check_keys(content: Mapping[str, Any]) -> None:
    """Other keys may describe the list, but must not look like a split or nearly like a known key."""
    for key, value in content.items():
        close = nearest(key, KNOWN_KEYS)
        looks_like_a_split = isinstance(value, list) and bool(value) and isinstance(value[0], dict)
        if key not in KNOWN_KEYS and (close or looks_like_a_split):
            raise DatalistError(
                f"no keys like these but {', '.join(KNOWN_KEYS)}",
                found=f'the unknown key "{key}"',
                remedy=close or "Rename or remove it.",
            )


def _label_set(content: Mapping[str, Any]) -> tuple[tuple[str, ...], dict[int | str, int]]:
    names = content.get("label_names")
    if not isinstance(names, list) or not all(isinstance(name, str) for name in names):
        raise LabelError(
            "label_names, a list of class names in the datalist",
            found="none" if names is None else type(names).__name__,
            remedy='Add "label_names": ["background", ...] to the datalist.',
        )
    raw = content.get("label_map", {str(value): value for value in range(len(names))})
    try:
        mapping = {label_key(value): int(index) for value, index in raw.items()}
    except (AttributeError, TypeError, ValueError) as error:
        wanted = "label_map, mask values (or names of segments or regions) with their classes"
        remedy = 'Write it as {"0": 0, "255": 1}.'
        raise LabelError(wanted, found="something else", remedy=remedy) from error
    check_labels(names, mapping)
    return tuple(names), mapping


def _items(content: Mapping[str, Any], name: str, root: Path) -> list[Item]:
    items = content.get(name, [])
    if not isinstance(items, list):
        raise DatalistError(f"a list of items under {name}", found=type(items).__name__, remedy=REBUILD)
    return [complete_item(item, root) for item in items]


def _reading(content: Mapping[str, Any], asked: ReadingOptions) -> tuple[ReadingOptions, ReadingOptions]:
    """What the list was built with, and what it is to be read with."""
    try:
        recorded = ReadingOptions.of(content.get("reading"))
    except ConfigError as error:
        raise DatalistError(error.wanted, found=f"{error.found} in the datalist", remedy=REBUILD) from error
    for name in recorded.given.keys() & asked.given.keys():
        built, other = recorded.given[name], asked.given[name]
        if built != other:
            wanted, found = f"the datalist's reading option {name}: {built}", str(other)
            remedy = f"Leave it out of the bundle's reading, or build the datalist again with {other}."
            raise DatalistError(wanted, found=found, remedy=remedy)
    return recorded, recorded.over(asked)


def _choose_fold(
    splits: dict[str, list[Item]], fold: int | None, asked: Sequence[str]
) -> dict[str, list[Item]]:
    folds = sorted({item["fold"] for item in splits["training"] if "fold" in item})
    if fold is None:
        if folds and "validation" in asked and not splits["validation"]:
            found, remedy = (
                f"{len(folds)} folds and none chosen",
                f"Choose the one to validate on, of {folds}.",
            )
            raise DatalistError("one fold for validation", found=found, remedy=remedy)
        return splits
    if fold not in folds:
        remedy = f"Choose one of {folds}." if folds else "Build the datalist with --folds."
        raise DatalistError(f"a datalist with the fold {fold}", found=f"the folds {folds}", remedy=remedy)
    training = [item for item in splits["training"] if item.get("fold") != fold]
    held_out = [item for item in splits["training"] if item.get("fold") == fold and BACKGROUND not in item]
    return {**splits, "training": training, "validation": held_out}


def _absolute(item: Item, root: Path) -> Item:
    paths = {}
    for key in ("image", "label")[: 2 if "label" in item else 1]:
        file, frame = split_frame_path(root / item[key])
        paths[key] = frame_source(os.path.normpath(file), frame)
    return item | paths


def _check_files(items: Iterable[Item]) -> None:
    absent: list[tuple[str, str]] = []
    for item in items:
        for key in ("image", "label")[: 2 if "label" in item else 1]:
            file, _ = split_frame_path(item[key])
            # the image of a volume may be the folder of its series
            series = key == "image" and os.path.isdir(file) and os.access(file, os.R_OK | os.X_OK)
            if not os.path.isfile(file) and not (series and any(file.iterdir())):
                absent.append((item["case"], str(file)))
    if absent:
        cases = list(dict.fromkeys(case for case, _ in absent))
        first = ", ".join(cases[:3]) + (", ..." if len(cases) > 3 else "")
        raise DatalistError(
            "the files that the datalist names",
            found=f"{len(absent)} of them absent or empty folders, in the cases {first}",
            remedy="Set --dataset_dir to the folder that the datalist's paths are relative to.",
            path=absent[0][1],
        )
