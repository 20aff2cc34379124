"""Reading a whole DICOM object that is no image to be looked at: a structure set, a segmentation."""

from __future__ import annotations

import warnings
from collections.abc import Collection
from contextlib import AbstractContextManager
from pathlib import Path

from pydicom import Dataset, dcmread
from pydicom.dataelem import RawDataElement

from pyraseg.transforms.dicom.files.header import (
    UNDEFINED_LENGTH,
    ParsedFile,
    malformed,
    open_bounded,
    parse_file,
)
from pyraseg.transforms.errors import InputError

__all__ = ["broken", "parse_object", "read_attributes", "text_uid"]


def parse_object(path: str | Path, sop_classes: Collection[str], *, wanted: str, modality: str) -> ParsedFile:
    """The identity of a file that must be of one of the SOP classes.

    Args:
        wanted: what such an object is called, with its article.

    Raises:
        InputError: not DICOM, cut off in the header, or another kind of object.
    """
    parsed = parse_file(path)
    if parsed.text("SOPClassUID", "MediaStorageSOPClassUID") not in sop_classes:
        found, remedy = "another kind of DICOM object", f"Give the file whose modality is {modality}."
        raise InputError(wanted, found=found, remedy=remedy, path=parsed.path)
    return parsed


def broken(path: Path, wanted: str) -> AbstractContextManager[None]:
    """Where attributes of the object are used: what libraries raise becomes an `InputError` that quotes
    nothing."""
    return malformed(wanted, path=path, found="one that is cut off or broken", remedy="Export it again.")


def read_attributes(path: Path, *, before_pixels: bool = False) -> Dataset:
    """All attributes; within `broken`, for a value that is shorter than its length says raises EOFError."""
    with open_bounded(path) as file, warnings.catch_warnings():
        warnings.simplefilter("ignore")  # pydicom's quote the values
        dataset = dcmread(file, stop_before_pixels=before_pixels)
    for element in map(dataset.get_item, list(dataset.keys())):
        length = element.length if isinstance(element, RawDataElement) else 0
        if length != UNDEFINED_LENGTH and len(element.value or b"") < length:
            raise EOFError
    return dataset


def text_uid(item: Dataset, keyword: str) -> str:
    """A UID as text, empty where there is none."""
    return str(item.get(keyword) or "").strip("\0 ")
