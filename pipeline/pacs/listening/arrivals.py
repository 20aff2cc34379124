"""Which series have come whole and wait for their results, and which have theirs."""

from __future__ import annotations

import hashlib
import json
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from pyraseg.pipeline.pacs.listening.objects import SUFFIX
from pyraseg.pipeline.utils.files import write_json
from pyraseg.transforms.errors import PeerError

__all__ = ["Arrivals", "Expected", "Outcome", "images_of"]

BROKEN = 6  # times the quiet time, where an association was broken off: its sender may try again
Expected = Callable[[Path], int | None]  # from a file of a series to the archive's count of its images


def images_of(folder: Path) -> list[Path]:
    """The images of a series, sorted; none where the folder is gone."""
    return sorted(folder.glob(f"*{SUFFIX}"))


@dataclass(frozen=True)
class Outcome:
    """What came of a series, as its record on the disk.

    Attributes:
        images: how many there were; ``names``: a hash of their names.
        failed: whether an item of it failed; it is tried again after a restart.
    """

    images: int
    names: str
    failed: bool = False

    @classmethod
    def of(cls, images: list[Path], *, failed: bool = False) -> Outcome:
        """Of these images."""
        joined = "\n".join(path.name for path in images)
        return cls(len(images), hashlib.sha256(joined.encode()).hexdigest(), failed)


@dataclass
class _Waiting:
    """A series with images since its last outcome; ``last`` and ``check`` are times of the clock."""

    last: float
    associations: set[int] = field(default_factory=set)
    broken: bool = False
    check: float = 0.0
    told: str = ""


class Arrivals:
    """Follows the receiving process, and knows what an earlier one has received.

    A series is due once no association that brought of it is open, the quiet time has passed since its last
    image, no image is missing that an earlier result had, and an archive, if one is known, counts no more.
    The images themselves are the record of what came, so nothing is lost however the process ends.

    Args:
        images: folder of the received images, a folder each series.
        records: folder for the outcomes, a file each series; made if missing.
        quiet: seconds.
        expected: the archive's count of a series.
        clock: of seconds.
    """

    def __init__(
        self,
        images: Path,
        records: Path,
        *,
        quiet: float,
        expected: Expected | None = None,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self.images, self._records = images, records
        self._quiet, self._expected, self._clock = quiet, expected, clock
        self._lock = threading.Lock()
        self._open: set[int] = set()
        self._waiting: dict[str, _Waiting] = {}
        records.mkdir(parents=True, exist_ok=True)
        for folder in images.iterdir() if images.is_dir() else ():
            if not folder.name.startswith(".") and self._is_new(folder):
                self._waiting[folder.name] = _Waiting(clock(), broken=True)

    def hear(self, words: tuple[Any, ...]) -> None:
        """Note what the receiving process tells; from any thread. ``("lost",)``: it has ended."""
        with self._lock:
            if words[0] == "opened":
                self._open.add(words[1])
            elif words[0] == "closed":
                self._close({words[1]}, whole=words[2])
            elif words[0] == "lost":
                self._close(set(self._open), whole=False)
            elif words[0] == "stored" and words[4]:
                waiting = self._waiting.setdefault(words[2], _Waiting(0.0))
                waiting.last, waiting.broken, waiting.told = self._clock(), False, ""
                waiting.associations.add(words[1])

    def _close(self, associations: set[int], *, whole: bool) -> None:
        self._open -= associations
        for waiting in self._waiting.values():
            if waiting.associations & associations:
                waiting.last = self._clock()
                waiting.broken |= not whole

    def __len__(self) -> int:
        return len(self._waiting)

    def due(self, most: int) -> list[str]:
        """Series to predict now, the longest complete first; each once, and again with a new image."""
        with self._lock:
            quiet = [(each.last, series) for series, each in self._waiting.items() if self._is_quiet(each)]
        found: list[tuple[float, str]] = []
        for last, series in sorted(quiet):
            if len(found) < most and self._is_whole(series):  # may ask an archive: not while others wait
                found.append((last, series))
        with self._lock:
            found = [pair for pair in found if self._waiting[pair[1]].last == pair[0]]
            for _, series in found:
                del self._waiting[series]
        return [series for _, series in found]

    def remarks(self) -> Iterator[str]:
        """Why complete series wait, each reason once."""
        with self._lock:
            for series, waiting in self._waiting.items():
                if waiting.told and not waiting.told.startswith("*"):
                    yield f"{series}: waits, {waiting.told}"
                    waiting.told = f"*{waiting.told}"

    def _is_quiet(self, waiting: _Waiting) -> bool:
        quiet = self._quiet * (BROKEN if waiting.broken else 1)
        return not waiting.associations & self._open and self._clock() >= max(
            waiting.last + quiet, waiting.check
        )

    def _is_whole(self, series: str) -> bool:
        images, former = images_of(self.images / series), self.outcome(series)
        if not images:
            return True
        wanted, reason = 0, ""
        try:
            counted = self._expected(images[0]) if self._expected else None
            wanted = max(counted or 0, former.images if former else 0)
        except PeerError as error:  # not known: rather later than in part
            reason = f"the archive does not say how many there are: {error.found}"
        if len(images) < wanted:
            who = "the archive has" if counted == wanted else "its last result was of"
            reason = f"{len(images)} images here, {who} {wanted}"
        if reason:
            with self._lock:
                waiting = self._waiting[series]
                waiting.check = self._clock() + max(self._quiet, 1.0)
                self._tell(waiting, reason)
        return not reason

    def _tell(self, waiting: _Waiting, reason: str) -> None:
        if waiting.told.removeprefix("*") != reason:
            waiting.told = reason

    def outcome(self, series: str) -> Outcome | None:
        """The last outcome of a series; None if there is none that can be read."""
        try:
            return Outcome(**json.loads((self._records / f"{series}.json").read_bytes()))
        except (OSError, ValueError, TypeError):
            return None

    def settle(self, series: str, outcome: Outcome) -> None:
        """Record what came of a series.

        Raises:
            OutputError: it cannot be written.
        """
        write_json(self._records / f"{series}.json", asdict(outcome))

    def forget(self, series: str, images: list[Path]) -> None:
        """Drop the images of a series that no bundle takes, but none that has come since."""
        for path in images:
            path.unlink(missing_ok=True)
        folder = self.images / series
        if not images_of(folder):
            (self._records / f"{series}.json").unlink(missing_ok=True)
            if folder.is_dir():
                folder.rmdir()

    def _is_new(self, folder: Path) -> bool:
        images, former = images_of(folder), self.outcome(folder.name)
        return bool(images) and (former is None or former.failed or former.names != Outcome.of(images).names)
