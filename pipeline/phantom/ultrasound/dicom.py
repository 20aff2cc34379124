"""Ultrasound DICOM objects (PS3.3 A.6 US Image, A.7 US Multi-frame Image) in the encodings of scanners."""

from __future__ import annotations

from dataclasses import dataclass
from io import BytesIO

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from pydicom.dataset import Dataset
from pydicom.encaps import encapsulate
from pydicom.uid import (
    UID,
    ExplicitVRLittleEndian,
    JPEGBaseline8Bit,
    RLELossless,
    UltrasoundImageStorage,
    UltrasoundMultiFrameImageStorage,
)

from pyraseg.pipeline.phantom.identity import add_patient_and_study, file_meta, make_uid
from pyraseg.pipeline.phantom.ultrasound.annotations import COLOURS, Header
from pyraseg.pipeline.phantom.ultrasound.sector import Sector

__all__ = ["ENCODINGS", "Encoding", "Frames", "build_dataset"]

JPEG_QUALITY = 92
ANNOTATION_START = 256 - len(COLOURS)  # first palette entry of the annotations
FRAME_TIME_MS = 40
REGION_FLAGS = 2  # (0018,6016): bit 1 set, scan line order does not change the pixels' meaning; no overlap

Bytes = NDArray[np.uint8]


@dataclass(frozen=True)
class Encoding:
    """How pixels are stored: (0028,0004), (0028,0006) and the transfer syntax."""

    photometric: str
    planar: int | None
    transfer_syntax: UID


ENCODINGS: tuple[Encoding, ...] = (
    Encoding("RGB", 0, ExplicitVRLittleEndian),
    Encoding("YBR_FULL_422", 0, JPEGBaseline8Bit),
    Encoding("PALETTE COLOR", None, ExplicitVRLittleEndian),
    Encoding("MONOCHROME2", None, RLELossless),
    Encoding("RGB", 1, ExplicitVRLittleEndian),
    Encoding("MONOCHROME2", None, ExplicitVRLittleEndian),
    Encoding("PALETTE COLOR", None, RLELossless),
    Encoding("RGB", 1, RLELossless),  # RLE always stores the colours apart (PS3.5 G.2)
)


@dataclass(frozen=True)
class Frames:
    """The picture of one case.

    Attributes:
        grey: tissue, (frames, H, W) uint8.
        layer: annotations as indices into ``COLOURS``, (H, W).
        tint: RGB factors, 0 to 1, of the tissue's colour map, for encodings with colour.
        sector: the field of view, for the region's position and calibration.
        calibrated: whether the object has the size of a pixel.
    """

    grey: Bytes
    layer: Bytes
    tint: tuple[float, float, float]
    sector: Sector
    calibrated: bool


def build_dataset(
    frames: Frames, header: Header, *, encoding: Encoding, identity: tuple[object, ...]
) -> Dataset:
    """Build a US Image object, or a US Multi-frame Image object for more than one frame.

    Args:
        frames: the picture.
        header: the text of the Patient, Study and Equipment modules.
        encoding: photometric interpretation, planar configuration and transfer syntax.
        identity: the seed of the object's UIDs.
    """
    dataset, cine = Dataset(), len(frames.grey) > 1
    study, series = make_uid(*identity, "study"), make_uid(*identity, "series")
    add_patient_and_study(dataset, header, study=study, series=series, model=header.probe)
    dataset.StudyDescription = "Renal ultrasound, synthetic"
    dataset.Modality = "US"
    dataset.Laterality = header.side
    dataset.SOPClassUID = UltrasoundMultiFrameImageStorage if cine else UltrasoundImageStorage
    dataset.SOPInstanceUID = make_uid(*identity, "instance")
    _add_image(dataset)
    if frames.calibrated:
        dataset.SequenceOfUltrasoundRegions = [_region(frames.sector)]
    if cine:  # Cine and Multi-frame (C.7.6.5, C.7.6.6): a fixed time between frames
        dataset.NumberOfFrames = len(frames.grey)
        dataset.FrameIncrementPointer = 0x00181063
        dataset.FrameTime = FRAME_TIME_MS
        dataset.CineRate = round(1000 / FRAME_TIME_MS)
    dataset.file_meta = file_meta(dataset)  # until the pixels are compressed
    _add_pixels(dataset, frames, encoding)
    return dataset


