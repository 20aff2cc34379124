"""Objects from the network to their files: the bytes as received, whole and durable, or not there at all."""

from __future__ import annotations

import filecmp
import os
import secrets
import shutil
import threading
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from typing import IO

from pyraseg.pipeline.utils.files import sync_path
from pyraseg.transforms.dicom.files.header import parse_file
from pyraseg.transforms.errors import InputError
from pyraseg.transforms.io.limits import VOLUME_BYTES
from pyraseg.transforms.privacy import case_name, keyed_digest

__all__ = [
    "CANNOT_UNDERSTAND",
    "DUPLICATE",
    "INVALID",
    "LARGEST",
    "NO_MATCH",
    "OUT_OF_RESOURCES",
    "SUFFIX",
    "Draft",
    "Images",
    "Kept",
    "Refused",
]

# PS3.4 section B.2.3, PS3.7 Annex C
OUT_OF_RESOURCES, NO_MATCH, CANNOT_UNDERSTAND, DUPLICATE, INVALID = 0xA700, 0xA900, 0xC000, 0x0111, 0x0117
LARGEST = VOLUME_BYTES + 2**26  # bytes of an object: the largest volume that readers take, and its header
BUFFER = 2**20
INCOMING = ".incoming"
SUFFIX = ".dcm"
UIDS = ("SOPClassUID", "SOPInstanceUID", "StudyInstanceUID", "SeriesInstanceUID")


class Refused(Exception):
    """An object is not kept.

    Args:
        status: for the sender.
        comment: in words that quote nothing of the object (Error Comment: 64 characters).
    """

    def __init__(self, status: int, comment: str) -> None:
        super().__init__(comment)
        self.status, self.comment = status, comment


@dataclass(frozen=True)
class Kept:
    """An object that is on the disk; ``new`` where it was not there before."""

    series: str
    size: int
    new: bool


class Draft(BytesIO):
    """A data set as it comes, on the disk and not in memory.

    It never raises while it is written: what went wrong is kept in ``refusal`` until the object is complete,
    for only then can its sender be answered, and the rest passes by.

    Args:
        path: of a file that is made with the first bytes.
        head: gives what precedes the data set, File Meta Information included; called with the first bytes.
        most: bytes that are taken.
    """

    def __init__(self, path: Path, head: Callable[[], bytes], *, most: int = LARGEST) -> None:
        super().__init__()
        self.path = path
        self.refusal: Refused | None = None
        self._head, self._most, self._size = head, most, 0
        self._file: IO[bytes] | None = None

    @property
    def begun(self) -> bool:
        """Whether there is something to discard."""
        return self._file is not None and not self._file.closed

    def write(self, data: bytes | memoryview, /) -> int:  # type: ignore[override]
        if self.refusal is None:
            try:
                if self._file is None:
                    self._file = open(self.path, "xb", buffering=BUFFER)  # noqa: SIM115  # closed by `end`
                    self._file.write(self._head())
                self._size += len(data)
                if self._size > self._most:
                    raise Refused(OUT_OF_RESOURCES, "larger than any image that can be read")
                self._file.write(data)
            except Refused as refusal:
                self._refuse(refusal)
            except OSError:
                self._refuse(Refused(OUT_OF_RESOURCES, "no room to store it"))
        return len(data)

    def end(self) -> None:
        """Bring the file to the disk.

        Raises:
            Refused: something went wrong, and nothing is left.
        """
        if self.refusal is None and self._file is None:
            self._refuse(Refused(CANNOT_UNDERSTAND, "an empty data set"))
        if self.refusal is None and self._file is not None:
            try:
                self._file.flush()
                os.fsync(self._file.fileno())
                self._file.close()
            except (OSError, ValueError):  # ValueError: its association ended, and it was discarded
                self._refuse(Refused(OUT_OF_RESOURCES, "no room to store it"))
        if self.refusal is not None:
            raise self.refusal

    def discard(self) -> None:
        """Leave nothing."""
        if self._file is not None:
            with suppress(OSError):  # what was buffered may find no room
                self._file.close()
            self.path.unlink(missing_ok=True)

    def _refuse(self, refusal: Refused) -> None:
        self.refusal = refusal
        self.discard()


class Images:
    """The folder of received images: ``<series>/<object>.dcm``, each named by a keyed hash of its UID.

    One process at a time uses it. What an earlier one has left half-done is removed.

    Args:
        folder: made if missing.
        most: bytes of an object.

    Raises:
        OSError: it cannot be made or read.
    """

    def __init__(self, folder: Path, *, most: int = LARGEST) -> None:
        self.folder, self._most = folder, most
        self._incoming = folder / INCOMING
        shutil.rmtree(self._incoming, ignore_errors=True)
        self._incoming.mkdir(parents=True)
        self._lock = threading.Lock()
        self._series = {
            entry.name: series.name
            for series in os.scandir(folder)
            if series.is_dir() and not series.name.startswith(".")
            for entry in os.scandir(series.path)
        }

    def draft(self, head: Callable[[], bytes]) -> Draft:
        """A place for an object that begins to come."""
        return Draft(self._incoming / f"{secrets.token_hex(8)}{SUFFIX}", head, most=self._most)

    def keep(self, draft: Draft, sop_class: str, instance: str) -> Kept:
        """Give a complete object its name. Only when this returns may its sender be told of success.

        Args:
            sop_class, instance: UIDs by which its sender announced it.

        Raises:
            Refused: it is not kept, and nothing of it is left.
        """
        draft.end()
        try:
            series, name = self._names(draft.path, sop_class, instance)
            return self._place(draft.path, series, name)
        except OSError as error:
            raise Refused(OUT_OF_RESOURCES, "no room to store it") from error
        finally:
            draft.discard()

    def _names(self, path: Path, sop_class: str, instance: str) -> tuple[str, str]:
        try:
            parsed = parse_file(path, tags=UIDS)
        except InputError as error:
            raise Refused(CANNOT_UNDERSTAND, "a data set that cannot be read") from error
        own = {name: parsed.text(name) for name in UIDS}
        if missing := [name for name in UIDS if not own[name]]:
            raise Refused(NO_MATCH, f"no {missing[0].removesuffix('UID')} UID in the data set")
        if (own["SOPClassUID"], own["SOPInstanceUID"]) != (sop_class, instance):
            raise Refused(NO_MATCH, "other UIDs in the data set than announced")
        series = case_name(own["SeriesInstanceUID"])
        return series, f"{keyed_digest(own['SOPInstanceUID'])[:32]}{SUFFIX}"

    def _place(self, draft: Path, series: str, name: str) -> Kept:
        size, folder = draft.stat().st_size, self.folder / series
        with self._lock:  # of two senders of one object one is first
            present = self.folder / self._series.get(name, series) / name
            new = not present.exists()
            if not new and (present.parent != folder or not filecmp.cmp(present, draft, shallow=False)):
                raise Refused(DUPLICATE, "another object of this SOP Instance UID is here")
            if not folder.exists():
                folder.mkdir()
                sync_path(self.folder)
            if new:
                os.rename(draft, folder / name)
                self._series[name] = series
        sync_path(folder)
        return Kept(series, size, new)
