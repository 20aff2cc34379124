"""Make values of a source's header fit to write: correct wrong formats, empty wrong contents.

A note says what was done; it names the attribute and never its value.
"""

from __future__ import annotations

import datetime
import re
import warnings
from dataclasses import dataclass

from pydicom import Dataset, config
from pydicom.charset import convert_encodings, decode_bytes, python_encoding
from pydicom.datadict import dictionary_description, dictionary_VR, tag_for_keyword
from pydicom.valuerep import validate_value

from pyraseg.transforms.dicom.files.discover import normalise_character_set

__all__ = ["CharacterSet", "character_set", "header_text", "repaired"]

DELIMITERS = set(b"\\^=")  # each ends a code extension (PS3.5 section 6.1.2.5.3)
SEXES = {"M": "M", "MALE": "M", "F": "F", "FEMALE": "F", "O": "O", "OTHER": "O", "": ""}
CONTROL = re.compile(r"[\x00-\x1f\x7f]+")
DATE = re.compile(r"(\d{4})([.\-/:]?)(\d\d?)\2(\d\d?)", re.ASCII)
TIME = re.compile(r"(\d\d?)([:.]?)(\d\d)(?:\2(\d\d)(?:[.,](\d*))?)?", re.ASCII)
HOUR = re.compile(r"([01]\d|2[0-3])", re.ASCII)
AGE = re.compile(r"(\d{1,3})\s*([DWMY])", re.ASCII)
YEARS = range(1800, 2200)  # of births and studies
REPLACEMENT = "\N{REPLACEMENT CHARACTER}"


@dataclass(frozen=True)
class CharacterSet:
    """How to read a header's text.

    Attributes:
        encodings: Python's, one for each term of Specific Character Set (0008,0005).
        declared: whether the header has one.
        note: what was wrong with it, else empty.
    """

    encodings: tuple[str, ...]
    declared: bool
    note: str = ""


def character_set(dataset: Dataset) -> CharacterSet:
    """Specific Character Set (0008,0005) of a header, with usual misspellings understood."""
    stated = _terms(dataset)
    probe = Dataset()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # pydicom warns of what the note says
        probe.SpecificCharacterSet = stated or None
        normalise_character_set(probe)
        terms = _terms(probe)
        encodings = tuple(convert_encodings(terms))
    if any(term and term not in python_encoding for term in terms):
        return CharacterSet(encodings, True, "unknown Specific Character Set, its text read as Latin-1")
    note = "misspelt Specific Character Set understood" if terms != stated else ""
    return CharacterSet(encodings, any(stated), note)


def _terms(dataset: Dataset) -> list[str]:
    stated = dataset.get("SpecificCharacterSet") or []
    return [stated] if isinstance(stated, str) else [str(term) for term in stated]


def header_text(dataset: Dataset, keyword: str, characters: CharacterSet) -> tuple[str, str]:
    """An attribute's text as stored, unchecked, without padding; and a note or nothing."""
    tag = tag_for_keyword(keyword)
    element = dataset.get_item(tag) if tag is not None and tag in dataset else None
    value = None if element is None else element.value
    if value is None:
        return "", ""
    if not isinstance(value, bytes):
        return str(value).strip(), ""
    text, note = _decoded(value.strip(b"\0 "), characters)
    return text.strip(), f"{dictionary_description(keyword)}: {note}" if note else ""


def _decoded(value: bytes, characters: CharacterSet) -> tuple[str, str]:
    if not characters.declared and not value.isascii():
        try:
            return value.decode("utf-8"), "letters beyond ASCII without a character set, read as UTF-8"
        except UnicodeDecodeError:
            return value.decode("latin-1"), "letters beyond ASCII without a character set, read as Latin-1"
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        text = decode_bytes(value, characters.encodings, DELIMITERS)
    return text, "letters that its character set has not" if REPLACEMENT in text else ""


def repaired(keyword: str, text: str) -> tuple[str, str]:
    """A value that can be written for the attribute, else empty; and a note or nothing.

    Dates, times, ages and sex are rewritten where only the format is wrong (1994.11.05, 14:04:38, 34Y).
    """
    representation, name = dictionary_VR(keyword), dictionary_description(keyword)
    rewrite = REWRITES.get(representation, _plain)
    value = SEXES.get(text.upper()) if keyword == "PatientSex" else rewrite(text)
    if value is None or not _valid(representation, value):
        return "", f"{name}: a value that DICOM does not allow, left empty"
    return value, f"{name}: written in another form than DICOM's, rewritten" if value != text else ""


def _valid(representation: str, value: str) -> bool:
    if "\\" in value:
        return False
    if representation == "PN":
        return value.count("=") < 3 and all(len(group) <= 64 for group in value.split("="))
    try:
        validate_value(representation, value, config.RAISE)
    except ValueError:
        return False
    return True


def _plain(text: str) -> str:
    return CONTROL.sub(" ", text).strip()


def _date(text: str) -> str | None:
    match = DATE.fullmatch(text)
    if not match:
        return None if text else ""
    year, separator, month, day = match.groups()
    if (not separator and len(month + day) != 4) or int(year) not in YEARS:
        return None
    try:
        return datetime.date(int(year), int(month), int(day)).strftime("%Y%m%d")
    except ValueError:
        return None


def _time(text: str) -> str | None:
    if not text or HOUR.fullmatch(text):
        return text
    match = TIME.fullmatch(text)
    if not match:
        return None
    hour, separator, minute, second, fraction = match.groups()
    if (not separator and len(hour) != 2) or int(hour) > 23 or int(minute) > 59 or int(second or 0) > 60:
        return None
    whole = f"{hour.zfill(2)}{minute}{second or ''}"
    return f"{whole}.{fraction[:6]}" if fraction else whole


def _age(text: str) -> str | None:
    match = AGE.fullmatch(text.upper())
    return f"{match[1].zfill(3)}{match[2]}" if match else None if text else ""


REWRITES = {"DA": _date, "TM": _time, "AS": _age}
