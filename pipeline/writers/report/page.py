"""Write ``report.html``: failures and flags, distributions, and every item, in one file."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from datetime import datetime
from itertools import chain, islice
from pathlib import Path
from tempfile import TemporaryFile
from typing import IO, Any
from urllib.parse import quote

from jinja2.utils import htmlsafe_json_dumps
from markupsafe import Markup

from pyraseg.pipeline.utils.files import atomic_path
from pyraseg.pipeline.writers.pages import data_uri, page_template, policy_hash, read_part
from pyraseg.pipeline.writers.prediction import Algorithm
from pyraseg.pipeline.writers.tables.csv_tables import median_and_maximum, searched_box
from pyraseg.pipeline.writers.tables.item_records import Failure, ItemRecord, LeftOut
from pyraseg.pipeline.writers.tables.text import clean, shown_unit
from pyraseg.transforms.records import Segment

__all__ = ["Run", "write_report"]

HERE = "pyraseg.pipeline.writers.report"
CHUNK = 64  # pictures in one script element, which the page reads when one comes into view
DIGITS = 6  # significant ones of a value; the tables have more
PAGE = 5000  # items
LISTED = 1000  # files of a group on the page; the table of failures lists all


@dataclass(frozen=True)
class Run:
    """What holds for the whole batch.

    Attributes:
        algorithm: of the results.
        when: when the run ended.
        units: the unit (UCUM) of each quantity by name, in the order of the columns.
        segments: the classes, for the legend; background is left out.
        options: further lines for the end of the page, such as options and versions, without paths.
        trained_on: the training data in words; empty where not declared.
        volumes: whether the items are volumes and their frames slices.
    """

    algorithm: Algorithm
    when: datetime
    units: Mapping[str, str]
    segments: Sequence[Segment] = ()
    options: Mapping[str, Any] = field(default_factory=dict)
    trained_on: str = ""
    volumes: bool = False


@dataclass
class Group:
    """Files with the same reason."""

    reason: str
    remedy: str
    count: int = 0
    names: list[str] = field(default_factory=list)


@dataclass
class Totals:
    """The counts in the page's head."""

    items: int = 0
    frames: int = 0
    flagged: int = 0
    flags: Counter[str] = field(default_factory=Counter)

    def add(self, record: ItemRecord) -> None:
        self.items += 1
        self.frames += record.frames
        self.flagged += bool(record.flags)
        self.flags.update(map(clean, record.flags))


