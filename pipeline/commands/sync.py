"""``pyraseg sync``."""

from __future__ import annotations

import argparse
from collections.abc import Iterator

from pyraseg.pipeline.commands.verb import Verb

__all__ = ["Sync"]


class Sync(Verb):
    """Send to MLflow what trainings kept while their server was away."""

    name = "sync"
    help = "send to MLflow what waits in a training's output folder"

    def add_arguments(self, parser: argparse.ArgumentParser) -> None:
        folder = "a training's output folder, or one above several"
        parser.add_argument("folder", metavar="FOLDER", help=folder)
        parser.add_argument("--tracking_uri", metavar="URI", help="another address of the same store")

    def run(self, arguments: argparse.Namespace) -> Iterator[str]:
        from pyraseg.pipeline.tracking.sync import sync

        return sync(arguments.folder, tracking_uri=arguments.tracking_uri)
