"""``pyraseg crossval``."""

from __future__ import annotations

import argparse
from collections.abc import Iterator

from pyraseg.pipeline.commands.verb import ExperimentVerb

__all__ = ["Crossval"]


class Crossval(ExperimentVerb):
    """Train and evaluate a bundle on every fold of a datalist, and put the folds together."""

    name = "crossval"
    help = "k-fold cross-validation: a MONAI training and an evaluation a fold, one summary"
    datalist_help = "made with `datalist --folds K` (default: DATASET_DIR/datalist.json)"
    output_help = "fold_0, fold_1, ..., summary.json, cases.csv"

    def add_arguments(self, parser: argparse.ArgumentParser) -> None:
        folds = "these folds only (default: all)"
        parser.add_argument("--folds", type=int, nargs="+", metavar="N", help=folds)
        overlays = "configs of the bundle on top of the training's, such as unet"
        parser.add_argument("--config", nargs="+", default=(), metavar="NAME", help=overlays)
        super().add_arguments(parser)

    def run(self, arguments: argparse.Namespace) -> Iterator[str]:
        from pyraseg.pipeline.experiments import CrossValidation, run_experiment

        choices = {"folds": arguments.folds, "overlays": arguments.config}
        experiment = CrossValidation(**self.inputs(arguments), **choices)
        return run_experiment(experiment, resume=arguments.resume)
