"""The report on a new datalist: counts by split, the largest groups, and what was left out and why."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from pyraseg.pipeline.datalist.notes import FEW_GROUPS

__all__ = ["DatalistReport", "SplitReport"]

SHOWN = 10


@dataclass(frozen=True)
class SplitReport:
    """One split, or one fold of it.

    Attributes:
        name: "training", "fold 0", "validation", "test".
        items, groups: their numbers.
        frames_by_class: number of frames with each class, by name, without the background.
        categories: number of frames by the class of the whole image, if the table has one.
    """

    name: str
    items: int
    groups: int
    frames_by_class: Mapping[str, int]
    categories: Mapping[str, int]


@dataclass(frozen=True)
class DatalistReport:
    """The content of a datalist, and what was left out.

    Attributes:
        path: the datalist.
        splits: a report for each split or fold.
        largest_groups: (group, frames, split), largest first, with original names: for a terminal, not a log.
        alike: original names of groups that differ in case, leading zeros or separators only.
        left_out: (path relative to the data set, reason).
        noted: (path, note) of labels of which something was left out or taken for something else, and of
            images that are nearly black, constant or clipped.
        background: number of images of training that show none of the classes, besides those in ``splits``.
        dataset_dir: the folder that the datalist's paths are relative to.
        label_names, seed, digest: as written.
    """

    path: Path
    splits: tuple[SplitReport, ...]
    largest_groups: tuple[tuple[str, int, str], ...]
    alike: tuple[tuple[str, ...], ...]
    left_out: tuple[tuple[str, str], ...]
    noted: tuple[tuple[str, str], ...]
    dataset_dir: Path
    label_names: tuple[str, ...]
    seed: int
    digest: str = field(repr=False)
    background: int = 0

    @property
    def counts(self) -> dict[str, int]:
        """Items by split."""
        return {split.name: split.items for split in self.splits}

    def lines(self) -> list[str]:
        """The report as aligned text, for a terminal."""
        lines = [*self._table(), *self._background(), *self._absent(), *self._few(), *self._alike()]
        left_out = _listed("left out", self.left_out, "reasons")
        noted = _listed("notes", self.noted, "notes") if self.noted else ()
        for part in (self._groups(), [*left_out, *noted], self._written()):
            lines += ["", *part]
        return lines

    def _table(self) -> list[str]:
        classes = self.label_names[1:]
        categories = list(dict.fromkeys(name for split in self.splits for name in sorted(split.categories)))
        total = sum(split.items for split in self.splits) or 1
        head = ["split", "items", "share", "groups", *(f"with {name}" for name in classes), *categories]
        rows = [
            [
                split.name,
                str(split.items),
                f"{100 * split.items / total:.1f} %",
                str(split.groups),
                *(_of(split.frames_by_class.get(name, 0), split.items) for name in classes),
                *(_of(split.categories.get(name, 0), split.items) for name in categories),
            ]
            for split in self.splits
        ]
        return _aligned([head, *rows])

    def _absent(self) -> Iterator[str]:
        """Classes that a split lacks, so that they cannot be learnt or judged there."""
        for name in self.label_names[1:]:
            lacking = [split.name for split in self.splits if not split.frames_by_class.get(name)]
            if lacking:
                yield f"warning: nothing with {name} in {', '.join(lacking)}"

    def _background(self) -> Iterator[str]:
        if self.background:
            yield f"and {self.background} in training that show none of the classes (background)"

    def _few(self) -> Iterator[str]:
        for split in self.splits:
            if split.groups < FEW_GROUPS:
                few = f"{split.groups} groups (patients), too few to speak for others"
                yield f"warning: {split.name} has {few}"

    def _alike(self) -> Iterator[str]:
        for names in self.alike[:SHOWN]:
            yield f"warning: groups that differ in case, leading zeros or separators only: {', '.join(names)}"
            yield "  if they are one patient, give them one name: now they count as several"

    def _groups(self) -> Iterator[str]:
        yield f"largest groups (of {sum(split.groups for split in self.splits)}):"
        rows = [[f"  {group}", str(frames), split] for group, frames, split in self.largest_groups]
        yield from _aligned(rows, right={1})

    def _written(self) -> Iterator[str]:
        yield f"wrote {self.path} (seed {self.seed}, digest {self.digest[:12]})"
        if self.path.parent.resolve() != self.dataset_dir.resolve():
            folder = f"--dataset_dir {self.dataset_dir}"
            yield f"its paths are relative to the data set's folder: train with {folder}"
        names = ",".join(f"'{name}'" for name in self.label_names)
        yield f'its classes as an override: --label_names "[{names}]"'


def _of(number: int, total: int) -> str:
    return f"{number} ({100 * number / total:.1f} %)" if total else "0"


def _aligned(rows: Sequence[Sequence[str]], right: set[int] | None = None) -> list[str]:
    """Columns of equal width: the first aligned to the left, numbers to the right."""
    columns = []
    for number, cells in enumerate(zip(*rows, strict=True)):
        width = max(map(len, cells))
        to_right = number > 0 if right is None else number in right
        columns.append([cell.rjust(width) if to_right else cell.ljust(width) for cell in cells])
    return ["  ".join(row).rstrip() for row in zip(*columns, strict=True)]


def _listed(title: str, listed: tuple[tuple[str, str], ...], words: str) -> Iterator[str]:
    """What concerns several files, the most frequent first, with one of the files each."""
    counts = Counter(text for _, text in listed)
    yield f"{title}: {len(listed)}"
    for text, number in counts.most_common(SHOWN):
        example = next(path for path, other in listed if other == text)
        yield f"  {number} x {text} (first: {example})"
    if len(counts) > SHOWN:
        yield f"  ... and {len(counts) - SHOWN} other {words}"
