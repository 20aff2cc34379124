"""``pyraseg phantom``."""

from __future__ import annotations

import argparse
from collections.abc import Iterable

from pyraseg.pipeline.commands.verb import Verb

__all__ = ["Phantom"]

LAYOUT = """\
what is written:
  datalist.json     training, validation and test by patient: train with --dataset_dir DIR
  images/           us: frames and cines; ct, mr, pet: a folder for each series
  labels/           what the datalist names: PNG for us, NIfTI on the series' grid for ct, mr, pet
  segmentations/, structures/   (ct, mr, pet) the same labels as DICOM SEG and RTSTRUCT; a datalist with them:
                    pyraseg datalist --series DIR --label-kind rtstruct --label-map tumour=tumour ...
  truth.csv         (ct, mr, pet) volume and values of every tumour
"""


class Phantom(Verb):
    """Write synthetic DICOM images with labels and a datalist."""

    name = "phantom"
    help = "write a synthetic data set: real DICOM files, labels and a datalist"

    def add_arguments(self, parser: argparse.ArgumentParser) -> None:
        parser.formatter_class, parser.epilog = argparse.RawDescriptionHelpFormatter, LAYOUT
        add = parser.add_argument
        add("--modality", default="us", help="us (default), ct, mr or pet")
        add("--cases", type=int, default=24, metavar="N", help="patients to invent (default 24)")
        add("--seed", type=int, default=0, metavar="S", help="same seed, same bytes (default 0)")
        add("--output", required=True, metavar="DIR", help="a new or empty folder")
        fault = (
            "put a fault into a series: missing_slice, tilt, ... (an unknown one lists all); may be repeated"
        )
        add("--fault", action="append", default=[], metavar="KIND[:CASE]", help=fault)

    def run(self, arguments: argparse.Namespace) -> Iterable[str]:
        from pyraseg.pipeline.phantom import generate

        options = {name: getattr(arguments, name) for name in ("modality", "cases", "seed")}
        return generate(arguments.output, faults=arguments.fault, **options).lines()
