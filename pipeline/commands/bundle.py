"""``pyraseg bundle``."""

from __future__ import annotations

import argparse

from pyraseg.pipeline.commands.verb import Verb

__all__ = ["Bundle"]


class Bundle(Verb):
    """Copy a bundle that came with the installed package, to run it with MONAI from any folder."""

    name = "bundle"
    help = "copy a bundle out of the installed package"

    def add_arguments(self, parser: argparse.ArgumentParser) -> None:
        parser.add_argument("bundle", metavar="NAME", help="for example us_hydronephrosis")
        parser.add_argument("--output", required=True, metavar="DIR", help="the folder to make")

    def run(self, arguments: argparse.Namespace) -> list[str]:
        from pyraseg.pipeline.bundle.copy import copy_bundle

        folder = copy_bundle(arguments.bundle, arguments.output)
        return [
            f"copied to {folder}; in that folder:",
            "  python -m monai.bundle run training --config_file configs/train.yaml --dataset_dir DIR",
        ]
