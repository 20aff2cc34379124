"""``pyraseg compare``."""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from pathlib import Path

from pyraseg.pipeline.commands.verb import Verb

__all__ = ["Compare"]


class Compare(Verb):
    """Compare trained networks by their MLflow tables: which is better, by how much, and is it real."""

    name = "compare"
    help = (
        "compare runs of an MLflow experiment: paired differences over patients, intervals, tests, one page"
    )

    def add_arguments(self, parser: argparse.ArgumentParser) -> None:
        add = parser.add_argument
        add("--experiment", required=True, metavar="NAME", help="the MLflow experiment of the runs")
        files = "comparison.html, comparison.md, comparison.csv"
        add("--output", required=True, metavar="DIR", help=files)
        runs = "names or IDs of evaluations or trainings (default: all)"
        add("--runs", nargs="+", default=(), metavar="RUN", help=runs)
        arms = "which runs belong together (default: those alike but for the seed)"
        add("--arms", nargs="+", default=(), metavar="NAME=RUN,RUN", help=arms)
        add("--baseline", metavar="ARM", help="compare the other arms with this one only")
        metrics = "what to test, such as dice hd95 (default: dice)"
        add("--metric", nargs="+", default=["dice"], metavar="M", help=metrics)
        add("--split", default="test", help="the split that was evaluated (default: test)")
        store = "the MLflow store (default: that of the bundle's runs)"
        add("--tracking_uri", "--tracking-uri", metavar="URI", help=store)
        add("--bundle", default=".", metavar="DIR", help="the bundle's folder (default: this one)")
        frames = "show the cases over their frames, with their references"
        add("--dataset_dir", "--dataset-dir", metavar="DIR", help=frames)
        datalist = "for --dataset_dir (default: DATASET_DIR/datalist.json)"
        add("--datalist", metavar="JSON", help=datalist)
        subgroups = "a table with a column case or group, and others such as scanner"
        add("--subgroups", metavar="CSV", help=subgroups)
        add("--resamples", type=int, default=2000, metavar="N", help="of the bootstrap (default 2000)")
        add("--seed", type=int, default=0, metavar="S", help="of the bootstrap (default 0)")
        add("--overwrite", action="store_true", help="replace the comparison in --output")
        add("--log", action="store_true", help="log the files to the experiment as a run of their own")

    def run(self, arguments: argparse.Namespace) -> Iterator[str]:
        from pyraseg.pipeline.comparison.run import Job, run_comparison
        from pyraseg.pipeline.tracking import default_tracking_uri

        same = ["experiment", "baseline", "split", "dataset_dir", "datalist", "subgroups"]
        same += ["resamples", "seed", "overwrite", "log"]
        job = Job(
            **{name: getattr(arguments, name) for name in same},
            output=Path(arguments.output),
            tracking_uri=arguments.tracking_uri or default_tracking_uri(arguments.bundle),
            runs=tuple(arguments.runs),
            arms=tuple(arguments.arms),
            metrics=tuple(arguments.metric),
            bundle=Path(arguments.bundle),
        )
        return run_comparison(job)
