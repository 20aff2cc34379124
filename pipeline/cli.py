"""The command line ``pyraseg VERB``: the only place that prints and exits.

Exit status: 0 done, 1 failed, 2 wrong usage, 3 nothing to do among the inputs, 130 interrupted.
"""

from __future__ import annotations

import argparse
import atexit
import gc
import os
import signal
import sys
from collections.abc import Sequence
from contextlib import suppress

from pyraseg.pipeline.commands.ablation import Ablation
from pyraseg.pipeline.commands.bundle import Bundle
from pyraseg.pipeline.commands.compare import Compare
from pyraseg.pipeline.commands.crossval import Crossval
from pyraseg.pipeline.commands.datalist import Datalist
from pyraseg.pipeline.commands.export import Export
from pyraseg.pipeline.commands.info import Info
from pyraseg.pipeline.commands.listen import Listen
from pyraseg.pipeline.commands.phantom import Phantom
from pyraseg.pipeline.commands.predict import Predict
from pyraseg.pipeline.commands.promote import Promote
from pyraseg.pipeline.commands.publish import Publish
from pyraseg.pipeline.commands.pull import Pull
from pyraseg.pipeline.commands.push import Push
from pyraseg.pipeline.commands.sync import Sync
from pyraseg.pipeline.commands.verb import Verb
from pyraseg.pipeline.utils.errors import printable, report_error
from pyraseg.pipeline.utils.files import private_files
from pyraseg.pipeline.utils.signals import handling
from pyraseg.transforms.errors import NothingFoundError, PyrasegError, UsageError

__all__ = ["VERBS", "main"]

INTERRUPTED = 130
RARELY = (100_000, 50, 100)  # thresholds of the garbage collector
STATUS = {UsageError: 2, NothingFoundError: 3}
VERBS: tuple[Verb, ...] = (
    Phantom(),
    Datalist(),
    Bundle(),
    Crossval(),
    Ablation(),
    Predict(),
    Pull(),
    Listen(),
    Push(),
    Compare(),
    Promote(),
    Sync(),
    Info(),
    Export(),
    Publish(),
)


def main(argv: Sequence[str] | None = None) -> int:
    """Run one verb and return the exit status."""
    _open_streams()
    # what libraries make while they are imported stays to the end: looking for garbage in it takes seconds
    gc.set_threshold(*RARELY)
    atexit.register(gc.freeze)
    try:
        arguments = _parse(sys.argv[1:] if argv is None else argv)
        # an import may swallow a KeyboardInterrupt; a verb that has something to lose handles it by itself
        with private_files(), handling(_end, [signal.SIGINT] if arguments.verb.ends_at_once else []):
            for line in arguments.verb.run(arguments):
                _say(printable(line))
    except PyrasegError as error:
        if not report_error(error, show_path=True):
            raise
        return STATUS.get(type(error), 1)
    except KeyboardInterrupt:
        with suppress(OSError):
            print("interrupted", file=sys.stderr)
        return INTERRUPTED
    return 0


def _open_streams() -> None:
    """Give closed streams a place, here and in processes: what is opened next would get their numbers."""
    for number in range(3):
        try:
            os.fstat(number)
        except OSError:
            os.set_inheritable(os.open(os.devnull, os.O_RDWR), True)  # takes the lowest number: this one
    for name, number in (("stdout", 1), ("stderr", 2)):
        if getattr(sys, name) is None:
            setattr(sys, name, os.fdopen(number, "w"))


def _say(line: str) -> None:
    """Print at once, in order with what a verb's processes print. Work goes on without a reader."""
    try:
        print(line, flush=True)
    except UnicodeEncodeError:
        print(line.encode("ascii", "backslashreplace").decode(), flush=True)
    except OSError:  # the reader, such as head, has gone, or the disk of a log is full
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def _end(number: int, frame: object) -> None:
    with suppress(OSError):
        os.write(2, b"interrupted\n")
    os._exit(INTERRUPTED)


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
