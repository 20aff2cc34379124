"""``python -m tests.bench.planning COUNT [STAGE ...]``: the memory and time of a batch of COUNT items, beside its
network: the search for files, headers (simulated), the plan, tables and report (of simulated records).

Files are empty, 1,000 a folder, and cost the disk names alone. The largest sum of the memory of all processes is
sampled twice a second, pages that several share counted once (PSS; Linux alone has it). Prints Markdown.
"""

from __future__ import annotations

import os
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import psutil

from pyraseg.pipeline.prediction.bundle import read_bundle
from pyraseg.pipeline.prediction.discovery import find_items as discovery
from pyraseg.pipeline.prediction.discovery.acceptance_rules import read_rules
from pyraseg.pipeline.prediction.job import Job
from pyraseg.pipeline.prediction.plan import make_plan, outline
from pyraseg.pipeline.writers.prediction import Algorithm
from pyraseg.pipeline.writers.report import Run, write_report
from pyraseg.pipeline.writers.tables.csv_tables import write_frames, write_results
from pyraseg.pipeline.writers.tables.item_records import FrameRecord, ItemRecord
from pyraseg.transforms.dicom.files.objects import ObjectHeader, UltrasoundRegion
from pyraseg.transforms.records import SourceRef
from tests.bench.processes import pss

BUNDLE = Path("bundles/us_hydronephrosis")
A_FOLDER = 1000
UNITS = {"kidney_area": "mm2", "hydronephrosis_area": "mm2", "harp": "{ratio}"}
SINGLE = "1.2.840.10008.5.1.4.1.1.6.1"
PICTURE = b"\xff\xd8\xff" + bytes(4000)  # as large as a thumbnail


def simulated(path: Path) -> ObjectHeader:
    """The header that a file of this name would have; called in the processes that read headers."""
    number = int(path.stem)
    uids = [f"1.2.826.0.1.3680043.8.498.{number:039d}.{part}" for part in range(3)]
    stamp = f"{number:032x}"
    source = SourceRef(
        str(path), uids[0], SINGLE, uids[1], "US", "1.2.840.10008.1.2.4.50", 1, 768, 1024, uids[2], stamp
    )
    regions, kind = (UltrasoundRegion(1, 1),), ("ORIGINAL", "PRIMARY", "", "0001")
    return ObjectHeader(
        str(path), uids[0], SINGLE, uids[2], "US", kind, regions, True, 800_000, number, source,
        series_instance_uid=uids[1],
    )  # fmt: skip


def records(count: int) -> Iterator[ItemRecord]:
    """As they are read from the results, one by one."""
    for number in range(count):
        values = dict.fromkeys(UNITS, number * 0.5)
        frame = FrameRecord(0, values, {}, 0.9, ("low confidence",) if number % 20 == 0 else ())
        yield ItemRecord(
            f"c{number:016x}", f"{number // A_FOLDER:04d}/{number:07d}.dcm", "1.2.3", "1.2.3.4", f"1.2.3.4.{number}",
            1, 768, 1024, (0.2, 0.2), "regions", 0, UNITS, (frame,), frame.flags, (), 0.5,
            ("seg.dcm", "sr.dcm", "labels.nii.gz", "overlay.png"), "mark", 800_000, number,
        )  # fmt: skip


@contextmanager
def measured(name: str) -> Iterator[None]:
    """Print a row: the stage, its seconds by the clock and of the processor, and the largest memory within."""
    top, peak, ended = psutil.Process(), [0], threading.Event()

    def sample() -> None:
        while not ended.wait(0.5):
            peak[0] = max(peak[0], pss(top))

    thread = threading.Thread(target=sample, daemon=True)
    thread.start()
    clock, processor = time.monotonic(), time.process_time()
    yield
    clock, processor = time.monotonic() - clock, time.process_time() - processor
    ended.set()
    thread.join()
    print(f"| {name} | {clock:.0f} | {processor:.0f} | {peak[0] / 2**20:.0f} |", flush=True)


def main(count: int, stages: list[str]) -> None:
    os.environ.setdefault("PYRASEG_HASH_KEY", "the key of a measurement")
    print(
        "| stage | s | s of the main process's processor | peak of all processes, MiB |\n| --- | --- | --- | --- |"
    )
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        if not stages or "plan" in stages:
            _plan(folder / "in", count)
        if not stages or "tables" in stages:
            _tables(folder, count)


def _plan(images: Path, count: int) -> None:
    for number in range(count):
        place = images / f"{number // A_FOLDER:04d}"
        if number % A_FOLDER == 0:
            place.mkdir(parents=True)
        os.close(os.open(place / f"{number:07d}.dcm", os.O_CREAT | os.O_WRONLY))
    rules = read_rules(read_bundle(BUNDLE).metadata)
    patched: Any = discovery
    patched.header_or_error = simulated
    with measured(f"files and headers of {count:,} items"):
        found = discovery.find_items([images], rules, map_files=discovery.in_processes(os.cpu_count() or 1))
    with measured("the plan"):
        plan = make_plan(Job((images,), BUNDLE, None), found.items, None)
        frames = plan.frames
    with measured("the items, one by one"):
        seen = sum(item.frames for item in plan.due)
    if not len(found.items) == frames == seen == count:
        raise SystemExit(outline(found, plan))


def _tables(folder: Path, count: int) -> None:
    algorithm = Algorithm("a network", "1", "0" * 64, "bundle", "argmax")
    with measured("results.csv and frames.csv"):
        write_results(folder / "results.csv", records(count), units=UNITS)
        write_frames(folder / "frames.csv", records(count), units=UNITS)
    with measured("the report"):
        run = Run(algorithm, datetime.now(UTC), UNITS)
        write_report(folder / "report.html", records(count), run=run, thumbnail=lambda record: PICTURE)
    pages = sorted(folder.glob("report*.html"))
    size = sum(page.stat().st_size for page in pages) / 2**20
    print(f"\n{len(pages)} pages, {size:.0f} MiB")


if __name__ == "__main__":
    main(int(sys.argv[1].replace(",", "")), sys.argv[2:])
