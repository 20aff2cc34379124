"""``pyraseg info``."""

from __future__ import annotations

import argparse

from pyraseg.pipeline.commands.verb import Verb

__all__ = ["Info"]


class Info(Verb):
    """Say what a bundle, a checkpoint, an export or a folder of results is, takes and was trained on."""

    name = "info"
    help = "what a bundle, checkpoint, export, result or this installation is, as text or JSON"
    ends_at_once = True

    def add_arguments(self, parser: argparse.ArgumentParser) -> None:
        path = "a checkpoint's file, its name in MLflow (models:/NAME@ALIAS), or any of those folders"
        path += " (default: the installed package)"
        parser.add_argument("path", nargs="?", metavar="PATH", help=path)
        store = "the store of such names (default: MLFLOW_TRACKING_URI, else mlruns.db here)"
        parser.add_argument("--tracking_uri", "--tracking-uri", metavar="URI", help=store)
        parser.add_argument("--json", action="store_true", help="one JSON object, for programs")

    def run(self, arguments: argparse.Namespace) -> list[str]:
        from pyraseg.pipeline.delivery.info import describe

        found = describe(arguments.path, tracking_uri=arguments.tracking_uri)
        if arguments.json:
            import json

            return json.dumps(found, indent=1).splitlines()
        import yaml

        text = yaml.safe_dump(found, sort_keys=False, default_flow_style=None, allow_unicode=True, width=110)
        return text.splitlines()
