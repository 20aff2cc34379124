"""Sources and predictions for the tests of the DICOM writers."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from pydicom import Dataset
from pydicom.dataset import FileMetaDataset
from pydicom.uid import ExplicitVRLittleEndian, UltrasoundImageStorage, UltrasoundMultiFrameImageStorage

from pyraseg.pipeline.bundle.segments import resolve_segments
from pyraseg.pipeline.writers.prediction import Algorithm, Prediction
from pyraseg.transforms.dicom.files.discover import source_ref
from pyraseg.transforms.records import Code, Quantity

ALGORITHM = Algorithm("Kidney and fluid in ultrasound", "0.1.0", "5e" * 32, "us_hydronephrosis")
KIDNEY = {"category": ["91723000", "SCT", "Anatomical Structure"], "type": ["64033007", "SCT", "Kidney"]}
FLUID = {
    "category": ["49755003", "SCT", "Morphologically Abnormal Structure"],
    "type": ["43064006", "SCT", "Hydronephrosis"],
}
SEGMENTS = resolve_segments(
    ("background", "kidney", "fluid"),
    [{"name": "kidney", "colour": [255, 0, 0], **KIDNEY}, {"name": "fluid", "colour": [0, 255, 0], **FLUID}],
)
QUANTITIES = (
    Quantity("kidney_area", 1234.5678, "mm2", segments=("kidney",), code=Code("42798000", "SCT", "Area")),
    Quantity("fluid_area", 56.25, "mm2", segments=("fluid",), code=Code("42798000", "SCT", "Area")),
    Quantity(
        "index", 95.0, "%", segments=("kidney", "fluid"), code=Code("HI", "99HYDRO", "Hydronephrosis index")
    ),
    Quantity("thickness_without_a_code", 1 / 3, "mm", segments=("kidney", "fluid")),
    Quantity("absent", None, "mm", reason="no fluid in the frame", segments=("fluid",)),
)
HEADER = {
    "SpecificCharacterSet": "ISO_IR 100",
    "PatientName": "Sentinel^Änne",
    "PatientID": "SENTINEL-7",
    "PatientBirthDate": "19610203",
    "PatientSex": "F",
    "StudyInstanceUID": "1.2.826.0.1.3680043.8.498.1",
    "SeriesInstanceUID": "1.2.826.0.1.3680043.8.498.2",
    "SOPInstanceUID": "1.2.826.0.1.3680043.8.498.3",
    "StudyDate": "20200304",
    "StudyTime": "101112",
    "ReferringPhysicianName": "",
    "StudyID": "5",
    "AccessionNumber": "A6",
    "StudyDescription": "Nieren",
    "SeriesNumber": 7,
    "InstanceNumber": 8,
    "PixelSpacing": [0.2, 0.2],
    "PatientComments": "to be left behind",
}


def write_source(path: Path, *, frames: int = 1, shape: tuple[int, int] = (13, 17), **changes: Any) -> Path:
    """A grey ultrasound image, or a cine; ``changes`` to ``HEADER`` by keyword, None to leave an attribute
    out."""
    dataset = Dataset()
    dataset.file_meta = FileMetaDataset()
    dataset.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    dataset.SOPClassUID = UltrasoundMultiFrameImageStorage if frames > 1 else UltrasoundImageStorage
    for keyword, value in {**HEADER, **changes}.items():
        if value is not None:
            setattr(dataset, keyword, value)
    if frames > 1:
        dataset.NumberOfFrames = frames
    dataset.Modality = "US"
    dataset.Rows, dataset.Columns = shape
    dataset.SamplesPerPixel, dataset.PhotometricInterpretation = 1, "MONOCHROME2"
    dataset.BitsAllocated, dataset.BitsStored, dataset.HighBit, dataset.PixelRepresentation = 8, 8, 7, 0
    dataset.PixelData = bytes(frames * shape[0] * shape[1] + frames * shape[0] * shape[1] % 2)
    dataset["PixelData"].VR = "OB"
    dataset.file_meta.MediaStorageSOPInstanceUID = dataset.get("SOPInstanceUID") or HEADER["SOPInstanceUID"]
    dataset.file_meta.MediaStorageSOPClassUID = dataset.get("SOPClassUID") or UltrasoundImageStorage
    dataset.save_as(path, enforce_file_format=True)
    return path


def patched(path: Path, *changes: tuple[bytes, bytes]) -> Path:
    """The file with bytes replaced by as many others: what no writer would write."""
    content = path.read_bytes()
    for old, new in changes:
        assert len(old) == len(new)
        assert content.count(old) == 1
        content = content.replace(old, new)
    path.write_bytes(content)
    return path


def predict(path: Path, **changes: Any) -> Prediction:
    """A prediction of random labels, other ones in every frame, for any image file."""
    source = source_ref(path)
    labels = np.random.default_rng(3).integers(
        0, 3, (source.number_of_frames, source.rows, source.columns), np.uint8
    )
    given = {"spacing_mm": (0.2, 0.3), "quantities": QUANTITIES, "salt": "salt", **changes}
    return Prediction(source, "case", given.pop("labels", labels), SEGMENTS, ALGORITHM, **given)


def probabilities(prediction: Prediction) -> np.ndarray:
    """(F, 3, H, W) float32 that sum to 1, with all steps of a byte among them."""
    scores = np.random.default_rng(4).random(
        (len(prediction.labels), 3, *prediction.labels.shape[1:]), np.float32
    )
    scores[0, 1, 0, :2] = 0, 1
    return scores / scores.sum(axis=1, keepdims=True)
