"""Locks an output folder for one run, or for the shards of one job."""

from __future__ import annotations

import json
import re
import shutil
import zlib
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from filelock import FileLock, Timeout

from pyraseg.pipeline.utils.files import write_json
from pyraseg.transforms.errors import OutputError, UsageError
from pyraseg.transforms.privacy import case_name

__all__ = ["STATE", "TABLES", "FolderLock", "Shard", "check_earlier", "parse_shard"]

STATE = ".pyraseg"
TABLES = ("results.csv", "frames.csv", "failures.csv", "left_out.csv", "manifest.json", "report.html",
          "report-*.html")  # fmt: skip
JOB = "job.json"
REMEDY = "Go on in it with --resume, replace what it holds with --overwrite, or name a new one with --output."


@dataclass(frozen=True)
class Shard:
    """Part ``index`` of ``count``, counted from 1."""

    index: int = 1
    count: int = 1

    def takes(self, name: str) -> bool:
        """Whether a UID or a file belongs to this shard; the same on every machine."""
        return zlib.crc32(name.encode("utf-8", "surrogateescape")) % self.count == self.index - 1

    @property
    def label(self) -> str:
        """The label, such as ``2-of-4``."""
        return f"{self.index}-of-{self.count}"


def parse_shard(text: str) -> Shard:
    """Parse ``"2/4"``: shard 2 of 4.

    Raises:
        UsageError: another form.
    """
    match = re.fullmatch(r"(\d+)/(\d+)", text)
    index, count = (int(match[1]), int(match[2])) if match else (0, 0)
    if not 1 <= index <= count:
        raise UsageError(
            "a shard i/n with i from 1 to n", found=repr(text), remedy="Write for example --shard 2/4."
        )
    return Shard(index, count)


@dataclass(frozen=True)
class FolderLock:
    """The lock on an output folder, for one run or for each shard of one job.

    Attributes:
        fingerprint: of weights, bundle and options.
        resume, overwrite: what to do with existing results.
    """

    folder: Path
    shard: Shard
    fingerprint: str
    resume: bool = False
    overwrite: bool = False

    @property
    def job(self) -> dict[str, object]:
        """What all shards share; ``key`` tells two keys for case names apart without revealing them."""
        return {"fingerprint": self.fingerprint, "shards": self.shard.count, "key": case_name("which key")}

    def check(self) -> None:
        """Refuse what ``hold`` would refuse, without any change.

        Raises:
            OutputError: as ``hold``.
        """
        with _writable(self.folder):
            self._check()

    @contextmanager
    def hold(self) -> Iterator[None]:
        """Hold the folder within the block.

        A new folder is accepted. A folder with our results needs ``resume``, or ``overwrite``, which removes
        them. A shard of the same job that has not begun yet is accepted too, and ``overwrite`` then removes
        nothing, so all shards can be started alike. The locks end with the process, however it ends.

        Raises:
            OutputError: it is in use, holds other files or results with another key, or is not writable.
        """
        with _writable(self.folder):
            lock = self._acquire()
        try:
            yield
        finally:
            lock.release(force=True)

    def _acquire(self) -> FileLock:
        state = self.folder / STATE
        if not state.is_dir():  # before anything is written to a folder that is not ours
            self._check()
        state.mkdir(mode=0o700, parents=True, exist_ok=True)
        with FileLock(state / "claim.lock", timeout=60):
            self._check()
            former, begun = _job(state)
            if former != self.job or (self.overwrite and self.shard.label in begun):
                begun = []
                _clear(self.folder, results=self.overwrite)
            lock = FileLock(state / f"run-{self.shard.label}.lock", timeout=0)
            lock.acquire()
            write_json(state / JOB, {**self.job, "begun": sorted({*begun, self.shard.label})})
        return lock

    def _check(self) -> None:
        state = self.folder / STATE
        if _holds_others(self.folder):
            raise _refusal(self.folder, "one that holds other files", "Name a new one with --output.")
        former, begun = _job(state)
        same_job, again = former == self.job, former == self.job and self.shard.label in begun
        others = _at_work(state)
        if self.shard.label in others or (others and (not same_job or (self.overwrite and again))):
            remedy = "Wait for it to end, or name another folder with --output."
            raise _refusal(self.folder, "one that another run is working in", remedy)
        if again and self.overwrite and self.shard.count > 1 and _has_results(self.folder):
            remedy = "Go on with --resume, or name a new one: "
            remedy += "--overwrite of one shard would remove the others' results."
            raise _refusal(self.folder, "one in which this shard has begun before", remedy)
        if not self.overwrite and former.get("key", self.job["key"]) != self.job["key"]:
            remedy = "Set PYRASEG_HASH_KEY to the key of the first run, or name a new one with --output."
            raise _refusal(self.folder, "one whose cases are named with another key", remedy)
        joins = same_job and not again
        if former and not (self.resume or self.overwrite or joins) and _has_results(self.folder):
            raise _refusal(self.folder, "one that holds the results of an earlier run", REMEDY)


