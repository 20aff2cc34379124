"""What waits to be sent to a peer, on disk until it has arrived, and the thread that sends it.

A peer that is away and a process that is killed lose nothing: what is added is on the disk, and what is sent
twice has the same SOP Instance UIDs. One process at a time holds an outbox.
"""

from __future__ import annotations

import contextlib
import logging
import os
import secrets
import shutil
import sqlite3
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

from pyraseg.pipeline.pacs.delivery import deliver
from pyraseg.pipeline.pacs.holding import holding
from pyraseg.pipeline.pacs.outcome import Outcome
from pyraseg.pipeline.pacs.peers import Peer, stored_peer, written_peer
from pyraseg.pipeline.utils.files import private_files, private_folder, sync_path
from pyraseg.transforms.errors import OutputError, PeerAwayError, PyrasegError, item_error

__all__ = ["Counts", "Outbox", "Refused"]

logger = logging.getLogger(__name__)

AT_ONCE = 200  # files handed to a sender
SHORTEST, LONGEST = 1.0, 60.0  # seconds between two attempts at a peer that is away
TABLE = """
CREATE TABLE IF NOT EXISTS files (
    id INTEGER PRIMARY KEY, key TEXT NOT NULL, peer TEXT NOT NULL, name TEXT NOT NULL, version TEXT NOT NULL,
    path TEXT NOT NULL, state TEXT NOT NULL DEFAULT 'waiting', reason TEXT NOT NULL DEFAULT '',
    tries INTEGER NOT NULL DEFAULT 0, UNIQUE (key, peer, name));
CREATE TABLE IF NOT EXISTS peers (name TEXT PRIMARY KEY, settings TEXT NOT NULL);
CREATE INDEX IF NOT EXISTS states ON files (state, peer, tries, id);
"""


@dataclass(frozen=True)
class Counts:
    """Files by what became of them."""

    waiting: int = 0
    sent: int = 0
    refused: int = 0


@dataclass(frozen=True)
class Refused:
    """A file that a peer refuses for good: under which key and name it was added, and why."""

    key: str
    name: str
    reason: str


@dataclass
class _Pause:
    """How long a peer is left alone, and why."""

    until: float = 0.0
    seconds: float = SHORTEST
    failure: PyrasegError | None = None


