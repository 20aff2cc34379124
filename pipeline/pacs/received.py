"""Instances that come in, each a file named by keyed hashes, whole or absent."""

from __future__ import annotations

import contextlib
import os
import secrets
from collections.abc import Iterable
from pathlib import Path

from pydicom.filereader import read_partial

from pyraseg.pipeline.pacs.query import SeriesAt, whole_uid
from pyraseg.transforms.dicom.files.bounded import open_bounded
from pyraseg.transforms.dicom.files.objects import instance_uid
from pyraseg.transforms.dicom.files.values import BrokenFile, foreign
from pyraseg.transforms.errors import InputError
from pyraseg.transforms.privacy import case_name

__all__ = ["SeriesFolder"]

INSTANCE, STUDY, SERIES = 0x00080018, 0x0020000D, 0x0020000E
PART = ".part"


class SeriesFolder:
    """The folder of one series that is fetched.

    Args:
        root: what the folder lies in, by hashes of study and series.

    Attributes:
        bytes: received so far.
    """

    def __init__(self, root: Path, series: SeriesAt) -> None:
        self.series = series
        self.path = root / series.folder
        self.bytes = 0

    def __len__(self) -> int:
        """How many instances are here."""
        with contextlib.suppress(FileNotFoundError):
            return sum(1 for entry in os.scandir(self.path) if not entry.name.startswith("."))
        return 0

    def holds(self, instance: str) -> bool:
        return self._file(instance).exists()

    def prepare(self) -> None:
        """Make it, and remove what a killed process left half written."""
        self.path.mkdir(parents=True, exist_ok=True)
        for part in self.path.glob(f".*{PART}"):
            part.unlink()

    def take(self, content: Iterable[bytes]) -> None:
        """Write one instance as it comes: to a draft, to the disk, then under its name.

        Raises:
            InputError: it is no DICOM file, or of another series than the one asked for.
        """
        draft = self.path / f".{secrets.token_hex(6)}{PART}"
        try:
            with draft.open("xb") as file:
                for chunk in content:
                    file.write(chunk)
                    self.bytes += len(chunk)
                file.flush()
                os.fsync(file.fileno())
            draft.rename(self._file(self._instance(draft)))
        except BaseException:  # whatever it is, no draft stays
            draft.unlink(missing_ok=True)
            raise

    def _file(self, instance: str) -> Path:
        return self.path / f"{case_name(instance)}.dcm"

    def _instance(self, draft: Path) -> str:
        """The SOP Instance UID, once study and series are those asked for; in deflated ones nobody looks."""
        try:
            found = _uids(draft)
        except InputError:
            found = (instance_uid(draft), self.series.study, self.series.series)
        except BrokenFile:
            found = ("", "", "")
        if not found[0]:
            raise _unusable("no DICOM file with a SOP Instance UID")
        if found[1:] != (self.series.study, self.series.series):
            raise _unusable("an instance of another series")
        return found[0]


def _uids(path: Path) -> tuple[str, str, str]:
    """SOP Instance, Study and Series Instance UID; what follows them is not read."""
    tags = [INSTANCE, STUDY, SERIES]
    with foreign(), open_bounded(path) as file:
        dataset = read_partial(file, stop_when=lambda tag, vr, length: tag > SERIES, specific_tags=tags)
        values = [dataset.get_item(tag) for tag in tags]
        uids = [_text(element.value) if element is not None else "" for element in values]
    instance, study, series = map(whole_uid, uids)
    return instance, study, series


def _text(value: object) -> str:
    return value.decode("ascii", "replace") if isinstance(value, bytes) else str(value)


def _unusable(found: str) -> InputError:
    remedy = "See what the archive's log says about this series."
    return InputError("the instances that were asked for", found=found, remedy=remedy)
