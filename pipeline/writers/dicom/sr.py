"""DICOM structured reports of measured quantities, by TID 1500."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from highdicom.sr import (
    AlgorithmIdentification,
    CodedConcept,
    DeviceObserverIdentifyingAttributes,
    FindingSite,
    ImageRegion,
    Measurement,
    MeasurementReport,
    MeasurementsAndQualitativeEvaluations,
    ObservationContext,
    ObserverContext,
    PlanarROIMeasurementsAndQualitativeEvaluations,
    ReferencedSegment,
    ReferencedSegmentationFrame,
    SourceImageForMeasurementGroup,
    SourceImageForRegion,
    SourceImageForSegmentation,
    SourceSeriesForSegmentation,
    TextContentItem,
    TrackingIdentifier,
    VolumetricROIMeasurementsAndQualitativeEvaluations,
)
from pydicom import Dataset
from pydicom.uid import Comprehensive3DSRStorage

from pyraseg.pipeline.writers.dicom.object import (
    MANUFACTURER,
    WrittenObject,
    cut,
    image_items,
    make_item,
    new_object,
    save,
    uid_item,
)
from pyraseg.pipeline.writers.dicom.segments import (
    ARTIFICIAL_INTELLIGENCE,
    GENERIC,
    foreground,
    tracking_uid,
    uncoded,
)
from pyraseg.pipeline.writers.dicom.source import (
    SourceHeader,
    check_images,
    derive_uid,
    frame_reference,
    read_source,
    unquoted,
)
from pyraseg.pipeline.writers.dicom.sr_quantities import (
    PRIVATE_SCHEME,
    concept,
    coordinates,
    image_library,
    measurement,
    outline,
)
from pyraseg.pipeline.writers.prediction import Prediction, Replaced
from pyraseg.transforms.errors import GeometryError
from pyraseg.transforms.records import Segment

__all__ = ["write_sr"]

PROCEDURES = {
    "US": ("16310003", "SCT", "Diagnostic ultrasonography"),
    "CT": ("77477000", "SCT", "Computed tomography"),
    "MR": ("113091000", "SCT", "Magnetic resonance imaging"),
    "PT": ("82918005", "SCT", "Positron emission tomography"),
}
IMAGING = ("363679005", "SCT", "Imaging procedure")
ANATOMY = ("91723000", "123037004")  # SCT: Anatomical Structure, Body Structure
IMAGING_MEASUREMENTS = "126010"  # DCM
NOT_FOR_DIAGNOSIS = "Not for diagnosis: made by an algorithm for research, verified by nobody."


def write_sr(
    path: str | Path,
    prediction: Prediction,
    *,
    seg: WrittenObject | None,
    header: SourceHeader | None = None,
) -> WrittenObject:
    """Write a Comprehensive 3D SR with the quantities of the key frame, or of a volume.

    It is complete, preliminary and unverified, and says that it is not for diagnosis. A segment in the frame
    has a group by TID 1410 with its own quantities, a segment in a volume a group by TID 1411; quantities of
    several segments have a group by TID 1501 (`_measurement_groups`). Comments at the end, which TID 1500
    allows as extensions, say what a reader must know (`_remarks`). Absent quantities are left out.

    Args:
        seg: the segmentation that the groups refer to; without one they are by TID 1501, on the source.
        header: the source's, where it has been read.

    Raises:
        GeometryError: the label map has no such key frame.
        InputError: the source's header lacks what results are filed by.
        OutputError: the file cannot be written.

    >>> import tempfile
    >>> import numpy as np
    >>> from pydicom import dcmread
    >>> from pydicom.data import get_testdata_file
    >>> from pyraseg.pipeline.writers import Algorithm, Prediction, write_sr
    >>> from pyraseg.transforms.records import Quantity
    >>> path, lesion = get_testdata_file("CT_small.dcm"), np.ones((128, 128), np.uint8)
    >>> measured = {"quantities": (Quantity("lesion_area", 12.5, "mm2", segments=("lesion",)),)}
    >>> network = Algorithm("my network")
    >>> prediction = Prediction.of_file(path, lesion, ["lesion"], algorithm=network, **measured)
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     written = write_sr(f"{folder}/sr.dcm", prediction, seg=None)
    ...     dcmread(written.path).Modality
    'SR'
    """
    if not 0 <= prediction.key_frame < len(prediction.labels):
        found, remedy = f"{prediction.key_frame}", "Count frames from 0."
        raise GeometryError(f"a key frame from 0 to {len(prediction.labels) - 1}", found=found, remedy=remedy)
    header = header or read_source(prediction.source)
    check_images(prediction.images)
    dataset, earlier = new_object(
        header,
        prediction.algorithm,
        kind="SR",
        sop_class_uid=Comprehensive3DSRStorage,
        salt=prediction.salt,
        replaced=prediction.replaced,
    )
    _add_document(dataset, header, prediction, seg)
    if earlier:
        dataset.PredecessorDocumentsSequence = [_evidence(header, [_series_item(earlier)])]
    with unquoted(prediction.source.sop_instance_uid):
        dataset.update(_content(header, prediction, seg))
    if schemes := _private_schemes(dataset):
        dataset.CodingSchemeIdentificationSequence = schemes
    return save(dataset, path, notes=header.notes + uncoded(prediction))


def _add_document(
    dataset: Dataset, header: SourceHeader, prediction: Prediction, seg: WrittenObject | None
) -> None:
    """SR Document Series and SR Document General (PS3.3 C.17.1, C.17.2).

    highdicom's class for documents would quote unusual patients' names in warnings, and takes 25 ms.
    """
    dataset.Modality = "SR"
    dataset.CompletionFlag = "COMPLETE"
    dataset.PreliminaryFlag = "PRELIMINARY"
    dataset.VerificationFlag = "UNVERIFIED"
    dataset.ReferencedPerformedProcedureStepSequence = []
    dataset.PerformedProcedureCodeSequence = []
    series = uid_item(SeriesInstanceUID=header.identity.SeriesInstanceUID)
    series.ReferencedSOPSequence = image_items(prediction.images)
    used = [series] if seg is None else [series, _series_item(seg)]
    dataset.CurrentRequestedProcedureEvidenceSequence = [_evidence(header, used)]


def _evidence(header: SourceHeader, series: list[Dataset]) -> Dataset:
    """Hierarchical SOP Instance Reference (PS3.3 C.17.2.1) within the source's study."""
    evidence = uid_item(StudyInstanceUID=header.identity.StudyInstanceUID)
    evidence.ReferencedSeriesSequence = series
    return evidence


