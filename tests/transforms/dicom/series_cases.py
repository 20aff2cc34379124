"""Small CT, MR and PET series for the tests, written straight with pydicom."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
from pydicom import Dataset
from pydicom.dataset import FileDataset, FileMetaDataset
from pydicom.encaps import encapsulate
from pydicom.pixels import get_encoder
from pydicom.uid import (
    UID,
    CTImageStorage,
    EnhancedCTImageStorage,
    EnhancedMRImageStorage,
    EnhancedPETImageStorage,
    ExplicitVRBigEndian,
    ExplicitVRLittleEndian,
    MRImageStorage,
    PositronEmissionTomographyImageStorage,
)

CLASSES = {"CT": CTImageStorage, "MR": MRImageStorage, "PT": PositronEmissionTomographyImageStorage}
ENHANCED = {"CT": EnhancedCTImageStorage, "MR": EnhancedMRImageStorage, "PT": EnhancedPETImageStorage}
AXIAL = (1.0, 0.0, 0.0, 0.0, 1.0, 0.0)
SPACING = (1.5, 0.75)  # mm between rows, between columns
STEP = 2.5
ORIGIN = (-20.0, -30.0, 40.0)
Edit = Callable[[int, Dataset], None]


def oblique() -> tuple[float, ...]:
    """An orientation turned about two axes."""
    a, b = 0.4, -0.3
    about_x = np.array([[1, 0, 0], [0, np.cos(a), -np.sin(a)], [0, np.sin(a), np.cos(a)]])
    about_z = np.array([[np.cos(b), -np.sin(b), 0], [np.sin(b), np.cos(b), 0], [0, 0, 1]])
    turned = about_z @ about_x
    return tuple(round(float(value), 12) for value in (*turned[:, 0], *turned[:, 1]))


def stored_values(slices: int = 5, rows: int = 6, columns: int = 8) -> np.ndarray:
    """(slices, rows, columns), every value of its own place, from 0."""
    return np.arange(slices * rows * columns, dtype=np.int16).reshape(slices, rows, columns)


def position(index: int, orientation: tuple[float, ...] = AXIAL) -> list[float]:
    """Image Position (Patient) of slice ``index``."""
    normal = np.cross(orientation[:3], orientation[3:])
    return [round(float(value), 9) for value in np.array(ORIGIN) + index * STEP * normal]


def blank(modality: str, uid: str, *, syntax: UID, enhanced: bool = False) -> FileDataset:
    """A data set of a series that identifies its patient, as real ones do, without a place or pixels."""
    meta = FileMetaDataset()
    meta.MediaStorageSOPClassUID = (ENHANCED if enhanced else CLASSES)[modality]
    meta.MediaStorageSOPInstanceUID, meta.TransferSyntaxUID = uid, syntax
    encoding = {"is_implicit_VR": syntax.is_implicit_VR, "is_little_endian": syntax.is_little_endian}
    dataset = FileDataset("", {}, file_meta=meta, preamble=b"\0" * 128, **encoding)
    dataset.SOPClassUID, dataset.SOPInstanceUID = meta.MediaStorageSOPClassUID, uid
    dataset.StudyInstanceUID, dataset.SeriesInstanceUID, dataset.FrameOfReferenceUID = (
        "1.2.1",
        "1.2.2",
        "1.2.3",
    )
    dataset.Modality, dataset.PatientName, dataset.PatientID = modality, "SENTINEL^NAME", "SENTINEL-ID"
    dataset.ImageType = ["ORIGINAL", "PRIMARY", "AXIAL"]
    return dataset


def set_pixels(dataset: FileDataset, frames: np.ndarray, *, bits_stored: int = 16) -> None:
    """``frames`` (frames, rows, columns) as pixel data, in the data set's transfer syntax."""
    syntax = dataset.file_meta.TransferSyntaxUID
    dataset.Rows, dataset.Columns = frames.shape[1:]
    dataset.SamplesPerPixel, dataset.PhotometricInterpretation = 1, "MONOCHROME2"
    dataset.BitsAllocated, dataset.BitsStored, dataset.HighBit = 16, bits_stored, bits_stored - 1
    dataset.PixelRepresentation = int(frames.dtype.kind == "i")
    if not syntax.is_encapsulated:
        order = ">" if syntax == ExplicitVRBigEndian else "<"
        dataset.PixelData = frames.astype(frames.dtype.newbyteorder(order)).tobytes()
        dataset["PixelData"].VR = "OW"
        return
    described = {
        "rows": dataset.Rows,
        "columns": dataset.Columns,
        "number_of_frames": 1,
        "samples_per_pixel": 1,
        "bits_allocated": 16,
        "bits_stored": bits_stored,
        "pixel_representation": dataset.PixelRepresentation,
        "photometric_interpretation": "MONOCHROME2",
    }
    parts = [get_encoder(syntax).encode(np.ascontiguousarray(frame), **described) for frame in frames]
    dataset.PixelData = encapsulate([part + b"\0" * (len(part) % 2) for part in parts])
    dataset["PixelData"].VR = "OB"
    dataset["PixelData"].is_undefined_length = True


