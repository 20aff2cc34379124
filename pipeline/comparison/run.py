"""Run a comparison, from a store to its files, and log it to the store on request."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

from pyraseg.pipeline.comparison.compare import RESAMPLES, compare
from pyraseg.pipeline.comparison.present.files import write_csv, write_markdown
from pyraseg.pipeline.comparison.present.page import write_page
from pyraseg.pipeline.comparison.present.pictures import (
    Frames,
    SideBySide,
    read_frames,
    shown_segments,
    side_by_side,
)
from pyraseg.pipeline.comparison.present.wording import verdicts
from pyraseg.pipeline.comparison.read.arms import parse_arms
from pyraseg.pipeline.comparison.read.find_runs import KIND, find_runs
from pyraseg.pipeline.comparison.read.store import open_store
from pyraseg.pipeline.comparison.statistics.results import Comparison
from pyraseg.pipeline.tracking import RunTracker
from pyraseg.pipeline.utils.documents import DocumentError, read_rows
from pyraseg.transforms.errors import InputError, OutputError, UsageError

__all__ = ["Job", "lines", "read_factors", "run_comparison", "write_comparison"]

PAGE = "comparison.html"
NO_FRAME = (
    "note: --dataset_dir has none of the pictured cases, so their masks stand alone: it is another data set, "
    "datalist or split, or its names are hashed with another key"
)


@dataclass(frozen=True)
class Job:
    """What to compare and where to write; the fields are the options of the command line."""

    experiment: str
    output: Path
    tracking_uri: str
    runs: tuple[str, ...] = ()
    arms: tuple[str, ...] = ()
    baseline: str | None = None
    metrics: tuple[str, ...] = ("dice",)
    split: str = "test"
    bundle: Path = Path()
    dataset_dir: str | None = None
    datalist: str | None = None
    subgroups: str | None = None
    resamples: int = RESAMPLES
    seed: int = 0
    overwrite: bool = False
    log: bool = False


def require_free(folder: Path, *, overwrite: bool) -> None:
    """Refuse a folder that holds a comparison, unless it may be replaced.

    Raises:
        OutputError: it holds one.
    """
    if (folder / PAGE).exists() and not overwrite:
        wanted, found = "a folder without a comparison", "a comparison in it"
        remedy = "Name another folder with --output, or replace it with --overwrite."
        raise OutputError(wanted, found=found, remedy=remedy, path=folder)


def run_comparison(job: Job) -> Iterator[str]:
    """Read, compare, write ``comparison.csv``, ``.md`` and ``.html``, log them if asked; yields lines.

    Raises:
        UsageError: an unknown experiment, run, metric or arm.
        TrackingError: the store cannot be read, or holds fewer than two tables.
        DatalistError: the runs were measured on different cases.
        InputError, OutputError: a table cannot be read, a file cannot be written.
    """
    require_free(job.output, overwrite=job.overwrite)
    if job.resamples < 1:
        remedy = "Correct --resamples."
        raise UsageError("at least one draw of the bootstrap", found=str(job.resamples), remedy=remedy)
    arms = parse_arms(job.arms)
    factors = read_factors(job.subgroups) if job.subgroups else {}
    with open_store(job.tracking_uri) as store, TemporaryDirectory() as temporary:
        folder = Path(temporary)
        names = [*job.runs, *(run for members in arms.values() for run in members)]
        runs, left_out = find_runs(store, job.experiment, folder=folder, names=names, split=job.split)
        comparison = compare(
            runs,
            experiment=job.experiment,
            split=job.split,
            metrics=job.metrics,
            arms=arms,
            baseline=job.baseline,
            factors=factors,
            resamples=job.resamples,
            seed=job.seed,
            left_out=left_out,
        )
        frames: Frames | None = None
        if job.dataset_dir is not None:
            frames = read_frames(
                job.bundle,
                job.dataset_dir,
                datalist=job.datalist,
                split=job.split,
                label_names=comparison.arms[0].runs[0].label_names,
            )
        pictures = list(side_by_side(comparison, store, folder=folder, frames=frames))
    paths = write_comparison(job.output, comparison, pictures, frames=frames)
    yield from lines(comparison)
    if frames is not None and pictures and not any(picture.over_frame for picture in pictures):
        yield NO_FRAME
    if job.log:
        yield f"logged as the run {_log(job, paths)}"
    yield f"written: {paths[-1]}"


def write_comparison(
    output: Path,
    comparison: Comparison,
    pictures: Sequence[SideBySide] = (),
    *,
    frames: Frames | None = None,
) -> list[Path]:
    """Write ``comparison.csv``, ``.md`` and ``.html``; the page comes last.

    Raises:
        OutputError: a file cannot be written.
    """
    segments = shown_segments(comparison, frames)
    return [
        write_csv(output / "comparison.csv", comparison),
        write_markdown(output / "comparison.md", comparison),
        write_page(output / PAGE, comparison, pictures, segments=segments),
    ]


def read_factors(path: str | Path) -> dict[str, dict[str, str]]:
    """The levels in a table with a column ``case`` or ``group``, by the name of each other column.

    Raises:
        InputError: the table cannot be read, lacks these columns, or contradicts itself on a case or group.
    """
    remedy = "Give a CSV with a column case or group, as in cases.csv, and others such as scanner."
    try:
        rows, _ = read_rows(path)
    except (OSError, DocumentError) as error:
        found = "a file that cannot be read"
        raise InputError("a table of subgroups", found=found, remedy=remedy, path=path) from error
    columns = [name for name in rows[0] if name] if rows else []
    key = next((name for name in ("case", "group") if name in columns), None)
    names = [name for name in columns if name not in ("case", "group")]
    if key is None or not names:
        found = f"the columns {', '.join(columns)}" if columns else "no rows"
        raise InputError("a table of subgroups", found=found, remedy=remedy, path=path)
    factors = {name: {row[key] or "": row[name] or "" for row in rows} for name in names}
    for name, levels in factors.items():
        if any(levels[row[key] or ""] != (row[name] or "") for row in rows):
            wanted, remedy = f"one {name} for each {key}", "Give a row a case, with a column case."
            raise InputError(
                f"{wanted} in the table of subgroups", found="several for one", remedy=remedy, path=path
            )
    return factors


def lines(comparison: Comparison) -> Iterator[str]:
    """What a comparison says on the command line."""
    yield f"{comparison.cases} cases of {comparison.groups} groups"
    for arm in comparison.arms:
        yield f"  {arm.name}: {len(arm.runs)} run{'s' * (len(arm.runs) > 1)}"
    yield from (f"left out: {name}: {reason}" for name, reason in comparison.left_out)
    yield from (sentence for _, sentence in verdicts(comparison))
    yield from (f"note: {note}" for note in comparison.notes)


def _log(job: Job, paths: list[Path]) -> str | None:
    drawn = {"resamples": job.resamples, "seed": job.seed}
    tracker = RunTracker(
        job.tracking_uri,
        experiment_name=job.experiment,
        run_name="comparison",
        parameters={"metric": " ".join(job.metrics), "split": job.split, **drawn},
        tags={KIND: "comparison"},
    )
    with tracker:
        for path in paths:
            tracker.log_file(path)
    return tracker.run_id
