"""The parts that a data set is shared into, and which group goes to which."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from pyraseg.pipeline.datalist.items import SPLITS, Entry
from pyraseg.pipeline.datalist.split import assign_groups
from pyraseg.transforms.errors import DatalistError

__all__ = ["Part", "assign", "classes_of", "how", "make_parts"]


@dataclass(frozen=True)
class Part:
    """One share of the data: a split, or one fold of the training split."""

    split: str
    share: float
    fold: int | None = None

    @property
    def name(self) -> str:
        return self.split if self.fold is None else f"fold {self.fold}"


def make_parts(fractions: tuple[float, float, float], folds: int | None) -> list[Part]:
    """The splits that get something, or the folds and the test split.

    Raises:
        DatalistError: fewer than two folds.
    """
    if folds is None:
        return [Part(split, share) for split, share in zip(SPLITS, fractions, strict=True) if share > 0]
    if folds < 2:
        raise DatalistError(
            "two folds or more", found=str(folds), remedy="Set --folds to 2 or more, or leave it out."
        )
    test = fractions[2]
    parts = [Part("training", (1 - test) / folds, fold) for fold in range(folds)]
    return [*parts, Part("test", test)] if test > 0 else parts


def how(fractions: Sequence[float], folds: int | None) -> dict[str, object]:
    """How the data was shared out, for the datalist's head."""
    return (
        {"fractions": list(fractions)} if folds is None else {"folds": folds, "test_fraction": fractions[2]}
    )


def assign(
    entries: Sequence[Entry], parts: Sequence[Part], mapping: Mapping[int | str, int], *, seed: int
) -> dict[str, int]:
    """The part of each group; balanced by frames, by frames that hold each class, and by the images' own
    class."""
    classes = sorted(set(mapping.values()) - {0})
    categories = sorted({entry.category for entry in entries if entry.category})
    members: dict[str, list[Entry]] = defaultdict(list)
    for entry in entries:
        members[entry.group].append(entry)
    groups = sorted(members)
    counts = [
        [
            len(members[group]),
            *(sum(index in classes_of(entry, mapping) for entry in members[group]) for index in classes),
            *(sum(entry.category == category for entry in members[group]) for category in categories),
        ]
        for group in groups
    ]
    return dict(zip(groups, assign_groups(counts, [part.share for part in parts], seed=seed), strict=True))


def classes_of(entry: Entry, mapping: Mapping[int | str, int]) -> set[int]:
    """The classes whose values occur in the entry's mask."""
    return {mapping[value] for value in entry.values}
