"""The options of ``pyraseg ablation``, and what they do; cheap to import, for ``--help``."""

from __future__ import annotations

import argparse
from collections.abc import Iterator

from pyraseg.pipeline.commands.experiment_options import add_common

__all__ = ["add_arguments", "run"]


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    add = parser.add_argument
    add("--grid", required=True, metavar="YAML", help="axes with named settings; the bundle's grids/ has one")
    add("--seeds", default="0,1,2", metavar="N,N", help="each arm is trained with each (default: 0,1,2)")
    add_common(
        parser,
        datalist="with a test split (default: DATASET_DIR/datalist.json); `{seed}` in its name: one for each seed",
        output="ARM/seed_N with a training and its evaluation, ablation.csv",
    )


def run(arguments: argparse.Namespace) -> Iterator[str]:
    """Run the grid and yield the lines to print.

    Raises:
        PyrasegError: whatever ``make_plan`` and ``run_ablation`` refuse.
    """
    from pyraseg.pipeline.experiments.ablation import run_ablation
    from pyraseg.pipeline.experiments.ablation_plan import make_plan

    plan = make_plan(
        arguments.bundle,
        arguments.dataset_dir,
        grid=arguments.grid,
        seeds=arguments.seeds,
        datalist=arguments.datalist,
        output=arguments.output,
        overrides=arguments.overrides,
    )
    yield from run_ablation(plan, resume=arguments.resume)
