"""Which frames an epoch takes, in which order, and the random seed of each."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
from torch.utils.data import Sampler

from pyraseg.transforms.errors import ConfigError

__all__ = ["Draw", "GroupSampler"]

BACKGROUND = ""  # no group has this name


class Draw(int):
    """One item of an epoch: its index in the dataset, an integer, with a ``seed`` for random transforms.

    ``pyraseg.pipeline.training.caching.CachedDataset`` uses the seed; other datasets ignore it.
    """

    seed: int

    def __new__(cls, index: int, seed: int = 0) -> Draw:
        draw = super().__new__(cls, index)
        draw.seed = seed
        return draw


class GroupSampler(Sampler[Draw]):
    """Draw at most ``frames_per_group`` frames of each group per epoch, in random order.

    In real data a few patients hold most frames, and neighbouring frames of a cine are nearly the same. The
    next epoch draws other frames; a frame comes again once all of its group have been drawn.

    Draws and seeds follow from the seed, the epoch and the item alone, not from the number of loader
    processes or from an interruption.

    Args:
        groups: the group of each item of the dataset.
        frames_per_group: None for all.
        seed: of all draws.
        background: of each item whether it shows none of the classes; None: no item does.
        background_per_epoch: at most so many of these per epoch, whatever their groups; None for all.
        share: number of this process and number of processes; each gets the same number of draws, so that
            none waits for another's batch.

    Raises:
        ConfigError: a number of frames below 1, or of background below 0.
    """

    def __init__(
        self,
        groups: Sequence[str],
        *,
        frames_per_group: int | None,
        seed: int = 0,
        share: tuple[int, int] = (0, 1),
        background: Sequence[bool] | None = None,
        background_per_epoch: int | None = None,
    ) -> None:
        if background_per_epoch is not None and background_per_epoch < 0:
            found, remedy = str(background_per_epoch), "Leave it out for all."
            raise ConfigError("background_per_epoch of 0 or more", found=found, remedy=remedy)
        if frames_per_group is not None and frames_per_group < 1:
            raise ConfigError(
                "frames_per_group above 0", found=str(frames_per_group), remedy="Leave it out for all."
            )
        blank = background if background is not None else [False] * len(groups)
        # background is one group among the others, with a limit of its own
        names = [BACKGROUND if alone else group for group, alone in zip(groups, blank, strict=True)]
        self.members = [np.flatnonzero(np.array(names) == name) for name in dict.fromkeys(names)]
        limits = {BACKGROUND: background_per_epoch}
        self.counts = [
            len(members) if limit is None else min(len(members), limit)
            for name, members in zip(dict.fromkeys(names), self.members, strict=True)
            for limit in (limits.get(name, frames_per_group),)
        ]
        self.seed = seed
        self.rank, self.ranks = share
        self._skip = 0
        self._rewind()

    def __len__(self) -> int:
        return -(-sum(self.counts) // self.ranks)

    def __iter__(self) -> Iterator[Draw]:
        indices = self._next_epoch()
        padded = np.resize(indices, len(self) * self.ranks)  # starts over where it ends
        draws = padded[self.rank :: self.ranks][self._skip :]
        epoch, self._skip = self.epoch, 0
        return (
            Draw(int(index), int(np.random.SeedSequence([self.seed, epoch, int(index)]).generate_state(1)[0]))
            for index in draws
        )

    def seek(self, epochs: int, *, draws: int = 0) -> None:
        """Go to the state after ``epochs`` whole epochs and ``draws`` draws of the next."""
        self._rewind()
        for _ in range(epochs):
            self._next_epoch()
        self._skip = draws

    def _rewind(self) -> None:
        self.epoch = 0
        self.random = np.random.default_rng(self.seed)
        self._waiting = [members[:0] for members in self.members]

    def _next_epoch(self) -> np.ndarray:
        self.epoch += 1
        return self.random.permutation(
            np.concatenate([self._draw(group) for group in range(len(self.members))])
        )

    def _draw(self, group: int) -> np.ndarray:
        members, queue, count = self.members[group], self._waiting[group], self.counts[group]
        if len(queue) < count:
            queue = np.concatenate([queue, self.random.permutation(np.setdiff1d(members, queue))])
        self._waiting[group] = queue[count:]
        return queue[:count]
