"""Runs of ``predict`` on volumes for tests: a network that was never trained and yet finds something."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
import torch
from scipy.ndimage import gaussian_filter

from pyraseg.pipeline.networks import build_network
from pyraseg.pipeline.training.checkpoints import save_checkpoint
from tests.transforms.dicom.series_cases import write_series

__all__ = ["BUNDLES", "WINDOW", "labels_of", "noise", "numbered", "write_numbered", "write_volume_checkpoint"]

BUNDLES = {name: Path(__file__).parents[3] / "bundles" / f"{name}_sarcoma" for name in ("ct", "mr", "pet")}
LABELS = ("background", "tumour")
NETWORK = {
    "depth": 18,
    "attention": "none",
    "output_stride": 16,
    "stem": "plain7",
    "skips": [1],
    "in_channels": 1,
    "spatial_dims": 3,
}
WINDOW = [32, 32, 32]
BEGINS = 0.4  # the quantile of a window's scores at which the tumour begins to win


def write_volume_checkpoint(path: Path, *, labels: Sequence[str] = LABELS, seed: int = 1) -> Path:
    """Random weights, their last layer scaled and shifted so that the tumour wins somewhere in a volume of
    noise."""
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        network = build_network(out_channels=len(labels), **NETWORK).eval()
        noise = torch.nn.functional.interpolate(torch.rand(1, 1, 6, 6, 6), WINDOW, mode="trilinear")
    with torch.no_grad():
        scores = network(noise)[0]
        last = next(p for p in reversed([*network.modules()]) if getattr(p, "out_channels", 0) == len(labels))
        last.bias[1] -= torch.quantile((scores[1] - scores[0]).flatten(), BEGINS)
        last.weight *= 512
        last.bias *= 512
    facts = {"label_names": list(labels), "input_size": WINDOW, "network": NETWORK}
    return save_checkpoint(path, {"model": network.state_dict(), **facts})


def noise(seed: int, shape: tuple[int, int, int] = (12, 20, 24)) -> np.ndarray:
    """(slices, rows, columns) int16, blotches from -160 to 240 HU as stored values of intercept -1024."""
    blotches = gaussian_filter(np.random.default_rng(seed).normal(size=shape), 2)
    scaled = (blotches - blotches.min()) / np.ptp(blotches)
    return np.rint(864 + 400 * scaled).astype(np.int16)


def numbered(number: int, **more: Any) -> Callable[[int, Any], None]:
    """An edit that gives a series UIDs of its own, and other attributes."""

    def edit(index: int, dataset: Any) -> None:
        dataset.SeriesInstanceUID = f"1.2.70.{number}"
        dataset.SOPInstanceUID = dataset.file_meta.MediaStorageSOPInstanceUID = f"1.2.70.{number}.{index + 1}"
        for name, value in more.items():
            setattr(dataset, name, value)

    return edit


def write_numbered(folder: Path, number: int, *, modality: str = "CT", **more: Any) -> Path:
    """A series of noise; ``more`` are attributes, and ``orientation``."""
    given = {name: more.pop(name) for name in ("orientation",) if name in more}
    return write_series(folder, noise(number), modality=modality, edit=numbered(number, **more), **given)


def labels_of(folder: Path) -> np.ndarray:
    """(columns, rows, slices) of an item's NIfTI."""
    image: Any = nib.load(folder / "labels.nii.gz")
    return np.asarray(image.dataobj)