def write_series(
    folder: Path,
    values: np.ndarray | None = None,
    *,
    modality: str = "CT",
    orientation: tuple[float, ...] = AXIAL,
    syntax: UID = ExplicitVRLittleEndian,
    bits_stored: int = 16,
    edit: Edit = lambda index, dataset: None,
    first_uid: int = 100,
) -> Path:
    """A classic series, a file for each slice, in an order of files that is not that of the slices."""
    folder.mkdir(parents=True, exist_ok=True)
    values = stored_values() if values is None else values
    for index, frame in enumerate(values):
        dataset = blank(modality, f"1.2.4.{first_uid + index}", syntax=syntax)
        dataset.ImagePositionPatient, dataset.ImageOrientationPatient = (
            position(index, orientation),
            list(orientation),
        )
        dataset.PixelSpacing, dataset.SliceThickness = list(SPACING), 4.0
        if modality == "CT":
            dataset.RescaleSlope, dataset.RescaleIntercept, dataset.RescaleType = 1, -1024, "HU"
        if modality == "PT":
            set_tracer(dataset)
            dataset.RescaleSlope, dataset.RescaleIntercept = 1 + index, 0
        set_pixels(dataset, frame[None], bits_stored=bits_stored)
        edit(index, dataset)
        dataset.save_as(folder / f"{first_uid + index * 7 % 10}_{index}.dcm", enforce_file_format=True)
    return folder


def set_tracer(dataset: Dataset) -> None:
    """FDG of 370 MBq in 70 kg, scanned one hour after the injection, corrected to the start of the scan."""
    drug = Dataset()
    drug.RadionuclideTotalDose, drug.RadionuclideHalfLife = 370e6, 6586.2
    drug.RadiopharmaceuticalStartTime = "101500"
    dataset.RadiopharmaceuticalInformationSequence = [drug]
    dataset.Units, dataset.DecayCorrection, dataset.CorrectedImage = "BQML", "START", ["DECY", "ATTN", "SCAT"]
    dataset.PatientWeight = 70
    dataset.SeriesDate = dataset.AcquisitionDate = "20200102"
    dataset.SeriesTime = dataset.AcquisitionTime = "111500"


def write_enhanced(
    path: Path,
    values: np.ndarray | None = None,
    *,
    modality: str = "CT",
    orientation: tuple[float, ...] = AXIAL,
    syntax: UID = ExplicitVRLittleEndian,
    edit: Callable[[FileDataset], None] = lambda dataset: None,
) -> Path:
    """An enhanced multi-frame image, its frames in the reverse order of the slices."""
    values = stored_values() if values is None else values
    dataset = blank(modality, "1.2.4.1", syntax=syntax, enhanced=True)
    dataset.NumberOfFrames = len(values)
    shared, place, measures, meaning = (Dataset() for _ in range(4))
    place.ImageOrientationPatient = list(orientation)
    measures.PixelSpacing, measures.SliceThickness = list(SPACING), 4.0
    meaning.RescaleSlope, meaning.RescaleIntercept, meaning.RescaleType = (
        1,
        -1024,
        "HU" if modality == "CT" else "US",
    )
    shared.PlaneOrientationSequence, shared.PixelMeasuresSequence = [place], [measures]
    shared.PixelValueTransformationSequence = [meaning]
    dataset.SharedFunctionalGroupsSequence = [shared]
    dataset.PerFrameFunctionalGroupsSequence = [
        _frame(index, orientation) for index in reversed(range(len(values)))
    ]
    set_pixels(dataset, values[::-1])
    edit(dataset)
    dataset.save_as(path, enforce_file_format=True)
    return path


def _frame(index: int, orientation: tuple[float, ...]) -> Dataset:
    groups, place = Dataset(), Dataset()
    place.ImagePositionPatient = position(index, orientation)
    groups.PlanePositionSequence = [place]
    return groups


def mapping(slope: float, intercept: float, unit: str) -> Dataset:
    """An item of the Real World Value Mapping Sequence."""
    item, code = Dataset(), Dataset()
    code.CodeValue, code.CodingSchemeDesignator, code.CodeMeaning = unit, "UCUM", "unit"
    item.MeasurementUnitsCodeSequence = [code]
    item.RealWorldValueSlope, item.RealWorldValueIntercept = slope, intercept
    return item
