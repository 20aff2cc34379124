"""Fetch what a query finds in an archive, series by series, and go on where an earlier call ended."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from time import monotonic, sleep
from typing import TypeVar

from pyraseg.pipeline.pacs.archive import Archive, open_archive
from pyraseg.pipeline.pacs.holding import holding
from pyraseg.pipeline.pacs.peers import Peer
from pyraseg.pipeline.pacs.query import Query, SeriesAt
from pyraseg.pipeline.pacs.received import SeriesFolder
from pyraseg.pipeline.utils.files import output_error, private_folder, sync_path, write_json, write_rows
from pyraseg.transforms.errors import (
    InputError,
    NothingFoundError,
    OutputError,
    PeerAwayError,
    PeerError,
    RunError,
    UsageError,
)
from pyraseg.transforms.privacy import case_name

__all__ = ["Fetch", "pull"]

LEDGER, STATE = "series.csv", ".pyraseg-pull.json"
COLUMNS = ("study", "series", "modality", "in_archive", "here", "state")
ATTEMPTS = 5  # without progress, each after twice the pause of the one before
SHORTEST = 1.0  # seconds
IN_A_ROW = 3  # series that cannot be fetched before the archive is taken to be away

Answer = TypeVar("Answer")


@dataclass(frozen=True)
class Fetch:
    """What is fetched, and where it goes.

    Attributes:
        limit: series at most; None for all.
        everything: whether a query that matches the whole archive is meant so.
        move_port: of our listener for C-MOVE.
        dry_run: say how much there is, and fetch nothing.
    """

    peer: Peer
    query: Query
    output: Path
    limit: int | None = None
    everything: bool = False
    move_port: int | None = None
    dry_run: bool = False


def pull(fetch: Fetch) -> Iterator[str]:
    """Fetch, and say how it goes in lines that name nobody.

    Raises:
        UsageError: the query matches the whole archive, and nobody said that this is meant.
        NothingFoundError: nothing matches.
        PeerAwayError, PeerError: the archive cannot be asked; what came before is kept.
        OutputError: the folder cannot be written, or was begun with another key for its names.
        RunError: some series are not whole.
    """
    if fetch.query.matches_all and fetch.limit is None and not fetch.everything:
        remedy = "Give --query, or --limit N, or --yes if you want the whole archive."
        raise UsageError("a query that selects", found="one that matches everything", remedy=remedy)
    archive = open_archive(fetch.peer, move_port=fetch.move_port)
    series = _found(archive, fetch)
    folders = [SeriesFolder(fetch.output, one) for one in series]
    yield _summary(folders)
    if fetch.dry_run:
        return
    with holding(private_folder(fetch.output) / ".lock", "this folder"):
        _check_key(fetch.output)
        yield from _fetch_all(archive, folders, fetch.output)


def _found(archive: Archive, fetch: Fetch) -> list[SeriesAt]:
    found = _patiently(lambda: list(islice(archive.series(fetch.query), fetch.limit)))
    if not found:
        remedy = "Widen the query; what does the archive's own page find?"
        raise NothingFoundError("series that match the query", found="none", remedy=remedy)
    return sorted(dict.fromkeys(found), key=lambda one: (one.study, one.series))


def _summary(folders: list[SeriesFolder]) -> str:
    known = [folder.series.instances for folder in folders]
    here = sum(len(folder) for folder in folders)
    studies = len({folder.series.study for folder in folders})
    whole = sum(number or 0 for number in known)
    more = f" and more in {known.count(None)} series that the archive does not count" if None in known else ""
    return f"{studies} studies, {len(folders)} series, {whole} instances{more}; {here} are here"


def _fetch_all(archive: Archive, folders: list[SeriesFolder], output: Path) -> Iterator[str]:
    states: dict[str, str] = {}
    failing = 0
    start = monotonic()
    try:
        for number, folder in enumerate(folders, 1):
            error = _fetch_series(archive, folder)
            states[folder.series.folder] = state = error.found if error else "whole"
            failing = failing + 1 if error else 0
            if isinstance(error, PeerError) and failing == min(IN_A_ROW, len(folders)):
                raise error
            name = case_name(folder.series.series)
            yield f"{number} of {len(folders)}: series {name}, {len(folder)} instances, {state}"
    finally:
        _write_ledger(output, folders, states)
    size, seconds = sum(folder.bytes for folder in folders), monotonic() - start
    instances = sum(len(folder) for folder in folders)
    yield f"{instances} instances are here; {size / 1e6:.1f} MB came in {seconds:.0f} s"
    if broken := [state for state in states.values() if state != "whole"]:
        remedy = f"See {LEDGER}, then run the same again: it fetches what is missing."
        raise RunError("every series whole", found=f"{len(broken)} that are not", remedy=remedy)


def _fetch_series(archive: Archive, folder: SeriesFolder) -> PeerError | InputError | None:
    """Fetch what is missing of a series; why it is not whole, if so."""
    count = folder.series.instances
    if count is not None and len(folder) >= count > 0:
        return None
    try:
        _patiently(lambda: _fetch_missing(archive, folder), lambda: len(folder))
    except (PeerError, InputError) as error:
        return error
    except OSError as full:
        raise output_error(full, folder.path) from full
    return None


def _fetch_missing(archive: Archive, folder: SeriesFolder) -> None:
    """Fetch once.

    Raises:
        PeerAwayError: not all that the archive lists, or counts, has come.
    """
    folder.prepare()
    missing = [one for one in archive.instances(folder.series) if not folder.holds(one.uid)]
    if missing:
        archive.fetch(folder.series, missing, folder)
        sync_path(folder.path)
    if len(folder) < (folder.series.instances or 1) or not all(folder.holds(one.uid) for one in missing):
        found, remedy = "fewer instances than the archive counts", "Run it again."
        raise PeerAwayError("every instance of the series", found=found, remedy=remedy)


def _patiently(action: Callable[[], Answer], progress: Callable[[], int] = lambda: 0) -> Answer:
    """Try again where the archive is away, until nothing more comes of it."""
    pause, failed, before = SHORTEST, 0, progress()
    while True:
        try:
            return action()
        except PeerAwayError as error:
            if progress() > before:
                pause, failed, before = SHORTEST, 0, progress()
            failed += 1
            if failed == ATTEMPTS:
                raise
            sleep(max(pause, error.wait))
            pause *= 2


def _check_key(output: Path) -> None:
    """Names made with two keys would have everything twice."""
    path, key = output / STATE, case_name("which key")
    if not path.exists():
        write_json(path, {"key": key})
    elif key not in path.read_text(encoding="utf-8"):
        remedy = "Set PYRASEG_HASH_KEY as it was then, or name a new folder with --output."
        raise OutputError("a folder begun with this key", found="another key", remedy=remedy, path=output)


def _write_ledger(output: Path, folders: list[SeriesFolder], states: dict[str, str]) -> None:
    rows = []
    for folder in folders:
        one, state = folder.series, states.get(folder.series.folder, "not fetched yet")
        rows.append([*one.folder.split("/"), one.modality, one.instances, len(folder), state])
    write_rows(output / LEDGER, COLUMNS, rows)
