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
    them; or as another shard of the same job. The locks end with the process, however it ends.

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
    state, foreign = folder / STATE, _foreign(folder)
    state.mkdir(mode=0o700, parents=True, exist_ok=True)
    with FileLock(state / "claim.lock", timeout=60):
        others = [other for other in _at_work(state) if other != shard.label]
        if shard.label in _at_work(state) or (others and (overwrite or _job(folder) != job)):
            remedy = "Wait for it to end, or name another folder with --output."
            raise _refusal(folder, "one that another run is working in", remedy)
        if foreign:
            raise _refusal(folder, "one that holds other files", "Name a new one with --output.")
        if not (resume or overwrite):
            _check(folder, shard, job)
        if overwrite:
            _clear(folder)
        lock = FileLock(state / f"run-{shard.label}.lock", timeout=0)
        lock.acquire()
        with atomic_write(state / JOB, "w") as file:
            json.dump(job, file)
    return lock


def _foreign(folder: Path) -> bool:
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


def _check(folder: Path, shard: Shard, job: dict[str, object]) -> None:
    """Let in who begins a job, and each of its shards once."""
    former = _job(folder)
    begun = (folder / STATE / f"run-{shard.label}.lock").exists()
    if not former or (shard.count > 1 and not begun and former == job):
        return
    remedy = "Go on in it with --resume, replace what it holds with --overwrite, or name a new one with --output."
    raise _refusal(folder, "one that holds the results of an earlier run", remedy)


def _job(folder: Path) -> dict[str, object]:
    with suppress(OSError, ValueError):
        return dict(json.loads((folder / STATE / JOB).read_bytes()))
    return {}


def _clear(folder: Path) -> None:
    """Remove what an earlier run has written, and nothing else; the report last, so that it tells of what is there."""
    shutil.rmtree(folder / "items", ignore_errors=True)
    for failures in (folder / STATE).glob("failures-*.jsonl"):
        failures.unlink()
    for name in TABLES:
        (folder / name).unlink(missing_ok=True)


def _refusal(folder: Path, found: str, remedy: str) -> OutputError:
    return OutputError("an output folder for this batch", found=found, remedy=remedy, path=folder)
