"""Images that show none of the classes, for training alone: no label is drawn on them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from pyraseg.pipeline.datalist.groups import Grouping
from pyraseg.pipeline.datalist.items import Collection, Entry
from pyraseg.pipeline.datalist.sources.headers import read_grid
from pyraseg.pipeline.datalist.sources.images import find_images
from pyraseg.transforms.errors import DatalistError
from pyraseg.transforms.io.paths import split_frame_path
from pyraseg.transforms.io.reading_options import ReadingOptions

__all__ = ["BackgroundSource"]

TRAINING = "training"


@dataclass(frozen=True)
class BackgroundSource:
    """A folder of images that are declared to show none of the classes.

    They join the training split, and only where no image of their group is in another.

    Attributes:
        folder: frames, or volumes (NIfTI, folders of series), as the labelled images are.
        grouping: the unit of the split, the same as that of the labelled images.
    """

    folder: str | Path
    grouping: Grouping

    def collect(
        self,
        labelled: Sequence[Entry],
        splits: Mapping[str, tuple[str, int | None]],
        *,
        root: Path,
        reading: ReadingOptions,
    ) -> Collection:
        """The entries, without a label; those of labelled images and of patients held out are left out.

        Args:
            labelled: the entries with labels, one or more.
            splits: of each labelled group the split, and the fold if it has one.
            root: the data set's folder; paths outside it are absolute.

        Raises:
            DatalistError: no image is there, none is left, or nothing tells which are of one patient.
        """
        first = root / labelled[0].image
        kind = "volume" if first.is_dir() or read_grid(first).volume else "frame"
        found = find_images(self.folder, kind=kind, reading=reading)
        named = (split_frame_path(item["image"]) for item in found.items)
        entries = tuple(
            Entry((path.relative_to(root) if path.is_relative_to(root) else path).as_posix(), "", frame=frame)
            for path, frame in named
        )
        grouped = self.grouping.apply(Collection(root, entries, found.left_out))
        known = {(entry.image, frame) for entry in labelled for frame in (entry.frame, None)}
        reasons = {
            (entry.image, entry.frame): "it has a label"
            if (entry.image, entry.frame) in known
            else f"its group is in {splits[entry.group][0]}"
            for entry in grouped.entries
            if (entry.image, entry.frame) in known or splits.get(entry.group, (TRAINING,))[0] != TRAINING
        }
        kept = tuple(entry for entry in grouped.entries if (entry.image, entry.frame) not in reasons)
        left_out = (
            *grouped.left_out,
            *((image, f"background: {why}") for (image, _), why in reasons.items()),
        )
        if not kept:
            wanted, remedy = (
                "background images that training may see",
                "Give others, or leave --background out.",
            )
            what = f"{len(left_out)} left out, first: {left_out[0][1]}" if left_out else "none"
            raise DatalistError(wanted, found=what, remedy=remedy, path=self.folder)
        return Collection(root, kept, left_out, grouped.alike)
