"""``pyraseg push``."""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from pathlib import Path

from pyraseg.pipeline.commands.verb import Verb
from pyraseg.pipeline.pacs.peers import add_peer_options, peer_of, port_number
from pyraseg.pipeline.utils.reading_options import positive

__all__ = ["Push"]


class Push(Verb):
    """Send results, or any DICOM, to a PACS or archive, and go on where an earlier call ended."""

    name = "push"
    help = "send results to a PACS by DIMSE or DICOMweb"

    def add_arguments(self, parser: argparse.ArgumentParser) -> None:
        results = "an output folder of predict, or files and folders of DICOM"
        parser.add_argument("inputs", nargs="+", metavar="RESULTS", help=results)
        where = parser.add_mutually_exclusive_group(required=True).add_argument
        where("--to", dest="peer", metavar="AET@HOST:PORT", help="by C-STORE")
        where("--dicomweb", dest="peer", metavar="URL", help="by STOW-RS: what /studies is appended to")
        add = parser.add_argument
        commit = "ask for Storage Commitment; PORT takes its reports (default: any)"
        add("--commit", nargs="?", const=0, type=port_number, metavar="PORT", help=commit)
        add(
            "--patience",
            type=positive,
            default=60,
            metavar="S",
            help="seconds to go on while it is away (default: 60)",
        )
        ledger = "the folder that remembers what was sent (default: $XDG_STATE_HOME/pyraseg/push)"
        add("--ledger", metavar="DIR", help=ledger)
        add("--again", action="store_true", help="send what was sent before, too")
        add("--dry-run", action="store_true", help="say what would be sent")
        add_peer_options(parser.add_argument_group("connection").add_argument)

    def run(self, arguments: argparse.Namespace) -> Iterator[str]:
        from pyraseg.pipeline.pacs.push import Sending, push

        return push(
            Sending(
                inputs=arguments.inputs,
                peer=peer_of(arguments.peer, arguments),
                ledger=Path(arguments.ledger) if arguments.ledger else None,
                commit=arguments.commit,
                patience=arguments.patience,
                again=arguments.again,
                dry_run=arguments.dry_run,
            )
        )
