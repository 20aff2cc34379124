"""``pyraseg pull``."""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from pathlib import Path

from pyraseg.pipeline.commands.verb import Verb
from pyraseg.pipeline.pacs.peers import add_peer_options, peer_of, port_number
from pyraseg.pipeline.utils.reading_options import positive

__all__ = ["Pull"]


class Pull(Verb):
    """Fetch what a query finds in a PACS or archive, and go on where an earlier call ended."""

    name = "pull"
    help = "fetch series from a PACS by DIMSE or DICOMweb"

    def add_arguments(self, parser: argparse.ArgumentParser) -> None:
        where = parser.add_mutually_exclusive_group(required=True).add_argument
        where(
            "--from", dest="peer", metavar="AET@HOST:PORT", help="by C-FIND and C-GET, or C-MOVE with --port"
        )
        where(
            "--dicomweb",
            dest="peer",
            metavar="URL",
            help="by QIDO-RS and WADO-RS: what /studies is appended to",
        )
        add = parser.add_argument
        add(
            "--query",
            nargs="+",
            default=[],
            metavar="KEYWORD=VALUE",
            help="such as Modality=US StudyDate=20260101-",
        )
        folder = "made if missing; STUDY/SERIES/INSTANCE.dcm by keyed hashes, and series.csv"
        add("--output", required=True, metavar="DIR", help=folder)
        add("--limit", type=positive, metavar="N", help="at most N series")
        add("--yes", action="store_true", help="a query that matches the whole archive is meant so")
        add("--dry-run", action="store_true", help="say how much there is and how much of it is here")
        port = "where our listener takes what a C-MOVE brings, where there is no C-GET"
        add("--port", type=port_number, metavar="PORT", help=port)
        add_peer_options(parser.add_argument_group("connection").add_argument)

    def run(self, arguments: argparse.Namespace) -> Iterator[str]:
        from pyraseg.pipeline.pacs.pull import Fetch, pull
        from pyraseg.pipeline.pacs.query import parse_query

        return pull(
            Fetch(
                peer=peer_of(arguments.peer, arguments),
                query=parse_query(arguments.query),
                output=Path(arguments.output),
                limit=arguments.limit,
                everything=arguments.yes,
                move_port=arguments.port,
                dry_run=arguments.dry_run,
            )
        )
