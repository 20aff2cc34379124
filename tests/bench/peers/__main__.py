"""``python -m tests.bench.peers [NAME ...]``: pyraseg beside what a user would take instead, all or those named.

Each peer runs in an environment of its own, which is made on first use (minutes, 3 GB in all). What cannot be
installed has a row that says so.
"""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Callable

from tests.bench.__main__ import machine
from tests.bench.peers import frames, readers, volume, writers
from tests.bench.peers.environments import Missing
from tests.bench.peers.rows import Row, table

__all__ = ["MEASUREMENTS", "measured"]

MEASUREMENTS: dict[str, Callable[[], tuple[list[Row], str]]] = {
    "nnunet": frames.measure,
    "zoo": volume.measure,
    "readers": readers.measure,
    "dicom2nifti": readers.measure_dicom2nifti,
    "highdicom": writers.measure_highdicom,
    "rt-utils": writers.measure_rt_utils,
}


def measured(name: str) -> tuple[list[Row], str]:
    """The rows of one group and what has to be known of them."""
    try:
        return MEASUREMENTS[name]()
    except Missing as reason:
        return [Row(name, "", why=str(reason))], ""


def main() -> int:
    os.environ.setdefault("PYRASEG_HASH_KEY", "the key of a measurement")
    began, rows, notes = time.perf_counter(), list[Row](), list[str]()
    print(f"Machine: {machine()}\n", flush=True)
    for name in sys.argv[1:] or MEASUREMENTS:
        found, note = measured(name)
        rows += found
        notes += [f"* {name}: {note}"] if note else []
        print(*found, sep="\n", file=sys.stderr, flush=True)  # for whoever waits
    print(table(rows), *notes, f"({time.perf_counter() - began:.0f} s)", sep="\n\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
