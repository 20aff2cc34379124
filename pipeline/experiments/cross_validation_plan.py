"""What a cross-validation will do: its folds, its folders, and the MONAI command for each step."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from pyraseg.pipeline.bundle.overrides import require_known
from pyraseg.pipeline.datalist import load_datalist
from pyraseg.pipeline.experiments.monai_commands import (
    EVALUATE,
    OWN,
    TRAIN,
    config_files,
    monai_command,
    parse_overrides,
    require_bundle,
)
from pyraseg.transforms.errors import ConfigError, DatalistError

__all__ = ["EVALUATION", "Plan", "make_plan", "read_overrides"]

EVALUATION = "evaluation"  # in a fold's folder
TEST = "test"
OWN_HERE = OWN | dict.fromkeys(("fold", "folds"), "Use --folds, before the --.")


@dataclass(frozen=True)
class Plan:
    """A cross-validation whose every refusal is behind it; all paths are absolute.

    Attributes:
        cases: the cases of each fold of the datalist, by its number.
        folds: those to run now.
        has_test: whether the datalist holds a test split, for the ensemble of all folds.
        digest: of the datalist.
        overrides: of the bundle's configs, by id, as typed.
    """

    bundle: Path
    dataset_dir: Path
    datalist: Path
    output: Path
    cases: Mapping[int, frozenset[str]]
    folds: tuple[int, ...]
    has_test: bool
    digest: str
    overrides: Mapping[str, str]

    def folder(self, fold: int) -> Path:
        """The outputs of one fold's training."""
        return self.output / f"fold_{fold}"

    def name(self, step: str) -> str:
        """A run's name in MLflow."""
        return " ".join(filter(None, (self.overrides.get("run_name"), step)))

    def training(self, fold: int, *, parent: str | None, resume: bool) -> list[str]:
        """The command that trains one fold, or continues it from its ``last.pt``."""
        how = (
            "resume" if resume else "overwrite"
        )  # a training that ended before its first last.pt leaves other files
        ids: dict[str, object] = {"fold": fold, "output_dir": str(self.folder(fold)), how: True}
        return self._command("training", TRAIN, self._own(ids, f"fold {fold}", parent))

    def evaluating(self, fold: int, *, parent: str | None) -> list[str]:
        """The command that measures one fold's best network on the cases it did not see."""
        folder = self.folder(fold)
        ids: dict[str, object] = {"fold": fold, "split": "validation", "checkpoint": str(folder / "model.pt")}
        ids |= {"output_dir": str(folder / EVALUATION), "overwrite": True}
        return self._command("evaluating", EVALUATE, self._own(ids, f"fold {fold}, evaluation", parent))

    def testing(self, *, parent: str | None) -> list[str]:
        """The command that measures the ensemble of all folds on the test split."""
        ids: dict[str, object] = {"split": TEST, "checkpoint": str(self.output)}
        ids |= {"output_dir": str(self.output / TEST), "overwrite": True}
        return self._command("evaluating", EVALUATE, self._own(ids, "ensemble, test", parent))

    def _command(self, run_id: str, configs: Sequence[str], own: Mapping[str, object]) -> list[str]:
        return monai_command(run_id, config_files(self.bundle, configs), overrides=self.overrides, own=own)

    def _own(self, ids: Mapping[str, object], name: str, parent: str | None) -> dict[str, object]:
        data = {"dataset_dir": str(self.dataset_dir), "datalist": str(self.datalist)}
        own = {"bundle_root": str(self.bundle), **data, **ids, "run_name": self.name(name)}
        return own | ({"parent_run_id": parent} if parent else {})


def make_plan(
    bundle: str | Path,
    dataset_dir: str | Path,
    *,
    output: str | Path,
    datalist: str | Path | None = None,
    folds: Sequence[int] | None = None,
    overrides: Sequence[str] = (),
) -> Plan:
    """Check everything that can be checked before hours of training.

    Args:
        bundle: a folder with ``configs/train.yaml`` and ``configs/evaluate.yaml``.
        dataset_dir, datalist: the data; ``datalist.json`` in ``dataset_dir`` where None.
        output: the folder to write to.
        folds: those to run; None for all.
        overrides: words as they stand on MONAI's command line, ``--depth 18`` or ``--depth=18``.

    Raises:
        ConfigError: no bundle there, no such fold, or overrides that each step sets for itself or no config
            defines.
        DatalistError: what ``load_datalist`` refuses, or a datalist without folds.
    """
    bundle = require_bundle(bundle)
    root, output = (Path(os.path.abspath(place)) for place in (dataset_dir, output))
    path = Path(os.path.abspath(datalist)) if datalist is not None else root / "datalist.json"
    data = load_datalist(path, split="training", dataset_dir=root)
    cases: dict[int, set[str]] = {}
    for item in data.training:
        if "fold" in item:
            cases.setdefault(item["fold"], set()).add(item["case"])
    if len(cases) < 2:
        remedy = "Build it with `pyraseg datalist --folds 5`."
        raise DatalistError("a datalist in folds", found="none", remedy=remedy, path=path)
    found = read_overrides(overrides)
    require_known(found, config_files(bundle, EVALUATE))
    return Plan(
        bundle,
        root,
        path,
        output,
        cases={fold: frozenset(cases[fold]) for fold in sorted(cases)},
        folds=_chosen(folds, sorted(cases)),
        has_test=bool(data.test),
        digest=data.digest,
        overrides=found,
    )


def read_overrides(words: Sequence[str]) -> dict[str, str]:
    """The overrides of every step, as ``parse_overrides``; ``--fold`` is one that each step sets for
    itself."""
    return parse_overrides(words, own=OWN_HERE)


def _chosen(folds: Sequence[int] | None, known: Sequence[int]) -> tuple[int, ...]:
    chosen = sorted(set(known if folds is None else folds))
    if not set(chosen) <= set(known):
        found = ", ".join(map(str, chosen))
        raise ConfigError(f"folds among {', '.join(map(str, known))}", found=found, remedy="Correct --folds.")
    return tuple(chosen)
