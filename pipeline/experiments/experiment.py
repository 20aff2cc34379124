"""The parts of an experiment: networks to train and evaluate, and MONAI's command for each step."""

from __future__ import annotations

import hashlib
import os
import sys
from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar

from pyraseg.pipeline.bundle.overrides import known_overrides, override_pairs
from pyraseg.pipeline.tracking import RunTracker
from pyraseg.pipeline.training.checkpoints import LAST
from pyraseg.pipeline.utils.without_paths import safe_parameters
from pyraseg.transforms.errors import ConfigError

__all__ = [
    "DONE",
    "RESERVED_IDS",
    "Experiment",
    "Step",
    "Trial",
    "digests",
    "is_done",
    "overlay_files",
]

DONE = ".done"  # a file in the folder of a step that ended well
CONFIGS = {"training": "configs/train.yaml", "evaluating": "configs/evaluate.yaml"}  # by MONAI's run id
RESERVED_IDS = {  # of every experiment
    **dict.fromkeys(("dataset_dir", "datalist"), "Use the option of this name, before the --."),
    **dict.fromkeys(("output_dir", "overwrite", "checkpoint"), "Use --output, before the --."),
    **dict.fromkeys(("resume", "split", "parent_run_id"), "Leave it out; each step has its own."),
    **dict.fromkeys(("bundle_root", "config_file"), "Use --bundle, before the --."),
}


@dataclass(frozen=True)
class Step:
    """One training or evaluation: a MONAI command and its output folder."""

    title: str
    folder: Path
    command: Sequence[str]


@dataclass(frozen=True)
class Trial:
    """One network of an experiment: it is trained, then evaluated.

    Attributes:
        name: of its MLflow run, ``fold 0`` or ``attention=cbam, seed 1``.
        folder: the outputs of its training.
        training_ids, evaluation_ids: config ids that this trial sets in each step.
        overrides: beside the experiment's, as typed.
        overlays: config files on top of the training's.
    """

    name: str
    folder: Path
    training_ids: Mapping[str, object]
    evaluation_ids: Mapping[str, object]
    overrides: Mapping[str, str] = field(default_factory=dict)
    overlays: tuple[Path, ...] = ()

    @property
    def evaluation(self) -> Path:
        """The folder of its evaluation."""
        return self.folder / "evaluation"


