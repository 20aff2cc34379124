"""From a folder of CT slices to a volume: ours beside MONAI, SimpleITK and dicom2nifti, in slices a second."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Iterator
from importlib.metadata import version
from pathlib import Path

from tests.bench.peers.environments import Missing, in_environment
from tests.bench.peers.rows import Row, in_turns
from tests.bench.series import SYNTAXES, WAYS, rates, write_series

__all__ = ["measure", "measure_dicom2nifti"]

SLICES, ROUNDS = 120, 3
NAMES = {"monai": "MONAI {} PydicomReader", "simpleitk": "SimpleITK {} ImageSeriesReader"}


def measure() -> tuple[list[Row], str]:
    """The two that are ours to use, too: in this process, as `tests.bench.series` has them."""
    rows = []
    for kind, folder in _series():
        found = rates(folder, SLICES, ROUNDS)
        rows += [
            _row(name.format(version(peer)), kind, found["ours"], found[peer]) for peer, name in NAMES.items()
        ]
    return rows, ""


def measure_dicom2nifti() -> tuple[list[Row], str]:
    """In its environment; imports are not counted."""
    return [_dicom2nifti(kind, folder) for kind, folder in _series()], ""


def _dicom2nifti(kind: str, folder: Path) -> Row:
    names: list[str] = []
    try:
        found = in_turns({"ours": lambda: _ours(folder), "theirs": lambda: _theirs(folder, names)}, ROUNDS)
    except Missing as reason:
        return _row("dicom2nifti", kind, why=str(reason))
    return _row(f"dicom2nifti {names[0]}", kind, found["ours"], found["theirs"])


def _series() -> Iterator[tuple[str, Path]]:
    with tempfile.TemporaryDirectory() as name:
        for kind, syntax in SYNTAXES.items():
            yield kind, write_series(Path(name) / kind, syntax, SLICES)


def _row(peer: str, kind: str, ours: float | None = None, theirs: float | None = None, why: str = "") -> Row:
    what = f"reading a CT of {SLICES} x 512 x 512, {kind}"
    return Row(peer, what, ours, theirs, "slices/s", more_is_better=True, why=why)


def _ours(folder: Path) -> float:
    began = time.perf_counter()
    WAYS["ours"](folder)
    return SLICES / (time.perf_counter() - began)


def _theirs(folder: Path, names: list[str]) -> float:
    found = in_environment("dicom", "series_read.py", folder)
    names.append(found["version"])
    return SLICES / found["seconds"]
