"""A small evaluator on real files: frames with a bright kidney, and a network that calls what is bright kidney."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import torch
from monai.data import DataLoader, Dataset
from monai.engines import SupervisedEvaluator
from PIL import Image

from pipeline.evaluation import SegmentationScores
from pipeline.inference.label_maps import label_map_postprocessing
from pipeline.segments import resolve_segments
from pipeline.tracking import RunTracker
from transforms.preprocessing import ultrasound_preprocessing

NAMES = ["background", "kidney"]
SEGMENTS = resolve_segments(NAMES)
PREPROCESSING = ultrasound_preprocessing(size=(48, 64), in_channels=1, label="source", num_classes=2)


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
    """Calls what is bright kidney; ``offset`` makes it see more or less of it."""

    def __init__(self) -> None:
        super().__init__()
        self.offset = torch.nn.Parameter(torch.zeros(1))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        score = 20 * (x - 0.6) + self.offset
        return torch.cat([-score, score], dim=1)


def write_case(folder: Path, number: int, *, group: str, kidney: bool = True, seen: int = 40) -> dict[str, str]:
    """A frame with a dark field of tissue, a kidney of 40 columns in it, ``seen`` of them bright, and marks beside."""
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


def evaluator(items, handlers, *, metric: Any = None, probabilities: str | None = None, name: str = "val_mean_dice"):
    return SupervisedEvaluator(
        device=torch.device("cpu"),
        val_data_loader=DataLoader(Dataset(items, PREPROCESSING), batch_size=1, num_workers=0),
        network=Bright(),
        postprocessing=label_map_postprocessing(PREPROCESSING, label_names=NAMES, probabilities=probabilities),
        key_val_metric={name: metric or SegmentationScores(NAMES)},
        val_handlers=list(handlers),
    )
