"""``pyraseg publish``."""

from __future__ import annotations

import argparse
from collections.abc import Iterator

from pyraseg.pipeline.commands.verb import Verb

__all__ = ["Publish"]


class Publish(Verb):
    """Write a bundle with its weights, a card and the data's licence, for MONAI's zoo or Hugging Face."""

    name = "publish"
    help = "a folder for the model zoo or Hugging Face: bundle, weights, hashes, card"

    def add_arguments(self, parser: argparse.ArgumentParser) -> None:
        add = parser.add_argument
        add("bundle", metavar="BUNDLE", help="the bundle's folder; its configs are code")
        add("--checkpoint", required=True, metavar="FILE", help="a file, or models:/NAME@ALIAS in MLflow")
        store = "the MLflow store of such names (default: that of the bundle's runs)"
        add("--tracking_uri", "--tracking-uri", metavar="URI", help=store)
        evaluation = "the folder of its evaluation on the test split"
        add("--evaluation", required=True, metavar="DIR", help=evaluation)
        licence = "a text: whose data it was trained on, under which licence, and what that allows"
        add("--data-license", required=True, metavar="FILE", help=licence)
        add("--output", required=True, metavar="DIR", help="the folder to make")
        url = "where the folder will be had, for large_files.yml (default: no such file)"
        add("--url", metavar="URL", help=url)

    def run(self, arguments: argparse.Namespace) -> Iterator[str]:
        from pyraseg.pipeline.delivery.publish import publish

        folder = publish(
            arguments.bundle,
            checkpoint=arguments.checkpoint,
            evaluation=arguments.evaluation,
            data_license=arguments.data_license,
            output=arguments.output,
            url=arguments.url,
            tracking_uri=arguments.tracking_uri,
        )
        yield f"written to {folder}; read README.md before you hand it on"
        if arguments.url is None:
            yield "the model zoo wants large_files.yml: give --url, the address where the folder will be"
