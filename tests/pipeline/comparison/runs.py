"""Finished trainings and evaluations in a sqlite store, with the files that real ones log, from made-up
masks."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import torch
import yaml
from mlflow import MlflowClient
from mlflow.entities import Metric, Param

from pyraseg.pipeline.evaluation.calibration import count_confidence
from pyraseg.pipeline.evaluation.quantities import compare_quantities
from pyraseg.pipeline.evaluation.result_files import pack, write_masks, write_results
from pyraseg.pipeline.evaluation.scores import score_case
from pyraseg.pipeline.evaluation.summary import Results
from pyraseg.pipeline.tracking.store import the_experiment

NAMES = ["background", "kidney", "hydronephrosis"]
SHAPE, SPACING = (48, 64), (0.5, 0.5)
QUANTITIES = [{"name": "kidney_area", "measure": "area", "segments": ["kidney"]}]
GROUPS = (9, 4, 3, 2, 2, 1, 1, 1, 1, 1)  # cases a group: one patient has most
EXPERIMENT = "arms"


def ellipse(radius: float, *, centre: Sequence[float] = (24, 32)) -> np.ndarray:
    rows, columns = np.mgrid[: SHAPE[0], : SHAPE[1]]
    return ((rows - centre[0]) / radius) ** 2 + ((columns - centre[1]) / radius / 1.4) ** 2 <= 1


def label_map(kidney: float, fluid: float) -> torch.Tensor:
    """(1, H, W): a kidney with fluid in it."""
    labels = np.zeros(SHAPE, dtype=np.uint8)
    labels[ellipse(kidney)] = 1
    if fluid > 0:
        labels[ellipse(fluid)] = 2
    return torch.from_numpy(labels)[None]


def evaluate(
    folder: Path, *, error: float, seed: int = 0, groups: Sequence[int] = GROUPS, surfaces: bool = True
) -> Path:
    """Write what an evaluation writes: predictions whose radii are ``error`` pixels too small, give or
    take."""
    drawn = np.random.default_rng(5)
    noise = np.random.default_rng(seed + 100)
    scores, quantities, confidences, masks = [], [], [], {}
    for group, size in enumerate(groups):
        offset = noise.normal(0, 0.3)
        for index in range(size):
            kidney = drawn.uniform(12, 18)
            fluid = 0.0 if (group + index) % 5 == 4 else kidney * drawn.uniform(0.3, 0.6)
            reference = label_map(kidney, fluid)
            off = error + offset + noise.normal(0, 0.2)
            prediction = label_map(kidney - off, max(fluid - off, 0) if fluid else 0)
            case, name = f"case_{group:02}_f{index:03}", f"case_{group:02}"
            shared: dict[str, Any] = {"label_names": NAMES, "case": case, "group": name}
            scores += score_case(prediction, reference, spacing_mm=SPACING, surfaces=surfaces, **shared)
            quantities += compare_quantities(
                prediction, reference, declared=QUANTITIES, spacing_mm=SPACING, **shared
            )
            sure = torch.nn.functional.one_hot(prediction[0].long(), 3).movedim(-1, 0) * 0.85 + 0.05
            confidences.append(count_confidence(sure, reference, **shared))
            masks[case] = pack(prediction)
    write_results(folder, Results(tuple(scores), tuple(confidences), tuple(quantities), resamples=50))
    write_masks(folder / "predictions.npz", masks)
    return folder


def split_record(
    groups: Sequence[int] = GROUPS, *, digest: str = "d" * 64, training: Sequence[str] = ("case_90",)
) -> dict[str, Any]:
    test = {f"case_{g:02}": [f"case_{g:02}_f{i:03}" for i in range(size)] for g, size in enumerate(groups)}
    return {
        "digest": digest,
        "seed": 0,
        "training": {name: [f"{name}_f000"] for name in training},
        "validation": {},
        "test": test,
    }


def digest_of(training: str) -> str:
    """The SHA-256 of a training's checkpoint, whose content is the training's name."""
    return hashlib.sha256(training.encode()).hexdigest()


@dataclass(frozen=True)
class StoreOfRuns:
    """A store in a folder, and the means to put runs into it."""

    uri: str
    folder: Path
    experiment: str = EXPERIMENT

    @cached_property
    def client(self) -> MlflowClient:
        return MlflowClient(self.uri)

    def add(
        self,
        name: str,
        *,
        files: Mapping[str, Any] | None = None,
        folder: Path | None = None,
        params: Mapping[str, Any] | None = None,
        tags: Mapping[str, str] | None = None,
        status: str = "FINISHED",
    ) -> str:
        """A run with these documents, and all the files of ``folder``."""
        client = self.client
        run = client.create_run(
            the_experiment(client, self.experiment).experiment_id, run_name=name, tags=dict(tags or {})
        )
        run_id = run.info.run_id
        client.log_batch(run_id, params=[Param(key, str(value)) for key, value in (params or {}).items()])
        with TemporaryDirectory() as temporary:
            for path, content in (files or {}).items():
                text = yaml.safe_dump(content) if path.endswith("yaml") else json.dumps(content)
                (Path(temporary) / path).write_text(text)
            client.log_artifacts(run_id, temporary)
        if folder is not None:
            client.log_artifacts(run_id, str(folder))
        if status != "RUNNING":
            client.set_terminated(run_id, status)
        return run_id

    def training(
        self,
        name: str,
        *,
        seed: int = 0,
        digest: str = "d" * 64,
        training: Sequence[str] = ("case_90",),
        **config: Any,
    ) -> str:
        """A finished training; its checkpoint's digest is its name's."""
        settings = {"seed": seed, "run_name": name, "output_dir": "<path>", "max_epochs": 3, **config}
        params = {
            "seed": seed,
            "training_frames": 20,
            "training_groups": len(training),
            "dataset_digest": digest,
        }
        record = split_record(digest=digest, training=training)
        return self.add(
            name,
            files={"config.yaml": settings, "split.json": record},
            params=params,
            tags={"checkpoint.sha256": digest_of(name)},
        )

    def evaluation(
        self,
        name: str,
        folder: Path,
        *,
        of: str | None,
        status: str = "FINISHED",
        split: str = "test",
        **config: Any,
    ) -> str:
        """An evaluation of the checkpoint of the training ``of``."""
        return self.add(
            name,
            files={"config.yaml": {"split": split, "run_name": name, **config}, "split.json": split_record()},
            folder=folder,
            params={"split": split, "label_names": str(NAMES)},
            tags={} if of is None else {"evaluated.sha256": digest_of(of)},
            status=status,
        )

    def validations(
        self, run_id: str, dice: Mapping[int, float], *, iterations: int | None = None, written: int = 1000
    ) -> None:
        """Log the mean Dice by epoch, at ``written`` milliseconds, and a learning rate for each iteration."""
        metrics = [Metric("val_mean_dice", value, written, epoch) for epoch, value in dice.items()]
        metrics += [Metric("learning_rate", 0.1, written, i + 1) for i in range(iterations or 0)]
        self.client.log_batch(run_id, metrics=metrics)
