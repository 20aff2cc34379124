"""What an archive is asked for, and what it names (PS3.4 Annex C, PS3.18 section 10.6)."""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from pydicom.datadict import tag_for_keyword

from pyraseg.transforms.errors import UsageError
from pyraseg.transforms.privacy import case_name

__all__ = ["COUNT", "Instance", "Query", "SeriesAt", "parse_query", "whole_uid"]

STUDY = (
    "PatientID", "PatientName", "PatientBirthDate", "PatientSex", "StudyInstanceUID", "StudyDate",
    "StudyTime", "StudyID", "StudyDescription", "AccessionNumber", "ModalitiesInStudy",
    "ReferringPhysicianName", "InstitutionName",
)  # fmt: skip
SERIES = (
    "SeriesInstanceUID", "Modality", "SeriesNumber", "SeriesDescription", "SeriesDate", "BodyPartExamined",
    "ProtocolName", "Laterality", "Manufacturer", "StationName", "PerformedProcedureStepStartDate",
)  # fmt: skip
COUNT = "NumberOfSeriesRelatedInstances"
DATE = re.compile(r"(\d{8})?-?(\d{8})?")
UID = re.compile(r"[0-9.]{1,64}")


@dataclass(frozen=True)
class Query:
    """Keys of studies, and of series in them."""

    study: Mapping[str, str] = field(default_factory=dict)
    series: Mapping[str, str] = field(default_factory=dict)

    @property
    def matches_all(self) -> bool:
        """Whether every series of the archive matches: universal matching alone (PS3.4 section C.2.2.2.3)."""
        return not any(value.strip("*") for keys in (self.study, self.series) for value in keys.values())


@dataclass(frozen=True)
class Instance:
    """An instance as the archive names it; the SOP class is empty where it does not say."""

    uid: str
    sop_class: str = ""


@dataclass(frozen=True)
class SeriesAt:
    """A series as an archive names it; ``instances`` is None where it does not count them."""

    study: str
    series: str
    modality: str = ""
    instances: int | None = None

    @property
    def folder(self) -> str:
        """Its folder and name here: keyed hashes."""
        return f"{case_name(self.study)}/{case_name(self.series)}"


def parse_query(words: Iterable[str]) -> Query:
    """The query of words ``KEYWORD=VALUE``; values with ``*``, ``?`` and ranges of dates as DICOM has them.

    Raises:
        UsageError: another form, a keyword that archives are not asked by, or a value that cannot be one.

    >>> parse_query(["ModalitiesInStudy=US", "StudyDate=20260101-"]).study
    {'ModalitiesInStudy': 'US', 'StudyDate': '20260101-'}
    """
    keys: dict[str, str] = {}
    for word in words:
        name, sign, value = word.partition("=")
        if not sign:
            raise UsageError(
                "a query KEYWORD=VALUE", found="a word without =", remedy="Write StudyDate=20260101-."
            )
        keys[_known(name)] = _checked(name, value)
    return Query(
        {name: value for name, value in keys.items() if name in STUDY},
        {name: value for name, value in keys.items() if name in SERIES},
    )


def whole_uid(value: object) -> str:
    """The UID that an archive answered; empty where it is none, and fit for no address."""
    text = str(value or "").rstrip("\0 ")
    return text if UID.fullmatch(text) else ""


def _known(name: str) -> str:
    if name in (*STUDY, *SERIES):
        return name
    near = difflib.get_close_matches(name, (*STUDY, *SERIES), n=1, cutoff=0.0)[0]
    found = "another keyword of DICOM" if tag_for_keyword(name) else "an unknown keyword"
    raise UsageError(
        "a keyword that series are found by", found=f"{found}, {name!r}",
        remedy=f"Did you mean {near}? There are {', '.join((*STUDY, *SERIES))}.",
    )  # fmt: skip


def _checked(name: str, value: str) -> str:
    if not value.isprintable() or ("\\" in value and not name.endswith("UID")):
        found, remedy = "a control character or a backslash", "Ask once for each value."
        raise UsageError(f"a value of {name}", found=found, remedy=remedy)
    if name.endswith("Date") and not DATE.fullmatch(value):
        remedy = "Write 20260131, 20260101-20260131, 20260101- or -20260131."
        raise UsageError(f"a date or a range of dates for {name}", found=f"{value!r}", remedy=remedy)
    if name.endswith("UID") and not all(UID.fullmatch(part) for part in value.split("\\")):
        raise UsageError(f"a UID for {name}", found="something else", remedy="Copy it from your viewer.")
    return value
