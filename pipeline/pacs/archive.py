"""An archive to fetch from, by DIMSE or DICOMweb alike."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Protocol

from pyraseg.pipeline.pacs.delivery import require_extra
from pyraseg.pipeline.pacs.peers import DicomPeer, Peer
from pyraseg.pipeline.pacs.query import Instance, Query, SeriesAt
from pyraseg.pipeline.pacs.received import SeriesFolder

__all__ = ["Archive", "instance_count", "open_archive"]


class Archive(Protocol):
    """What both ways can. Every method raises `PeerAwayError` and `PeerError`."""

    def series(self, query: Query) -> Iterator[SeriesAt]:
        """The series that match."""

    def instances(self, series: SeriesAt) -> list[Instance]:
        """The instances of a series."""

    def fetch(self, series: SeriesAt, instances: Sequence[Instance], folder: SeriesFolder) -> None:
        """Fetch instances of a series into its folder."""


def open_archive(peer: Peer, *, move_port: int | None = None) -> Archive:
    """The archive of a peer.

    Args:
        move_port: where C-MOVE brings instances, for a peer without C-GET.

    Raises:
        UsageError: the extra is not installed.
    """
    require_extra()
    if isinstance(peer, DicomPeer):
        from pyraseg.pipeline.pacs.dimse.archive import DicomArchive

        return DicomArchive(peer, move_port)
    from pyraseg.pipeline.pacs.dicomweb.archive import WebArchive

    return WebArchive(peer)


def instance_count(peer: Peer, study: str, series: str) -> int | None:
    """How many instances of a series an archive holds, by its own count; None where it has no such series.

    Raises:
        PeerAwayError, PeerError: the archive does not say.
        UsageError: the extra is not installed.
    """
    archive = open_archive(peer)
    for found in archive.series(Query({"StudyInstanceUID": study}, {"SeriesInstanceUID": series})):
        if found.series == series:
            return len(archive.instances(found)) if found.instances is None else found.instances
    return None
