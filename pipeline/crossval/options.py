"""The options of ``python -m pipeline crossval``, and what they do; cheap to import, for ``--help``."""

from __future__ import annotations

import argparse
from collections.abc import Iterator

__all__ = ["add_arguments", "run"]


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    parser.add_argument("--bundle", default=".", metavar="DIR", help="the bundle's folder (default: this one)")
    parser.add_argument(
        "--dataset_dir", "--dataset-dir", required=True, metavar="DIR", help="what the datalist's paths are relative to"
    )
    parser.add_argument(
        "--datalist", metavar="JSON", help="made with `datalist --folds K` (default: DATASET_DIR/datalist.json)"
    )
    parser.add_argument("--output", required=True, metavar="DIR", help="fold_0, fold_1, ..., summary.json, cases.csv")
    parser.add_argument("--folds", type=int, nargs="+", metavar="N", help="these folds only (default: all)")
    parser.add_argument(
        "--resume", action="store_true", help="go on in --output: finished folds are kept, a begun one is continued"
    )
    parser.add_argument(
        "overrides",
        nargs="*",
        metavar="-- --NAME VALUE",
        help="after `--`: overrides of the bundle's configs, for every training and evaluation",
    )


def run(arguments: argparse.Namespace) -> Iterator[str]:
    """Cross-validate and yield the lines to print.

    Raises:
        PyrasegError: whatever ``make_plan`` and ``cross_validate`` refuse.
    """
    from pipeline.crossval.loop import cross_validate
    from pipeline.crossval.plan import make_plan

    plan = make_plan(
        arguments.bundle,
        arguments.dataset_dir,
        datalist=arguments.datalist,
        output=arguments.output,
        folds=arguments.folds,
        overrides=arguments.overrides,
    )
    yield from cross_validate(plan, resume=arguments.resume)