class Experiment(ABC):
    """Many MONAI runs of one bundle on one datalist, checked before the first one begins.

    Attributes:
        bundle, dataset_dir, datalist, output: absolute paths.
        overrides: of the bundle's configs, for every step, by id, as typed.
    """

    article: ClassVar[str]  # of ``kind``
    kind: ClassVar[str]
    state_name: ClassVar[str]  # the file in ``output`` with the settings that the experiment was begun with
    reserved_ids: ClassVar[Mapping[str, str]]  # ids that each step sets itself, with what to do instead

    def __init__(
        self,
        bundle: str | Path,
        dataset_dir: str | Path,
        *,
        output: str | Path,
        datalist: str | Path | None,
        overrides: Sequence[str],
    ) -> None:
        self.bundle, self.dataset_dir, self.output = map(_absolute, (bundle, dataset_dir, output))
        self.datalist = self.dataset_dir / "datalist.json" if datalist is None else _absolute(datalist)
        if not all(file.is_file() for file in self.config_files):
            wanted = f"a bundle with {' and '.join(CONFIGS.values())}"
            remedy = "Name the bundle's folder with --bundle."
            raise ConfigError(wanted, found="none there", remedy=remedy, path=self.bundle)
        self.overrides = override_pairs(overrides)
        for name in sorted(set(self.overrides) & set(self.reserved_ids)):
            wanted, remedy = "overrides that hold for every step", self.reserved_ids[name]
            raise ConfigError(wanted, found=f"--{name}", remedy=remedy)

    @property
    @abstractmethod
    def trials(self) -> list[Trial]:
        """The networks in the order of training."""

    @property
    def fixed(self) -> dict[str, str]:
        """Digests of what must not change when the experiment is resumed; of files, of their content."""
        return digests(safe_parameters(self.overrides))

    @property
    def extensible(self) -> dict[str, str]:
        """Digests of what may be added to, but not changed, when the experiment is resumed."""
        return {}

    @property
    def parameters(self) -> dict[str, Any]:
        """Parameters that the MLflow run above all steps logs beside the overrides."""
        return {}

    @abstractmethod
    def conclude(self, tracker: RunTracker) -> Iterator[str]:
        """Write and log the results of finished steps, and yield them as lines."""

    def steps(self) -> Iterator[Step]:
        """The steps in order. Each is made when its turn comes, as it depends on the steps before."""
        for number, trial in enumerate(self.trials, start=1):
            title = f"{number} of {len(self.trials)}: {trial.name}"
            resume = (trial.folder / LAST).is_file()
            # A training that ended before its first last.pt starts again, over the files that it left
            ids = {**trial.training_ids, "resume" if resume else "overwrite": True}
            command = self.command("training", trial.folder, ids, name=trial.name, trial=trial)
            yield Step(f"{title}, {'training goes on' if resume else 'training'}", trial.folder, command)
            ids = {**trial.evaluation_ids, "checkpoint": trial.folder / "model.pt", "overwrite": True}
            name = f"{trial.name}, evaluation"
            command = self.command("evaluating", trial.evaluation, ids, name=name, trial=trial)
            yield Step(f"{title}, evaluation", trial.evaluation, command)

    @property
    def config_files(self) -> list[Path]:
        """The config files of the bundle for all steps."""
        return [self.bundle / name for name in CONFIGS.values()]

    def run_name(self, name: str) -> str:
        """The name of a run in MLflow."""
        return " ".join(filter(None, (self.overrides.get("run_name"), name)))

    def command(
        self, run_id: str, folder: Path, ids: Mapping[str, object], *, name: str, trial: Trial | None = None
    ) -> list[str]:
        """The command ``python -m monai.bundle run RUN_ID ...``.

        Args:
            run_id: ``training`` or ``evaluating``.
            folder: for the outputs.
            ids: config ids that the step itself sets.
            name: of the run in MLflow.
            trial: adds its overrides and, in a training, its overlays. Overrides that the step's config lacks
                are left out: an evaluation reads the trained options from the checkpoint.
        """
        files, overrides = [self.bundle / CONFIGS[run_id]], self.overrides
        if trial is not None:
            overrides = {**overrides, **trial.overrides}
            files += trial.overlays if run_id == "training" else ()
        data = {"bundle_root": self.bundle, "dataset_dir": self.dataset_dir, "datalist": self.datalist}
        ids = {**data, **ids, "output_dir": folder, "run_name": self.run_name(name)}
        # Our values are quoted, because MONAI's command line reads `a, b` as a tuple
        quoted = {key: repr(str(value) if isinstance(value, Path) else value) for key, value in ids.items()}
        values = {"config_file": repr(list(map(str, files))), **known_overrides(overrides, files), **quoted}
        words = [word for key, value in values.items() for word in (f"--{key}", value)]
        return [sys.executable, "-m", "monai.bundle", "run", run_id, *words]


def overlay_files(bundle: Path, names: Sequence[str]) -> tuple[Path, ...]:
    """The configs of a bundle by name, ``unet`` for ``configs/unet.yaml``.

    Raises:
        ConfigError: there is no such config.
    """
    known = {file.stem: file for file in sorted((bundle / "configs").glob("*.yaml"))}
    for name in names:
        if name not in known:
            wanted, remedy = f"an overlay among {', '.join(known)}", "Correct its name."
            raise ConfigError(wanted, found=repr(name), remedy=remedy, path=bundle)
    return tuple(known[name] for name in names)


def _absolute(path: str | Path) -> Path:
    return Path(os.path.abspath(path))


def digests(texts: Mapping[str, str]) -> dict[str, str]:
    """Short digests of texts, by name."""
    return {name: hashlib.sha256(text.encode()).hexdigest()[:12] for name, text in texts.items()}


def is_done(folder: Path) -> bool:
    """Whether the step of this folder has ended well, in this run of the command or an earlier one."""
    return (folder / DONE).is_file()
