"""``pyraseg promote``."""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from pathlib import Path

from pyraseg.pipeline.commands.verb import Verb

__all__ = ["Promote"]


class Promote(Verb):
    """Register a training's network, and let an alias point to it where a comparison shows it may."""

    name = "promote"
    help = "put a network into use: an alias of MLflow's registry moves if a comparison shows it may"

    def add_arguments(self, parser: argparse.ArgumentParser) -> None:
        add = parser.add_argument
        add("--experiment", required=True, metavar="NAME", help="the MLflow experiment of the runs")
        add("--model", required=True, metavar="NAME", help="of the registered model; made if missing")
        add("--alias", default="champion", metavar="NAME", help="what is in use (default: champion)")
        runs = "the candidate: name or ID of its training or evaluation (default: the only new one); the"
        runs += " champion's evaluation too, where it has several"
        add("--runs", "--run", nargs="+", default=(), metavar="RUN", help=runs)
        add("--metric", default="dice", metavar="M", help="what must be better (default: dice)")
        shown = parser.add_mutually_exclusive_group()
        margin = "better by more than D in every class (default: 0)"
        shown.add_argument("--margin", type=float, default=0.0, metavar="D", help=margin)
        limit = "or only not worse by D in any class (non-inferiority)"
        shown.add_argument("--not-worse-by", type=float, metavar="D", help=limit)
        because = "promote all the same; the reason is kept with the version"
        add("--because", default="", metavar="REASON", help=because)
        add("--split", default="test", help="the split that was evaluated (default: test)")
        store = "the MLflow store (default: that of the bundle's runs)"
        add("--tracking_uri", "--tracking-uri", metavar="URI", help=store)
        add("--bundle", default=".", metavar="DIR", help="the bundle's folder (default: this one)")
        add("--output", metavar="DIR", help="write the comparison there, too, whatever it shows")
        add("--overwrite", action="store_true", help="replace the comparison in --output")

    def run(self, arguments: argparse.Namespace) -> Iterator[str]:
        from pyraseg.pipeline.comparison.promote import Job, promote
        from pyraseg.pipeline.tracking import default_tracking_uri

        same = ["experiment", "model", "alias", "metric", "margin", "not_worse_by", "because", "split"]
        return promote(
            Job(
                **{name: getattr(arguments, name) for name in (*same, "overwrite")},
                tracking_uri=arguments.tracking_uri or default_tracking_uri(arguments.bundle),
                runs=tuple(arguments.runs),
                output=Path(arguments.output) if arguments.output else None,
            )
        )
