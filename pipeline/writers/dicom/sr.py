"""DICOM structured reports of the measured quantities, by TID 1500."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any

from pydicom import Dataset
from pydicom.uid import Comprehensive3DSRStorage

from pyraseg.pipeline.writers.dicom.object import (
    MANUFACTURER,
    WrittenObject,
    cut,
    new_object,
    object_identity,
    save,
)
from pyraseg.pipeline.writers.dicom.seg_segments import uncoded
from pyraseg.pipeline.writers.dicom.source import (
    SourceHeader,
    add_uid,
    check_images,
    derive_uid,
    read_source,
    unquoted,
)
from pyraseg.pipeline.writers.dicom.sr_content import PRIVATE_SCHEME, measurement_groups, remarks
from pyraseg.pipeline.writers.prediction import Prediction
from pyraseg.transforms.errors import GeometryError
from pyraseg.transforms.records import SourceRef

__all__ = ["write_sr"]

FIRST_SERIES_NUMBER = 2000
PROCEDURES = {
    "US": ("16310003", "SCT", "Diagnostic ultrasonography"),
    "CT": ("77477000", "SCT", "Computed tomography"),
    "MR": ("113091000", "SCT", "Magnetic resonance imaging"),
    "PT": ("82918005", "SCT", "Positron emission tomography"),
}
IMAGING = ("363679005", "SCT", "Imaging procedure")


def write_sr(
    path: str | Path,
    prediction: Prediction,
    *,
    seg: WrittenObject | None,
    header: SourceHeader | None = None,
) -> WrittenObject:
    """Write a Comprehensive 3D SR with the quantities of the key frame, or of a volume: complete,
    preliminary, unverified, and saying that it is not for diagnosis.

    A segment that is in the frame has a group by TID 1410 with the quantities that are its own, one that is
    in a volume a group by TID 1411; those of several segments together have one by TID 1501
    (`measurement_groups`). Comments at the end of the report, which TID 1500 allows for being extensible,
    name what a reader must know: `remarks`. Absent quantities are absent.

    Args:
        seg: the segmentation that the groups refer to; without one they are by TID 1501, on the source.
        header: the source's, where it has been read.

    Raises:
        GeometryError: the key frame is none of the label map's.
        InputError: the source's header lacks what results are filed by.
        OutputError: the file cannot be written.
    """
    if not 0 <= prediction.key_frame < len(prediction.labels):
        found, remedy = f"{prediction.key_frame}", "Count frames from 0."
        raise GeometryError(f"a key frame from 0 to {len(prediction.labels) - 1}", found=found, remedy=remedy)
    header = header or read_source(prediction.source)
    images = (prediction.source,) if prediction.series is None else prediction.series.slices
    check_images(images)
    identity = object_identity(header, prediction, kind="report", first_number=FIRST_SERIES_NUMBER)
    dataset = new_object(header, identity, prediction.algorithm, sop_class_uid=Comprehensive3DSRStorage)
    _add_document(dataset, header, images, seg)
    with unquoted(prediction.source.sop_instance_uid):
        dataset.update(_content(header, prediction, seg))
    if schemes := _private_schemes(dataset):
        dataset.CodingSchemeIdentificationSequence = schemes
    return WrittenObject(
        path=save(dataset, path),
        sop_class_uid=Comprehensive3DSRStorage,
        sop_instance_uid=identity.sop_instance_uid,
        series_instance_uid=identity.series_instance_uid,
        notes=header.notes + uncoded(prediction),
    )


def _add_document(
    dataset: Dataset, header: SourceHeader, images: Iterable[SourceRef], seg: WrittenObject | None
) -> None:
    """SR Document Series and SR Document General (PS3.3 C.17.1, C.17.2).

    Not by highdicom's class for documents: that warns of unusual patients' names by quoting them, and takes
    25 ms.
    """
    dataset.Modality = "SR"
    dataset.CompletionFlag = "COMPLETE"
    dataset.PreliminaryFlag = "PRELIMINARY"
    dataset.VerificationFlag = "UNVERIFIED"
    dataset.ReferencedPerformedProcedureStepSequence = []
    dataset.PerformedProcedureCodeSequence = []
    evidence, source = Dataset(), header.identity
    add_uid(evidence, "StudyInstanceUID", source.StudyInstanceUID)
    instances = dict.fromkeys((image.sop_class_uid, image.sop_instance_uid) for image in images)
    evidence.ReferencedSeriesSequence = [_evidence(source.SeriesInstanceUID, instances)]
    if seg is not None:
        reference = _evidence(seg.series_instance_uid, [(seg.sop_class_uid, seg.sop_instance_uid)])
        evidence.ReferencedSeriesSequence.append(reference)
    dataset.CurrentRequestedProcedureEvidenceSequence = [evidence]


def _evidence(series_uid: str, instances: Iterable[tuple[str, str]]) -> Dataset:
    series = Dataset()
    add_uid(series, "SeriesInstanceUID", series_uid)
    series.ReferencedSOPSequence = [_instance(*uids) for uids in instances]
    return series


def _instance(class_uid: str, instance_uid: str) -> Dataset:
    instance = Dataset()
    add_uid(instance, "ReferencedSOPClassUID", class_uid)
    add_uid(instance, "ReferencedSOPInstanceUID", instance_uid)
    return instance


def _content(header: SourceHeader, prediction: Prediction, seg: WrittenObject | None) -> Dataset:
    """SR Document Content (PS3.3 C.17.3): the root container and all that it holds."""
    from highdicom.sr import CodedConcept, MeasurementReport, ObservationContext, TextContentItem

    report = MeasurementReport(
        observation_context=ObservationContext(observer_device_context=_observer(prediction)),
        procedure_reported=CodedConcept(*PROCEDURES.get(prediction.source.modality, IMAGING)),
        imaging_measurements=measurement_groups(header, prediction, seg),
    )
    for text in remarks(prediction):
        comment = CodedConcept("121106", "DCM", "Comment")
        report[0].ContentSequence.append(TextContentItem(comment, text, relationship_type="CONTAINS"))
    return report[0]


def _observer(prediction: Prediction) -> Any:
    from highdicom.sr import CodedConcept, DeviceObserverIdentifyingAttributes, ObserverContext

    algorithm = prediction.algorithm
    device = DeviceObserverIdentifyingAttributes(
        uid=derive_uid(algorithm.bundle, algorithm.version, algorithm.weights, "device"),
        name=cut(algorithm.bundle),
        manufacturer_name=MANUFACTURER,
        model_name=cut(algorithm.name),
        serial_number=cut(algorithm.weights),
    )
    return ObserverContext(CodedConcept("121007", "DCM", "Device"), device)


def _private_schemes(dataset: Dataset) -> list[Dataset]:
    """Coding Scheme Identification (PS3.3 C.12.1.1.4) for the private schemes in the content."""
    found = {str(item.value) for item in dataset.iterall() if item.keyword == "CodingSchemeDesignator"}
    items = []
    for scheme in sorted(scheme for scheme in found if scheme.startswith("99")):
        item = Dataset()
        item.CodingSchemeDesignator = scheme
        item.CodingSchemeName = (
            "Quantities of hydronephrosis" if scheme == PRIVATE_SCHEME else "Private to the bundle"
        )
        item.CodingSchemeResponsibleOrganization = MANUFACTURER
        items.append(item)
    return items
