"""``pyraseg export``."""

from __future__ import annotations

import argparse
from collections.abc import Iterator

from pyraseg.pipeline.commands.verb import Verb

__all__ = ["Export"]


class Export(Verb):
    """Write a checkpoint's network in another format, once it gives torch's classes there."""

    name = "export"
    help = "a checkpoint's network as pt2, ONNX, TorchScript or OpenVINO, compared with torch"

    def add_arguments(self, parser: argparse.ArgumentParser) -> None:
        add = parser.add_argument
        checkpoint = (
            "what a training wrote, such as models/model.pt, or its name in MLflow (models:/NAME@ALIAS)"
        )
        add("--checkpoint", required=True, metavar="FILE", help=checkpoint)
        store = "the store of such names (default: MLFLOW_TRACKING_URI, else mlruns.db here)"
        add("--tracking_uri", "--tracking-uri", metavar="URI", help=store)
        formats = ("pt2", "onnx", "torchscript", "openvino")
        add("--format", choices=formats, required=True, help="pt2: torch.export, which loads without pickle")
        add("--output", metavar="DIR", help="a new folder (default: model_FORMAT beside the file)")
        inputs = "images to compare on, as the bundle takes them (default: generated ones)"
        add("--inputs", metavar="PATH", help=inputs)
        add("--bundle", metavar="DIR", help="the bundle that prepares --inputs; its configs are code")

    def run(self, arguments: argparse.Namespace) -> Iterator[str]:
        from pyraseg.pipeline.delivery.export import export_checkpoint

        folder, record = export_checkpoint(
            arguments.checkpoint,
            format=arguments.format,
            output=arguments.output,
            bundle=arguments.bundle,
            inputs=arguments.inputs,
            tracking_uri=arguments.tracking_uri,
        )
        least, images = record["agreement"]["least"], record["agreement"]["images"]
        kind = "generated images" if record["agreement"]["generated"] else "of your images"
        yield f"{record['file']} has torch's class in at least {least:.3%} of the pixels, on {images} {kind}"
        yield f"in {folder}, with what it takes in model.json; -1 is free: {record['input']['shape']}"
