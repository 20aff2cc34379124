"""How often a run of ``predict``, all of its processes together, parses the header of each input file.

``python -m tests.pipeline.prediction.header_reads`` prints the table, with the times.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from collections import defaultdict
from pathlib import Path

from tests.pipeline.prediction.batch import BUNDLE, ROOT, write_image
from tests.pipeline.prediction.runs import write_checkpoint
from tests.pipeline.prediction.volume_runs import BUNDLES, write_numbered, write_volume_checkpoint

__all__ = ["header_reads"]

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


def header_reads(inputs: Path, folder: Path, *, bundle: Path, checkpoint: Path) -> dict[Path, list[float]]:
    """Predict ``inputs`` in all formats; for each of their files the seconds of every parse."""
    folder.mkdir()
    (folder / "sitecustomize.py").write_text(COUNTER)
    paths = os.pathsep.join([str(folder), str(ROOT)])
    command = [sys.executable, "-m", "pyraseg.pipeline", "predict", str(inputs), "--bundle", str(bundle)]
    command += ["--checkpoint", str(checkpoint), "--output", str(folder / "out"), "--backend", "torch"]
    formats = ["--formats", "seg,sr,nifti,overlay" + ("" if bundle == BUNDLE else ",rtstruct")]
    environment = {**os.environ, "PYTHONPATH": paths, LOG: str(folder / "log")}
    subprocess.run([*command, *formats], env=environment, check=True, capture_output=True)
    seconds: dict[Path, list[float]] = defaultdict(list)
    for line in (folder / "log").read_text().splitlines():
        time, _, name = line.partition(" ")
        if Path(name).is_relative_to(inputs):
            seconds[Path(name)].append(float(time))
    return dict(seconds)


def main() -> None:
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        os.environ.setdefault("PYRASEG_HASH_KEY", "a key")
        weights = write_checkpoint(folder / "frames.pt")
        inputs = folder / "images"
        write_image(inputs / "frame.dcm", 1)
        write_image(inputs / "cine.dcm", 2, frames=20)
        reads = header_reads(inputs, folder / "frames", bundle=BUNDLE, checkpoint=weights)
        lines = {path.name: (len(times), sum(times)) for path, times in reads.items()}
        series = write_numbered(folder / "series", 1)
        weights = write_volume_checkpoint(folder / "volumes.pt")
        reads = header_reads(series, folder / "volumes", bundle=BUNDLES["ct"], checkpoint=weights)
        label = f"a series of {len(reads)} slices"
        lines[label] = (sum(map(len, reads.values())), sum(map(sum, reads.values())))
    sys.stdout.write("| item | headers parsed | ms |\n| --- | --- | --- |\n")
    for label, (count, seconds) in lines.items():
        sys.stdout.write(f"| {label} | {count} | {1000 * seconds:.1f} |\n")


if __name__ == "__main__":
    main()
