"""The tracking store in a sqlite file: its place, its soundness, and where its artifacts lie."""

from __future__ import annotations

import logging
import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from urllib.parse import quote, unquote, urlsplit

from filelock import FileLock, Timeout
from sqlalchemy.engine import make_url

from pyraseg.pipeline.tracking.refusal import store_errors
from pyraseg.pipeline.utils.files import output_error
from pyraseg.transforms.errors import TrackingError

__all__ = ["ARTIFACTS", "SQLITE", "database_file", "one_at_a_time", "prepare_database"]

logger = logging.getLogger(__name__)

SQLITE = "sqlite:///"
ARTIFACTS = "mlruns"  # the folder of a store's artifacts, beside the database
LOCK_SECONDS = 10.0  # to wait for another process


def database_file(tracking_uri: str) -> Path | None:
    """The file of a sqlite store; None for a server, another database and one in memory.

    >>> database_file("sqlite:///runs/mlruns.db").as_posix()
    'runs/mlruns.db'
    """
    if not tracking_uri.startswith("sqlite"):
        return None
    with store_errors("an address of a tracking store"):
        name = make_url(tracking_uri).database or ":memory:"
    return None if name == ":memory:" else Path(name.removeprefix("file:"))


def prepare_database(file: Path) -> None:
    """Make the folder of a new database, or see that an existing one can be read.

    MLflow would try for minutes. A store whose folder was moved or copied gets its artifacts back: MLflow
    notes their places as absolute ones.

    Raises:
        TrackingError: the file is locked, damaged or no database.
        OutputError: the folder cannot be made.
    """
    if not file.exists():
        try:
            file.parent.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise output_error(error, file.parent) from error
        return
    with store_errors("a MLflow store that can be read"):
        # writable where the file is, so that what a killed process left half written is rolled back
        address = f"file:{quote(str(file.resolve()))}?mode=rw"
        with closing(sqlite3.connect(address, uri=True, timeout=LOCK_SECONDS)) as database:
            tables = {name for (name,) in database.execute("SELECT name FROM sqlite_master")}
            if tables and "alembic_version" not in tables:  # MLflow would add its tables to it
                raise sqlite3.DatabaseError("no such table: alembic_version")
            if {"experiments", "runs"} <= tables:
                _find_artifacts_again(database, file.resolve().parent / ARTIFACTS, tables)


@contextmanager
def one_at_a_time(tracking_uri: str) -> Iterator[None]:
    """Let one process at a time open a sqlite store: two that both make its tables corrupt it.

    A folder that cannot be written takes no lock, and nobody makes tables there.

    Raises:
        TrackingError: another process does not let go of it.
    """
    file = database_file(tracking_uri)
    if file is None:
        yield
        return
    lock = FileLock(f"{file}.lock", timeout=6 * LOCK_SECONDS)
    try:
        lock.acquire()
    except Timeout as error:
        remedy = "Wait until that process is done, or end it."
        found = "one that another process has been opening for a minute"
        raise TrackingError("a tracking store that is free", found=found, remedy=remedy) from error
    except (OSError, NotImplementedError):  # a disk that is read-only or full, a file system without locks
        yield
        return
    try:
        yield
    finally:
        lock.release()


def _find_artifacts_again(database: sqlite3.Connection, artifacts: Path, tables: set[str]) -> None:
    """Let runs, models and experiments point to the folder beside the database where their files lie there.

    Runs and models whose files are not there, but are where the store says, stay as they are.
    """
    if not artifacts.is_dir():
        return
    runs, models = (
        [
            (new, one)
            for one, old in database.execute(f"SELECT {key}, {uri} FROM {table}")
            if (new := _beside(old, artifacts)) and (_folder(new).is_dir() or not _folder(old).is_dir())
        ]
        if table in tables
        else []
        for table, key, uri in (
            ("runs", "run_uuid", "artifact_uri"),
            ("logged_models", "model_id", "artifact_location"),
        )
    )
    experiments = [
        (new, experiment)
        for experiment, old in database.execute("SELECT experiment_id, artifact_location FROM experiments")
        if (new := _beside(old, artifacts)) and (runs or not _folder(old).is_dir())
    ]
    if not runs and not models and not experiments:
        return
    try:
        with database:
            database.executemany("UPDATE runs SET artifact_uri = ? WHERE run_uuid = ?", runs)
            if models:
                update = "UPDATE logged_models SET artifact_location = ? WHERE model_id = ?"
                database.executemany(update, models)
            update = "UPDATE experiments SET artifact_location = ? WHERE experiment_id = ?"
            database.executemany(update, experiments)
    except sqlite3.OperationalError as error:
        logger.warning("the store was moved, and cannot be told so (%s): its files may be missing", error)
    else:
        if runs:  # MLflow's own experiment, without any, lies wherever the store was first opened
            logger.info("the store was moved or copied: its %d runs find their files beside it", len(runs))


def _beside(uri: str | None, artifacts: Path) -> str:
    """The same place below ``artifacts`` of a local place in a folder of that name; empty for others."""
    before, name, rest = (uri or "").rpartition(f"/{ARTIFACTS}")
    if not name or (rest and not rest.startswith("/")) or urlsplit(before).scheme not in ("", "file"):
        return ""
    new = artifacts.as_uri() + rest
    return "" if _folder(new) == _folder(uri or "") else new


def _folder(uri: str) -> Path:
    return Path(unquote(urlsplit(uri).path if uri.startswith("file:") else uri))
