"""The attributes of an ultrasound object, module by module (PS3.3 A.6.3, A.7.3), without its pixels."""

from __future__ import annotations

from pydicom.dataset import Dataset
from pydicom.uid import UID

from pyraseg.pipeline.phantom.identity import add_patient_and_study
from pyraseg.pipeline.phantom.ultrasound.annotations import Header
from pyraseg.pipeline.phantom.ultrasound.sector import Sector

__all__ = ["add_cine", "add_image", "add_series", "region"]

FRAME_TIME_MS = 40
REGION_FLAGS = (
    2  # (0018,6016): bit 1 set, the scan line order does not change the pixels' meaning; no overlap
)


def add_series(dataset: Dataset, header: Header, *, study: UID, series: UID) -> None:
    """Patient, General Study, General Series and General Equipment (C.7.1.1, C.7.2.1, C.7.3.1, C.7.5.1)."""
    add_patient_and_study(dataset, header, study=study, series=series, model=header.probe)
    dataset.StudyDescription = "Renal ultrasound, synthetic"
    dataset.Modality = "US"
    dataset.Laterality = header.side


def add_image(dataset: Dataset, *, cine: bool, sop_class: UID, instance: UID) -> None:
    """General Image, US Image and SOP Common (C.7.6.1, C.8.5.6, C.12.1), as far as they do not describe
    pixels."""
    dataset.SOPClassUID = sop_class
    dataset.SOPInstanceUID = instance
    dataset.ImageType = ["ORIGINAL", "PRIMARY", "ABDOMINAL", "0001"]
    dataset.InstanceNumber = 1
    dataset.PatientOrientation = ""
    dataset.ContentDate = dataset.StudyDate
    dataset.ContentTime = dataset.StudyTime
    dataset.BurnedInAnnotation = "YES"
    dataset.NumberOfStages = 1
    dataset.StageNumber = 1
    dataset.NumberOfViewsInStage = 1
    dataset.ViewNumber = 1
    dataset.UltrasoundColorDataPresent = 0


def add_cine(dataset: Dataset, frames: int) -> None:
    """Cine and Multi-frame (C.7.6.5, C.7.6.6): a fixed time between frames."""
    dataset.NumberOfFrames = frames
    dataset.FrameIncrementPointer = 0x00181063
    dataset.FrameTime = FRAME_TIME_MS
    dataset.CineRate = round(1000 / FRAME_TIME_MS)


def region(sector: Sector) -> Dataset:
    """US Region Calibration (C.8.5.5): a two-dimensional tissue region in cm around the sector."""
    item = Dataset()
    x0, y0, x1, y1 = sector.box()
    item.RegionSpatialFormat = 1
    item.RegionDataType = 1
    item.RegionFlags = REGION_FLAGS
    item.RegionLocationMinX0, item.RegionLocationMinY0 = x0, y0
    item.RegionLocationMaxX1, item.RegionLocationMaxY1 = x1, y1
    item.ReferencePixelX0 = round(sector.face_pixel[1]) - x0  # relative to the region's corner, C.8.5.5.1.7
    item.ReferencePixelY0 = round(sector.face_pixel[0]) - y0
    item.ReferencePixelPhysicalValueX = 0.0
    item.ReferencePixelPhysicalValueY = 0.0
    item.PhysicalUnitsXDirection = item.PhysicalUnitsYDirection = 3
    item.PhysicalDeltaX = sector.spacing_mm[1] / 10
    item.PhysicalDeltaY = sector.spacing_mm[0] / 10
    item.TransducerFrequency = 3500
    return item
