"""How often a run of ``predict``, all of its processes together, parses the header of each input file.

``python -m tests.pipeline.prediction.header_reads`` prints the table, with the times.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from collections import defaultdict
from dataclasses import dataclass
from pathlib import Path

from tests.pipeline.prediction.batch import BUNDLE, ROOT, write_image
from tests.pipeline.prediction.runs import write_checkpoint
from tests.pipeline.prediction.volume_runs import BUNDLES, write_numbered, write_volume_checkpoint

__all__ = ["Case", "header_reads"]

LOG = "HEADER_READS"
# Every way to a header leads through read_partial; Python runs sitecustomize.py at the start of each process.
COUNTER = f"""
import os, time
from pydicom import filereader

def counted(file, *arguments, _read=filereader.read_partial, **more):
    begin = time.perf_counter()
    try:
        return _read(file, *arguments, **more)
    finally:
        with open(os.environ["{LOG}"], "a") as log:
            log.write(f"{{time.perf_counter() - begin}} {{file.name}}\\n")

filereader.read_partial = counted
"""


# a file, since processes that are started anew import what starts them
RUN = """
import sys
from pyraseg.pipeline.cli import main

if __name__ == "__main__":
    sys.exit(sum(map(main, {commands})))
"""


@dataclass(frozen=True)
class Case:
    """What is predicted, in all formats."""

    inputs: Path
    bundle: Path
    checkpoint: Path


def header_reads(folder: Path, *cases: Case) -> list[dict[Path, list[float]]]:
    """Predict one after the other in one process; for each input file of each the seconds of every parse."""
    folder.mkdir()
    (folder / "sitecustomize.py").write_text(COUNTER)
    commands = []
    for number, case in enumerate(cases):
        formats = "seg,sr,nifti,overlay" + ("" if case.bundle == BUNDLE else ",rtstruct")
        words = ["predict", case.inputs, "--bundle", case.bundle, "--checkpoint", case.checkpoint]
        words += ["--output", folder / f"out_{number}", "--backend", "torch", "--formats", formats]
        commands.append([str(word) for word in words])
    environment = {
        **os.environ,
        "PYTHONPATH": os.pathsep.join([str(folder), str(ROOT)]),
        LOG: str(folder / "log"),
    }
    (folder / "run.py").write_text(RUN.format(commands=commands))
    subprocess.run([sys.executable, folder / "run.py"], env=environment, check=True, capture_output=True)
    reads: list[dict[Path, list[float]]] = [defaultdict(list) for _ in cases]
    for line in (folder / "log").read_text().splitlines():
        time, _, name = line.partition(" ")
        for case, seconds in zip(cases, reads, strict=True):
            if Path(name).is_relative_to(case.inputs):
                seconds[Path(name)].append(float(time))
    return reads


def main() -> None:
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        os.environ.setdefault("PYRASEG_HASH_KEY", "a key")
        weights = write_checkpoint(folder / "frames.pt")
        inputs = folder / "images"
        write_image(inputs / "frame.dcm", 1)
        write_image(inputs / "cine.dcm", 2, frames=20)
        frames = Case(inputs, BUNDLE, weights)
        series = write_numbered(folder / "series", 1)
        volumes = Case(series, BUNDLES["ct"], write_volume_checkpoint(folder / "volumes.pt"))
        of_frames, reads = header_reads(folder / "run", frames, volumes)
        lines = {path.name: (len(times), sum(times)) for path, times in of_frames.items()}
        label = f"a series of {len(reads)} slices"
        lines[label] = (sum(map(len, reads.values())), sum(map(sum, reads.values())))
    sys.stdout.write("| item | headers parsed | ms |\n| --- | --- | --- |\n")
    for label, (count, seconds) in lines.items():
        sys.stdout.write(f"| {label} | {count} | {1000 * seconds:.1f} |\n")


if __name__ == "__main__":
    main()
