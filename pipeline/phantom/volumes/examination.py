"""Common parts of all modalities: an examination and its classic series, one object per slice (PS3.3 C.7)."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import ClassVar, Self

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
from scipy.ndimage import gaussian_filter

from pyraseg.pipeline.phantom.identity import Identity, add_patient_and_study, file_meta, make_uid
from pyraseg.pipeline.phantom.volumes.acquisition import Acquisition, View
from pyraseg.pipeline.phantom.volumes.body.anatomy import Appearance, Body, Painted
from pyraseg.pipeline.phantom.volumes.body.shapes import Array
from pyraseg.transforms.geometry.grid import Vector, VolumeGrid

__all__ = ["TRANSFER_SYNTAXES", "Examination", "Stored", "blur", "build_series", "smooth_noise"]

# Lossless, each with its encoder: pydicom's default depends on what is installed.
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
FWHM = 2.3548  # full width at half maximum of a Gaussian over its standard deviation


@dataclass(frozen=True)
class Stored:
    """Integer ``pixels`` (slices, rows, columns), with ``bits`` in use, and their meaning.

    Attributes:
        slopes: Rescale Slope of every slice; None if the modality has none.
        intercept: Rescale Intercept.
        padding: Pixel Padding Value, if there is one.
    """

    pixels: NDArray[np.integer]
    bits: int = BITS_ALLOCATED
    slopes: tuple[float, ...] | None = None
    intercept: float = 0.0
    padding: int | None = None


@dataclass(frozen=True)
class Examination(ABC):
    """The settings of one examination; a subclass is a modality.

    Attributes:
        appearance: the values before blur, noise and bias.
        views: of the cases in turn.
        scale: range of the patients' size relative to an adult's.
        whole_body: from the head to the thighs, or the part around the lesions.
        unit: UCUM, of the values that a reader gets.
        image_type, model: Image Type (0008,0008) and Manufacturer's Model Name.
    """

    appearance: Appearance
    identity: Identity

    views: ClassVar[tuple[View, ...]]
    scale: ClassVar[tuple[float, float]] = (0.85, 1.05)
    whole_body: ClassVar[bool] = False
    unit: ClassVar[str]
    code: ClassVar[str]
    sop_class: ClassVar[UID]
    model: ClassVar[str]
    image_type: ClassVar[tuple[str, ...]] = ("ORIGINAL", "PRIMARY")

    @property
    def factors(self) -> tuple[float, float]:
        """Factors from the appearance, and from the rendered values, to the values that a reader gets."""
        return 1.0, 1.0

    @classmethod
    @abstractmethod
    def draw(cls, rng: np.random.Generator, body: Body, index: int, identity: Identity) -> Self:
        """Draw the settings of the case at this index."""

    @abstractmethod
    def render(self, painted: Painted, body: Body, grid: VolumeGrid, rng: np.random.Generator) -> Array:
        """The values of the voxels, (x, y, z)."""

    @abstractmethod
    def store(self, values: Array, grid: VolumeGrid) -> Stored:
        """The values, (x, y, z), as integers."""

    @abstractmethod
    def add_series(self, dataset: Dataset, acquisition: Acquisition) -> None:
        """Add the modality's modules to the elements that all slices share."""

    def add_general_series(self, dataset: Dataset, acquisition: Acquisition, description: str) -> None:
        """General Series and General Image (C.7.3.1, C.7.6.1) of a series that is acquired at once."""
        dataset.SeriesDescription, dataset.PatientPosition = description, acquisition.view.position
        dataset.SeriesDate = dataset.AcquisitionDate = dataset.ContentDate = self.identity.study_date
        dataset.SeriesTime = dataset.AcquisitionTime = dataset.ContentTime = self.identity.study_time

    def add_slice(self, dataset: Dataset, index: int, acquisition: Acquisition) -> None:  # noqa: B027
        """Add elements of one slice, by its index along the normal, beside pixels and position."""


def blur(values: Array, fwhm_mm: Vector, spacing: Vector) -> Array:
    """Convolve with a Gaussian of these full widths at half maximum along columns, rows and slices."""
    sigmas = [width / FWHM / step for width, step in zip(fwhm_mm, spacing, strict=True)]
    blurred: Array = gaussian_filter(values, sigmas, mode="nearest", truncate=3)
    return blurred


def smooth_noise(
    rng: np.random.Generator, shape: tuple[int, int, int], fwhm_mm: Vector, spacing: Vector
) -> Array:
    """Gaussian noise of mean 0 and standard deviation 1 with these grain widths."""
    noise = blur(rng.standard_normal(shape, dtype=np.float32), fwhm_mm, spacing)
    return (noise - noise.mean()) / noise.std()


def build_series(
    examination: Examination,
    values: Array,
    acquisition: Acquisition,
    *,
    root: tuple[object, ...],
    transfer_syntax: UID,
) -> list[Dataset]:
    """Build the slices of a series in the order of their instance numbers.

    Args:
        values: HU, brightness or SUV, (x, y, z).
        root: the seed of the UIDs.
    """
    stored, shared = examination.store(values, acquisition.grid), _shared(examination, acquisition, root)
    slices = []
    for number, index in enumerate(acquisition.instances, start=1):
        dataset = Dataset()
        dataset.update(shared)
        dataset.InstanceNumber = number
        dataset.SOPInstanceUID = make_uid(*root, "instance", number)
        _add_plane(dataset, acquisition, index)
        examination.add_slice(dataset, index, acquisition)
        _add_pixels(dataset, stored, index, transfer_syntax)
        slices.append(dataset)
    return slices


def _shared(examination: Examination, acquisition: Acquisition, root: tuple[object, ...]) -> Dataset:
    """Patient, General Study, Series and Equipment, Frame of Reference, and General Image in part."""
    dataset, grid = Dataset(), acquisition.grid
    study, own = make_uid(*root, "study"), make_uid(*root, "series")
    add_patient_and_study(dataset, examination.identity, study=study, series=own, model=examination.model)
    dataset.Modality = examination.code
    dataset.SOPClassUID = examination.sop_class
    dataset.ImageType = list(examination.image_type)
    dataset.FrameOfReferenceUID = make_uid(*root, "frame of reference")
    dataset.PositionReferenceIndicator = ""
    dataset.Laterality = ""
    dataset.AcquisitionNumber = 1
    dataset.BurnedInAnnotation = "NO"
    dataset.LossyImageCompression = "00"
    dataset.SliceThickness = acquisition.thickness_mm
    dataset.PixelSpacing = [grid.spacing[1], grid.spacing[0]]  # between rows first
    dataset.ImageOrientationPatient = [*grid.row_direction, *grid.column_direction]
    examination.add_series(dataset, acquisition)
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
        plugin = ENCODERS[transfer_syntax]
        dataset.compress(transfer_syntax, encoding_plugin=plugin, generate_instance_uid=False)
    dataset.file_meta.TransferSyntaxUID = transfer_syntax
