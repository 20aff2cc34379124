"""``python -m tests.bench [NAME ...]``: print the tables, all or those named, and the machine."""

import importlib
import os
import platform
import sys
import time
from pathlib import Path

import torch


def machine() -> str:
    """The processor, its cores, the load before the first measurement, and the torch build."""
    cpu = next(
        (row.split(":")[1].strip() for row in _cpuinfo() if row.startswith("model name")),
        platform.processor(),
    )
    load = ", ".join(f"{value:.1f}" for value in os.getloadavg())
    gpu = torch.cuda.get_device_name() if torch.cuda.is_available() else "no GPU"
    versions = f"torch {torch.__version__}, Python {platform.python_version()}"
    return f"{cpu}, {os.cpu_count()} cores, {gpu}, load {load}, {versions}"


def _cpuinfo() -> list[str]:
    path = Path("/proc/cpuinfo")
    return path.read_text().splitlines() if path.exists() else []


def main() -> int:
    here = Path(__file__).parent
    names = sys.argv[1:] or sorted(path.stem for path in here.glob("*.py") if path.stem != "__main__")
    print(f"Machine: {machine()}\n")
    for name in names:
        started = time.perf_counter()
        table = getattr(importlib.import_module(f"tests.bench.{name}"), "table", None)
        if table is None:  # a program that takes arguments of its own
            continue
        print(f"## {name}\n")
        print(table())
        print(f"\n({time.perf_counter() - started:.0f} s)\n", flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
