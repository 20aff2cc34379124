"""From a source to a datalist on disk: collect, check, split by group, write, report."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Protocol

from pyraseg.pipeline.datalist.check import check_collection, check_duplicates
from pyraseg.pipeline.datalist.groups import group_name
from pyraseg.pipeline.datalist.items import SPLITS, Collection, Entry, Item
from pyraseg.pipeline.datalist.labels import parse_label_map, sort_keys, suggestion
from pyraseg.pipeline.datalist.report import SHOWN, DatalistReport, SplitReport
from pyraseg.pipeline.datalist.rules import complete_item, content_digest
from pyraseg.pipeline.datalist.sources.background import BackgroundSource
from pyraseg.pipeline.datalist.split import Part, assign, check_fractions, classes_of, make_parts
from pyraseg.pipeline.datalist.write import write_datalist
from pyraseg.transforms.errors import DatalistError, LabelError
from pyraseg.transforms.io.paths import frame_path
from pyraseg.transforms.io.reading_options import ReadingOptions
from pyraseg.transforms.records import BACKGROUND

__all__ = ["build_datalist"]

FRACTIONS = (0.7, 0.1, 0.2)


class Source(Protocol):
    """Finds images with their masks and groups."""

    def collect(self) -> Collection: ...


def build_datalist(
    source: Source,
    output: str | Path,
    *,
    label_map: Iterable[str] | None,
    fractions: Sequence[float] = FRACTIONS,
    folds: int | None = None,
    seed: int = 0,
    keep_groups: bool = False,
    find_duplicates: bool = True,
    strict: bool = False,
    reading: ReadingOptions | None = None,
    background: BackgroundSource | None = None,
) -> DatalistReport:
    """Make a datalist whose splits share no group and are balanced in frames, classes and groups.

    Args:
        source: a ``TableSource``, ``FolderSource`` or ``SeriesSource``.
        output: the JSON file to write.
        label_map: "255=hydronephrosis", one text or several (``parse_label_map``).
        fractions: training, validation and test; 0 leaves a split empty.
        folds: number of folds of all but the test split (the key ``fold`` of training items).
        seed: the same seed and data give the same datalist.
        keep_groups: write the groups' original names, not keyed hashes. They may identify patients.
        find_duplicates: refuse identical images in two groups.
        strict: refuse to leave anything out.
        reading: how to read series and the labels drawn on them; the list keeps it for training.
        background: images for training that show none of the classes.

    Raises:
        DatalistError: nothing usable, too few groups, a leak by duplicates, or (strict) anything left out.
        LabelError: no label map, or a contradictory one.
        OutputError: the datalist cannot be written.
    """
    parts = make_parts(check_fractions(fractions), folds)
    names, mapping = parse_label_map(label_map) if label_map else ([], {})
    reading = ReadingOptions.of(reading)
    checked = check_collection(source.collect(), mapping or None, reading=reading)
    entries = checked.entries
    if not entries or (strict and checked.left_out):
        raise _left_out(checked)
    if not mapping:
        raise _undeclared(entries)
    shown: Callable[[str], str] = (lambda group: group) if keep_groups else group_name
    chosen = assign(entries, parts, mapping, seed=seed)
    homes = {group: (parts[part].split, parts[part].fold) for group, part in chosen.items()}
    blank = Collection(checked.root, ())
    if background is not None:
        blank = background.collect(entries, homes, root=checked.root, reading=reading)
    every = (*entries, *blank.entries)
    if find_duplicates:
        check_duplicates(replace(checked, entries=every), shown=shown)
    splits = _items(every, homes, shown)
    written = _with_both_of_one_bit(mapping, entries)
    head: dict[str, object] = {"seed": seed, **({"keep_names": True} if keep_groups else {})}
    if folds is None:
        head["fractions"] = list(fractions)
    else:
        head |= {"folds": folds, "test_fraction": fractions[2]}
    reports = [_split_report(n, part, entries, chosen, names, mapping) for n, part in enumerate(parts)]
    head["frames_by_class"] = {report.name: report.frames_by_class for report in reports}
    path = write_datalist(output, splits, label_names=names, label_map=written, reading=reading, **head)
    return DatalistReport(
        path=path,
        splits=tuple(reports),
        largest_groups=_largest(entries, parts, chosen),
        alike=checked.alike + blank.alike,
        left_out=checked.left_out + blank.left_out,
        background=len(blank.entries),
        noted=tuple((entry.image, note) for entry in entries for note in entry.notes),
        dataset_dir=checked.root,
        label_names=tuple(names),
        seed=seed,
        digest=content_digest(splits, names, written, reading.given),
    )


def _left_out(checked: Collection) -> DatalistError:
    reasons = Counter(reason for _, reason in checked.left_out)
    often, number = reasons.most_common(1)[0] if reasons else ("nothing was found", 0)
    return DatalistError(
        "images with masks that fit them" if not checked.entries else "no image left out",
        found=f"{len(checked.left_out)} left out, most often: {often} ({number})",
        remedy="Correct the data, the columns or the label map.",
        path=checked.root / checked.left_out[0][0] if checked.left_out else checked.root,
    )


def _undeclared(entries: Sequence[Entry]) -> LabelError:
    values = sort_keys({value for entry in entries for value in entry.values})
    some = ", ".join(map(str, values[:10])) + (", ..." if len(values) > 10 else "")
    found, remedy = f"the values {some} and no names", suggestion(values[:10])
    return LabelError("names for the values in the masks", found=found, remedy=remedy)


def _with_both_of_one_bit(mapping: Mapping[int | str, int], entries: Sequence[Entry]) -> dict[int | str, int]:
    """One-bit masks hold 0 and 1 and open as 0 and 255: a map with one of 1 and 255 gets both."""
    if not any(entry.one_bit for entry in entries) or (1 in mapping) == (255 in mapping):
        return dict(mapping)
    return {**mapping, 1: mapping.get(1, mapping.get(255, 0)), 255: mapping.get(255, mapping.get(1, 0))}


def _items(
    entries: Sequence[Entry], homes: Mapping[str, tuple[str, int | None]], shown: Callable[[str], str]
) -> dict[str, list[Item]]:
    splits: dict[str, list[Item]] = {split: [] for split in SPLITS}
    names = {group: shown(group) for group in {entry.group for entry in entries}}
    for entry in entries:
        split, fold = homes.get(entry.group, ("training", None))
        image, label = (
            path if frame is None else frame_path(path, frame)
            for path, frame in ((entry.image, entry.frame), (entry.label, entry.label_frame))
        )
        shows = {"label": label} if label else {BACKGROUND: True}
        item = complete_item({"image": image, **shows, "group": names[entry.group]})
        more = {"class": entry.category, "fold": fold}
        splits[split].append(item | {key: value for key, value in more.items() if value is not None})
    return splits


def _split_report(
    number: int,
    part: Part,
    entries: Sequence[Entry],
    chosen: Mapping[str, int],
    names: Sequence[str],
    mapping: Mapping[int | str, int],
) -> SplitReport:
    mine = [entry for entry in entries if chosen[entry.group] == number]
    present = Counter(names[index] for entry in mine for index in classes_of(entry, mapping) if index)
    categories = Counter(entry.category for entry in mine if entry.category)
    groups = {entry.group for entry in mine}
    return SplitReport(part.name, len(mine), len(groups), dict(present), dict(categories))


def _largest(
    entries: Sequence[Entry], parts: Sequence[Part], chosen: Mapping[str, int]
) -> tuple[tuple[str, int, str], ...]:
    sizes = Counter(entry.group for entry in entries)
    largest = sorted(sizes, key=lambda group: (-sizes[group], group))[:SHOWN]
    return tuple((group, sizes[group], parts[chosen[group]].name) for group in largest)
