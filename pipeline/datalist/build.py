"""From a source to a datalist on disk: collect, check, split on the group, write, report."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path

from pyraseg.pipeline.datalist.check import check_collection
from pyraseg.pipeline.datalist.duplicates import check_duplicates
from pyraseg.pipeline.datalist.groups import group_name
from pyraseg.pipeline.datalist.items import SPLITS, Collection, Entry, Item
from pyraseg.pipeline.datalist.label_map import parse_label_map, suggestion
from pyraseg.pipeline.datalist.partition import Part, assign, classes_of, how, make_parts
from pyraseg.pipeline.datalist.report import SHOWN, DatalistReport, SplitReport
from pyraseg.pipeline.datalist.rules import complete_item, content_digest, sort_keys
from pyraseg.pipeline.datalist.sources.files import Source
from pyraseg.pipeline.datalist.split import check_fractions
from pyraseg.pipeline.datalist.write import write_datalist
from pyraseg.transforms.errors import DatalistError, LabelError
from pyraseg.transforms.io.paths import frame_path

__all__ = ["build_datalist"]

FRACTIONS = (0.7, 0.1, 0.2)


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
) -> DatalistReport:
    """Make a datalist whose splits share no group and are alike in frames, classes and groups.

    Args:
        source: a ``TableSource`` or a ``FolderSource``.
        output: the JSON file to write.
        label_map: "255=hydronephrosis", one text or several (``parse_label_map``).
        fractions: training, validation and test; 0 leaves a split empty.
        folds: share what the test fraction leaves into so many folds (the key ``fold`` of training items)
            instead.
        seed: same seed, same data: same datalist.
        keep_groups: write the groups as the data set names them, not as keyed hashes. They may identify
            patients.
        find_duplicates: refuse files that are byte for byte alike in two groups.
        strict: refuse to leave anything out.

    Raises:
        DatalistError: nothing usable, too few groups, a leak by duplicates, or (strict) something to leave
            out.
        LabelError: no label map, or one that contradicts itself.
        OutputError: the datalist cannot be written.
    """
    parts = make_parts(check_fractions(fractions), folds)
    names, mapping = parse_label_map(label_map) if label_map else ([], {})
    found = check_collection(source.collect(), mapping or None)
    _check_found(found, strict=strict)
    if not mapping:
        raise _undeclared(found)
    shown: Callable[[str], str] = (lambda group: group) if keep_groups else group_name
    if find_duplicates:
        check_duplicates(found, shown=shown)
    chosen = assign(found.entries, parts, mapping, seed=seed)
    splits = _items(found.entries, parts, chosen, shown)
    kept = {"keep_names": True} if keep_groups else {}
    path = write_datalist(
        output,
        splits,
        label_names=names,
        label_map=_written(mapping, found),
        seed=seed,
        **kept,
        **how(fractions, folds),
    )
    return DatalistReport(
        path=path,
        splits=tuple(
            _split_report(n, part, found.entries, chosen, names, mapping) for n, part in enumerate(parts)
        ),
        largest_groups=_largest(found.entries, parts, chosen),
        left_out=found.left_out,
        dataset_dir=found.root,
        label_names=tuple(names),
        seed=seed,
        digest=content_digest(splits, names, _written(mapping, found)),
    )


def _check_found(found: Collection, *, strict: bool) -> None:
    reasons = Counter(reason for _, reason in found.left_out)
    if found.entries and not (strict and found.left_out):
        return
    often, number = reasons.most_common(1)[0] if reasons else ("nothing was found", 0)
    raise DatalistError(
        "images with masks that fit them" if not found.entries else "no image left out",
        found=f"{len(found.left_out)} left out, most often: {often} ({number})",
        remedy="Correct the data, the columns or the label map.",
        path=found.root / found.left_out[0][0] if found.left_out else found.root,
    )


def _undeclared(found: Collection) -> LabelError:
    values = sort_keys({value for entry in found.entries for value in entry.values})
    some = ", ".join(map(str, values[:10])) + (", ..." if len(values) > 10 else "")
    return LabelError(
        "names for the values in the masks",
        found=f"the values {some} and no names",
        remedy=suggestion(values[:10]),
    )


def _written(mapping: Mapping[int | str, int], found: Collection) -> dict[int | str, int]:
    """Masks of one bit hold 0 and 1 and open as 0 and 255: a map that declares one of the two stands for
    both."""
    if not any(entry.one_bit for entry in found.entries) or (1 in mapping) == (255 in mapping):
        return dict(mapping)
    return {**mapping, 1: mapping.get(1, mapping.get(255, 0)), 255: mapping.get(255, mapping.get(1, 0))}


def _items(
    entries: Sequence[Entry], parts: Sequence[Part], chosen: Mapping[str, int], shown: Callable[[str], str]
) -> dict[str, list[Item]]:
    splits: dict[str, list[Item]] = {split: [] for split in SPLITS}
    names = {group: shown(group) for group in chosen}
    for entry in entries:
        part = parts[chosen[entry.group]]
        item: Item = {
            "image": _path(entry.image, entry.frame),
            "label": _path(entry.label, entry.label_frame),
        }
        item = complete_item({**item, "group": names[entry.group]})
        more = {"class": entry.category, "fold": part.fold}
        splits[part.split].append(item | {key: value for key, value in more.items() if value is not None})
    return splits


def _path(path: str, frame: int | None) -> str:
    return path if frame is None else frame_path(path, frame)


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
    return SplitReport(
        part.name, len(mine), len({entry.group for entry in mine}), dict(present), dict(categories)
    )


def _largest(
    entries: Sequence[Entry], parts: Sequence[Part], chosen: Mapping[str, int]
) -> tuple[tuple[str, int, str], ...]:
    sizes = Counter(entry.group for entry in entries)
    largest = sorted(sizes, key=lambda group: (-sizes[group], group))[:SHOWN]
    return tuple((group, sizes[group], parts[chosen[group]].name) for group in largest)
