"""DICOM RT Structure Sets: the contours of a volume's label map, for radiotherapy planning and its
viewers."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from pydicom import Dataset
from pydicom.uid import ImplicitVRLittleEndian, RTStructureSetStorage

from pyraseg.pipeline.writers.dicom.object import (
    LONG_STRING,
    SHORT_STRING,
    Identity,
    WrittenObject,
    code_item,
    cut,
    new_object,
    save,
)
from pyraseg.pipeline.writers.dicom.planes import NO_FRAME, frame_of_reference
from pyraseg.pipeline.writers.dicom.rtstruct_contours import contour_items, image_item
from pyraseg.pipeline.writers.dicom.source import SourceHeader, add_uid, derive_uid, read_source
from pyraseg.pipeline.writers.prediction import Algorithm
from pyraseg.transforms.dicom.series.source_series import SourceSeries
from pyraseg.transforms.errors import GeometryError, LabelError
from pyraseg.transforms.records import Segment

__all__ = ["write_rtstruct"]

FIRST_SERIES_NUMBER = 3000
STUDY = "1.2.840.10008.3.1.2.3.1"  # Detached Study Management, retired, which RT Referenced Study has kept
ANATOMY = ("91723000", "SCT")
DESCRIPTION = "Made by an algorithm, not for diagnosis, not approved for treatment"


def write_rtstruct(
    path: str | Path,
    labels: np.ndarray,
    series: SourceSeries,
    *,
    segments: Sequence[Segment],
    algorithm: Algorithm,
    salt: str = "",
    header: SourceHeader | None = None,
) -> WrittenObject:
    """Write the label map of a volume as one RT Structure Set: a region of interest for each class, a contour
    for each part of it on each slice.

    Reading it back (`pyraseg.transforms.dicom.labels.rtstruct_mask`) gives the label map bit for bit, on
    oblique grids too. Contours are `pyraseg.transforms.dicom.labels.contours.trace_mask`'s: midway between
    the pixels, so they need no agreement on the pixels that an edge passes. A part with holes is one contour
    with keyholes, CLOSED_PLANAR: that is in every edition of the standard and right in readers that fill each
    contour and in those that combine them by exclusive or, whereas a hole as a contour of its own is filled
    by the former, and the type CLOSEDPLANAR_XOR is unknown to those from before 2020. A class that is nowhere
    in the volume is a region without contours.

    Patient and study are the source's, repaired (`read_source`); every contour names its image; the
    structures are UNAPPROVED. A repeated run gives the same UIDs. Implicit VR, in which a contour may be
    longer than 64 KiB.

    Args:
        labels: (columns, rows, slices), class values, on the grid of the series.
        segments: the classes in the order of their values, background first.
        salt: as `pyraseg.pipeline.writers.prediction.Prediction` has it.
        header: that of the first slice, where it has been read.

    Raises:
        GeometryError: labels of another shape than the series.
        LabelError: a label without a segment.
        InputError: the source's header lacks what results are filed by.
        OutputError: the file cannot be written.
    """
    _check(labels, series, segments)
    header = header or read_source(series.slices[0])
    identity = _identity(header, series, algorithm, salt)
    dataset = new_object(header, identity, algorithm, sop_class_uid=RTStructureSetStorage)
    _add_structure_set(dataset, header, algorithm)
    _add_references(dataset, header, series, frame_of_reference(header, series))
    _add_regions(dataset, labels, series, segments=segments, algorithm=algorithm)
    return WrittenObject(
        path=save(dataset, path, syntax=ImplicitVRLittleEndian),
        sop_class_uid=RTStructureSetStorage,
        sop_instance_uid=identity.sop_instance_uid,
        series_instance_uid=identity.series_instance_uid,
        notes=header.notes if series.frame_of_reference_uid else (*header.notes, NO_FRAME),
    )


def _check(labels: np.ndarray, series: SourceSeries, segments: Sequence[Segment]) -> None:
    if labels.shape != series.grid.shape:
        remedy = "Restore the label map to its source's grid first."
        raise GeometryError(
            f"labels {series.grid.shape}, as the source", found=f"{labels.shape}", remedy=remedy
        )
    known = {0, *(segment.value for segment in segments)}
    if strange := sorted({int(value) for plane in labels.T for value in np.unique(plane)} - known):
        remedy = "Give every class of the network a segment."
        raise LabelError("labels with a segment", found=f"{strange[0]}", remedy=remedy)


def _identity(header: SourceHeader, series: SourceSeries, algorithm: Algorithm, salt: str) -> Identity:
    """One structure set for each source series, in a series of its own."""
    result = (header.identity.SeriesInstanceUID, series.slices[0].sop_instance_uid, algorithm.weights, salt)
    what = " structures, not for diagnosis"
    return Identity(
        sop_instance_uid=derive_uid(*result, "structures", "instance"),
        series_instance_uid=derive_uid(*result, "structures", "series"),
        series_number=FIRST_SERIES_NUMBER + header.series_number,
        instance_number=1,
        description=algorithm.bundle[: LONG_STRING - len(what)] + what,
    )


def _add_structure_set(dataset: Dataset, header: SourceHeader, algorithm: Algorithm) -> None:
    """RT Series, Structure Set and Approval (PS3.3 C.8.8.1, C.8.8.5, C.8.8.16)."""
    dataset.Modality = "RTSTRUCT"
    dataset.OperatorsName = None
    dataset.StructureSetLabel = algorithm.bundle[:SHORT_STRING].strip()
    dataset.StructureSetName = cut(algorithm.name)
    dataset.StructureSetDescription = DESCRIPTION
    dataset.StructureSetDate, dataset.StructureSetTime = dataset.ContentDate, dataset.ContentTime
    del dataset.ContentDate, dataset.ContentTime
    dataset.ApprovalStatus = "UNAPPROVED"


def _add_references(dataset: Dataset, header: SourceHeader, series: SourceSeries, frame_uid: str) -> None:
    """Frame of Reference, and every image of the series (PS3.3 C.7.4.1, C.8.8.5)."""
    images, study, frame = Dataset(), Dataset(), Dataset()
    add_uid(images, "SeriesInstanceUID", header.identity.SeriesInstanceUID)
    images.ContourImageSequence = [image_item(series, index) for index in range(len(series.slices))]
    study.ReferencedSOPClassUID = STUDY
    add_uid(study, "ReferencedSOPInstanceUID", header.identity.StudyInstanceUID)
    study.RTReferencedSeriesSequence = [images]
    frame.RTReferencedStudySequence = [study]
    for item in (dataset, frame):
        add_uid(item, "FrameOfReferenceUID", frame_uid)
    dataset.PositionReferenceIndicator = None
    dataset.ReferencedFrameOfReferenceSequence = [frame]


def _add_regions(
    dataset: Dataset,
    labels: np.ndarray,
    series: SourceSeries,
    *,
    segments: Sequence[Segment],
    algorithm: Algorithm,
) -> None:
    """ROI Number is the class's value."""
    classes = [segment for segment in segments if segment.value]
    contours = contour_items(labels, series, [segment.value for segment in classes])
    uid = dataset.FrameOfReferenceUID
    dataset.StructureSetROISequence = [_region(segment, algorithm, uid) for segment in classes]
    dataset.ROIContourSequence = [_drawing(segment, contours[segment.value]) for segment in classes]
    dataset.RTROIObservationsSequence = [_observation(segment) for segment in classes]


