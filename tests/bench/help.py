"""How long the command line takes to answer, and to predict one frame: from the command to its end."""

from __future__ import annotations

import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from tests.bench.cost import network
from tests.pipeline.prediction import batch

ROUNDS = 7
BUNDLE = "bundles/us_hydronephrosis"


def table() -> str:
    """Median seconds of processes in turns, beside an empty Python and the imports that nothing can spare."""
    os.environ.setdefault("PYRASEG_HASH_KEY", "the key of a measurement")
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        batch.write_image(folder / "in" / "a.dcm", 0)
        network(folder / "model.pt", volumes=False)
        predict = ["predict", f"{folder}/in", "--bundle", BUNDLE, "--checkpoint", f"{folder}/model.pt"]
        rows = {
            "python -c pass": ["-c", "pass"],
            'python -c "import torch, monai"': ["-c", "import torch, monai"],
            "pyraseg --help": ["-m", "pyraseg.pipeline", "--help"],
            "pyraseg datalist --help": ["-m", "pyraseg.pipeline", "datalist", "--help"],
            "pyraseg predict, one frame, all results": [
                *("-m", "pyraseg.pipeline"), *predict, "--overwrite", "--output", f"{folder}/out"
            ],
        }  # fmt: skip
        seconds: dict[str, list[float]] = {command: [] for command in rows}
        for _ in range(ROUNDS):
            for command, arguments in rows.items():
                seconds[command].append(_seconds(arguments))
    lines = [f"| {command} | {statistics.median(taken):.2f} |" for command, taken in seconds.items()]
    return "\n".join(["| command | seconds |", "| --- | --- |", *lines])


def _seconds(arguments: list[str]) -> float:
    start = time.perf_counter()

    subprocess.run(
        [sys.executable, *arguments], check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    return time.perf_counter() - start
