"""The options of ``pyraseg crossval``, and what they do; cheap to import, for ``--help``."""

from __future__ import annotations

import argparse
from collections.abc import Iterator

from pyraseg.pipeline.commands.experiment_options import add_common

__all__ = ["add_arguments", "run"]


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    parser.add_argument("--folds", type=int, nargs="+", metavar="N", help="these folds only (default: all)")
    add_common(
        parser,
        datalist="made with `datalist --folds K` (default: DATASET_DIR/datalist.json)",
        output="fold_0, fold_1, ..., summary.json, cases.csv",
    )


def run(arguments: argparse.Namespace) -> Iterator[str]:
    """Cross-validate and yield the lines to print.

    Raises:
        PyrasegError: whatever ``make_plan`` and ``cross_validate`` refuse.
    """
    from pyraseg.pipeline.experiments.cross_validation import cross_validate
    from pyraseg.pipeline.experiments.cross_validation_plan import make_plan

    plan = make_plan(
        arguments.bundle,
        arguments.dataset_dir,
        datalist=arguments.datalist,
        output=arguments.output,
        folds=arguments.folds,
        overrides=arguments.overrides,
    )
    yield from cross_validate(plan, resume=arguments.resume)
