"""``python -m tests.torture [PART] [--count N] [--seed S]``: what the suite does a handful of times, done in
earnest.

Parts: kills (100 random kills), mutations (10,000 broken files), many (10,000 small files), pacs (2,000
instances through a listener, 30 kills; of another count in proportion). Prints Markdown tables and ends with
status 1 where a promise was broken. Scratch folders are in ``TMPDIR`` and go at the end.
"""

from __future__ import annotations

import argparse
import importlib
import os
import sys
import tempfile
import time
from pathlib import Path

COUNTS = {"kills": 100, "mutations": 10_000, "many": 10_000, "pacs": 2_000}


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.torture", description=__doc__)
    parser.add_argument("part", nargs="?", choices=COUNTS, help="one of them; all by default")
    parser.add_argument("--count", type=int, metavar="N", help=f"instead of {COUNTS}")
    parser.add_argument(
        "--seed", type=int, default=0, metavar="S", help="other kills and mutations (default 0)"
    )
    parser.add_argument("--kills", type=int, metavar="N", help="of pacs, instead of 15 for 1,000 instances")
    arguments = parser.parse_args()
    os.environ["PYRASEG_HASH_KEY"] = "the key of the torture"
    broken = []
    for part in [arguments.part] if arguments.part else COUNTS:
        began = time.monotonic()
        with tempfile.TemporaryDirectory(prefix="pyraseg-torture-") as folder:
            module = importlib.import_module(f"tests.torture.{part}")
            more = {"kills": arguments.kills} if part == "pacs" else {}
            table, faults = module.run(Path(folder), arguments.count or COUNTS[part], arguments.seed, **more)
        print(f"## {part}\n\n{table}\n\n({time.monotonic() - began:.0f} s)\n", flush=True)
        print(*(f"BROKEN: {fault}" for fault in faults), sep="\n", flush=True)
        broken += faults
    return 1 if broken else 0


if __name__ == "__main__":
    sys.exit(main())
