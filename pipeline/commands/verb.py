"""The base classes of the verbs, and the options that several verbs share."""

from __future__ import annotations

import argparse
from abc import ABC, abstractmethod
from collections.abc import Iterable
from typing import Any, ClassVar

__all__ = ["ExperimentVerb", "Verb"]


class Verb(ABC):
    """One verb; its docstring opens its help. Heavy imports stay inside ``run`` to keep help quick.

    Attributes:
        name: what is typed.
        help: its line in the overview.
        overrides: what words behind a ``--`` override; empty where the verb takes none.
        ends_at_once: whether Ctrl-C may end the process wherever the verb does not handle it itself.
    """

    name: ClassVar[str]
    help: ClassVar[str]
    overrides: ClassVar[str] = ""
    ends_at_once: ClassVar[bool] = False

    @abstractmethod
    def add_arguments(self, parser: argparse.ArgumentParser) -> None:
        """Declare the options."""

    @abstractmethod
    def run(self, arguments: argparse.Namespace) -> Iterable[str]:
        """Run the verb; each line is printed as it comes.

        Raises:
            PyrasegError: it failed; ``UsageError``: the command line is wrong.
        """


class ExperimentVerb(Verb):
    """A verb that runs MONAI many times.

    Attributes:
        datalist_help, output_help: texts for the options of these names.
    """

    overrides = "the bundle's configs, for every training and evaluation"
    datalist_help: ClassVar[str]
    output_help: ClassVar[str]

    def add_arguments(self, parser: argparse.ArgumentParser) -> None:
        add = parser.add_argument
        add("--bundle", default=".", metavar="DIR", help="the bundle's folder (default: this one)")
        data = "what the datalist's paths are relative to"
        add("--dataset_dir", "--dataset-dir", required=True, metavar="DIR", help=data)
        add("--datalist", metavar="JSON", help=self.datalist_help)
        add("--output", required=True, metavar="DIR", help=self.output_help)
        resume = "go on in --output: what is finished is kept, a begun one is continued"
        add("--resume", action="store_true", help=resume)

    def inputs(self, arguments: argparse.Namespace) -> dict[str, Any]:
        """The arguments that every experiment takes."""
        names = ("bundle", "dataset_dir", "datalist", "output", "overrides")
        return {name: getattr(arguments, name) for name in names}
