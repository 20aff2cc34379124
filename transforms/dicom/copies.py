"""Whether files under one SOP Instance UID are one image, in whatever encoding, or several."""

from __future__ import annotations

import hashlib
import warnings
from collections.abc import Callable, Iterable, Mapping, Sequence
from decimal import Decimal
from pathlib import Path
from typing import Any

import numpy as np
from pydicom import Dataset
from pydicom.multival import MultiValue
from pydicom.sequence import Sequence as Items

from pyraseg.transforms.dicom.files.header import parse_file, read_header
from pyraseg.transforms.dicom.files.values import BrokenFile, foreign
from pyraseg.transforms.dicom.pixels.decode import FrameDecoder
from pyraseg.transforms.dicom.series.identity import IDENTITY_TAGS
from pyraseg.transforms.dicom.series.planes import VOLUME_TAGS
from pyraseg.transforms.errors import InputError, PyrasegError, item_error

__all__ = ["MapFiles", "image_key", "part_copies"]

TAGS = (*IDENTITY_TAGS, *VOLUME_TAGS)
ENCODING = frozenset(
    {"PlanarConfiguration", "BitsAllocated", "ExtendedOffsetTable", "ExtendedOffsetTableLengths"}
)
INTEGERS = ("u1", "<i4", "<i8")  # the first that holds a frame's values, whatever they are stored in

Key = str | PyrasegError
# Calls the function for every path, in processes or not, and yields the results in order of the paths.
MapFiles = Callable[[Callable[[Path], Any], Iterable[Path]], Iterable[Any]]


def part_copies(
    groups: Sequence[Sequence[Path]], *, map_files: MapFiles = map
) -> list[list[list[Path]] | PyrasegError]:
    """The files of each group by the image that they hold, in their order; or why they cannot be compared.

    Files are one image if they hold the same pixels of the same patient, study, place and meaning. They may
    differ in the file meta group, the transfer syntax, private and other attributes that are not used here.
    What cannot be decoded is the same only byte by byte.

    Args:
        groups: the files under each SOP Instance UID. Each file is read once, and decoded once at most.
        map_files: decodes many files, in processes where a decoder may crash.
    """
    by_bytes = [_by_bytes(group) for group in groups]
    firsts = [same[0] for contents in by_bytes if len(contents) > 1 for same in contents.values()]
    keys: dict[Path, Key] = dict(zip(firsts, map_files(image_key, firsts), strict=True)) if firsts else {}
    return [_by_image(contents, keys) for contents in by_bytes]


def _by_bytes(group: Sequence[Path]) -> dict[Key, list[Path]]:
    contents: dict[Key, list[Path]] = {}
    for path in group:
        contents.setdefault(_bytes_key(path) if len(group) > 1 else "", []).append(path)
    return contents


def _by_image(
    contents: Mapping[Key, list[Path]], keys: Mapping[Path, Key]
) -> list[list[Path]] | PyrasegError:
    images: dict[Key, list[Path]] = {}
    for content, same in contents.items():
        key = keys.get(same[0], content)
        if isinstance(key, PyrasegError):
            return key
        images.setdefault(key, []).extend(same)
    return list(images.values())


def _bytes_key(path: Path) -> Key:
    try:
        with path.open("rb") as file:
            return hashlib.file_digest(file, lambda: hashlib.blake2b(person=b"bytes")).hexdigest()
    except OSError as error:
        return item_error(error)


def image_key(path: Path) -> Key:
    """The same text for files of one image (`part_copies`), or why the file cannot be read."""
    try:
        key = hashlib.blake2b(repr(_attributes(path)).encode("utf-8", "surrogateescape"), person=b"image")
        with foreign(), warnings.catch_warnings():
            warnings.simplefilter("ignore")  # pydicom's warnings quote values
            decoder = FrameDecoder(read_header(path))
            for frame in map(decoder.as_rgb, range(len(decoder))):
                key.update(repr(frame.shape).encode() + _same_type(frame).tobytes())
        return key.hexdigest()
    except (InputError, BrokenFile):
        return _bytes_key(path)
    except Exception as error:  # one file's fault costs the files of its UID alone, whatever it is
        return item_error(error)


def _same_type(frame: np.ndarray) -> np.ndarray:
    """The values in a type that depends on them alone, and not on Bits Allocated."""
    if frame.dtype.kind not in "uib" or not frame.size:
        return frame.astype("<f8")
    low, high = int(frame.min()), int(frame.max())
    holds = (np.iinfo(kind).min <= low <= high <= np.iinfo(kind).max for kind in INTEGERS)
    return frame.astype(next(kind for kind, fits in zip(INTEGERS, holds, strict=True) if fits))


def _attributes(path: Path) -> list[tuple[str, Any]]:
    with foreign():
        values = dict(_plain(parse_file(path, tags=TAGS).dataset))
    left = ENCODING | ({"PhotometricInterpretation"} if values.get("SamplesPerPixel") == 3 else set())
    return [(name, value) for name, value in values.items() if name not in left and value not in ("None", "")]


def _plain(value: Any) -> Any:
    """A value without the spelling that its encoding leaves: numbers as such, sequences as lists."""
    if isinstance(value, Dataset):
        return [(element.keyword or str(element.tag), _plain(element.value)) for element in value]
    if isinstance(value, MultiValue | Items | list | tuple):
        return [_plain(part) for part in value]
    return float(value) if isinstance(value, int | float | Decimal) else str(value)
