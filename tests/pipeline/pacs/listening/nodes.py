"""A receiving process, and senders to it."""

from __future__ import annotations

import multiprocessing
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from pydicom import Dataset, dcmread
from pynetdicom import AE
from pynetdicom.association import Association
from pynetdicom.sop_class import Verification

from pyraseg.pipeline.pacs.listening.receiver import receive
from pyraseg.pipeline.pacs.listening.settings import Address

__all__ = ["Node", "receiving", "sent", "stored"]

TITLE, SENDER = "PYRASEG", "SENDER"


@dataclass
class Node:
    """A receiving process; ``told`` is what it has said so far."""

    process: Any
    connection: Any
    folder: Path
    port: int = 0
    told: list[tuple[Any, ...]] = field(default_factory=list)

    def wait(
        self, kind: str, number: int = 1, *, where: Callable[[Any], bool] = bool, seconds: float = 60
    ) -> list[tuple[Any, ...]]:
        """Until so many words of a kind have been told."""
        deadline = time.monotonic() + seconds
        while len(found := [words for words in self.told if words[0] == kind and where(words)]) < number:
            if not self.connection.poll(max(0.0, deadline - time.monotonic())):
                raise AssertionError(f"{number} times {kind!r}, among {self.told}")
            self.told.append(self.connection.recv())
        return found

    def files(self) -> list[Path]:
        """Whatever lies in its folder."""
        return sorted(path for path in self.folder.rglob("*") if path.is_file())


@contextmanager
def receiving(
    folder: Path, address: Address | None = None, *, target: Any = receive, **options: Any
) -> Iterator[Node]:
    """A receiving process at a free port, killed at the end where it is still there."""
    context = multiprocessing.get_context("spawn")
    ours, theirs = context.Pipe()
    address = address or Address(TITLE, port=0, allowed=(SENDER,))
    process = context.Process(target=target, args=(address, folder, theirs), kwargs=options)
    process.start()
    theirs.close()
    node = Node(process, ours, folder)
    try:
        node.port = node.wait("ready")[0][1]
        yield node
    finally:
        process.kill()
        process.join()


@contextmanager
def associated(
    port: int, images: Sequence[Dataset], *, sender: str = SENDER, called: str = TITLE, **options: Any
) -> Iterator[Association]:
    """An association for these images, each in the transfer syntax that it has."""
    entity = AE(sender)
    entity.add_requested_context(Verification)
    for pair in {(image.SOPClassUID, image.file_meta.TransferSyntaxUID) for image in images}:
        entity.add_requested_context(*pair)
    association = entity.associate("127.0.0.1", port, ae_title=called, **options)
    try:
        yield association
    finally:
        if association.is_established:
            association.release()


def sent(port: int, *paths: Path, **options: Any) -> list[int]:
    """Files sent in one association; the statuses."""
    images = [dcmread(path) for path in paths]
    with associated(port, images, **options) as association:
        return [association.send_c_store(image).Status for image in images]


def stored(folder: Path) -> list[Path]:
    """The images in a folder of received images."""
    return sorted(folder.glob("*/*.dcm"))
