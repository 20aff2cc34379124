"""Send files to a peer, by whatever it speaks."""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

from pyraseg.pipeline.pacs.outcome import Outcome
from pyraseg.pipeline.pacs.peers import DicomPeer, Peer
from pyraseg.transforms.errors import UsageError

if TYPE_CHECKING:
    from pyraseg.pipeline.pacs.dimse.commitment import Commitments

__all__ = ["deliver", "require_extra"]


def deliver(
    files: Sequence[Path], peer: Peer, *, commitments: Commitments | None = None
) -> Iterator[Outcome]:
    """Send files as they are; each outcome is yielded once the peer has answered.

    Args:
        commitments: ask for Storage Commitment; what is not committed is to be sent again. Where the peer
            does not offer it, as with DICOMweb, its Success is enough.

    Raises:
        PeerAwayError: no answer; the files without an outcome are to be sent again.
        PeerError: what a person must mend.
        UsageError: the extra is not installed.
    """
    require_extra()
    if isinstance(peer, DicomPeer):
        from pyraseg.pipeline.pacs.dimse.store import store

        stored = store(files, peer)
        return stored if commitments is None else commitments.confirm(stored, peer)
    from pyraseg.pipeline.pacs.dicomweb.store import store as store_web

    return store_web(files, peer)


def require_extra() -> None:
    """What comes before the first use of the extra ``pacs``; warnings that quote values are silenced.

    Raises:
        UsageError: it is not installed.
    """
    warnings.filterwarnings("ignore", "Invalid value for VR")  # pydicom's; set for every thread
    if missing := [name for name in ("pynetdicom", "requests") if find_spec(name) is None]:
        remedy = 'Install it: pip install "pyraseg[pacs]".'
        raise UsageError("the extra pacs", found=f"no {missing[0]}", remedy=remedy)
