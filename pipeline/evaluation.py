"""Scores per case and class on the source grid, and their summary over frames and over groups.

Conventions: reference present and prediction empty is Dice 0 and counted as missed; both empty is left out of Dice and
counted as a true negative; reference empty and prediction not is a false positive. A mean that has no case is NaN,
never 0 or 1.
"""

from __future__ import annotations

import csv
import json
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from ignite.metrics import Metric

from pipeline.config import cause
from pipeline.files import atomic_write
from pipeline.networks import load_checkpoint
from transforms.errors import DatalistError

__all__ = ["CaseScore", "SegmentationScores", "evaluate", "score_case", "summarise", "write_scores"]


@dataclass(frozen=True)
class CaseScore:
    """The pixel counts of one class in one case, and what follows from them."""

    case: str
    group: str
    label: str
    reference_pixels: int
    predicted_pixels: int
    common_pixels: int

    @property
    def dice(self) -> float:
        """Dice coefficient; NaN where the reference has no such structure."""
        if not self.reference_pixels:
            return float("nan")
        return 2 * self.common_pixels / (self.reference_pixels + self.predicted_pixels)

    @property
    def missed(self) -> bool:
        """The structure is there and nothing was predicted."""
        return self.reference_pixels > 0 and self.predicted_pixels == 0

    @property
    def false_positive(self) -> bool:
        """The structure is not there and something was predicted."""
        return self.reference_pixels == 0 and self.predicted_pixels > 0


def score_case(
    prediction: torch.Tensor, reference: torch.Tensor, *, label_names: Sequence[str], case: str, group: str
) -> list[CaseScore]:
    """Compare two label maps of one shape, (1, H, W) or (1, H, W, D), class by class without background."""
    p, r = (torch.as_tensor(x).long().flatten() for x in (prediction, reference))
    counts = torch.bincount(r * len(label_names) + p, minlength=len(label_names) ** 2).reshape(len(label_names), -1)
    return [
        CaseScore(case, group, name, int(counts[k].sum()), int(counts[:, k].sum()), int(counts[k, k]))
        for k, name in enumerate(label_names)
        if k > 0
    ]


def summarise(scores: Iterable[CaseScore]) -> dict[str, float]:
    """Summarise per class, and over the classes.

    Returns:
        ``mean_dice`` (the mean over classes of ``dice_<class>``) and for each class ``dice_<class>`` (the mean over
        groups of each group's mean, so that a patient with 400 frames weighs as much as one with 4),
        ``frame_mean_dice_<class>``, ``frame_median_dice_<class>``, ``missed_rate_<class>`` over the cases that have the
        structure and ``false_positive_rate_<class>`` over those that have not.
    """
    by_class: dict[str, list[CaseScore]] = defaultdict(list)
    for score in scores:
        by_class[score.label].append(score)
    summary: dict[str, float] = {}
    for name, rows in by_class.items():
        summary |= {f"{key}_{name}": value for key, value in _summarise_class(rows).items()}
    return {"mean_dice": _mean(summary[f"dice_{name}"] for name in by_class)} | summary


def _summarise_class(rows: Sequence[CaseScore]) -> dict[str, float]:
    present = [row for row in rows if row.reference_pixels]
    absent = [row for row in rows if not row.reference_pixels]
    groups: dict[str, list[float]] = defaultdict(list)
    for row in present:
        groups[row.group].append(row.dice)
    return {
        "dice": _mean(_mean(values) for values in groups.values()),
        "frame_mean_dice": _mean(row.dice for row in present),
        "frame_median_dice": float(np.median([row.dice for row in present])) if present else float("nan"),
        "missed_rate": _mean(row.missed for row in present),
        "false_positive_rate": _mean(row.false_positive for row in absent),
    }


def _mean(values: Iterable[float]) -> float:
    """The mean of the finite values; NaN, without a warning, where there is none."""
    finite = [float(value) for value in values if np.isfinite(value)]
    return float(np.mean(finite)) if finite else float("nan")


class SegmentationScores(Metric):
    """The Ignite metric behind validation and evaluation: collects ``CaseScore`` rows and reports their summary.

    Its own value is ``mean_dice``; the rest of the summary joins ``engine.state.metrics`` as ``<prefix>_<name>``. It
    reads the decollated output: per item ``pred`` and ``label`` (1, H, W) and, from the image's metadata or the item,
    ``case`` and ``group``.
    """

    def __init__(self, label_names: Sequence[str], *, prefix: str = "val") -> None:
        self.label_names = list(label_names)
        self.prefix = prefix
        self.rows: list[CaseScore] = []
        super().__init__(output_transform=lambda output: output)

    def reset(self) -> None:
        self.rows = []

    def update(self, output: Sequence[Mapping[str, Any]]) -> None:
        for item in output:
            self.rows += score_case(
                item["pred"],
                item["label"],
                label_names=self.label_names,
                case=str(item.get("case", f"case {len(self.rows)}")),
                group=str(item.get("group", item.get("case", f"case {len(self.rows)}"))),
            )

    def iteration_completed(self, engine: Any) -> None:
        """The case's name and group are in the batch, the prediction in the output."""
        self.update(
            [{**batch, **output} for batch, output in zip(engine.state.batch, engine.state.output, strict=True)]
        )

    def compute(self) -> float:
        value = summarise(self.rows)["mean_dice"]
        if np.isnan(value):
            raise DatalistError(
                "cases to measure on that show at least one of the classes",
                found=f"{len(self.rows)} rows without any",
                remedy="Build a datalist whose splits hold every class.",
            )
        return value

    def completed(self, engine: Any, name: str) -> None:
        engine.state.metrics |= {f"{self.prefix}_{key}": value for key, value in summarise(self.rows).items()}
        engine.state.case_scores = list(self.rows)
        super().completed(engine, name)


def write_scores(folder: str | Path, scores: Sequence[CaseScore]) -> tuple[Path, Path]:
    """Write ``cases.csv`` (a row a case and class) and ``summary.json`` into ``folder`` and return their paths.

    Raises:
        OutputError: ``folder`` cannot be written.
    """
    table, summary = Path(folder) / "cases.csv", Path(folder) / "summary.json"
    with atomic_write(table, "w") as file:
        rows = csv.writer(file)
        rows.writerow(
            ["case", "group", "class", "dice", "reference_pixels", "predicted_pixels", "missed", "false_positive"]
        )
        for s in scores:
            dice = "" if np.isnan(s.dice) else f"{s.dice:.6f}"
            rows.writerow(
                [
                    s.case,
                    s.group,
                    s.label,
                    dice,
                    s.reference_pixels,
                    s.predicted_pixels,
                    int(s.missed),
                    int(s.false_positive),
                ]
            )
    content = {key: None if np.isnan(value) else value for key, value in summarise(scores).items()}
    with atomic_write(summary, "w") as file:
        file.write(json.dumps(content, indent=1) + "\n")
    return table, summary


def evaluate(evaluator: Any, tracker: Any, *, checkpoint: str | Path, folder: str | Path) -> None:
    """Load a checkpoint, run a MONAI evaluator inside a MLflow run of its own, and write and log the scores.

    Raises:
        CheckpointError: the checkpoint is missing or does not fit the network.
        OutputError: ``folder`` cannot be written.
    """
    load_checkpoint(evaluator.network, checkpoint)
    try:
        with tracker:
            evaluator.run()
            for path in write_scores(folder, evaluator.state.case_scores):
                tracker.log_file(path)
    except RuntimeError as error:
        ours = cause(error)
        if ours is None:
            raise
        raise ours from error
