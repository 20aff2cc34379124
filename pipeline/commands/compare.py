"""The options of ``pyraseg compare``, and what they do; cheap to import, for ``--help``."""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from pathlib import Path

__all__ = ["add_arguments", "run"]


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    parser.add_argument(
        "--experiment", required=True, metavar="NAME", help="the MLflow experiment of the runs"
    )
    parser.add_argument(
        "--output", required=True, metavar="DIR", help="comparison.html, comparison.md, comparison.csv"
    )
    parser.add_argument(
        "--runs",
        nargs="+",
        default=(),
        metavar="RUN",
        help="names or IDs of evaluations or trainings (default: all)",
    )
    parser.add_argument(
        "--arms",
        nargs="+",
        metavar="NAME=RUN,RUN",
        help="which runs belong together (default: those alike but for the seed)",
    )
    parser.add_argument("--baseline", metavar="ARM", help="compare the other arms with this one only")
    parser.add_argument(
        "--metric",
        nargs="+",
        default=["dice"],
        metavar="M",
        help="what to test, such as dice hd95 (default: dice)",
    )
    parser.add_argument("--split", default="test", help="the split that was evaluated (default: test)")
    parser.add_argument(
        "--tracking_uri",
        "--tracking-uri",
        metavar="URI",
        help="the MLflow store (default: that of the bundle's runs)",
    )
    parser.add_argument(
        "--bundle", default=".", metavar="DIR", help="the bundle's folder (default: this one)"
    )
    parser.add_argument(
        "--dataset_dir",
        "--dataset-dir",
        metavar="DIR",
        help="show the cases over their frames, with their references",
    )
    parser.add_argument(
        "--datalist", metavar="JSON", help="for --dataset_dir (default: DATASET_DIR/datalist.json)"
    )
    parser.add_argument(
        "--subgroups", metavar="CSV", help="a table with a column case or group, and others such as scanner"
    )
    parser.add_argument(
        "--resamples", type=int, default=2000, metavar="N", help="of the bootstrap (default 2000)"
    )
    parser.add_argument("--seed", type=int, default=0, metavar="S", help="of the bootstrap (default 0)")
    parser.add_argument("--overwrite", action="store_true", help="replace the comparison in --output")
    parser.add_argument(
        "--log", action="store_true", help="log the files to the experiment as a run of their own"
    )


def run(arguments: argparse.Namespace) -> Iterator[str]:
    """Compare, write, and yield the lines to print.

    Raises:
        PyrasegError: whatever ``run_comparison`` refuses.
    """
    from pyraseg.pipeline.comparison.run import Job, run_comparison
    from pyraseg.pipeline.tracking import default_tracking_uri

    job = Job(
        experiment=arguments.experiment,
        output=Path(arguments.output),
        tracking_uri=arguments.tracking_uri or default_tracking_uri(arguments.bundle),
        runs=tuple(arguments.runs),
        arms=tuple(arguments.arms or ()),
        baseline=arguments.baseline,
        metrics=tuple(arguments.metric),
        split=arguments.split,
        bundle=Path(arguments.bundle),
        dataset_dir=arguments.dataset_dir,
        datalist=arguments.datalist,
        subgroups=arguments.subgroups,
        resamples=arguments.resamples,
        seed=arguments.seed,
        overwrite=arguments.overwrite,
        log=arguments.log,
    )
    yield from run_comparison(job)