class Outbox:
    """Files that wait for their peers, in one folder; ``start`` begins to send them.

    Args:
        folder: made if missing; what an earlier process left waiting is still there.
        send: `deliver`, or what stands in for it.
        tell: takes a line once a peer is away or refuses a file for good; None for nobody.

    Raises:
        UsageError: another process holds it.
        OutputError: the folder is not to be written, or full (from any method).
    """

    def __init__(
        self,
        folder: str | Path,
        *,
        send: Callable[[Sequence[Path], Peer], Iterable[Outcome]] = deliver,
        tell: Callable[[str], None] | None = logger.warning,
    ) -> None:
        self.folder = private_folder(folder)
        self._send = send
        self._tell = tell or (lambda line: None)
        self._held = ExitStack()
        self._held.enter_context(holding(self.folder / ".lock", "this outbox"))
        self._copies = self.folder / "files"
        self._lock = threading.RLock()
        self._changed = threading.Condition(self._lock)
        self._pauses: dict[str, _Pause] = {}
        self._stopped = threading.Event()
        self._thread: threading.Thread | None = None
        with self._writing(), private_files():
            self._copies.mkdir(exist_ok=True)
            path = self.folder / "outbox.db"
            self._db = sqlite3.connect(path, check_same_thread=False, isolation_level=None)
            self._db.execute("PRAGMA journal_mode=WAL")
            self._db.execute("PRAGMA synchronous=FULL")  # a commit is on the disk
            self._db.executescript(TABLE)
        self._remove_orphans()

    def __enter__(self) -> Outbox:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def add(
        self,
        key: str,
        files: Iterable[str | Path],
        peer: Peer,
        *,
        in_place: bool = False,
        again: bool = False,
    ) -> int:
        """Put files into the queue in place of what waits under this key for this peer; how many are due.

        They are on the disk when it returns. What was sent in this version (size and time) is not due.

        Args:
            key: whose files these are, such as an item's name.
            in_place: send the files themselves; by default a copy is kept, a hard link where possible, so
                they must be replaced and never be changed.
            again: send what was sent before, too.
        """
        address = str(peer)
        with self._lock:
            self.know(peer)
            rows = [self._row(path, in_place=in_place) for path in map(Path, files)]
            before = self._paths(key, address)
            due = self._enter(key, address, rows, again=again)
            if not in_place:
                self._remove(({path for *_, path in rows} | before) - self._paths(key, address))
            self._changed.notify_all()
        return due

    def know(self, peer: Peer) -> None:
        """Send what waits for a peer with these settings of TLS, time-out and our AE title from now on."""
        with self._transaction() as db:
            db.execute("INSERT OR REPLACE INTO peers VALUES (?, ?)", (str(peer), written_peer(peer)))

    def counts(self, peer: Peer | None = None) -> Counts:
        """How many files wait, were sent and are refused, of one peer or of all."""
        where, values = ("WHERE peer=?", [str(peer)]) if peer else ("", [])
        with self._transaction() as db:
            found = db.execute(f"SELECT state, COUNT(*) FROM files {where} GROUP BY state", values)
            return Counts(**dict(found.fetchall()))

    def refused(self) -> list[Refused]:
        """What peers refuse for good."""
        with self._transaction() as db:
            found = db.execute("SELECT key, name, reason FROM files WHERE state='refused' ORDER BY id")
            return [Refused(*row) for row in found]

    def failure(self, peer: Peer) -> PyrasegError | None:
        """Why the last attempt at a peer failed; None where it did not."""
        return self._pauses.get(str(peer), _Pause()).failure

    def start(self) -> None:
        """Send in the background."""
        self._thread = threading.Thread(target=self._run, name="outbox", daemon=True)
        self._thread.start()

    def drain(self, seconds: float) -> bool:
        """Wait until nothing waits any more, at most so long; whether that is so. Peers are tried at once."""
        until = time.monotonic() + seconds
        with self._changed:
            for pause in self._pauses.values():
                pause.until = 0.0
            self._changed.notify_all()
            while (waiting := self.counts().waiting) and (left := until - time.monotonic()) > 0:
                self._changed.wait(min(left, 0.2))
        return not waiting

    def wait(self, seconds: float) -> None:
        """Wait until something changes, at most so long."""
        with self._changed:
            self._changed.wait(seconds)

    def close(self) -> None:
        """Stop sending and let go of the folder. A file that is on its way may be sent again."""
        if self._stopped.is_set():
            return
        self._stopped.set()
        with self._changed:
            self._changed.notify_all()
        if self._thread is not None:
            self._thread.join(timeout=5.0)
        with self._lock:
            self._db.close()
        self._held.close()

    def send_due(self) -> float:
        """Make one attempt at each peer that is due; the seconds until the next is."""
        with self._transaction() as db:
            found = db.execute("SELECT DISTINCT peer FROM files WHERE state='waiting'").fetchall()
        nexts = [LONGEST]
        for (address,) in found:
            pause = self._pauses.setdefault(address, _Pause())
            if pause.until <= time.monotonic() and not self._stopped.is_set():
                self._attempt(address, pause)
            nexts.append(pause.until - time.monotonic())
        return max(min(nexts), 0.0)

    def _run(self) -> None:
        while not self._stopped.is_set():
            try:
                seconds = self.send_due()
            except PyrasegError as error:  # the disk is full
                self._tell(str(error))
                seconds = LONGEST
            with self._changed:
                if seconds and not self._stopped.is_set():
                    self._changed.wait(seconds)

    def _attempt(self, address: str, pause: _Pause) -> None:
        with self._transaction() as db:
            (settings,) = db.execute("SELECT settings FROM peers WHERE name=?", (address,)).fetchone()
            rows = db.execute(
                "SELECT id, key, version, path FROM files WHERE state='waiting' AND peer=? ORDER BY tries, id"
                " LIMIT ?", (address, AT_ONCE),
            ).fetchall()  # fmt: skip
        left = {Path(path): (number, key, version) for number, key, version, path in rows}
        peer = stored_peer(settings)
        failure: PyrasegError | None = None
        try:
            for outcome in self._send(list(left), peer):
                self._settle(left.pop(outcome.path), outcome)
                if outcome.state == "again":
                    wanted, remedy = "a peer that takes every file", "See what its log says."
                    failure = PeerAwayError(wanted, found=outcome.reason, remedy=remedy)
                if self._stopped.is_set():
                    return
        except Exception as error:  # whatever goes wrong in this thread, the files wait and are tried again
            if self._stopped.is_set():
                return
            failure = item_error(error)
            if left:  # the first may be the reason: the others are not to wait for it
                path, row = next(iter(left.items()))
                self._settle(row, Outcome(path, "again", failure.found))
        if failure is None:
            pause.until, pause.seconds = 0.0, SHORTEST
        else:
            wait = max(pause.seconds, getattr(failure, "wait", 0.0))
            pause.until, pause.seconds = time.monotonic() + wait, min(2 * pause.seconds, LONGEST)
            if pause.failure is None or pause.failure.found != failure.found:  # told once
                self._tell(f"files wait for {peer}: found {failure.found}. {failure.remedy}")
        pause.failure = failure

    def _settle(self, row: tuple[int, str, str], outcome: Outcome) -> None:
        """Note an outcome, unless the file was replaced meanwhile."""
        number, key, version = row
        state = {"stored": "sent", "again": "waiting"}.get(outcome.state, outcome.state)
        with self._transaction() as db:
            done = db.execute(
                "UPDATE files SET state=?, reason=?, tries=tries+1 WHERE id=? AND version=?",
                (state, outcome.reason, number, version),
            )
            self._changed.notify_all()
        if done.rowcount and state == "sent":
            self._remove([str(outcome.path)])
        if done.rowcount and state == "refused":
            self._tell(f"a result of {key} is refused for good: {outcome.reason}")

    def _row(self, path: Path, *, in_place: bool) -> tuple[str, str, str]:
        """Name, version and place of a file that is added."""
        with self._writing(), private_files():
            status = path.stat()
            version = f"{status.st_size} {status.st_mtime_ns}"
            if in_place:
                return str(path.absolute()), version, str(path.absolute())
            copy = self._copies / secrets.token_hex(8) / path.name
            copy.parent.mkdir()
            try:
                os.link(path, copy)
            except OSError:  # another file system, or one without links
                shutil.copyfile(path, copy)
            for each in (copy, copy.parent, self._copies):
                sync_path(each)
            return path.name, version, str(copy)

    def _enter(self, key: str, address: str, rows: Sequence[tuple[str, str, str]], *, again: bool) -> int:
        unchanged = "" if again else " WHERE version!=excluded.version"
        with self._transaction() as db:
            db.execute("DELETE FROM files WHERE key=? AND peer=? AND state!='sent'", (key, address))
            before = db.total_changes
            db.executemany(
                "INSERT INTO files (key, peer, name, version, path) VALUES (?, ?, ?, ?, ?)"
                " ON CONFLICT (key, peer, name) DO UPDATE SET version=excluded.version, path=excluded.path,"
                f" state='waiting', reason='', tries=0{unchanged}",
                [(key, address, *row) for row in rows],
            )
            return db.total_changes - before

    def _paths(self, key: str, address: str) -> set[str]:
        """Where the files lie that wait, or are refused, under a key."""
        asked = "SELECT path FROM files WHERE key=? AND peer=? AND state!='sent'"
        with self._transaction() as db:
            return {path for (path,) in db.execute(asked, (key, address))}

    def _remove(self, copies: Iterable[str]) -> None:
        for copy in map(Path, copies):
            if copy.is_relative_to(self._copies):
                shutil.rmtree(copy.parent, ignore_errors=True)

    def _remove_orphans(self) -> None:
        """Remove what a killed process has copied and not entered, or sent and not removed."""
        with self._transaction() as db:
            kept = {path for (path,) in db.execute("SELECT path FROM files WHERE state!='sent'")}
        for folder in self._copies.iterdir():
            if not any(str(copy) in kept for copy in folder.iterdir()):
                shutil.rmtree(folder, ignore_errors=True)

    @contextmanager
    def _transaction(self) -> Iterator[sqlite3.Connection]:
        with self._lock, self._writing():
            self._db.execute("BEGIN IMMEDIATE")
            try:
                yield self._db
            except BaseException:  # whatever ends the block, it leaves nothing half done
                with contextlib.suppress(sqlite3.Error):
                    self._db.execute("ROLLBACK")
                raise
            self._db.execute("COMMIT")

    @contextmanager
    def _writing(self) -> Iterator[None]:
        try:
            yield
        except (OSError, sqlite3.Error) as error:
            reason = getattr(error, "strerror", None) or str(error)
            found = f"a file that cannot be read or written ({reason})"
            remedy = "Free some space, or give yourself write access there."
            wanted = "room for what waits to be sent"
            raise OutputError(wanted, found=found, remedy=remedy, path=self.folder) from error
