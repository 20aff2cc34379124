"""The planes of a CT, MR or PET file by its header: one, or one for each frame of an enhanced file."""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import Any

from pydicom import Dataset
from pydicom.datadict import keyword_for_tag

from pyraseg.transforms.dicom.files.header import TAGS, ImageHeader, ParsedFile, image_header
from pyraseg.transforms.dicom.files.values import (
    BrokenFile,
    attribute,
    first_item,
    foreign,
    items,
    number,
    numbers,
    readable,
    stated,
    text,
    texts,
)
from pyraseg.transforms.errors import InputError
from pyraseg.transforms.geometry.grid import Vector

__all__ = [
    "PASSING",
    "PET_TAGS",
    "TELLING",
    "TELLING_TAGS",
    "UNSHOWN",
    "VOLUME_TAGS",
    "PlaneHeader",
    "ValueMapping",
    "plane_headers",
]

# What tells stacks at the same position apart, in the order of trial, with names for messages.
TELLING = {
    "TemporalPositionIndex": "time point",
    "TemporalPositionIdentifier": "time point",
    "NominalPercentageOfCardiacPhase": "cardiac phase (%)",
    "NominalPercentageOfRespiratoryPhase": "respiratory phase (%)",
    "EffectiveEchoTime": "echo time",
    "EchoTime": "echo time",
    "EchoNumbers": "echo",
    "DiffusionBValue": "b-value",
    "DiffusionDirectionality": "diffusion",
    "DiffusionGradientOrientation": "gradient direction",
    "ComplexImageComponent": "complex component",
    "FrameType": "frame type",
    "ImageType": "image type",
    "InversionTimes": "inversion time",
    "InversionTime": "inversion time",
    "FlipAngle": "flip angle",
    "RepetitionTime": "repetition time",
    "KVP": "tube voltage",
    "ConvolutionKernel": "convolution kernel",
    "SliceThickness": "slice thickness",
    "RescaleType": "rescale type",
    "ASLContext": "labelling",
    "NominalCardiacTriggerDelayTime": "trigger delay",
    "ActualCardiacTriggerDelayTime": "trigger delay",
    "TriggerTime": "trigger time",
    "TemporalPositionTimeOffset": "time of the position",
    "FrameReferenceTime": "frame reference time",
    "ContrastBolusAgent": "contrast agent",
    "SequenceName": "sequence name",
    "FrameAcquisitionNumber": "acquisition number",
    "AcquisitionNumber": "acquisition number",
    "StackID": "stack",
    "FrameAcquisitionDateTime": "acquisition time",
    "AcquisitionTime": "acquisition time",
    "ContentTime": "content time",
}
# Of these a message gives the order, no value: times of the day, and text that is not a code
UNSHOWN = frozenset({"ContrastBolusAgent", "FrameAcquisitionDateTime", "AcquisitionTime", "ContentTime"})
# These may go on from slice to slice: where no attribute has one value for a stack, their order at each place
PASSING = (
    "ActualCardiacTriggerDelayTime", "TriggerTime", "FrameReferenceTime", "AcquisitionNumber",
    "FrameAcquisitionDateTime", "AcquisitionTime", "ContentTime",
)  # fmt: skip
# The functional groups of enhanced images with these attributes (PS3.3 C.7.6.16.2), the converted ones first
MACROS = (
    "UnassignedSharedConvertedAttributesSequence", "UnassignedPerFrameConvertedAttributesSequence",
    "PlanePositionSequence", "PlaneOrientationSequence", "PixelMeasuresSequence",
    "PixelValueTransformationSequence", "FrameContentSequence", "MREchoSequence", "MRDiffusionSequence",
    "DiffusionGradientDirectionSequence", "MRModifierSequence", "MRTimingAndRelatedParametersSequence",
    "MRArterialSpinLabelingSequence", "CardiacSynchronizationSequence", "RespiratorySynchronizationSequence",
    "TemporalPositionSequence", "CTReconstructionSequence", "CTXRayDetailsSequence",
    "MRImageFrameTypeSequence", "CTImageFrameTypeSequence", "PETFrameTypeSequence",
)  # fmt: skip
MAPPING = "RealWorldValueMappingSequence"
PET_TAGS = (
    "Units", "SUVType", "DecayCorrection", "DecayCorrected", "DecayCorrectionDateTime",
    "AttenuationCorrected", "CorrectedImage", "PatientWeight", "RadiopharmaceuticalInformationSequence",
    "SeriesDate", "SeriesTime", "AcquisitionDate", "AcquisitionTime", "AcquisitionDateTime",
    "TimezoneOffsetFromUTC", "FrameReferenceTime", "ActualFrameDuration", "NumberOfSlices",
)  # fmt: skip
VOLUME_TAGS = (
    *TAGS, *PET_TAGS, MAPPING,
    "ImagePositionPatient", "ImageOrientationPatient", "SliceThickness", "SpacingBetweenSlices",
    "FrameOfReferenceUID", "SeriesNumber", "RescaleSlope", "RescaleIntercept", "RescaleType",
    "PixelPaddingValue", "PixelPaddingRangeLimit",
    "SharedFunctionalGroupsSequence", "PerFrameFunctionalGroupsSequence",
)  # fmt: skip

