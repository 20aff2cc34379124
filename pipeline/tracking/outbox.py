"""Entries that wait to be sent, on disk: a journal, copies of files, and how far it has been sent.

Everything that a run logs is written here first, so a killed process or an absent server loses nothing. One
process at a time holds an outbox.
"""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any

from pyraseg.pipeline.utils.files import hold_file, write_json
from pyraseg.transforms.errors import OutputError, TrackingError

__all__ = ["FACTS", "Entry", "Outbox"]

FACTS = "outbox.json"
Entry = dict[str, Any]


class Outbox:
    """The waiting entries of one run, in one folder.

    Args:
        folder: made if missing; entries of an earlier process stay in it.
        facts: whose entries they are, for ``pyraseg sync``; None leaves the file as it is.

    Raises:
        TrackingError: another process holds this outbox.
        OutputError: the folder cannot be written, or the disk is full (from any method).
    """

    def __init__(self, folder: str | Path, facts: Mapping[str, str] | None = None) -> None:
        self.folder = Path(folder)
        self._lock = threading.Lock()
        self._waiting: dict[str, Path] = {}  # destination: the copy that waits for it
        with _writing(self.folder):
            (self.folder / "files").mkdir(parents=True, exist_ok=True)
            self._holder = _hold(self.folder / ".lock")
            if facts is not None:
                write_json(self.folder / FACTS, dict(facts))
            self._journal = _open_journal(self.folder / "journal.jsonl")
        self._sent = self._read_sent()
        self._files = max((int(path.name) for path in (self.folder / "files").iterdir()), default=0)
        self._try_again()

    @property
    def facts(self) -> dict[str, str]:
        return json.loads((self.folder / FACTS).read_text(encoding="utf-8"))

    def append(self, entry: Entry) -> None:
        """Append one entry. It survives the end of the process; after ``sync`` also a power cut."""
        with self._lock, _writing(self.folder):
            self._journal.write(json.dumps(entry).encode() + b"\n")

    def add_file(
        self, path: str | Path, folder: str, *, name: str = "", link: bool = False, model: str = ""
    ) -> None:
        """Append a file as a copy. It replaces a copy that still waits for the same path.

        Args:
            link: the file will be replaced and never changed in place, so a hard link serves as a copy.
            model: the SHA-256 of the checkpoint whose LoggedModel gets the file, and not the run.
        """
        name = name or Path(path).name
        with _writing(self.folder):
            copy = self._artifact_path(name)
            _duplicate(Path(path), copy, link=link)
        self._supersede(f"{model}:{folder}/{name}", copy)
        entry = {"kind": "file", "source": copy.relative_to(self.folder).as_posix(), "folder": folder}
        self.append(entry | ({"model": model} if model else {}))

    def add_text(self, text: str, folder: str, *, name: str) -> None:
        """Append a text file."""
        with _writing(self.folder):
            copy = self._artifact_path(name)
            copy.write_text(text, encoding="utf-8")
        self._supersede(f":{folder}/{name}", copy)
        self.append({"kind": "file", "source": copy.relative_to(self.folder).as_posix(), "folder": folder})

    def sync(self) -> None:
        """Flush the journal to the disk."""
        with self._lock, _writing(self.folder):
            os.fsync(self._journal.fileno())

    def waiting(self, limit: int | None = None) -> list[tuple[int, Entry]]:
        """The waiting entries, oldest first, each with the position to ``advance`` to after sending it."""
        entries: list[tuple[int, Entry]] = []
        with open(self._journal.name, "rb") as file:
            file.seek(self._sent)
            position = self._sent
            for line in file:
                if not line.endswith(b"\n") or (limit is not None and len(entries) == limit):
                    break
                position += len(line)
                entries.append((position, json.loads(line)))
        return entries

    def advance(self, position: int) -> None:
        """Note that everything before ``position`` has been sent."""
        self._sent = position
        with _writing(self.folder):
            (self.folder / "sent").write_text(str(position))

    def set_aside(self, entry: Entry, reason: str) -> None:
        """Move an entry that the store refuses out of the queue."""
        with _writing(self.folder), open(self.folder / "refused.jsonl", "a", encoding="utf-8") as file:
            file.write(json.dumps({"reason": reason, **entry}) + "\n")

    @property
    def refused(self) -> list[Entry]:
        """The entries that the store has refused, each with its ``reason``."""
        path = self.folder / "refused.jsonl"
        lines = path.read_text(encoding="utf-8").splitlines() if path.exists() else []
        return [json.loads(line) for line in lines]

    def lacks_files(self) -> bool:
        """Whether the store has refused a file, and no newer one has replaced it."""
        return any(
            entry["kind"] == "file" and (self.folder / entry["source"]).exists() for entry in self.refused
        )

    def describe(self, entry: Entry) -> str:
        """What an entry holds: its kind and key, or a file with its size."""
        if entry["kind"] != "file":
            return f"{entry['kind']} {entry.get('key', '')}".rstrip()
        path = self.folder / entry["source"]
        size = f" ({path.stat().st_size / 1e6:.1f} MB)" if path.exists() else ""
        return f"{entry['folder']}/{path.name}".lstrip("/") + size

    def close(self) -> None:
        """Unlock; remove an outbox without waiting or refused entries."""
        if self._journal.closed:
            return
        empty = not self.waiting(1) and not self.refused
        self._journal.close()
        if empty:
            shutil.rmtree(self.folder, ignore_errors=True)
            with contextlib.suppress(OSError):  # the outbox of another run stays
                self.folder.parent.rmdir()
        self._holder.close()

    def _try_again(self) -> None:
        """Append what an earlier process could not store: a limit may have been raised, a run restored."""
        refused = self.refused
        for entry in refused:
            self.append({key: value for key, value in entry.items() if key != "reason"})
        if refused:
            with _writing(self.folder):
                (self.folder / "refused.jsonl").unlink()

    def _read_sent(self) -> int:
        """The position. A torn note (a power cut) means sending again, which the store accepts."""
        path = self.folder / "sent"
        text = path.read_text() if path.exists() else ""
        return int(text) if text.isdigit() and int(text) <= os.path.getsize(self._journal.name) else 0

    def _artifact_path(self, name: str) -> Path:
        with self._lock:
            self._files += 1
            folder = self.folder / "files" / str(self._files)
        folder.mkdir()
        return folder / name

    def _supersede(self, destination: str, copy: Path) -> None:
        """Drop a waiting file when a newer one for the same path comes: checkpoints, pictures."""
        older, self._waiting[destination] = self._waiting.get(destination), copy
        if older is not None:
            shutil.rmtree(older.parent, ignore_errors=True)


def _duplicate(path: Path, copy: Path, *, link: bool) -> None:
    if link:
        with contextlib.suppress(OSError):  # another file system, or one without links
            os.link(path, copy)
            return
    shutil.copyfile(path, copy)


def _open_journal(path: Path) -> IO[bytes]:
    """Open for appending, without buffer; cut off a line that a killed process left torn."""
    if path.exists():
        content = path.read_bytes()
        os.truncate(path, content.rfind(b"\n") + 1)
    return open(path, "ab", buffering=0)


def _hold(path: Path) -> IO[bytes]:
    held = hold_file(path)
    if held is None:
        raise TrackingError(
            "a run that no other process is tracking",
            found="one that a live process holds",
            remedy="Wait until that training has ended, or start a new run.",
        )
    return held


@contextmanager
def _writing(folder: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise OutputError(
            "room for what waits to be sent to MLflow",
            found=f"a file that cannot be read or written ({error.strerror or type(error).__name__})",
            remedy="Free some space, or choose another output folder.",
            path=error.filename or folder,
        ) from error