def _series_item(written: WrittenObject | Replaced) -> Dataset:
    instance = make_item(
        ReferencedSOPClassUID=written.sop_class_uid, ReferencedSOPInstanceUID=written.sop_instance_uid
    )
    return make_item(SeriesInstanceUID=written.series_instance_uid, ReferencedSOPSequence=[instance])


def _content(header: SourceHeader, prediction: Prediction, seg: WrittenObject | None) -> Dataset:
    """SR Document Content (PS3.3 C.17.3): the root container and its content."""
    algorithm = prediction.algorithm
    device = DeviceObserverIdentifyingAttributes(
        uid=derive_uid(algorithm.bundle, algorithm.version, algorithm.weights, "device"),
        name=cut(algorithm.bundle),
        manufacturer_name=MANUFACTURER,
        model_name=cut(algorithm.name),
        serial_number=cut(algorithm.weights),
    )
    observer = ObserverContext(CodedConcept("121007", "DCM", "Device"), device)
    report = MeasurementReport(
        observation_context=ObservationContext(observer_device_context=observer),
        procedure_reported=CodedConcept(*PROCEDURES.get(prediction.source.modality, IMAGING)),
        imaging_measurements=_measurement_groups(header, prediction, seg),
    )
    measured = [item.ConceptNameCodeSequence[0].CodeValue for item in report[0].ContentSequence]
    library = image_library(prediction.images)
    report[0].ContentSequence.insert(measured.index(IMAGING_MEASUREMENTS), library)
    for text in _remarks(prediction):
        comment = CodedConcept("121106", "DCM", "Comment")
        report[0].ContentSequence.append(TextContentItem(comment, text, relationship_type="CONTAINS"))
    return report[0]


def _private_schemes(dataset: Dataset) -> list[Dataset]:
    """Coding Scheme Identification (PS3.3 C.12.1.1.4) for the private schemes in the content."""
    schemes = {str(item.value) for item in dataset.iterall() if item.keyword == "CodingSchemeDesignator"}
    names = {PRIVATE_SCHEME: "Quantities of hydronephrosis"}
    return [
        make_item(
            CodingSchemeDesignator=scheme,
            CodingSchemeName=names.get(scheme, "Private to the bundle"),
            CodingSchemeResponsibleOrganization=MANUFACTURER,
        )
        for scheme in sorted(schemes)
        if scheme.startswith("99")
    ]