def _add_image(dataset: Dataset) -> None:
    """General Image and US Image (C.7.6.1, C.8.5.6), without the description of pixels."""
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


def _region(sector: Sector) -> Dataset:
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


def _add_pixels(dataset: Dataset, frames: Frames, encoding: Encoding) -> None:
    """Image Pixel (C.7.6.3): the samples, in the photometric interpretation and the transfer syntax."""
    pixels = _samples(frames, encoding)
    dataset.Rows, dataset.Columns = frames.grey.shape[1:]
    dataset.SamplesPerPixel = 3 if pixels.ndim == 4 else 1
    dataset.PhotometricInterpretation = encoding.photometric
    if encoding.planar is not None:
        dataset.PlanarConfiguration = encoding.planar
    dataset.BitsAllocated, dataset.BitsStored, dataset.HighBit, dataset.PixelRepresentation = 8, 8, 7, 0
    dataset.LossyImageCompression = "01" if encoding.transfer_syntax == JPEGBaseline8Bit else "00"
    if encoding.photometric == "PALETTE COLOR":
        _add_palette(dataset, frames)
    if encoding.transfer_syntax == JPEGBaseline8Bit:
        _store_jpeg(dataset, pixels)
    elif encoding.transfer_syntax == RLELossless:
        _store_raw(dataset, pixels, planar=0)
        dataset.compress(RLELossless, encoding_plugin="pylibjpeg", generate_instance_uid=False)
        if encoding.planar is not None:
            dataset.PlanarConfiguration = encoding.planar
    else:
        _store_raw(dataset, pixels, planar=encoding.planar or 0)


def _samples(frames: Frames, encoding: Encoding) -> Bytes:
    """(frames, H, W) for one sample per pixel, (frames, H, W, 3) for three."""
    drawn = frames.layer > 0
    if encoding.photometric == "PALETTE COLOR":
        index = np.minimum(frames.grey, ANNOTATION_START - 1)
        return np.where(drawn, frames.layer + np.uint8(ANNOTATION_START), index)
    if encoding.photometric == "MONOCHROME2":
        tones = np.array([round(sum(colour) / 3) for colour in COLOURS], np.uint8)
        return np.where(drawn, tones[frames.layer], frames.grey)
    colours = np.array(COLOURS, np.uint8)[frames.layer]
    return np.where(drawn[..., None], colours, _ramp(frames.tint)[frames.grey])


def _ramp(tint: tuple[float, float, float]) -> Bytes:
    """The tissue's colour map, (256, 3)."""
    return np.rint(np.arange(256)[:, None] * np.asarray(tint)).astype(np.uint8)


def _add_palette(dataset: Dataset, frames: Frames) -> None:
    """Palette Color Lookup Tables (C.7.6.3.1.5, C.7.6.3.1.6): 256 entries of 16 bits."""
    table = _ramp(frames.tint)
    table[ANNOTATION_START:] = COLOURS
    for name, column in zip(("Red", "Green", "Blue"), table.T, strict=True):
        setattr(dataset, f"{name}PaletteColorLookupTableDescriptor", [256, 0, 16])
        setattr(dataset, f"{name}PaletteColorLookupTableData", (column.astype("<u2") * 257).tobytes())


def _store_raw(dataset: Dataset, pixels: Bytes, *, planar: int) -> None:
    stored = np.moveaxis(pixels, -1, 1) if planar == 1 else pixels
    if pixels.ndim == 4:
        dataset.PlanarConfiguration = planar
    data = stored.tobytes()
    dataset.PixelData = data + b"\0" * (len(data) % 2)
    dataset["PixelData"].VR = "OB"


def _store_jpeg(dataset: Dataset, pixels: Bytes) -> None:
    """JPEG baseline with halved chroma columns, one fragment per frame (PS3.5 8.2.1, A.4)."""
    parts = []
    for frame in pixels:
        buffer = BytesIO()
        Image.fromarray(frame).save(buffer, "JPEG", quality=JPEG_QUALITY, subsampling="4:2:2")
        parts.append(buffer.getvalue())
    dataset.PixelData = encapsulate(parts)
    dataset.file_meta.TransferSyntaxUID = JPEGBaseline8Bit
    dataset["PixelData"].VR = "OB"
    dataset["PixelData"].is_undefined_length = True
    dataset.LossyImageCompressionMethod = "ISO_10918_1"
    dataset.LossyImageCompressionRatio = round(pixels.nbytes / sum(map(len, parts)), 2)
