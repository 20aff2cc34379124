"""The options of ``pyraseg predict``, and what they do; cheap to import, for ``--help``."""

from __future__ import annotations

import argparse
from collections.abc import Iterator

__all__ = ["add_arguments", "run"]

FORMATS = "seg,sr,nifti,overlay"
SERIES_FORMATS = f"{FORMATS},rtstruct"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    parser.add_argument(
        "inputs", nargs="+", metavar="INPUT", help="DICOM files, folders (searched deeply), DICOMDIRs, NIfTI"
    )
    parser.add_argument(
        "--bundle", required=True, metavar="DIR", help="the bundle's folder; its configs are code"
    )
    parser.add_argument("--output", metavar="DIR", help="items/, results.csv, failures.csv, report.html, ...")
    parser.add_argument(
        "--checkpoint",
        nargs="+",
        default=[],
        metavar="FILE",
        help="weights (default: the bundle's models/model.pt)",
    )
    _add_results(parser)
    _add_series(parser)
    _add_machine(parser)
    _add_work(parser)
    parser.add_argument(
        "overrides",
        nargs="*",
        metavar="-- --NAME VALUE",
        help="after `--`: overrides of configs/inference.yaml",
    )


def _add_results(parser: argparse.ArgumentParser) -> None:
    results = parser.add_argument_group("results")
    results.add_argument(
        "--formats", default=FORMATS, metavar="LIST", help=f"of {SERIES_FORMATS} (default: {FORMATS})"
    )
    results.add_argument(
        "--seg-type", choices=("binary", "labelmap", "fractional"), default="binary", help="of the DICOM SEG"
    )
    results.add_argument("--probabilities", action="store_true", help="probabilities as NIfTI, too")
    results.add_argument(
        "--identify", action="store_true", help="name, ID and birth date in tables and report"
    )


def _add_series(parser: argparse.ArgumentParser) -> None:
    series = parser.add_argument_group("series of CT, MR and PET")
    series.add_argument(
        "--roi",
        metavar="BOX",
        help="search this box only: =X0,X1,Y0,Y1,Z0,Z1, mm of DICOM's patient coordinates (LPS)",
    )
    series.add_argument(
        "--repair", default="", metavar="LIST", help="what may be mended: of copies,longest_run,single_slice"
    )
    series.add_argument(
        "--assume-hu", action="store_true", help="take a CT's values for HU whatever its Rescale Type"
    )


def _add_machine(parser: argparse.ArgumentParser) -> None:
    machine = parser.add_argument_group("machine")
    machine.add_argument(
        "--device", default="auto", metavar="NAME", help="auto (default), cpu, cuda or cuda:1"
    )
    machine.add_argument(
        "--backend",
        choices=("auto", "torch", "openvino", "onnxruntime"),
        default="auto",
        help="auto: the fastest",
    )
    machine.add_argument("--workers", type=_positive, metavar="N", help="processes that read and write")
    machine.add_argument(
        "--batch-size", type=_positive, metavar="N", help="frames, or windows, in one pass of the network"
    )
    machine.add_argument(
        "--item-timeout",
        type=_positive,
        default=600,
        metavar="S",
        help="seconds without progress (default 600)",
    )


def _add_work(parser: argparse.ArgumentParser) -> None:
    work = parser.add_argument_group("what is done")
    work.add_argument(
        "--dry-run", action="store_true", help="say what would be done and what is left out, and why"
    )
    work.add_argument("--limit", type=_positive, metavar="N", help="at most N items")
    work.add_argument(
        "--shard", default="1/1", metavar="I/N", help="part I of N of the items; parts share --output"
    )
    again = work.add_mutually_exclusive_group()
    again.add_argument("--resume", action="store_true", help="do what is not done yet, or has changed since")
    again.add_argument(
        "--overwrite", action="store_true", help="remove an earlier run's results and begin anew"
    )


def _positive(text: str) -> int:
    if not text.isascii() or not text.isdigit() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"wanted a whole number above 0, found {text!r}")
    return int(text)


def run(arguments: argparse.Namespace) -> Iterator[str]:
    """Predict and yield the lines to print.

    Raises:
        PyrasegError: whatever ``predict`` refuses; a ``RunError`` at the end where some items have failed.
    """
    from pyraseg.pipeline.prediction.job import parse_job
    from pyraseg.pipeline.prediction.run import predict

    yield from predict(parse_job(arguments))
