"""The series that labels and results belong to: its grid, and its identity for other objects."""

from __future__ import annotations

from collections.abc import Mapping, Set
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from pyraseg.transforms.errors import GeometryError
from pyraseg.transforms.geometry.grid import VolumeGrid
from pyraseg.transforms.records import SourceRef

__all__ = ["ON_SLICE", "SourceSeries", "check_belongs"]

# Of the distance between slices: rounded positions are on a slice, those of another series are not
ON_SLICE = 0.1


@dataclass(frozen=True)
class SourceSeries:
    """One series of images that form a volume.

    Attributes:
        grid: of its voxels.
        frame_of_reference_uid: (0020,0052), empty where it has none.
        slices: the file of each slice, in the grid's order; for a multi-frame image always the same.
        frames: the index of each slice within its file, from 0; empty where every slice has its own file.

    Raises:
        GeometryError: on construction, the number of slices or frames is not the grid's.
    """

    grid: VolumeGrid
    frame_of_reference_uid: str
    slices: tuple[SourceRef, ...]
    frames: tuple[int, ...] = ()

    def __post_init__(self) -> None:
        count = self.grid.shape[2]
        if len(self.slices) != count or len(self.frames) not in (0, count):
            remedy = "Name the file of every slice, in the order of the grid."
            raise GeometryError(f"{count} slices", found=f"{len(self.slices)}", remedy=remedy)

    @property
    def series_instance_uid(self) -> str:
        """Empty where the files have none."""
        return self.slices[0].series_instance_uid

    @cached_property
    def slice_indices(self) -> Mapping[tuple[str, int], int]:
        """The slice, from 0, of each SOP Instance UID and frame index; a file without frames has frame 0."""
        frames = self.frames or (0,) * len(self.slices)
        pairs = zip(self.slices, frames, strict=True)
        return {
            (ref.sop_instance_uid, frame): index
            for index, (ref, frame) in enumerate(pairs)
            if ref.sop_instance_uid
        }

    @cached_property
    def instances(self) -> frozenset[str]:
        """The SOP Instance UIDs of its files."""
        return frozenset(ref.sop_instance_uid for ref in self.slices if ref.sop_instance_uid)

    def grid_array(self, dtype: type) -> np.ndarray:
        """Zeros (columns, rows, slices); each slice is contiguous in memory."""
        return np.zeros(self.grid.shape[::-1], dtype).T


def check_belongs(
    series: SourceSeries,
    *,
    wanted: str,
    frame_of_reference_uid: str,
    listed: Mapping[str, Set[str]],
    images: Set[str],
    path: str,
) -> None:
    """Refuse labels that were drawn in another frame of reference, or on another series in it.

    Where both state a frame of reference, it must be the same. One of the references to series and files must
    match this series: real objects may match in only one, as their series got new UIDs. Where an object lists
    several series, the series of the images counts. Without references the frame of reference decides.

    Args:
        wanted: what the labels should be, for the error.
        frame_of_reference_uid: the labels', empty where they name none.
        listed: the SOP Instance UIDs by Series Instance UID that the object lists; the latter may be empty.
        images: the SOP Instance UIDs that the labels themselves name.

    Raises:
        GeometryError: they do not belong together.
    """
    if frame_of_reference_uid and series.frame_of_reference_uid not in ("", frame_of_reference_uid):
        raise _foreign(wanted, "one in another frame of reference", path)
    homes = {uid: instances for uid, instances in listed.items() if instances & images} or dict(listed)
    named = set(images).union(*homes.values())
    if series.series_instance_uid in set(homes) - {""} or named & series.instances:
        return
    if listed or images:
        raise _foreign(wanted, "one that refers to another series", path)
    if not (frame_of_reference_uid and series.frame_of_reference_uid):
        raise _foreign(wanted, "one that refers to no series and no frame of reference", path)


def _foreign(wanted: str, found: str, path: str) -> GeometryError:
    remedy = "Give the series that it was drawn on; nothing is carried over to another one."
    return GeometryError(wanted, found=found, remedy=remedy, path=path)
