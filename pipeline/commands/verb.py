"""What a verb of the command line is, and the options that several verbs share."""

from __future__ import annotations

import argparse
from abc import ABC, abstractmethod
from collections.abc import Iterable
from typing import Any, ClassVar

__all__ = ["ExperimentVerb", "Verb"]


class Verb(ABC):
    """One command; its docstring opens its help. Heavy imports stay inside ``run``: help answers at once.

    Attributes:
        name: what is typed.
        help: its line in the overview.
        overrides: what words behind a ``--`` override; empty where the verb takes none.
    """

    name: ClassVar[str]
    help: ClassVar[str]
    overrides: ClassVar[str] = ""

    @abstractmethod
    def add_arguments(self, parser: argparse.ArgumentParser) -> None:
        """Declare the options."""

    @abstractmethod
    def run(self, arguments: argparse.Namespace) -> Iterable[str]:
        """Do it; the lines are printed as they come.

        Raises:
            PyrasegError: it failed; ``UsageError`` where the command was typed wrongly.
        """


class ExperimentVerb(Verb):
    """A command of many MONAI runs.

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
