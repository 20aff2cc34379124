"""A small evaluator on real files: frames with a bright kidney, volumes with a tumour that is bright in part,
and a network that calls what is bright kidney or tumour.
"""

from __future__ import annotations

import csv
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import nibabel
import numpy as np
import torch
from monai.data import DataLoader, Dataset
from monai.engines import SupervisedEvaluator
from monai.transforms import Compose
from PIL import Image

from pyraseg.pipeline.bundle.segments import resolve_segments
from pyraseg.pipeline.evaluation import SegmentationScores
from pyraseg.pipeline.inference import SourceGridLabelsd
from pyraseg.pipeline.tracking import RunTracker
from tests.chains import frame_preprocessing, volume_preprocessing

NAMES = ["background", "kidney"]
SEGMENTS = resolve_segments(NAMES)
PREPROCESSING = frame_preprocessing(size=(48, 64), in_channels=1, label="source")
TUMOUR = ["background", "tumour"]
VOLUMES = volume_preprocessing("pet_sarcoma", input_size=(16, 16, 16), spacing_mm=(3, 3, 4), label="source")


class Artifacts(RunTracker):
    """A tracker that is switched off and keeps what it is handed."""

    def __init__(self) -> None:
        super().__init__("sqlite:///unused.db", experiment_name="x", enabled=False)
        self.files: list[tuple[str, str]] = []
        self.images: list[tuple[str, np.ndarray]] = []

    def log_file(self, path: Any, folder: str = "") -> None:
        self.files.append((Path(path).name, folder))

    def log_image(self, image: np.ndarray, name: str) -> None:
        self.images.append((name, image))


class Bright(torch.nn.Module):
    """Calls what is bright the second class; ``offset`` makes it see more or less of it."""

    def __init__(self) -> None:
        super().__init__()
        self.offset = torch.nn.Parameter(torch.zeros(1))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        score = 20 * (x - 0.6) + self.offset
        return torch.cat([-score, score], dim=1)


def write_case(
    folder: Path, number: int, *, group: str, kidney: bool = True, seen: int = 40
) -> dict[str, str]:
    """A frame with a dark field of tissue, a kidney of 40 columns in it, ``seen`` of them bright, and marks
    beside."""
    frame, mask = np.zeros((90, 120), np.uint8), np.zeros((90, 120), np.uint8)
    frame[20:80, 10:110] = np.random.default_rng(number).integers(40, 90, (60, 100))
    if kidney:
        mask[35:60, 40:80] = 1
        frame[35:60, 40 : 40 + seen] = 220
    frame[2:6, 100:118:2] = 255
    paths = {"image": folder / f"{number}.png", "label": folder / f"{number}_mask.png"}
    Image.fromarray(frame).save(paths["image"])
    Image.fromarray(mask).save(paths["label"])
    return {**{key: str(path) for key, path in paths.items()}, "case": f"c{number:03d}", "group": group}


def write_volume(
    folder: Path, number: int, *, group: str, seen: int = 6, shape=(20, 24, 14)
) -> dict[str, str]:
    """A PET of 3 x 3 x 4 mm in NIfTI, stored from front to back and from head to feet, with a tumour of SUV
    8.

    It is 6 x 8 x 4 voxels large, of which ``seen`` columns are bright enough to be found.
    """
    suv, mask = np.full(shape, 1.0, np.float32), np.zeros(shape, np.uint8)
    mask[8:14, 8:16, 4:8] = 1
    suv[mask == 1] = 5.0
    suv[8 : 8 + seen, 8:16, 4:8] = 12.0
    affine = np.diag([3.0, -3.0, -4.0, 1.0])
    affine[:3, 3] = (-30, 36, 100)
    paths = {"image": folder / f"{number}.nii.gz", "label": folder / f"{number}_mask.nii.gz"}
    for path, array in zip(paths.values(), (suv, mask), strict=True):
        nibabel.save(nibabel.Nifti1Image(array, affine), path)
    return {**{key: str(path) for key, path in paths.items()}, "case": f"c{number:03d}", "group": group}


def evaluator(
    items,
    handlers,
    *,
    metric: Any = None,
    probabilities: str | None = None,
    name: str = "val_mean_dice",
    names: Sequence[str] = NAMES,
    preprocessing: Compose = PREPROCESSING,
):
    return SupervisedEvaluator(
        device=torch.device("cpu"),
        val_data_loader=DataLoader(Dataset(items, preprocessing), batch_size=1, num_workers=0),
        network=Bright(),
        postprocessing=SourceGridLabelsd("pred", preprocessing, probabilities),
        key_val_metric={name: metric or SegmentationScores(names)},
        val_handlers=list(handlers),
    )


def read(path) -> list[dict[str, str]]:
    with open(path, newline="") as file:
        return list(csv.DictReader(file))
