"""What a cross-validation will do: its folds, its folders, and the MONAI command for each step."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from pipeline.config import override_pairs
from pipeline.datalist import load_datalist
from transforms.errors import ConfigError, DatalistError

__all__ = ["EVALUATION", "Plan", "make_plan", "read_overrides"]

EVALUATION = "evaluation"  # in a fold's folder
TEST = "test"
NEEDED = ("configs/train.yaml", "configs/evaluate.yaml")
OWN = {  # ids that each step sets for itself, and the option that sets them all
    **dict.fromkeys(("dataset_dir", "datalist"), "Use the option of this name, before the --."),
    **dict.fromkeys(("fold", "folds"), "Use --folds, before the --."),
    **dict.fromkeys(("output_dir", "overwrite", "checkpoint"), "Use --output, before the --."),
    **dict.fromkeys(("resume", "split", "parent_run_id"), "Leave it out; each step has its own."),
    "bundle_root": "Use --bundle, before the --.",
    "config_file": "Use --bundle, before the --.",
}


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
        how = "resume" if resume else "overwrite"  # a training that ended before its first last.pt leaves other files
        ids: dict[str, object] = {"fold": fold, "output_dir": str(self.folder(fold)), how: True}
        return [*self._command("training", "train"), *self._arguments(ids, f"fold {fold}", parent)]

    def evaluating(self, fold: int, *, parent: str | None) -> list[str]:
        """The command that measures one fold's best network on the cases it did not see."""
        folder = self.folder(fold)
        ids: dict[str, object] = {"fold": fold, "split": "validation", "checkpoint": str(folder / "model.pt")}
        ids |= {"output_dir": str(folder / EVALUATION), "overwrite": True}
        name = f"fold {fold}, evaluation"
        return [*self._command("evaluating", "train", "evaluate"), *self._arguments(ids, name, parent)]

    def testing(self, *, parent: str | None) -> list[str]:
        """The command that measures the ensemble of all folds on the test split."""
        ids: dict[str, object] = {"split": TEST, "checkpoint": str(self.output)}
        ids |= {"output_dir": str(self.output / TEST), "overwrite": True}
        return [*self._command("evaluating", "train", "evaluate"), *self._arguments(ids, "ensemble, test", parent)]

    def _command(self, run_id: str, *configs: str) -> list[str]:
        files = [str(self.bundle / "configs" / f"{name}.yaml") for name in configs]
        return [sys.executable, "-m", "monai.bundle", "run", run_id, "--config_file", repr(files)]

    def _arguments(self, ids: Mapping[str, object], name: str, parent: str | None) -> Iterator[str]:
        """The user's overrides as typed; our own quoted, because MONAI's command line reads ``a, b`` as a tuple."""
        data = {"dataset_dir": str(self.dataset_dir), "datalist": str(self.datalist)}
        own = {"bundle_root": str(self.bundle), **data, **ids, "run_name": self.name(name)}
        own |= {"parent_run_id": parent} if parent else {}
        for key, value in {**self.overrides, **{key: repr(value) for key, value in own.items()}}.items():
            yield from (f"--{key}", value)


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
        ConfigError: no bundle there, no such fold, or overrides that each step sets for itself.
        DatalistError: what ``load_datalist`` refuses, or a datalist without folds.
    """
    bundle, root, output = (Path(os.path.abspath(place)) for place in (bundle, dataset_dir, output))
    missing = [name for name in NEEDED if not (bundle / name).is_file()]
    if missing:
        remedy = "Name the bundle's folder with --bundle."
        raise ConfigError(f"a bundle with {' and '.join(NEEDED)}", found="none there", remedy=remedy, path=bundle)
    path = Path(os.path.abspath(datalist)) if datalist is not None else root / "datalist.json"
    data = load_datalist(path, split="training", dataset_dir=root)
    cases: dict[int, set[str]] = {}
    for item in data.training:
        if "fold" in item:
            cases.setdefault(item["fold"], set()).add(item["case"])
    if len(cases) < 2:
        remedy = "Build it with `python -m pipeline datalist --folds 5`."
        raise DatalistError("a datalist in folds", found="none", remedy=remedy, path=path)
    return Plan(
        bundle,
        root,
        path,
        output,
        cases={fold: frozenset(cases[fold]) for fold in sorted(cases)},
        folds=_chosen(folds, sorted(cases)),
        has_test=bool(data.test),
        digest=data.digest,
        overrides=read_overrides(overrides),
    )


def read_overrides(words: Sequence[str]) -> dict[str, str]:
    """``["--depth", "18", "--aux=true"]`` as ``{"depth": "18", "aux": "true"}``.

    Raises:
        ConfigError: a word that is no pair, or an id that each step of a cross-validation sets for itself.
    """
    found = override_pairs(words)
    for name in sorted(set(found) & set(OWN)):
        raise ConfigError("overrides that hold for every step", found=f"--{name}", remedy=OWN[name])
    return found


def _chosen(folds: Sequence[int] | None, known: Sequence[int]) -> tuple[int, ...]:
    chosen = sorted(set(known if folds is None else folds))
    if not set(chosen) <= set(known):
        found = ", ".join(map(str, chosen))
        raise ConfigError(f"folds among {', '.join(map(str, known))}", found=found, remedy="Correct --folds.")
    return tuple(chosen)
