"""Many small files: the memory must not grow with their number."""

from __future__ import annotations

import json
import time
from pathlib import Path

import psutil

from tests.pipeline.prediction.batch import Batch, write_image
from tests.pipeline.prediction.runs import write_checkpoint
from tests.torture.copies import copies

__all__ = ["run"]

FEWER = 10  # the part of the files that the memory is compared with
GROWTH = 1.1
MEBIBYTE = 2**20


def run(folder: Path, count: int, seed: int) -> tuple[str, list[str]]:
    """Predict ``count`` files and a tenth of them."""
    content = write_image(folder / "one.dcm", seed).read_bytes()
    weights, faults, rows, peaks = write_checkpoint(folder / "weights.pt"), [], [], []
    for number in (max(1, count // FEWER), count):
        images, output = folder / f"images-{number}", folder / f"out-{number}"
        images.mkdir()
        for index, copy in copies(content, range(number)):
            (images / f"{index:06d}.dcm").write_bytes(copy)
        began = time.monotonic()
        status, all_of_it, main = _peak(Batch((images,), weights), output)
        seconds = time.monotonic() - began
        manifest = json.loads((output / "manifest.json").read_text()) if status == 0 else {}
        done = manifest.get("counts", {}).get("results", 0)
        if status or done != number:
            faults.append(f"{number} files: status {status}, {done} results")
        size = (output / "report.html").stat().st_size / MEBIBYTE if status == 0 else 0
        work = manifest.get("seconds", {}).get("work", 0.0)
        rows.append(
            f"| {number} | {seconds:.0f} | {work:.0f} | {number / seconds:.1f} | {all_of_it / MEBIBYTE:.0f} "
            f"| {main / MEBIBYTE:.0f} | {size:.1f} |"
        )
        peaks.append(all_of_it)
    if peaks[1] > GROWTH * peaks[0]:
        faults.append(f"the memory grew {peaks[1] / peaks[0]:.3f} times")
    head = (
        "| files | s, all | s, work | files/s | peak RSS, MiB, all processes | main process | report, MiB |"
    )
    growth = f"\nPeak RSS: {peaks[1] / peaks[0]:.3f} times (wanted: at most {GROWTH})."
    return "\n".join([head, "| --- | --- | --- | --- | --- | --- | --- |", *rows, growth]), faults


def _peak(batch: Batch, output: Path) -> tuple[int, int, int]:
    """Exit status; the largest sum of the processes' memory seen, and the main process's own."""
    total = main = 0
    with batch.started(output) as process:
        top = psutil.Process(process.pid)
        while process.poll() is None:
            try:
                own = top.memory_info().rss
                sizes = [each.memory_info().rss for each in top.children(recursive=True)]
            except psutil.NoSuchProcess:
                continue
            main, total = max(main, own), max(total, own + sum(sizes))
            time.sleep(0.1)
    return process.returncode, total, main