# To be read as stored: what only tells stacks apart makes no file a broken one
TELLING_TAGS = tuple(name for name in TELLING if name not in VOLUME_TAGS)


@dataclass(frozen=True)
class ValueMapping:
    """One item of the Real World Value Mapping Sequence (PS3.3 C.7.6.16.2.11.1).

    Attributes:
        slope, intercept: of the line on stored values; None where the item has a table instead.
        unit: the code value of its Measurement Units, in UCUM.
    """

    slope: float | None
    intercept: float | None
    unit: str


@dataclass(frozen=True)
class PlaneHeader:
    """One plane of a volume: its position and the meaning of its stored values; nothing identifies a patient.

    Attributes:
        image: the pixels of its file, shared by the frames of a file.
        frame_index: from 0.
        position: LPS mm of the centre of its first pixel; None where it is not stated.
        orientation: direction cosines along increasing column, then row index; None where not stated.
        pixel_spacing: mm between rows, between columns; None where it is not stated.
        thickness: mm, Slice Thickness.
        slope, intercept, rescale_type: the Modality LUT as far as stated.
        padding: the lowest and highest stored value of pixels outside the reconstruction; or None.
        mappings: its real world value mappings.
        image_type: (0008,0008), or the frame's type.
        telling: (name, value) of attributes that may tell it from another plane at the same position.
    """

    image: ImageHeader
    frame_index: int
    position: Vector | None
    orientation: tuple[float, ...] | None
    pixel_spacing: tuple[float, float] | None
    thickness: float | None
    slope: float | None
    intercept: float | None
    rescale_type: str
    padding: tuple[int, int] | None
    mappings: tuple[ValueMapping, ...]
    image_type: tuple[str, ...]
    telling: tuple[tuple[str, str], ...]


def plane_headers(parsed: ParsedFile) -> list[PlaneHeader]:
    """The planes of a file that was parsed with `VOLUME_TAGS`, and `TELLING_TAGS` as ``raw``.

    Raises:
        InputError: it has no pixels, or its header is broken.
    """
    kept = Dataset()  # the attributes that decoding needs
    for name in ("ExtendedOffsetTable", "ExtendedOffsetTableLengths"):
        if name in parsed.dataset:
            kept[name] = parsed.dataset[name]
    image = replace(image_header(parsed), dataset=kept, of_volume=True)
    found, remedy = "ones that are broken", "Export the file again."
    with readable("readable attributes of a plane", path=parsed.path, found=found, remedy=remedy):
        values = _frame_values({**_readable(parsed.raw), **parsed.values}, image)
        return [_plane(image, index, frame) for index, frame in enumerate(values)]


