"""``pyraseg predict`` beside a pipeline of MONAI's transforms and inferer as the model zoo's bundles have it: the
same CT, network, windows and result, a label map in NIfTI."""

from __future__ import annotations

import json
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import nibabel
import numpy as np

from pyraseg.pipeline.delivery.export import export_checkpoint
from pyraseg.transforms.dicom.series.find import find_series, the_series
from pyraseg.transforms.dicom.series.volume import read_series
from tests.bench.cost import network
from tests.bench.peers.environments import in_environment
from tests.bench.peers.rows import Row, in_turns
from tests.bench.processes import Spent, run
from tests.bench.series import SYNTAXES, write_series

__all__ = ["measure"]

SLICES, ROUNDS = 300, 2
BUNDLE = "bundles/ct_sarcoma"
FACTS = {
    "spacing": [3.0, 3.0, 3.0],
    "window": [-160, 240],
    "roi_size": [48, 48, 48],
    "overlap": 0.5,
    "batch": 4,
}
ALIKE = (
    "--backend",
    "torch",
    "--batch-size",
    str(FACTS["batch"]),
    "--",
    "--amp",
    "false",
    "--cleanup",
    "null",
)


def measure() -> tuple[list[Row], str]:
    """Seconds from the command to its end and peak memory, as ours runs by default and with the same arithmetic."""
    with tempfile.TemporaryDirectory() as name:
        folder, spent = Path(name), dict[str, list[Any]]()
        _write(folder)
        seconds = in_turns({who: _way(folder, who, spent) for who in WAYS}, ROUNDS)
        ours, theirs = (_labels(folder / who) > 0 for who in ("alike", "theirs"))
        dice = 2 * np.count_nonzero(ours & theirs) / (np.count_nonzero(ours) + np.count_nonzero(theirs))
        backend = json.loads((folder / "ours/manifest.json").read_text())["backend"]
    peaks = {who: max(found.peak_mib for found in spent[who]) for who in WAYS}
    rows = _rows(seconds, peaks, backend, spent["theirs"][0].text)
    return rows, f"both float32 agree with a Dice of {dice:.5f} on {np.count_nonzero(theirs):,} voxels."


def _rows(seconds: dict[str, float], peaks: dict[str, float], backend: str, version: str) -> list[Row]:
    peer = f"MONAI {version}, as the model zoo's bundles"
    what, memory = f"CT of {SLICES} x 512 x 512 to its label map", "peak memory of all processes"
    kinds = {
        "ours": f"ours by default ({backend})",
        "alike": f"both float32, {FACTS['batch']} windows a pass",
    }
    return [
        row
        for who, kind in kinds.items()
        for row in (
            Row(peer, f"{what}, {kind}", seconds[who], seconds["theirs"]),
            Row(peer, f"{memory}, {kind}", peaks[who], peaks["theirs"], "MiB"),
        )
    ]


def _write(folder: Path) -> None:
    """The volume as NIfTI, and the bundle's untrained network as a checkpoint and as TorchScript."""
    series = write_series(folder / "series", SYNTAXES["raw"], SLICES)
    volume = read_series(the_series(find_series(series)))
    image = nibabel.Nifti1Image(np.asarray(volume.array).astype(np.int16), volume.grid.affine)
    nibabel.save(image, folder / "ct.nii.gz")
    export_checkpoint(network(folder / "model.pt", volumes=True), format="torchscript", output=folder / "ts")


def _ours(folder: Path, output: str, *options: str) -> Spent:
    words = [
        f"{folder}/ct.nii.gz",
        "--bundle",
        BUNDLE,
        "--checkpoint",
        f"{folder}/model.pt",
        "--formats",
        "nifti",
    ]
    where = ["--device", "cpu", "--overwrite", "--output", f"{folder}/{output}"]
    return run([sys.executable, "-m", "pyraseg.pipeline", "predict", *words, *where, *options])


def _theirs(folder: Path) -> Spent:
    words = (folder / "ct.nii.gz", folder / "ts/model.ts", json.dumps(FACTS), folder / "theirs")
    found = in_environment("monai", "volume_run.py", *words)
    return Spent(found["wall"], 0.0, found["peak_mib"], found["version"])


WAYS: dict[str, Callable[[Path], Spent]] = {
    "ours": lambda folder: _ours(folder, "ours"),
    "alike": lambda folder: _ours(folder, "alike", *ALIKE),
    "theirs": _theirs,
}


def _way(folder: Path, who: str, spent: dict[str, list[Any]]) -> Callable[[], float]:
    def way() -> float:
        spent.setdefault(who, []).append(WAYS[who](folder))
        return spent[who][-1].seconds

    return way


def _labels(folder: Path) -> np.ndarray:
    (path,) = folder.rglob("*.nii.gz")
    return np.asarray(nibabel.load(path).dataobj)
