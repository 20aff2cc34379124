"""A runner that only pretends: it leaves behind what a training or an evaluation would."""

from __future__ import annotations

import csv
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from fire.parser import DefaultParseValue as parse  # what MONAI's command line reads words with

from pyraseg.pipeline.experiments.experiment import Experiment

FOLDS = {0: ["a1", "a2", "b1"], 1: ["c1", "d1"], 2: ["e1", "f1"]}
COLUMNS = [
    "case",
    "group",
    "class",
    "dice",
    "iou",
    "sensitivity",
    "precision",
    "hd95",
    "assd",
    "surface_dice",
]
COLUMNS += ["distance_unit", "reference_pixels", "predicted_pixels", "missed", "false_positive"]


def row(case: str, *, dice: float | None = 0.5, label: str = "kidney", **changes: object) -> dict[str, str]:
    """A row of an evaluation's cases.csv; the group is the case's first letter."""
    values: dict[str, object] = dict.fromkeys(COLUMNS, "")
    values |= {"case": case, "group": case[0], "class": label, "dice": "" if dice is None else dice}
    values |= {"reference_pixels": 100, "predicted_pixels": 100, "missed": 0, "false_positive": 0, **changes}
    return {name: str(value) for name, value in values.items()}


def write_rows(folder: Path, rows: Sequence[dict[str, str]]) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    with open(folder / "cases.csv", "w", newline="") as file:
        table = csv.DictWriter(file, COLUMNS)
        table.writeheader()
        table.writerows(rows)


def read(words: Sequence[str]) -> dict[str, str]:
    """The ids of a command as MONAI's command line reads them."""
    return {n.removeprefix("--"): str(parse(v)) for n, v in zip(words[::2], words[1::2], strict=True)}


def read_step(experiment: Experiment, title: str) -> dict[str, str]:
    """The ids of the command of the step whose title ends so."""
    (step,) = [step for step in experiment.steps() if step.title.endswith(title)]
    assert step.command[1:4] == ["-m", "monai.bundle", "run"]
    return {"step": step.command[4], **read(step.command[5:])}


@dataclass
class Pretender:
    """Does what a step leaves behind, and remembers the commands; ``before`` may make a step fail or be
    stopped."""

    plan: Experiment
    before: Callable[[dict[str, str]], int | None] = lambda ids: None
    commands: list[dict[str, str]] = field(default_factory=list)

    def __call__(self, command: Sequence[str]) -> int:
        words = list(command[command.index("run") + 1 :])
        ids = {"step": words[0], **read(words[1:])}
        self.commands.append(ids)
        folder = Path(ids["output_dir"])
        folder.mkdir(parents=True, exist_ok=True)
        if ids["step"] == "training":
            (folder / "last.pt").touch()
        status = self.before(ids)
        if status:
            return status
        if ids["step"] == "training":
            (folder / "model.pt").touch()
        elif ids["split"] == "validation":
            fold = int(ids["fold"])
            write_rows(folder, [row(case, dice=0.5 + fold / 10) for case in FOLDS[fold]])
        else:
            (folder / "summary.json").write_text('{"mean_dice": 0.9}')
        return 0

    @property
    def steps(self) -> list[str]:
        return [f"{ids['step']} {ids.get('fold', ids.get('split'))}" for ids in self.commands]
