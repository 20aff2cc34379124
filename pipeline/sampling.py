"""Which frames an epoch takes."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
from torch.utils.data import Sampler

from transforms.errors import ConfigError

__all__ = ["GroupSampler", "group_sampler"]


class GroupSampler(Sampler[int]):
    """Draw at most ``frames_per_group`` frames of each group in an epoch, others in the next, in random order.

    In real sets a few patients hold most frames, and neighbouring frames of a cine say nearly the same. None draws all.
    A frame comes again only once all of its group have been drawn.

    Raises:
        ConfigError: a number of frames below 1.
    """

    def __init__(self, groups: Sequence[str], *, frames_per_group: int | None, seed: int = 0) -> None:
        if frames_per_group is not None and frames_per_group < 1:
            raise ConfigError("frames_per_group above 0", found=str(frames_per_group), remedy="Leave it out for all.")
        self.members = [np.flatnonzero(np.asarray(groups) == group) for group in dict.fromkeys(groups)]
        self.frames_per_group = frames_per_group
        self.random = np.random.default_rng(seed)
        self._waiting = [members[:0] for members in self.members]

    def __len__(self) -> int:
        return sum(min(len(members), self.frames_per_group or len(members)) for members in self.members)

    def __iter__(self) -> Iterator[int]:
        drawn = [self._draw(group) for group in range(len(self.members))]
        return iter(self.random.permutation(np.concatenate(drawn)).tolist())

    def _draw(self, group: int) -> np.ndarray:
        members, queue = self.members[group], self._waiting[group]
        count = min(len(members), self.frames_per_group or len(members))
        if len(queue) < count:
            queue = np.concatenate([queue, self.random.permutation(np.setdiff1d(members, queue))])
        self._waiting[group] = queue[count:]
        return queue[:count]


def group_sampler(items: Sequence[Mapping[str, Any]], *, frames_per_group: int | None, seed: int = 0) -> GroupSampler:
    """A ``GroupSampler`` over datalist items."""
    return GroupSampler([item["group"] for item in items], frames_per_group=frames_per_group, seed=seed)