def _region(segment: Segment, algorithm: Algorithm, frame_of_reference: str) -> Dataset:
    item = Dataset()
    item.ROINumber = segment.value
    add_uid(item, "ReferencedFrameOfReferenceUID", frame_of_reference)
    item.ROIName = cut(segment.name)
    item.ROIGenerationAlgorithm = "AUTOMATIC"
    item.ROIGenerationDescription = cut(f"{algorithm.name} {algorithm.version}")
    return item


def _drawing(segment: Segment, contours: list[Dataset]) -> Dataset:
    item = Dataset()
    item.ROIDisplayColor = list(segment.colour)
    if contours:
        item.ContourSequence = contours
    item.ReferencedROINumber = segment.value
    return item


def _observation(segment: Segment) -> Dataset:
    """RT ROI Observations (PS3.3 C.8.8.8): the segment's codes. Type and interpreter are of type 2."""
    item = Dataset()
    item.ObservationNumber = item.ReferencedROINumber = segment.value
    if segment.category:
        item.SegmentedPropertyCategoryCodeSequence = [code_item(segment.category)]
    if segment.type:
        item.RTROIIdentificationCodeSequence = [code_item(segment.type)]
    anatomy = segment.category is not None and (segment.category.value, segment.category.scheme) == ANATOMY
    item.RTROIInterpretedType = "ORGAN" if anatomy else ""
    item.ROIInterpreter = None
    return item
