"""The options that commands of many MONAI runs have in common; cheap to import, for ``--help``."""

from __future__ import annotations

import argparse

__all__ = ["add_common"]


def add_common(parser: argparse.ArgumentParser, *, datalist: str, output: str) -> None:
    """Declare bundle, data, output, ``--resume`` and the overrides; ``datalist`` and ``output`` are texts of
    help."""
    add = parser.add_argument
    add("--bundle", default=".", metavar="DIR", help="the bundle's folder (default: this one)")
    add(
        "--dataset_dir",
        "--dataset-dir",
        required=True,
        metavar="DIR",
        help="what the datalist's paths are relative to",
    )
    add("--datalist", metavar="JSON", help=datalist)
    add("--output", required=True, metavar="DIR", help=output)
    add(
        "--resume",
        action="store_true",
        help="go on in --output: what is finished is kept, a begun one is continued",
    )
    add(
        "overrides",
        nargs="*",
        metavar="-- --NAME VALUE",
        help="after `--`: overrides of the bundle's configs, for every training and evaluation",
    )
