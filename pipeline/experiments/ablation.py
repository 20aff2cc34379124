"""Ablation: train a network for each arm of a grid and each seed, and measure all on the same test split."""

from __future__ import annotations

import json
import os
import shlex
import statistics
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import yaml

from pyraseg.pipeline.bundle.overrides import require_known
from pyraseg.pipeline.datalist import Datalist, load_datalist
from pyraseg.pipeline.experiments.experiment import Experiment, Trial, digests
from pyraseg.pipeline.experiments.grid import RESERVED_BY_ARMS, Arm, read_grid
from pyraseg.pipeline.tracking import RunTracker
from pyraseg.pipeline.tracking.refusal import without_login
from pyraseg.pipeline.utils.files import write_rows
from pyraseg.pipeline.utils.without_paths import safe_parameters
from pyraseg.transforms.errors import ConfigError, DatalistError, UsageError

__all__ = ["Ablation"]

SPLIT = "test"
TABLE = "ablation.csv"


class Ablation(Experiment):
    """An ablation, checked as far as possible before hours of training; ``run_experiment`` runs it.

    Args:
        bundle, dataset_dir, output, overrides: as in ``CrossValidation``.
        grid: as ``read_grid``.
        seeds: numbers, separated by commas.
        datalist: ``datalist.json`` in ``dataset_dir`` where None. ``{seed}`` in the name stands for the seed,
            if each seed has data of its own.

    Attributes:
        arms, seeds: all their combinations are run.
        digests: of the datalists, by seed.

    Raises:
        UsageError: seeds that are no numbers, overrides without a value.
        ConfigError: no bundle, a grid that ``read_grid`` refuses, or an override that each step sets itself,
            that an arm sets as well, or that no config defines.
        DatalistError: ``load_datalist`` refuses, there is no test split, or seeds have different test cases.
    """

    article = "an"
    kind = "ablation"
    state_name = "ablation.json"
    reserved_ids = RESERVED_BY_ARMS

    def __init__(
        self,
        bundle: str | Path,
        dataset_dir: str | Path,
        *,
        grid: str | Path,
        output: str | Path,
        seeds: str = "0,1,2",
        datalist: str | Path | None = None,
        overrides: Sequence[str] = (),
    ) -> None:
        super().__init__(bundle, dataset_dir, output=output, datalist=datalist, overrides=overrides)
        self.arms = read_grid(grid, bundle=self.bundle)
        numbers = [part.strip() for part in seeds.split(",")]
        if not all(map(str.isdecimal, numbers)) or len(set(map(int, numbers))) < len(numbers):
            raise UsageError("seeds as 0,1,2, each once", found=repr(seeds), remedy="Correct --seeds.")
        self.seeds = tuple(map(int, numbers))
        self._check_overrides()
        splits = (SPLIT, "training", *(() if "fold" in self.overrides else ("validation",)))
        data = {
            seed: load_datalist(self.datalist_of(seed), split=splits, dataset_dir=self.dataset_dir)
            for seed in self.seeds
        }
        _require_same_test_cases(data)
        self.digests = {seed: each.digest for seed, each in data.items()}

    def _check_overrides(self) -> None:
        files, beside = self.config_files, sorted((self.bundle / "configs").glob("*.yaml"))
        for arm in self.arms:
            require_known(arm.overrides, [*files, *arm.overlays], beside=beside)
            for key in sorted(set(arm.overrides) & set(self.overrides)):
                found, remedy = f"--{key} in {arm.name}", "Leave it out of the one or the other."
                raise ConfigError("overrides that no arm sets", found=found, remedy=remedy)
        overlays = [overlay for arm in self.arms for overlay in arm.overlays]
        require_known(self.overrides, [*files, *overlays], beside=beside)

    def datalist_of(self, seed: int) -> Path:
        """The datalist of one seed."""
        return self.datalist.with_name(self.datalist.name.replace("{seed}", str(seed)))

    @property
    def runs(self) -> list[tuple[Arm, int]]:
        """All arms with the first seed, then with the next, so that finished runs can always be compared."""
        return [(arm, seed) for seed in self.seeds for arm in self.arms]

    @property
    def trials(self) -> list[Trial]:
        """The networks, one for each of ``runs``."""
        return [self.trial(arm, seed) for arm, seed in self.runs]

    def trial(self, arm: Arm, seed: int) -> Trial:
        """One network; its name tells ``compare`` its arm."""
        data = {"datalist": self.datalist_of(seed)}
        return Trial(
            f"{arm.name}, seed {seed}",
            self.output / arm.name / f"seed_{seed}",
            training_ids={**data, "seed": seed},
            evaluation_ids={**data, "split": SPLIT},
            overrides=arm.overrides,
            overlays=arm.overlays,
        )

    @property
    def extensible(self) -> dict[str, str]:
        """Digests of the arms, the datalists and the content of the bundle's configs, without comments."""
        arms = {}
        for arm in self.arms:
            overlays = [overlay.read_text(encoding="utf-8") for overlay in arm.overlays]
            arms[arm.name] = json.dumps([safe_parameters(arm.overrides), overlays], sort_keys=True)
        configs = {}
        for file in self.config_files:
            content = yaml.safe_load(file.read_text(encoding="utf-8"))
            configs[f"the bundle's {file.name}"] = json.dumps(content, sort_keys=True, default=str)
        data = {f"the datalist of seed {seed}": digest for seed, digest in self.digests.items()}
        return digests(arms) | data | digests(configs)

    def conclude(self, tracker: RunTracker) -> Iterator[str]:
        """Write ``ablation.csv``; yield the mean of each arm, and the command that tests the differences."""
        scores: dict[tuple[str, int], float | None] = {}
        for arm, seed in self.runs:
            summary = (self.trial(arm, seed).evaluation / "summary.json").read_text(encoding="utf-8")
            scores[arm.name, seed] = json.loads(summary)["mean_dice"]
        rows = ([*run, score] for run, score in scores.items())
        tracker.log_file(write_rows(self.output / TABLE, ["arm", "seed", "mean_dice"], rows))
        seeds = ", ".join(map(str, self.seeds))
        yield f"mean Dice on the test split, mean over seeds {seeds}; a row for each run in {TABLE}"
        width = max(len(arm.name) for arm in self.arms) + 2
        for arm in self.arms:
            known = [score for seed in self.seeds if (score := scores[arm.name, seed]) is not None]
            spread = f" ± {statistics.stdev(known):.3f} over the seeds" if len(known) > 1 else ""
            yield f"  {arm.name:<{width}}" + (f"{statistics.fmean(known):.3f}{spread}" if known else "none")
        if tracker.enabled and len(self.arms) > 1:
            yield "which is better, by how much, and is it real:"
            yield f"  pyraseg {shlex.join(self._compare(tracker))}"

    def _compare(self, tracker: RunTracker) -> list[str]:
        """The ``compare`` command of these runs by name; the MLflow experiment may hold others."""
        words = ["compare", "--experiment", tracker.experiment_name or "", "--bundle", _short(self.bundle)]
        if "tracking_uri" in self.overrides:
            words += ["--tracking_uri", without_login(tracker.tracking_uri)]
        words += ["--dataset_dir", _short(self.dataset_dir)]
        datalist = self.datalist_of(self.seeds[0])  # all have the same test split
        if datalist != self.dataset_dir / "datalist.json":
            words += ["--datalist", _short(datalist)]
        words += ["--output", _short(self.output / "comparison")]
        return [*words, "--runs", *(self.run_name(trial.name) for trial in self.trials)]


def _require_same_test_cases(data: Mapping[int, Datalist]) -> None:
    """Refuse different test cases before training: such networks cannot be compared."""
    tested = {
        seed: {(item["case"], item["group"], item["label"]) for item in datalist.items(SPLIT)}
        for seed, datalist in data.items()
    }
    first, *others = tested
    other = next((seed for seed in others if tested[seed] != tested[first]), None)
    if other is not None:
        raise DatalistError(
            "the same test cases for each seed",
            found=f"others for seed {other} than for seed {first}",
            remedy="Draw anew only what is trained on.",
        )


def _short(path: Path) -> str:
    """The path relative to the working folder where it is below."""
    relative = os.path.relpath(path)
    return str(path) if relative.startswith(os.pardir) else relative