def write_report(
    path: str | Path,
    records: Iterable[ItemRecord],
    *,
    run: Run,
    failures: Iterable[Failure] = (),
    left_out: Iterable[LeftOut] = (),
    thumbnail: Callable[[ItemRecord], bytes | None] = lambda record: None,
    folder_of: Callable[[ItemRecord], str] = lambda record: f"items/{record.case}",
    identify: bool = False,
) -> Path:
    """Write the page: failures and flags, distributions, then the items, flagged ones first.

    It needs no network and no other file. The same arguments give the same bytes. Memory holds one picture at
    a time; the folder of ``path`` needs room for the page twice. Items beyond the first 5,000 are on pages of
    their own, ``report-2.html`` and so on; those that an earlier report had are removed.

    Args:
        records: read once, one by one; may be a generator.
        failures, left_out: shown as reasons with counts.
        thumbnail: an item's picture as JPEG or PNG, about 160 pixels wide; None for no picture.
        folder_of: an item's folder, relative to the page's.
        identify: show the patients, the UIDs and the files' names.

    Raises:
        OutputError: the file cannot be written.
    """
    path = Path(path)
    with atomic_path(path) as draft, ExitStack() as stack:
        spools = [stack.enter_context(_open_spool(draft.parent)) for _ in range(2)]
        totals = Totals()
        for record in records:
            totals.add(record)
            row = _item_row(record, units=run.units, folder=folder_of(record), identify=identify)
            picture = data_uri(thumbnail(record))
            spools[not record.flags].add({**row, "picture": picture is not None}, picture)
        rows = chain.from_iterable(spool.rows() for spool in spools)
        pictures = chain.from_iterable(spool.pictures() for spool in spools)
        pages = [path.name, *(_further(path, n).name for n in range(2, -(-totals.items // PAGE) + 1))]
        content = {
            **_head(run, identify),
            "totals": totals,
            "flags": sorted(totals.flags.items(), key=lambda each: (-each[1], each[0])),
            "failures": _groups(failures),
            "left_out": _groups(left_out),
            "pages": pages,
        }
        for number, name in enumerate(pages):
            listed = {"rows": islice(rows, PAGE), "pictures": _chunks(islice(pictures, PAGE))}
            parts = page_template(HERE, "report.html").generate(**content, **listed, page=number)
            with ExitStack() as own:
                target = draft if number == 0 else own.enter_context(atomic_path(path.with_name(name)))
                file = own.enter_context(open(target, "w", encoding="utf-8", newline="\n"))
                file.writelines(parts)
    for stale in path.parent.glob(_further(path, "*").name):
        if stale.name not in pages:
            stale.unlink()
    return path


def _further(path: Path, number: int | str) -> Path:
    return path.with_name(f"{path.stem}-{number}{path.suffix}")


def _head(run: Run, identify: bool) -> dict[str, Any]:
    quantities = [{"name": clean(name), "unit": shown_unit(clean(unit))} for name, unit in run.units.items()]
    code = {name: Markup(read_part(HERE, f"report.{name}")) for name in ("css", "js")}
    return {
        "run": run,
        "identify": identify,
        "segments": [segment for segment in run.segments if segment.value],
        "quantities": _script_json(quantities),
        "chunk": CHUNK,
        "listed": LISTED,
        "code": code,
        "hashes": {name: policy_hash(text) for name, text in code.items()},
    }


def _groups(kept_out: Iterable[Failure | LeftOut]) -> list[Group]:
    """The most frequent reason first."""
    groups: dict[tuple[str, str], Group] = {}
    for each in kept_out:
        reason, remedy = clean(each.reason), clean(each.remedy) if isinstance(each, Failure) else ""
        group = groups.setdefault((reason, remedy), Group(reason, remedy))
        group.count += 1
        if len(group.names) < LISTED:
            group.names.append(clean(each.file))
    return sorted(groups.values(), key=lambda group: (-group.count, group.reason, group.remedy))


def _chunks(pictures: Iterator[Markup]) -> Iterator[Iterator[Markup]]:
    for first in pictures:
        yield chain([first], islice(pictures, CHUNK - 1))


@dataclass(frozen=True)
class Spool:
    """Rows and pictures of items on disk until the page has its head: two files, a line for each item."""

    row_file: IO[str]
    picture_file: IO[str]

    def add(self, row: Any, picture: str | None) -> None:
        """Add an item's row and the data URI of its picture."""
        self.row_file.write(f"{_script_json(row)}\n")
        self.picture_file.write(f"{_script_json(picture)}\n")

    def rows(self) -> Iterator[Markup]:
        """Each item's row as JSON, in the order of `add`."""
        return _lines(self.row_file)

    def pictures(self) -> Iterator[Markup]:
        """Each item's picture as JSON, in the order of `add`."""
        return _lines(self.picture_file)


@contextmanager
def _open_spool(folder: Path) -> Iterator[Spool]:
    """A spool in ``folder``, in unnamed files, which the system removes however the block ends."""
    form: dict[str, Any] = {"mode": "w+", "dir": folder, "encoding": "ascii", "newline": "\n"}
    with TemporaryFile(**form) as rows, TemporaryFile(**form) as pictures:
        yield Spool(rows, pictures)


def _lines(file: IO[str]) -> Iterator[Markup]:
    file.seek(0)
    return (Markup(line.rstrip("\n")) for line in file)


def _script_json(value: Any) -> Markup:
    """JSON in ASCII that is safe in a script element: no ``<``, ``>``, ``&`` or ``'``."""
    return htmlsafe_json_dumps(value, allow_nan=False, separators=(",", ":"))


def _item_row(record: ItemRecord, *, units: Mapping[str, str], folder: str, identify: bool) -> dict[str, Any]:
    """The page's data of an item; lists of quantities are in the order of ``units``.

    ``folder`` is the item's, relative to the page. Path, UIDs and patient are only there with ``identify``.
    """
    key, spread = record.key, [median_and_maximum(record, name) for name in units]
    spacing: tuple[float, ...] | None = record.spacing_mm  # of rows, columns and, in a volume, slices
    if spacing is not None and record.slice_mm is not None:
        spacing = (*spacing, record.slice_mm)
    row = {
        "case": record.case,
        "folder": "./" + quote(folder, errors="surrogateescape"),
        "frames": record.frames,
        "size": [record.rows, record.columns],
        "spacing": spacing,
        "searched": None if record.searched_mm is None else searched_box(record.searched_mm),
        "spacing_source": record.spacing_source,
        "key": record.key_frame,
        "values": [key.values.get(name) for name in units],
        "reasons": [key.reasons.get(name, "") for name in units],
        "spread": spread if len(record.rows_of_frames) > 1 else [],
        "intervals": [key.intervals.get(name) for name in units],
        "confidence": key.confidence,
        "unlike": key.unlike,
        "quality": key.quality,
        "flags": record.flags,
        "notes": record.notes,
        "seconds": record.seconds,
        "outputs": record.outputs,
    }
    if identify:
        uids = (record.study_instance_uid, record.series_instance_uid, record.sop_instance_uid)
        row |= {"file": record.file, "patient": dict(record.identity or {}), "uids": uids}
    return {name: _plain(value) for name, value in row.items()}


def _plain(value: Any) -> Any:
    """Remove invisible characters from strings and non-finite numbers, also in containers."""
    if isinstance(value, str):
        return clean(value)
    if isinstance(value, float):
        return float(f"{value:.{DIGITS}g}") if math.isfinite(value) else None
    if isinstance(value, Mapping):
        return {clean(name): _plain(each) for name, each in value.items()}
    return [_plain(each) for each in value] if isinstance(value, (tuple, list)) else value