def _remarks(prediction: Prediction) -> list[str]:
    """Not for diagnosis; the key frame and its rule; what was not found; the prediction's remarks."""
    texts, frames = [NOT_FOR_DIAGNOSIS], len(prediction.labels)
    image = "frame" if prediction.series is None else "volume"
    if frames > 1 and prediction.series is None:
        rule = f", chosen by this rule: {prediction.key_frame_rule}" if prediction.key_frame_rule else ""
        texts.append(f"Measured on frame {prediction.key_frame + 1} of {frames}{rule}.")
    present = _present(prediction)
    if absent := [segment.name for segment in foreground(prediction) if segment not in present]:
        texts.append(f"Not found in this {image}: {', '.join(absent)}.")
    if prediction.spacing_mm is None:
        texts.append("The image is not calibrated: there are no lengths and no areas.")
    return [*texts, *prediction.remarks]


def _measurement_groups(header: SourceHeader, prediction: Prediction, seg: WrittenObject | None) -> list[Any]:
    """The groups under Imaging Measurements (PS3.16 TID 1500).

    A quantity of one segment is in the segment's group, by TID 1410, in a volume by TID 1411. A quantity of
    several segments, such as the ratio of fluid to parenchyma, has no single region, and a planar group
    refers to one region only. So each set of segments has its own group by TID 1501, with the source
    frame as its source and the anatomical segments as finding sites. Where nothing was found there is one
    such group, with zeros or empty, because the template requires a group.
    """
    maker = prediction.algorithm
    algorithm = AlgorithmIdentification(
        name=maker.name,
        version=maker.version,
        parameters=maker.parameters,
        family=concept(ARTIFICIAL_INTELLIGENCE),
        manufacturer=MANUFACTURER,
    )
    present = _present(prediction)
    groups = [_segment_group(header, prediction, segment, seg, algorithm) for segment in present]
    if seg is not None:
        outlines = [_outline_group(header, prediction, segment, algorithm) for segment in present]
        groups = [*filter(None, outlines), *groups]
    shared = (q for q in prediction.quantities if q.value is not None and len(q.segments) != 1)
    sets = dict.fromkeys(quantity.segments for quantity in shared)
    groups += [_shared_group(header, prediction, names, algorithm) for names in sets]
    everything = tuple(segment.name for segment in foreground(prediction))
    return groups or [_shared_group(header, prediction, everything, algorithm)]


def _present(prediction: Prediction) -> list[Segment]:
    frames = prediction.labels if prediction.series else prediction.labels[prediction.key_frame]
    return [segment for segment in foreground(prediction) if (frames == segment.value).any()]


def _segment_group(
    header: SourceHeader, prediction: Prediction, segment: Segment, seg: WrittenObject | None, algorithm: Any
) -> Any:
    content = {
        "tracking_identifier": _tracking(prediction, segment.name),
        "finding_type": concept(segment.type or GENERIC),
        "finding_category": concept(segment.category or GENERIC),
        "algorithm_id": algorithm,
        "measurements": _measurements(header, prediction, (segment.name,), inferred=seg is None),
    }
    if seg is None:
        images = _sources(header, prediction, (segment.name,))
        return MeasurementsAndQualitativeEvaluations(**content, source_images=images)
    if prediction.series is not None:
        series = SourceSeriesForSegmentation(header.identity.SeriesInstanceUID)
        reference = ReferencedSegment(
            seg.sop_class_uid, seg.sop_instance_uid, segment.value, source_series=series
        )
        return VolumetricROIMeasurementsAndQualitativeEvaluations(**content, referenced_segment=reference)
    return PlanarROIMeasurementsAndQualitativeEvaluations(
        **content, referenced_segment=_segmentation_frame(header, prediction, segment, seg)
    )


