"""Who may write to an output folder: one run, or the shards of one job."""

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

from pipeline.files import atomic_write
from transforms.errors import OutputError, UsageError

__all__ = ["STATE", "TABLES", "Shard", "claim", "parse_shard"]

STATE = ".pyraseg"
TABLES = ("results.csv", "frames.csv", "failures.csv", "left_out.csv", "manifest.json", "report.html")
JOB = "job.json"
REMEDY = "Go on in it with --resume, replace what it holds with --overwrite, or name a new one with --output."


@dataclass(frozen=True)
class Shard:
    """Part ``index`` of ``count``, counted from 1."""

    index: int = 1
    count: int = 1

    def takes(self, name: str) -> bool:
        """Whether a case or a file is this part's; each is exactly one part's, on every machine."""
        return zlib.crc32(name.encode("utf-8", "surrogateescape")) % self.count == self.index - 1

    @property
    def label(self) -> str:
        """For example ``2-of-4``."""
        return f"{self.index}-of-{self.count}"


def parse_shard(text: str) -> Shard:
    """``"2/4"`` as part 2 of 4.

    Raises:
        UsageError: anything else.
    """
    match = re.fullmatch(r"(\d+)/(\d+)", text)
    index, count = (int(match[1]), int(match[2])) if match else (0, 0)
    if not 1 <= index <= count:
        raise UsageError("a shard i/n with i from 1 to n", found=repr(text), remedy="Write for example --shard 2/4.")
    return Shard(index, count)


@contextmanager
def claim(
    folder: str | Path, *, shard: Shard, fingerprint: str, resume: bool = False, overwrite: bool = False
) -> Iterator[None]:
    """Hold an output folder for the time of the block.

    A new folder is taken as it is, and one with results of ours only with ``resume`` or ``overwrite``, which removes
    them; or as a shard of the same job that has not begun yet, which ``overwrite`` changes nothing of: all shards may
    be started alike. The locks end with the process, however it ends.

    Raises:
        OutputError: another run is at work there, it holds other files, or it cannot be written.
    """
    folder = Path(folder).absolute()
    job = {"fingerprint": fingerprint, "shards": shard.count}
    try:
        lock = _take(folder, shard, job=job, resume=resume, overwrite=overwrite)
    except (OSError, Timeout) as error:
        found = f"one that cannot be written ({getattr(error, 'strerror', None) or 'its lock cannot be had'})"
        remedy = "Choose another with --output, or give yourself write access there."
        raise _refusal(folder, found, remedy) from error
    try:
        yield
    finally:
        lock.release(force=True)


def _take(folder: Path, shard: Shard, *, job: dict[str, object], resume: bool, overwrite: bool) -> FileLock:
    """The lock, taken: leaving it as a context manager gives it back."""
    state = folder / STATE
    if _holds_others(folder) and not state.is_dir():  # in this order: another shard may be making both
        raise _refusal(folder, "one that holds other files", "Name a new one with --output.")
    state.mkdir(mode=0o700, parents=True, exist_ok=True)
    with FileLock(state / "claim.lock", timeout=60):
        former, begun = _job(state)
        joins = former == job and shard.label not in begun
        clears = overwrite and not joins
        held = _at_work(state)
        if shard.label in held or (held and (former != job or clears)):
            remedy = "Wait for it to end, or name another folder with --output."
            raise _refusal(folder, "one that another run is working in", remedy)
        if _holds_others(folder):
            raise _refusal(folder, "one that holds other files", "Name a new one with --output.")
        if former and not (resume or overwrite or joins):
            raise _refusal(folder, "one that holds the results of an earlier run", REMEDY)
        if former != job or clears:
            begun = []
            _clear(folder, results=clears)
        lock = FileLock(state / f"run-{shard.label}.lock", timeout=0)
        lock.acquire()
        with atomic_write(state / JOB, "w") as file:
            json.dump({**job, "begun": sorted({*begun, shard.label})}, file)
    return lock


def _holds_others(folder: Path) -> bool:
    """Whether the folder holds something that no run of ours has put there."""
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


def _job(state: Path) -> tuple[dict[str, object], list[str]]:
    """What the folder was last used for, and the shards of it that have begun; nothing where it is new."""
    with suppress(OSError, ValueError):
        job = dict(json.loads((state / JOB).read_bytes()))
        return job, list(job.pop("begun", ()))
    return {}, []


def _clear(folder: Path, *, results: bool) -> None:
    """Remove what is left of an earlier job's failures and drafts, and its results and tables; nothing else."""
    for failures in (folder / STATE).glob("failures-*.jsonl"):
        failures.unlink()
    shutil.rmtree(folder / STATE / "drafts", ignore_errors=True)
    if results:
        shutil.rmtree(folder / "items", ignore_errors=True)
        for name in TABLES:
            (folder / name).unlink(missing_ok=True)


def _refusal(folder: Path, found: str, remedy: str) -> OutputError:
    return OutputError("an output folder for this batch", found=found, remedy=remedy, path=folder)
