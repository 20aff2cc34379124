"""The options of ``python -m pipeline ablation``, and what they do; cheap to import, for ``--help``."""

from __future__ import annotations

import argparse
from collections.abc import Iterator

__all__ = ["add_arguments", "run"]


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    add = parser.add_argument
    add("--grid", required=True, metavar="YAML", help="axes with named settings; the bundle's grids/ has one")
    add("--seeds", default="0,1,2", metavar="N,N", help="each arm is trained with each (default: 0,1,2)")
    add("--bundle", default=".", metavar="DIR", help="the bundle's folder (default: this one)")
    add(
        "--dataset_dir", "--dataset-dir", required=True, metavar="DIR", help="what the datalist's paths are relative to"
    )
    add(
        "--datalist",
        metavar="JSON",
        help="with a test split (default: DATASET_DIR/datalist.json); `{seed}` in its name: one for each seed",
    )
    add("--output", required=True, metavar="DIR", help="ARM/seed_N with a training and its evaluation, ablation.csv")
    add("--resume", action="store_true", help="go on in --output: what is finished is kept, a begun one is continued")
    add(
        "overrides",
        nargs="*",
        metavar="-- --NAME VALUE",
        help="after `--`: overrides of the bundle's configs, for every training and evaluation",
    )


def run(arguments: argparse.Namespace) -> Iterator[str]:
    """Run the grid and yield the lines to print.

    Raises:
        PyrasegError: whatever ``make_plan`` and ``run_ablation`` refuse.
    """
    from pipeline.ablation.loop import run_ablation
    from pipeline.ablation.plan import make_plan

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