def _outline_group(header: SourceHeader, prediction: Prediction, segment: Segment, algorithm: Any) -> Any:
    """A segment's outline (TID 1410), in a volume in its largest slice: OHIF shows only what has coordinates.

    It joins groups of one tracking UID. Those with a segmentation (TID 1410, 1411) take no coordinates.
    """
    frame = prediction.key_frame
    if prediction.series is not None:
        frame = int(np.argmax([np.count_nonzero(plane == segment.value) for plane in prediction.labels]))
    points = outline(prediction.labels[frame] == segment.value)
    if points is None:
        return None
    image = SourceImageForRegion(*_source_arguments(header, prediction, frame))
    try:
        region = ImageRegion("POLYLINE", points, image)
    except KeyError:  # highdicom does not know retired classes of images
        return None
    return PlanarROIMeasurementsAndQualitativeEvaluations(
        tracking_identifier=_tracking(prediction, segment.name),
        referenced_region=region,
        finding_type=concept(segment.type or GENERIC),
        finding_category=concept(segment.category or GENERIC),
        algorithm_id=algorithm,
    )


def _shared_group(
    header: SourceHeader, prediction: Prediction, names: tuple[str, ...], algorithm: Any
) -> Any:
    segments = [segment for segment in foreground(prediction) if segment.name in names]
    sites = [s.type for s in segments if s.type and s.category and s.category.value in ANATOMY]
    return MeasurementsAndQualitativeEvaluations(
        tracking_identifier=_tracking(prediction, " and ".join(names) or "image"),
        finding_sites=[FindingSite(concept(site)) for site in sites] or None,
        algorithm_id=algorithm,
        measurements=_measurements(header, prediction, names, inferred=True),
        source_images=_sources(header, prediction, names),
    )


def _segmentation_frame(
    header: SourceHeader, prediction: Prediction, segment: Segment, seg: WrittenObject
) -> Any:
    """Referenced Segmentation Frame, and its source image.

    The reference is by frame alone: PS3.3 Table 10-3 allows Referenced Segment Number only without a frame
    number, and highdicom writes both. In a label map the tracking UID tells the segment.
    """
    source = SourceImageForSegmentation(*_source_arguments(header, prediction))
    number = seg.frame_numbers[segment.name][prediction.key_frame]
    reference = ReferencedSegmentationFrame(
        seg.sop_class_uid, seg.sop_instance_uid, number, segment.value, source_image=source
    )
    del reference[0].ReferencedSOPSequence[0].ReferencedSegmentNumber
    return reference


def _sources(header: SourceHeader, prediction: Prediction, names: Sequence[str]) -> list[Any]:
    """The images of a group: the key frame; of a volume the slices with the segments, or else all."""
    if prediction.series is None:
        return [SourceImageForMeasurementGroup(*_source_arguments(header, prediction))]
    values = [segment.value for segment in foreground(prediction) if segment.name in names]
    held = [frame for frame, labels in enumerate(prediction.labels) if np.isin(labels, values).any()]
    images: dict[tuple[str, str], list[int]] = {}
    for frame in held or range(len(prediction.labels)):
        image, index = prediction.image_of(frame)
        numbers = images.setdefault((image.sop_class_uid, image.sop_instance_uid), [])
        if (number := frame_reference(header, index)) is not None:
            numbers.append(number)
    return [SourceImageForMeasurementGroup(*uids, numbers or None) for uids, numbers in images.items()]


def _source_arguments(
    header: SourceHeader, prediction: Prediction, frame: int | None = None
) -> tuple[str, str, Sequence[int] | None]:
    """The image of a frame, by default of the key frame."""
    source, index = prediction.image_of(prediction.key_frame if frame is None else frame)
    number = frame_reference(header, index)
    return source.sop_class_uid, source.sop_instance_uid, None if number is None else [number]


def _measurements(
    header: SourceHeader, prediction: Prediction, names: tuple[str, ...], *, inferred: bool
) -> list[Measurement]:
    """The quantities of a set of segments.

    Args:
        inferred: state the coordinates of those in a frame. TID 1410 states the region for all of them.
    """
    image, mask = SourceImageForRegion(*_source_arguments(header, prediction)), _mask(prediction, names)
    inferred = inferred and prediction.series is None
    return [
        measurement(quantity, coordinates(quantity, mask, image) if inferred else None)
        for quantity in prediction.quantities
        if quantity.value is not None and quantity.segments == names
    ]


def _mask(prediction: Prediction, names: Sequence[str]) -> np.ndarray:
    """(H, W): the segments in the key frame."""
    values = [segment.value for segment in foreground(prediction) if segment.name in names]
    mask: np.ndarray = np.isin(prediction.labels[prediction.key_frame], values)
    return mask


def _tracking(prediction: Prediction, name: str) -> TrackingIdentifier:
    return TrackingIdentifier(uid=tracking_uid(prediction, name), identifier=name)