def _readable(raw: Dataset) -> dict[str, Any]:
    """The values of `TELLING_TAGS` that can be read."""
    values: dict[str, Any] = {}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # pydicom's warnings quote values
        for name in map(keyword_for_tag, raw.keys()):
            if name in TELLING:
                with suppress(BrokenFile):
                    values[name] = stated(raw, name)
    return values


def _frame_values(values: Mapping[str, Any], image: ImageHeader) -> Iterator[Mapping[str, Any]]:
    """The attributes of each frame: from the data set, the shared functional groups, and its own."""
    shared = items(values, "SharedFunctionalGroupsSequence")
    own = items(values, "PerFrameFunctionalGroupsSequence")
    if not shared and not own and image.number_of_frames == 1:
        yield values
        return
    if len(own) != image.number_of_frames:
        raise InputError(
            f"functional groups for each of {image.number_of_frames} frames",
            found=f"{len(own)} of them",
            remedy="Export the file again as an enhanced multi-frame image, or as single slices.",
            path=image.path,
        )
    general = dict(values) | (_flat(shared[0]) if shared else {})
    yield from (general | _flat(item) for item in own)


def _flat(groups: Dataset) -> dict[str, Any]:
    flat: dict[str, Any] = {}
    for name in MACROS:
        with foreign():  # a sequence of a sequence is among what was flattened before it
            item = first_item(groups, name) or first_item(flat, name)
            flat |= {element.keyword: element.value for element in item}
    if mapping := stated(groups, MAPPING):
        flat[MAPPING] = mapping
    return flat


def _plane(image: ImageHeader, index: int, values: Mapping[str, Any]) -> PlaneHeader:
    spacing, position = numbers(values, "PixelSpacing", 2), numbers(values, "ImagePositionPatient", 3)
    image_type = texts(values, "FrameType") or texts(values, "ImageType")
    return PlaneHeader(
        image=image,
        frame_index=index,
        position=None if position is None else (position[0], position[1], position[2]),
        orientation=numbers(values, "ImageOrientationPatient", 6),
        pixel_spacing=None if spacing is None else (spacing[0], spacing[1]),
        thickness=number(values, "SliceThickness"),
        slope=number(values, "RescaleSlope"),
        intercept=number(values, "RescaleIntercept"),
        rescale_type=text(values, "RescaleType"),
        padding=_padding(values, image),
        mappings=tuple(
            ValueMapping(
                slope=number(item, "RealWorldValueSlope"),
                intercept=number(item, "RealWorldValueIntercept"),
                unit=text(first_item(item, "MeasurementUnitsCodeSequence"), "CodeValue"),
            )
            for item in items(values, MAPPING)
        ),
        image_type=tuple(part.upper() for part in image_type),
        telling=tuple(
            (name, _telling(values, name)) for name in TELLING if values.get(name) not in (None, "")
        ),
    )


def _telling(values: Mapping[str, Any], name: str) -> str:
    value = stated(values, name)
    if name == "FrameAcquisitionDateTime":
        return str(value)[8:]  # no date is kept
    if isinstance(value, str | int | float):
        return str(value)
    return "\\".join(part.upper() for part in texts(values, name))


def _padding(values: Mapping[str, Any], image: ImageHeader) -> tuple[int, int] | None:
    """As stored values; the two may be written as unsigned beside signed pixels, and vice versa."""
    first, last = number(values, "PixelPaddingValue"), number(values, "PixelPaddingRangeLimit")
    if first is None:
        return None
    size = 2**image.bits_allocated
    lowest = -size // 2 if image.pixel_representation else 0
    ends = [first, first if last is None else last]
    if not all(map(float.is_integer, ends)):  # nor is infinity one
        raise BrokenFile(f"{attribute('PixelPaddingValue')} that is no whole number")
    low, high = sorted((int(value) - lowest) % size + lowest for value in ends)
    return low, high
