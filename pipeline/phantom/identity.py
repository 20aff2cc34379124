"""The invented patient and study of a case, and the header elements of all its objects."""

from __future__ import annotations

import uuid
from dataclasses import dataclass

import numpy as np
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.uid import UID, ExplicitVRLittleEndian

__all__ = ["Identity", "add_patient_and_study", "draw_identity", "file_meta", "make_uid"]

INSTITUTIONS = ("PHANTOM GENERAL HOSPITAL", "SYNTHETIC CLINIC", "NOWHERE MEDICAL CENTRE")
COMMENT = "Synthetic image of no person"


@dataclass(frozen=True)
class Identity:
    """The text in a case's header; dates as YYYYMMDD, times as HHMMSS."""

    patient_name: str
    patient_id: str
    birth_date: str
    study_date: str
    study_time: str
    institution: str


def draw_identity(rng: np.random.Generator, index: int, *, seed: int, patient_name: str | None) -> Identity:
    """Invent the patient of the case with this index, or use the given name."""
    return Identity(
        patient_name=patient_name or f"PHANTOM^CASE {index + 1:04d}",
        patient_id=f"PHANTOM-{seed}-{index + 1:04d}",
        birth_date=f"19{rng.integers(40, 99):02d}{rng.integers(1, 13):02d}{rng.integers(1, 29):02d}",
        study_date=f"2020{rng.integers(1, 13):02d}{rng.integers(1, 29):02d}",
        study_time=f"{rng.integers(8, 18):02d}{rng.integers(0, 60):02d}00",
        institution=str(rng.choice(INSTITUTIONS)),
    )


def make_uid(*parts: object) -> UID:
    """A UID derived from a UUID (PS3.5 B.2); the same parts give the same UID."""
    return UID(f"2.25.{uuid.uuid5(uuid.NAMESPACE_OID, '/'.join(map(str, parts))).int}")


def add_patient_and_study(
    dataset: Dataset, identity: Identity, *, study: UID, series: UID, model: str
) -> None:
    """Patient, Study and Equipment (PS3.3 C.7.1.1, C.7.2.1, C.7.5.1), and the series' UID and number."""
    dataset.SpecificCharacterSet = "ISO_IR 192"
    dataset.PatientName = identity.patient_name
    dataset.PatientID = identity.patient_id
    dataset.PatientBirthDate = identity.birth_date
    dataset.PatientSex = "O"
    dataset.StudyInstanceUID = study
    dataset.StudyDate = identity.study_date
    dataset.StudyTime = identity.study_time
    dataset.ReferringPhysicianName = ""
    dataset.StudyID = "1"
    dataset.AccessionNumber = ""
    dataset.SeriesInstanceUID = series
    dataset.SeriesNumber = 1
    dataset.Manufacturer = "pyraseg phantom"
    dataset.InstitutionName = identity.institution
    dataset.ManufacturerModelName = model
    dataset.ImageComments = COMMENT


def file_meta(dataset: Dataset, transfer_syntax: UID = ExplicitVRLittleEndian) -> FileMetaDataset:
    """The file meta information of an object with its SOP class and instance."""
    meta = FileMetaDataset()
    meta.TransferSyntaxUID = transfer_syntax
    meta.MediaStorageSOPClassUID = dataset.SOPClassUID
    meta.MediaStorageSOPInstanceUID = dataset.SOPInstanceUID
    meta.ImplementationClassUID = make_uid("pyraseg", "phantom")
    meta.ImplementationVersionName = "PYRASEG_PHANTOM"
    return meta
