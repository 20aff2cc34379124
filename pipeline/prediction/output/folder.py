"""The output folder of a batch: complete results of items, and the failures so far."""

from __future__ import annotations

import contextlib
import json
import os
import secrets
import shutil
from collections.abc import Iterator
from dataclasses import asdict, replace
from pathlib import Path

from filelock import FileLock

from pyraseg.pipeline.prediction.output.folder_lock import STATE, TABLES, Shard
from pyraseg.pipeline.utils.files import atomic_write, sync_path, write_json
from pyraseg.pipeline.writers.tables.item_records import Failure, Item, ItemRecord
from pyraseg.transforms.errors import OutputError

__all__ = ["RECORD", "OutputFolder"]

RECORD = "item.json"
BACKEND = "backend.json"


class OutputFolder:
    """The results of a batch; use it only while the folder's lock is held.

    ``items/<case>/`` holds all files of one item. A worker fills a draft, and the main process renames it, so
    that the files appear at once, and never after that process. ``.pyraseg/`` holds locks, drafts, failures.

    Args:
        path: the folder.
        shard: this run's part of the job.
        fingerprint: of weights, bundle and options; results with another one are due again.
    """

    def __init__(self, path: str | Path, *, shard: Shard, fingerprint: str) -> None:
        self.path = Path(path).absolute()
        self.items = self.path / "items"
        self.shard = shard
        self.fingerprint = fingerprint
        self.drafts = self.path / STATE / "drafts" / f"{shard.label}-{secrets.token_hex(4)}"
        self._failures = self.path / STATE / f"failures-{shard.label}.jsonl"
        self._failed_here: dict[str, Failure] = {}

    def prepare(self) -> None:
        """Make the folders and remove what a killed run of this shard left.

        Raises:
            OutputError: they cannot be made.
        """
        with _writable(self.path):
            self.remove_drafts()
            self._failures.unlink(missing_ok=True)  # failed items are due again
            with FileLock(self.path / STATE / "tables.lock"):  # another shard may be writing its tables
                for name in TABLES:
                    for stale in self.path.glob(f".{'[0-9a-f]' * 12}-{name}"):
                        stale.unlink()
            self.items.mkdir(parents=True, exist_ok=True)
            self.drafts.mkdir(parents=True)

    def remove_drafts(self) -> None:
        """Remove the drafts of this shard's other processes; those that live on cannot publish any more."""
        for stale in self.drafts.parent.glob(f"{self.shard.label}-*"):
            if stale != self.drafts:
                shutil.rmtree(stale, ignore_errors=True)

    def check(self) -> None:
        """Raise an OutputError if the folder is not the one any more in which this run began."""
        if not (self.drafts.is_dir() and self.items.is_dir()):
            found = "one that was removed or replaced while the run went on"
            remedy = "Keep other programs out of it, and run it again."
            wanted = "the output folder in which the run began"
            raise OutputError(wanted, found=found, remedy=remedy, path=self.path)

    def is_gone(self) -> bool:
        """Whether the folder was removed, for good: a worker that was writing a draft has made it anew."""
        if not self.items.is_dir():
            self.close()
            with contextlib.suppress(OSError):  # not empty: it is another's
                for folder in (self.drafts.parent, self.path / STATE, self.path):
                    folder.rmdir()
        return not self.items.is_dir()

    def is_done(self, item: Item) -> bool:
        """Whether there are results of the current file with the same weights and options."""
        record = self.read(item.case)
        return (
            record is not None
            and record.fingerprint == self.fingerprint
            and (record.size, record.modified_ns) == (item.size, item.modified_ns)
            and all((self.items / item.case / name).is_file() for name in record.outputs)
        )

    def update_file(self, item: Item) -> None:
        """Update the path of a finished item's file, relative to this run's inputs."""
        record = self.read(item.case)
        if record is not None and record.file != item.file:
            with atomic_write(self.items / item.case / RECORD, "w") as file:
                json.dump(replace(record, file=item.file).to_json(), file)

    def backend(self) -> str | None:
        """The backend that scored this job's frames so far; None if none has."""
        try:
            content = json.loads((self.path / STATE / BACKEND).read_bytes())
            return str(content["backend"]) if content["fingerprint"] == self.fingerprint else None
        except (OSError, ValueError, KeyError, TypeError):
            return None

    def save_backend(self, name: str) -> None:
        """Record the backend, which all runs and shards of the job must use."""
        write_json(self.path / STATE / BACKEND, {"fingerprint": self.fingerprint, "backend": name})

    def read(self, case: str) -> ItemRecord | None:
        """The record of a finished item; None if there is none that can be read."""
        try:
            return ItemRecord.from_json(json.loads((self.items / case / RECORD).read_bytes()))
        except (OSError, ValueError, KeyError, TypeError):
            return None

    def records(self) -> Iterator[ItemRecord]:
        """The records of all finished items of this job, of all shards, sorted by case."""
        with contextlib.suppress(FileNotFoundError):
            for case in sorted(entry.name for entry in os.scandir(self.items)):
                record = self.read(case)
                if record is not None and record.fingerprint == self.fingerprint:
                    yield record

    def draft(self, case: str) -> Path:
        """The folder of an item's files until they are complete."""
        return self.drafts / case

    def publish(self, case: str) -> None:
        """Move an item's complete draft to its results; replaces earlier results.

        Raises:
            OutputError: it cannot be moved.
        """
        draft = self.draft(case)
        with _writable(self.path):
            sync_path(draft)
            former = self._hide(case)
            os.rename(draft, self.items / case)
        shutil.rmtree(former, ignore_errors=True)

    def withdraw(self, case: str) -> None:
        """Remove a failed item's draft and its outdated results of an earlier run.

        A file too broken to be an item has no case, and nothing is removed.
        """
        if not case:
            return
        shutil.rmtree(self.draft(case), ignore_errors=True)
        with contextlib.suppress(OSError):
            shutil.rmtree(self._hide(case), ignore_errors=True)

    def _hide(self, case: str) -> Path:
        """Move an item's results out of sight at once; returns the new path."""
        former = self.drafts / f"{case}-former"
        with contextlib.suppress(FileNotFoundError):
            os.rename(self.items / case, former)
        return former

    def add_failure(self, failure: Failure) -> None:
        """Record a failure for the tables of this run and, unless the disk is full, of other shards."""
        self._failed_here[failure.file] = failure
        with contextlib.suppress(OSError), self._failures.open("a", encoding="utf-8") as file:
            # A newline first: the last line may be cut off
            file.write("\n" + json.dumps(asdict(failure)))

    def failures(self) -> list[Failure]:
        """All failures so far, of all shards, sorted by file; each file once."""
        failures: dict[str, Failure] = {}
        for path in sorted((self.path / STATE).glob("failures-*.jsonl")):
            for line in path.read_text(encoding="utf-8").splitlines():
                with contextlib.suppress(ValueError, TypeError):  # a line that a kill has cut off
                    failure = Failure(**json.loads(line))
                    failures[failure.file] = failure
        failures |= self._failed_here
        still = (failures[file] for file in sorted(failures))  # not what has been done since
        return [each for each in still if not each.case or not (self.items / each.case).exists()]

    def close(self) -> None:
        """Remove this run's drafts."""
        shutil.rmtree(self.drafts, ignore_errors=True)


@contextlib.contextmanager
def _writable(folder: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        found = f"one that cannot ({error.strerror or type(error).__name__})"
        remedy = "Free some space, give yourself write access there, or choose another --output."
        raise OutputError(
            "an output folder that can be written", found=found, remedy=remedy, path=folder
        ) from error
