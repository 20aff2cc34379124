"""A volume as a classic DICOM series, one object a slice: what all three modalities have in common (PS3.3
C.7)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray
from pydicom.dataset import Dataset
from pydicom.uid import (
    UID,
    ExplicitVRLittleEndian,
    ImplicitVRLittleEndian,
    JPEG2000Lossless,
    JPEGLSLossless,
    RLELossless,
)

from pyraseg.pipeline.phantom.identity import Identity, add_patient_and_study, file_meta, make_uid
from pyraseg.pipeline.phantom.volumes.acquisition import Acquisition
from pyraseg.pipeline.phantom.volumes.body.shapes import Array
from pyraseg.transforms.geometry.grid import VolumeGrid

__all__ = ["TRANSFER_SYNTAXES", "ModalitySeries", "Stored", "add_general_series", "build_series"]

# Lossless, each with the library that encodes it: pydicom's own choice depends on what is installed.
ENCODERS = {JPEG2000Lossless: "pylibjpeg", JPEGLSLossless: "pyjpegls", RLELossless: "pylibjpeg"}
TRANSFER_SYNTAXES = (  # seven, so that each meets every view and storage
    ExplicitVRLittleEndian,
    JPEG2000Lossless,
    ImplicitVRLittleEndian,
    RLELossless,
    JPEGLSLossless,
    JPEG2000Lossless,
    RLELossless,
)
BITS_ALLOCATED = 16


@dataclass(frozen=True)
class Stored:
    """Pixels as integers: ``pixels`` (slices, rows, columns), of which ``bits`` are used, and their meaning.

    Attributes:
        slopes: Rescale Slope of every slice; None where the modality has none.
        intercept: Rescale Intercept.
        padding: Pixel Padding Value, if there is one.
    """

    pixels: NDArray[np.integer]
    bits: int = BITS_ALLOCATED
    slopes: tuple[float, ...] | None = None
    intercept: float = 0.0
    padding: int | None = None


class ModalitySeries(Protocol):
    """What a modality adds to a series."""

    @property
    def sop_class(self) -> UID:
        """Of every slice."""

    @property
    def image_type(self) -> tuple[str, ...]:
        """Image Type (0008,0008)."""

    @property
    def model(self) -> str:
        """Manufacturer's Model Name."""

    def store(self, values: Array, grid: VolumeGrid, /) -> Stored:
        """The values, (x, y, z), as integers."""

    def add_series(self, dataset: Dataset, acquisition: Acquisition) -> None:
        """Add what all slices share."""

    def add_slice(self, dataset: Dataset, index: int, acquisition: Acquisition) -> None:
        """Add what the slice at this place along the normal has of its own."""


def add_general_series(
    dataset: Dataset, acquisition: Acquisition, identity: Identity, *, modality: str, description: str
) -> None:
    """General Series and General Image (C.7.3.1, C.7.6.1) of a series that is acquired at once."""
    dataset.Modality, dataset.SeriesDescription = modality, description
    dataset.PatientPosition = acquisition.view.position
    dataset.SeriesDate = dataset.AcquisitionDate = dataset.ContentDate = identity.study_date
    dataset.SeriesTime = dataset.AcquisitionTime = dataset.ContentTime = identity.study_time


def build_series(
    series: ModalitySeries, values: Array, acquisition: Acquisition, *, identity: Identity, root: tuple[object, ...],
    transfer_syntax: UID,
) -> list[Dataset]:  # fmt: skip
    """Build the slices of a series in the order of their instance numbers.

    Args:
        values: HU, brightness or SUV, (x, y, z).
        root: what the UIDs are derived from.
    """
    stored, shared = series.store(values, acquisition.grid), _shared(series, acquisition, identity, root)
    slices = []
    for number, index in enumerate(acquisition.instances, start=1):
        dataset = Dataset()
        dataset.update(shared)
        dataset.InstanceNumber = number
        dataset.SOPInstanceUID = make_uid(*root, "instance", number)
        _add_plane(dataset, acquisition, index)
        series.add_slice(dataset, index, acquisition)
        _add_pixels(dataset, stored, index, transfer_syntax)
        slices.append(dataset)
    return slices


def _shared(
    series: ModalitySeries, acquisition: Acquisition, identity: Identity, root: tuple[object, ...]
) -> Dataset:
    """Patient, General Study, General Series, General Equipment, Frame of Reference, and General Image in
    part."""
    dataset, grid = Dataset(), acquisition.grid
    study, own = make_uid(*root, "study"), make_uid(*root, "series")
    add_patient_and_study(dataset, identity, study=study, series=own, model=series.model)
    dataset.SOPClassUID = series.sop_class
    dataset.ImageType = list(series.image_type)
    dataset.FrameOfReferenceUID = make_uid(*root, "frame of reference")
    dataset.PositionReferenceIndicator = ""
    dataset.Laterality = ""
    dataset.AcquisitionNumber = 1
    dataset.BurnedInAnnotation = "NO"
    dataset.LossyImageCompression = "00"
    dataset.SliceThickness = acquisition.thickness_mm
    dataset.PixelSpacing = [grid.spacing[1], grid.spacing[0]]  # between rows first
    dataset.ImageOrientationPatient = [*grid.row_direction, *grid.column_direction]
    series.add_series(dataset, acquisition)
    return dataset


def _add_plane(dataset: Dataset, acquisition: Acquisition, index: int) -> None:
    """Image Plane (C.7.6.2): the centre of the first pixel, and Slice Location along the normal."""
    grid = acquisition.grid
    position = np.round(grid.affine_lps @ [0, 0, index, 1], 6)[:3] + 0.0
    dataset.ImagePositionPatient = position.tolist()
    dataset.SliceLocation = round(float(position @ grid.slice_direction), 4)


def _add_pixels(dataset: Dataset, stored: Stored, index: int, transfer_syntax: UID) -> None:
    """Image Pixel (C.7.6.3), Modality LUT in part (C.11.1)."""
    pixels = stored.pixels[index]
    signed = pixels.dtype.kind == "i"
    dataset.SamplesPerPixel, dataset.PhotometricInterpretation = 1, "MONOCHROME2"
    dataset.Rows, dataset.Columns = pixels.shape
    dataset.BitsAllocated, dataset.BitsStored, dataset.HighBit = BITS_ALLOCATED, stored.bits, stored.bits - 1
    dataset.PixelRepresentation = int(signed)
    if stored.slopes is not None:
        dataset.RescaleSlope, dataset.RescaleIntercept = stored.slopes[index], stored.intercept
    if stored.padding is not None:
        dataset.add_new("PixelPaddingValue", "SS" if signed else "US", stored.padding)
    dataset.add_new("PixelData", "OW", pixels.astype("<i2" if signed else "<u2").tobytes())
    dataset.file_meta = file_meta(dataset)
    if transfer_syntax in ENCODERS:
        dataset.compress(
            transfer_syntax, encoding_plugin=ENCODERS[transfer_syntax], generate_instance_uid=False
        )
    dataset.file_meta.TransferSyntaxUID = transfer_syntax
