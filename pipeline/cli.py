"""The command line, ``pyraseg VERB`` or ``pyraseg VERB``: the only place that prints and exits.

A verb is an object: its arguments, and a ``run`` that returns the lines to print. Heavy imports stay inside
``run``, so that ``--help`` answers at once. Exit status: 0 done, 1 failed, 2 wrong usage.
"""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Iterable, Sequence
from typing import Protocol

from pyraseg.pipeline.utils.errors import printable, report_error
from pyraseg.transforms.errors import PyrasegError, UsageError

__all__ = ["VERBS", "Verb", "main"]


class Verb(Protocol):
    """One command."""

    name: str
    help: str

    def add_arguments(self, parser: argparse.ArgumentParser) -> None: ...

    def run(self, arguments: argparse.Namespace) -> Iterable[str]: ...


class Phantom:
    """Write synthetic DICOM images with labels and a datalist."""

    name = "phantom"
    help = "write a synthetic data set: real DICOM files, labels and a datalist"
    layout = """\
what is written:
  datalist.json     training, validation and test by patient: train with --dataset_dir DIR
  images/           us: frames and cines; ct, mr, pet: a folder for each series
  labels/           what the datalist names: PNG for us, NIfTI on the series' grid for ct, mr, pet
  segmentations/, structures/   (ct, mr, pet) the same labels as DICOM SEG and RTSTRUCT; a datalist with them:
                    pyraseg datalist --series DIR --label-kind rtstruct --label-map tumour=tumour ...
  truth.csv         (ct, mr, pet) volume and values of every tumour
"""

    def add_arguments(self, parser: argparse.ArgumentParser) -> None:
        parser.formatter_class, parser.epilog = argparse.RawDescriptionHelpFormatter, self.layout
        parser.add_argument("--modality", default="us", help="us (default), ct, mr or pet")
        parser.add_argument(
            "--cases", type=int, default=24, metavar="N", help="patients to invent (default 24)"
        )
        parser.add_argument(
            "--seed", type=int, default=0, metavar="S", help="same seed, same bytes (default 0)"
        )
        parser.add_argument("--output", required=True, metavar="DIR", help="a new or empty folder")
        parser.add_argument(
            "--fault",
            action="append",
            default=[],
            metavar="KIND[:CASE]",
            help="put a fault into a series: missing_slice, tilt, ... (an unknown one lists all); may be repeated",
        )

    def run(self, arguments: argparse.Namespace) -> Iterable[str]:
        from pyraseg.pipeline.phantom import generate

        return generate(
            arguments.output,
            modality=arguments.modality,
            cases=arguments.cases,
            seed=arguments.seed,
            faults=arguments.fault,
        ).lines()


class Datalist:
    """Split a data set into training, validation and test by group and write the datalist JSON."""

    name = "datalist"
    help = "make a datalist (split by patient) from folders or from a table"

    def add_arguments(self, parser: argparse.ArgumentParser) -> None:
        from pyraseg.pipeline.commands.datalist import add_arguments

        add_arguments(parser)

    def run(self, arguments: argparse.Namespace) -> Iterable[str]:
        from pyraseg.pipeline.commands.datalist import run

        return run(arguments)


class Bundle:
    """Copy a bundle that came with the installed package, to run it with MONAI from any folder."""

    name = "bundle"
    help = "copy a bundle out of the installed package"

    def add_arguments(self, parser: argparse.ArgumentParser) -> None:
        parser.add_argument("bundle", metavar="NAME", help="for example us_hydronephrosis")
        parser.add_argument("--output", required=True, metavar="DIR", help="the folder to make")

    def run(self, arguments: argparse.Namespace) -> Iterable[str]:
        from pyraseg.pipeline.bundle.copy import copy_bundle

        folder = copy_bundle(arguments.bundle, arguments.output)
        return [
            f"copied to {folder}; in that folder:",
            "  python -m monai.bundle run training --config_file configs/train.yaml --dataset_dir DIR",
        ]


class Sync:
    """Send to MLflow what trainings have kept while their server was away."""

    name = "sync"
    help = "send to MLflow what waits in a training's output folder"

    def add_arguments(self, parser: argparse.ArgumentParser) -> None:
        parser.add_argument(
            "folder", metavar="FOLDER", help="a training's output folder, or one above several"
        )
        parser.add_argument("--tracking_uri", metavar="URI", help="another address of the same store")

    def run(self, arguments: argparse.Namespace) -> Iterable[str]:
        from pyraseg.pipeline.tracking.sync import sync

        return sync(arguments.folder, tracking_uri=arguments.tracking_uri)


