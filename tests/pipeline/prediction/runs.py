"""Runs of ``predict`` for tests: a network that was never trained and yet finds something, and what a run has
left."""

from __future__ import annotations

import contextlib
import csv
import io
import json
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
import torch

from pyraseg.pipeline.cli import main
from pyraseg.pipeline.networks import build_network
from pyraseg.pipeline.training.checkpoints import save_checkpoint
from pyraseg.pipeline.writers.tables.item_records import ItemRecord

BUNDLE = Path(__file__).parents[3] / "bundles" / "us_hydronephrosis"
LABELS = ("background", "kidney", "hydronephrosis")
NETWORK = {
    "depth": 18,
    "attention": "none",
    "output_stride": 16,
    "stem": "deep3",
    "skips": [2],
    "in_channels": 3,
}
SIZE = [96, 96]
BEGINS = {
    "kidney": 0.7,
    "hydronephrosis": 0.8,
}  # quantiles of a frame's scores at which a class begins to win


def write_checkpoint(path: Path, *, labels: Sequence[str] = LABELS, seed: int = 1) -> Path:
    """Random weights, their last layer scaled and shifted so that each class wins somewhere in a picture of
    noise."""
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        network = build_network(out_channels=len(labels), **NETWORK).eval()
        noise = torch.nn.functional.interpolate(torch.rand(1, 3, 12, 12), SIZE, mode="bilinear")
    with torch.no_grad():
        scores = network(noise)[0]
        last = next(p for p in reversed([*network.modules()]) if getattr(p, "out_channels", 0) == len(labels))
        for index, name in enumerate(labels[1:], start=1):
            last.bias[index] -= torch.quantile((scores[index] - scores[0]).flatten(), BEGINS[name])
        last.weight *= 512
        last.bias *= 512
    facts = {"label_names": list(labels), "input_size": SIZE, "network": NETWORK}
    return save_checkpoint(path, {"model": network.state_dict(), **facts})


@dataclass(frozen=True)
class Run:
    """What one run has left."""

    output: Path
    status: int
    stdout: str
    stderr: str

    def table(self, name: str) -> list[dict[str, str]]:
        with (self.output / f"{name}.csv").open(newline="", encoding="utf-8") as file:
            return list(csv.DictReader(file))

    @cached_property
    def results(self) -> list[dict[str, str]]:
        return self.table("results")

    def reasons(self, name: str) -> dict[str, str]:
        """Of ``failures`` or ``left_out``, by file."""
        return {row["file"]: row["reason"] for row in self.table(name)}

    def result(self, file: str) -> dict[str, str]:
        (row,) = [row for row in self.results if row["file"] == file]
        return row

    def item(self, file: str) -> Path:
        return self.output / "items" / self.result(file)["case"]

    def record(self, file: str) -> ItemRecord:
        return ItemRecord.from_json(json.loads((self.item(file) / "item.json").read_text(encoding="utf-8")))

    def labels(self, file: str) -> np.ndarray:
        """(F, H, W) of its NIfTI."""
        return nifti_frames(self.item(file) / "labels.nii.gz")


def nifti_frames(path: Path) -> np.ndarray:
    """(F, H, W), or (F, K, H, W) of probabilities, of a NIfTI of ours: stored (W, H, 1), (W, H, 1, F[,
    K])."""
    stored: Any = nib.load(path)
    values = np.asarray(stored.dataobj)
    values = values[:, :, 0] if values.ndim > 3 else values
    return values.transpose(2, 1, 0) if values.ndim == 3 else values.transpose(2, 3, 1, 0)


def predict(
    *inputs: Path,
    output: Path,
    checkpoints: Sequence[Path],
    options: Sequence[str] = (),
    bundle: Path = BUNDLE,
) -> Run:
    """A run in this process; only its workers are others."""
    command = [
        "predict",
        *map(str, inputs),
        "--bundle",
        str(bundle),
        "--output",
        str(output),
        "--workers",
        "2",
    ]
    command += ["--checkpoint", *map(str, checkpoints), "--backend", "torch", *options]
    out, err = io.StringIO(), io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        status = main(command)
    return Run(output, status, out.getvalue(), err.getvalue())
