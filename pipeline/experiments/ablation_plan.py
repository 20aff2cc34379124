"""What an ablation will do: its arms and seeds, its folders, and the MONAI command for each step."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from pyraseg.pipeline.bundle.overrides import require_known
from pyraseg.pipeline.datalist import Datalist, load_datalist
from pyraseg.pipeline.experiments.grid import OWN_HERE, Arm, read_grid
from pyraseg.pipeline.experiments.monai_commands import (
    EVALUATE,
    TRAIN,
    config_files,
    monai_command,
    parse_overrides,
    require_bundle,
)
from pyraseg.transforms.errors import ConfigError, DatalistError, UsageError

__all__ = ["EVALUATION", "Plan", "make_plan"]

EVALUATION = "evaluation"  # in a run's folder
SPLIT = "test"
SEED = "{seed}"  # in a datalist's name


@dataclass(frozen=True)
class Plan:
    """An ablation whose every refusal is behind it; all paths are absolute.

    Attributes:
        datalist: may hold ``{seed}``.
        digests: of the datalists, by seed.
        overrides: of the bundle's configs for all arms, by id, as typed.
    """

    bundle: Path
    dataset_dir: Path
    datalist: Path
    output: Path
    arms: tuple[Arm, ...]
    seeds: tuple[int, ...]
    digests: Mapping[int, str]
    overrides: Mapping[str, str]

    @property
    def runs(self) -> list[tuple[Arm, int]]:
        """All of them: a seed's arms behind each other, so that what is there can be compared at any time."""
        return [(arm, seed) for seed in self.seeds for arm in self.arms]

    def datalist_of(self, seed: int) -> Path:
        """The data of one seed."""
        return _of_seed(self.datalist, seed)

    def folder(self, arm: Arm, seed: int) -> Path:
        """The outputs of one training."""
        return self.output / arm.name / f"seed_{seed}"

    def name(self, *parts: str) -> str:
        """A run's name in MLflow."""
        return " ".join(filter(None, (self.overrides.get("run_name"), ", ".join(parts))))

    def run_name(self, arm: Arm, seed: int) -> str:
        """The name of a training in MLflow, by which ``compare`` finds its arm."""
        return self.name(arm.name, f"seed {seed}")

    def training(self, arm: Arm, seed: int, *, parent: str | None, resume: bool) -> list[str]:
        """The command that trains one network, or continues it from its ``last.pt``."""
        how = (
            "resume" if resume else "overwrite"
        )  # a training that ended before its first last.pt leaves other files
        ids = {"seed": seed, "output_dir": str(self.folder(arm, seed)), how: True}
        files = [*config_files(self.bundle, TRAIN), *arm.overlays]
        return self._command("training", files, arm, self._own(ids, seed, self.run_name(arm, seed), parent))

    def evaluating(self, arm: Arm, seed: int, *, parent: str | None) -> list[str]:
        """The command that measures its best network on the test split; options of an overlay are not for
        it."""
        folder = self.folder(arm, seed)
        ids = {"split": SPLIT, "checkpoint": str(folder / "model.pt"), "output_dir": str(folder / EVALUATION)}
        name = f"{self.run_name(arm, seed)}, {EVALUATION}"
        own = self._own({**ids, "overwrite": True}, seed, name, parent)
        return self._command("evaluating", config_files(self.bundle, EVALUATE), arm, own)

    def _command(self, run_id: str, files: Sequence[Path], arm: Arm, own: Mapping[str, object]) -> list[str]:
        return monai_command(run_id, files, overrides={**self.overrides, **arm.overrides}, own=own)

    def _own(self, ids: Mapping[str, object], seed: int, name: str, parent: str | None) -> dict[str, object]:
        own = {"bundle_root": str(self.bundle), "dataset_dir": str(self.dataset_dir), **ids, "run_name": name}
        own |= {"datalist": str(self.datalist_of(seed))}
        return own | ({"parent_run_id": parent} if parent else {})


def make_plan(
    bundle: str | Path,
    dataset_dir: str | Path,
    *,
    grid: str | Path,
    output: str | Path,
    seeds: str = "0,1,2",
    datalist: str | Path | None = None,
    overrides: Sequence[str] = (),
) -> Plan:
    """Check everything that can be checked before hours of training.

    Args:
        bundle: a folder with ``configs/train.yaml`` and ``configs/evaluate.yaml``.
        dataset_dir, datalist: the data; ``datalist.json`` in ``dataset_dir`` where None. ``{seed}`` in the
            datalist's name stands for the seed, for data drawn anew for each.
        grid: as ``read_grid``.
        output: the folder to write to.
        seeds: numbers with commas between.
        overrides: words as they stand on MONAI's command line, ``--depth 18`` or ``--depth=18``.

    Raises:
        UsageError: seeds that are no numbers, overrides that are no pairs.
        ConfigError: no bundle there, a grid that ``read_grid`` refuses, or overrides that each step sets for
            itself, that an arm sets as well, or that no config defines.
        DatalistError: what ``load_datalist`` refuses, such as a datalist without a test split, or seeds with
            other test cases.
    """
    bundle, root = require_bundle(bundle), Path(os.path.abspath(dataset_dir))
    path = Path(os.path.abspath(datalist)) if datalist is not None else root / "datalist.json"
    arms, numbers = read_grid(grid, bundle=bundle), _seeds(seeds)
    common = parse_overrides(overrides, own=OWN_HERE)
    _check_ids(bundle, arms, common)
    splits = (*(("training",) if "fold" in common else ("training", "validation")), SPLIT)
    data = {seed: load_datalist(_of_seed(path, seed), split=splits, dataset_dir=root) for seed in numbers}
    _require_one_test(data)
    return Plan(
        bundle,
        root,
        path,
        Path(os.path.abspath(output)),
        arms=tuple(arms),
        seeds=numbers,
        digests={seed: each.digest for seed, each in data.items()},
        overrides=common,
    )


def _seeds(text: str) -> tuple[int, ...]:
    parts = [part.strip() for part in text.split(",")]
    if not all(part.isdecimal() for part in parts) or len(set(map(int, parts))) < len(parts):
        raise UsageError("seeds as 0,1,2, each once", found=repr(text), remedy="Correct --seeds.")
    return tuple(map(int, parts))


def _check_ids(bundle: Path, arms: Sequence[Arm], common: Mapping[str, str]) -> None:
    files, beside = config_files(bundle, EVALUATE), sorted((bundle / "configs").glob("*.yaml"))
    for arm in arms:
        require_known(arm.overrides, [*files, *arm.overlays], beside=beside)
        for key in sorted(set(arm.overrides) & set(common)):
            remedy = "Leave it out of the one or the other."
            raise ConfigError("overrides that no arm sets", found=f"--{key} in {arm.name}", remedy=remedy)
    require_known(common, [*files, *(overlay for arm in arms for overlay in arm.overlays)], beside=beside)


def _require_one_test(data: Mapping[int, Datalist]) -> None:
    """Networks of other test cases cannot be compared, which is better said before they are trained."""
    tested = {
        seed: {(i["case"], i["group"], i["label"]) for i in each.items(SPLIT)} for seed, each in data.items()
    }
    first, *others = tested
    other = next((seed for seed in others if tested[seed] != tested[first]), None)
    if other is not None:
        raise DatalistError(
            "the same test cases for each seed",
            found=f"others for seed {other} than for seed {first}",
            remedy="Draw anew only what is trained on.",
        )


def _of_seed(path: Path, seed: int) -> Path:
    return path.with_name(path.name.replace(SEED, str(seed)))