class Crossval:
    """Train and evaluate a bundle on every fold of a datalist, and put the folds together."""

    name = "crossval"
    help = "k-fold cross-validation: a MONAI training and an evaluation a fold, one summary"

    def add_arguments(self, parser: argparse.ArgumentParser) -> None:
        from pyraseg.pipeline.commands.crossval import add_arguments

        add_arguments(parser)

    def run(self, arguments: argparse.Namespace) -> Iterable[str]:
        from pyraseg.pipeline.commands.crossval import run

        return run(arguments)


class Ablation:
    """Train and evaluate a bundle with every combination of a grid's settings and several seeds."""

    name = "ablation"
    help = "a grid of settings x seeds: a MONAI training and an evaluation each, to be compared"

    def add_arguments(self, parser: argparse.ArgumentParser) -> None:
        from pyraseg.pipeline.commands.ablation import add_arguments

        add_arguments(parser)

    def run(self, arguments: argparse.Namespace) -> Iterable[str]:
        from pyraseg.pipeline.commands.ablation import run

        return run(arguments)


class Predict:
    """Predict every image in folders of DICOM: SEG, SR, NIfTI, pictures, tables and a report."""

    name = "predict"
    help = "batch inference: DICOM in; SEG, SR, NIfTI, overlays, tables and a report out"

    def add_arguments(self, parser: argparse.ArgumentParser) -> None:
        from pyraseg.pipeline.commands.predict import add_arguments

        add_arguments(parser)

    def run(self, arguments: argparse.Namespace) -> Iterable[str]:
        from pyraseg.pipeline.commands.predict import run

        return run(arguments)


class Compare:
    """Compare trained networks by the tables of their MLflow runs: which is better, by how much, and is it
    real."""

    name = "compare"
    help = (
        "compare runs of an MLflow experiment: paired differences over patients, intervals, tests, one page"
    )

    def add_arguments(self, parser: argparse.ArgumentParser) -> None:
        from pyraseg.pipeline.commands.compare import add_arguments

        add_arguments(parser)

    def run(self, arguments: argparse.Namespace) -> Iterable[str]:
        from pyraseg.pipeline.commands.compare import run

        return run(arguments)


VERBS: tuple[Verb, ...] = (
    Phantom(),
    Datalist(),
    Bundle(),
    Crossval(),
    Ablation(),
    Predict(),
    Compare(),
    Sync(),
)
OVERRIDDEN = (Crossval.name, Ablation.name, Predict.name)  # verbs that take overrides of a bundle's configs


def main(argv: Sequence[str] | None = None) -> int:
    """Run one verb and return the exit status."""
    arguments = _parse(sys.argv[1:] if argv is None else argv)
    try:
        for line in arguments.verb.run(arguments):
            print(printable(line), flush=True)  # in order with what a process that a verb starts prints
        sys.stdout.flush()  # so that a reader who has gone is noticed here and not at Python's exit
    except PyrasegError as error:
        if not report_error(error, show_path=True):
            raise
        return 2 if isinstance(error, UsageError) else 1
    except BrokenPipeError:  # the reader of our output, such as head, has gone
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    except KeyboardInterrupt:
        print("interrupted", file=sys.stderr)
        return 130
    return 0


def _parse(words: Sequence[str]) -> argparse.Namespace:
    """The arguments of a verb; what is behind ``--`` are overrides, which argparse would mix with several
    INPUTs."""
    before = [*words]
    if words and words[0] in OVERRIDDEN and "--" in words:
        before = before[: before.index("--")]
    arguments = _parser().parse_args(before)
    if len(before) < len(words):
        arguments.overrides = [*words][len(before) + 1 :]
    return arguments


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="pyraseg",
        description="Attention-pyramid segmentation bundles for MONAI: what MONAI's own command line has not.",
        epilog="Training, evaluation and inference are plain MONAI: python -m monai.bundle run training ...",
    )
    verbs = parser.add_subparsers(metavar="VERB", required=True)
    for verb in VERBS:
        sub = verbs.add_parser(verb.name, help=verb.help, description=verb.__doc__)
        verb.add_arguments(sub)
        sub.set_defaults(verb=verb)
    return parser
