"""``pyraseg ablation``."""

from __future__ import annotations

import argparse
from collections.abc import Iterator

from pyraseg.pipeline.commands.verb import ExperimentVerb

__all__ = ["Ablation"]


class Ablation(ExperimentVerb):
    """Train and evaluate a bundle with every combination of a grid's settings and several seeds."""

    name = "ablation"
    help = "a grid of settings x seeds: a MONAI training and an evaluation each, to be compared"
    datalist_help = (
        "with a test split (default: DATASET_DIR/datalist.json); `{seed}` in its name: one for each seed"
    )
    output_help = "ARM/seed_N with a training and its evaluation, ablation.csv"

    def add_arguments(self, parser: argparse.ArgumentParser) -> None:
        grid = "axes with named settings; the bundle's grids/ has one"
        parser.add_argument("--grid", required=True, metavar="YAML", help=grid)
        seeds = "each arm is trained with each (default: 0,1,2)"
        parser.add_argument("--seeds", default="0,1,2", metavar="N,N", help=seeds)
        super().add_arguments(parser)

    def run(self, arguments: argparse.Namespace) -> Iterator[str]:
        from pyraseg.pipeline import experiments

        settings = {"grid": arguments.grid, "seeds": arguments.seeds}
        experiment = experiments.Ablation(**self.inputs(arguments), **settings)
        return experiments.run_experiment(experiment, resume=arguments.resume)