@contextmanager
def _writable(folder: Path) -> Iterator[None]:
    try:
        yield
    except (OSError, Timeout) as error:
        found = f"one that cannot be written ({getattr(error, 'strerror', None) or 'its lock cannot be had'})"
        remedy = "Choose another with --output, or give yourself write access there."
        raise _refusal(folder, found, remedy) from error


def _has_results(folder: Path) -> bool:
    """Whether there are results or failures."""
    done = (folder / "items").is_dir() and any((folder / "items").iterdir())
    return done or any((folder / STATE).glob("failures-*.jsonl"))


def _holds_others(folder: Path) -> bool:
    """Whether the folder holds files that are not ours."""
    if not folder.is_dir() or (folder / STATE / JOB).is_file():
        return False
    return any(not entry.name.startswith(".") for entry in folder.iterdir())


def _at_work(state: Path) -> list[str]:
    """The shards whose locks are held."""
    held = []
    for path in state.glob("run-*.lock"):
        try:
            with FileLock(path, timeout=0):
                pass
        except Timeout:
            held.append(path.name.removeprefix("run-").removesuffix(".lock"))
    return held


def check_earlier(folder: Path) -> None:
    """Refuse a folder whose cases cannot be matched with this run's by name.

    Raises:
        OutputError: it holds no results of ours, or results with another key.
    """
    key, wanted = _job(folder / STATE)[0].get("key"), "the output of an earlier run, for --earlier"
    if key is None:
        remedy = "Name the folder that the earlier run had as --output."
        raise OutputError(wanted, found="a folder without results", remedy=remedy, path=folder)
    if key != case_name("which key"):
        found = "one whose cases are named with another key"
        remedy = "Set PYRASEG_HASH_KEY to the key of that run, or leave --earlier out."
        raise OutputError(wanted, found=found, remedy=remedy, path=folder)


def _job(state: Path) -> tuple[dict[str, object], list[str]]:
    """The last job in the folder, and its shards that have begun; empty for a new folder."""
    with suppress(OSError, ValueError):
        job = dict(json.loads((state / JOB).read_bytes()))
        return job, list(job.pop("begun", ()))
    return {}, []


def _clear(folder: Path, *, results: bool) -> None:
    """Remove the failures, drafts, results and tables of an earlier job; nothing else."""
    for failures in (folder / STATE).glob("failures-*.jsonl"):
        failures.unlink()
    shutil.rmtree(folder / STATE / "drafts", ignore_errors=True)
    if results:
        shutil.rmtree(folder / "items", ignore_errors=True)
        for table in (path for name in TABLES for path in folder.glob(name)):
            table.unlink()


def _refusal(folder: Path, found: str, remedy: str) -> OutputError:
    return OutputError("an output folder for this batch", found=found, remedy=remedy, path=folder)
