"""The series that labels and results belong to: its grid, and what other objects refer to it by."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property

from transforms.errors import GeometryError
from transforms.records import SourceRef
from transforms.volume_grid import VolumeGrid

__all__ = ["SourceSeries"]


@dataclass(frozen=True)
class SourceSeries:
    """One series of images that make a volume.

    Attributes:
        grid: where its voxels lie.
        frame_of_reference_uid: (0020,0052), empty where it has none.
        slices: the file of each slice, in the grid's order; for a multi-frame image the same one again and again.
        frames: the index of each slice within its file, from 0; empty where every slice is a file of its own.

    Raises:
        GeometryError: on construction, not as many slices or frames as the grid has.
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
            (ref.sop_instance_uid, frame): index for index, (ref, frame) in enumerate(pairs) if ref.sop_instance_uid
        }

    @cached_property
    def instances(self) -> frozenset[str]:
        """The SOP Instance UIDs of its files."""
        return frozenset(ref.sop_instance_uid for ref in self.slices if ref.sop_instance_uid)
