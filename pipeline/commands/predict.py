"""``pyraseg predict``."""

from __future__ import annotations

import argparse
from collections.abc import Iterator

from pyraseg.pipeline.commands.verb import Verb
from pyraseg.pipeline.utils.reading_options import OF_SERIES, add_reading_options, positive
from pyraseg.transforms.io.reading_options import OF_FRAMES

__all__ = ["Predict"]

FORMATS = "seg,sr,nifti,overlay"


class Predict(Verb):
    """Predict every image in folders of DICOM: SEG, SR, NIfTI, pictures, tables and a report."""

    name = "predict"
    help = "batch inference: DICOM in; SEG, SR, NIfTI, overlays, tables and a report out"
    overrides = "configs/inference.yaml"
    ends_at_once = True

    def add_arguments(self, parser: argparse.ArgumentParser) -> None:
        add = parser.add_argument
        inputs = "DICOM files, folders (searched deeply), DICOMDIRs, NIfTI"
        add("inputs", nargs="+", metavar="INPUT", help=inputs)
        add("--bundle", required=True, metavar="DIR", help="the bundle's folder; its configs are code")
        add("--output", metavar="DIR", help="items/, results.csv, failures.csv, report.html, ...")
        weights = "weights: files, or models:/NAME@ALIAS, models:/NAME/3, runs:/ID in MLflow"
        weights += " (default: the bundle's models/model.pt)"
        add("--checkpoint", nargs="+", default=[], metavar="WEIGHTS", help=weights)
        store = "the MLflow store of such models (default: that of the bundle's runs)"
        add("--tracking_uri", "--tracking-uri", metavar="URI", help=store)
        point = "argmax, or {'CLASS':{'threshold':0.6,'smallest':0.002}} (default: what the weights say)"
        add("--operating-point", "--operating_point", default=None, metavar="POINT", help=point)

        add = parser.add_argument_group("results").add_argument
        formats = f"of {FORMATS},rtstruct (default: {FORMATS})"
        add("--formats", default=FORMATS, metavar="LIST", help=formats)
        seg_types = ("binary", "labelmap", "fractional")
        add("--seg-type", choices=seg_types, default="binary", help="of the DICOM SEG")
        add("--probabilities", action="store_true", help="probabilities as NIfTI, too")
        earlier = "output of an earlier run whose results these replace (with --resume: the same folder's)"
        add("--earlier", metavar="DIR", help=earlier)
        replace = "take the UIDs of the results replaced, for an archive to overwrite them"
        add("--replace", action="store_true", help=replace)
        add("--identify", action="store_true", help="name, ID and birth date in tables and report")

        add = parser.add_argument_group("series of CT, MR and PET").add_argument
        box = "search this box only: =X0,X1,Y0,Y1,Z0,Z1, mm of DICOM's patient coordinates (LPS)"
        add("--roi", metavar="BOX", help=box)
        add_reading_options(add, OF_SERIES)
        add_reading_options(parser.add_argument_group("frames").add_argument, OF_FRAMES)

        add = parser.add_argument_group("machine").add_argument
        add("--device", default="auto", metavar="NAME", help="auto (default), cpu, cuda or cuda:1")
        backends = ("auto", "torch", "openvino", "onnxruntime")
        add("--backend", choices=backends, default="auto", help="auto: the fastest")
        add("--workers", type=positive, metavar="N", help="processes that read and write")
        batch = "frames, or windows, in one pass of the network"
        add("--batch-size", type=positive, metavar="N", help=batch)
        timeout = "seconds without progress (default 600)"
        add("--item-timeout", type=positive, default=600, metavar="S", help=timeout)

        add = parser.add_argument_group("several machines").add_argument
        add("--engine", choices=("local", "ray"), default="local", help="ray: a Ray cluster's nodes")
        address = "of the cluster's head, HOST:PORT (default: a Ray of this machine alone)"
        add("--ray-address", metavar="ADDRESS", help=address)
        cores = "cores of each of Ray's engines (default: a node's, at most 8)"
        add("--ray-cores", type=positive, metavar="N", help=cores)

        work = parser.add_argument_group("what is done")
        dry_run = "say what would be done and what is left out, and why"
        work.add_argument("--dry-run", action="store_true", help=dry_run)
        work.add_argument("--limit", type=positive, metavar="N", help="at most N items")
        shard = "part I of N of the items; parts share --output"
        work.add_argument("--shard", default="1/1", metavar="I/N", help=shard)
        again = work.add_mutually_exclusive_group()
        resume = "do what is not done yet, or has changed since"
        again.add_argument("--resume", action="store_true", help=resume)
        overwrite = "remove an earlier run's results and begin anew"
        again.add_argument("--overwrite", action="store_true", help=overwrite)

    def run(self, arguments: argparse.Namespace) -> Iterator[str]:
        from pyraseg.pipeline.prediction.processes.template import start_template

        if arguments.engine == "local":
            start_template()
        from pyraseg.pipeline.prediction.job import parse_job
        from pyraseg.pipeline.prediction.run import predict

        return predict(parse_job(arguments))
