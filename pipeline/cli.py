"""The command line ``pyraseg VERB``: the only place that prints and exits.

Exit status: 0 done, 1 failed, 2 wrong usage, 3 nothing to do among the inputs, 130 interrupted.
"""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Sequence

from pyraseg.pipeline.commands.ablation import Ablation
from pyraseg.pipeline.commands.bundle import Bundle
from pyraseg.pipeline.commands.compare import Compare
from pyraseg.pipeline.commands.crossval import Crossval
from pyraseg.pipeline.commands.datalist import Datalist
from pyraseg.pipeline.commands.phantom import Phantom
from pyraseg.pipeline.commands.predict import Predict
from pyraseg.pipeline.commands.sync import Sync
from pyraseg.pipeline.commands.verb import Verb
from pyraseg.pipeline.utils.errors import printable, report_error
from pyraseg.pipeline.utils.files import private_files
from pyraseg.transforms.errors import NothingFoundError, PyrasegError, UsageError

__all__ = ["VERBS", "main"]

STATUS = {UsageError: 2, NothingFoundError: 3}
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


def main(argv: Sequence[str] | None = None) -> int:
    """Run one verb and return the exit status.

    Example:
        >>> main(["bundle", "us_hydronephrosis", "--output", "bundle"])  # doctest: +SKIP
        0
    """
    arguments = _parse(sys.argv[1:] if argv is None else argv)
    try:
        with private_files():
            for line in arguments.verb.run(arguments):
                print(printable(line), flush=True)  # in order with the output of processes that a verb starts
        sys.stdout.flush()  # a reader that has gone is noticed here, not at Python's exit
    except PyrasegError as error:
        if not report_error(error, show_path=True):
            raise
        return STATUS.get(type(error), 1)
    except BrokenPipeError:  # the reader of our output, such as head, has gone
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    except KeyboardInterrupt:
        print("interrupted", file=sys.stderr)
        return 130
    return 0


def _parse(words: Sequence[str]) -> argparse.Namespace:
    """The arguments of a verb. Overrides stand behind ``--``: argparse would mix them with INPUTs."""
    purpose = "Attention-pyramid segmentation bundles for MONAI: what MONAI's own command line has not."
    rest = "Training, evaluation and inference are plain MONAI: python -m monai.bundle run training ..."
    parser = argparse.ArgumentParser(prog="pyraseg", description=purpose, epilog=rest)
    verbs = parser.add_subparsers(metavar="VERB", required=True)
    for verb in VERBS:
        sub = verbs.add_parser(verb.name, help=verb.help, description=verb.__doc__)
        verb.add_arguments(sub)
        sub.set_defaults(verb=verb)
        if verb.overrides:
            text = f"after `--`: overrides of {verb.overrides}"
            sub.add_argument("overrides", nargs="*", metavar="-- --NAME VALUE", help=text)
    before = list(words)
    if "--" in before and before[0] in [verb.name for verb in VERBS if verb.overrides]:
        before = before[: before.index("--")]
    arguments = parser.parse_args(before)
    if len(before) < len(words):
        arguments.overrides = list(words[len(before) + 1 :])
    return arguments
