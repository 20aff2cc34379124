"""DICOM RT Structure Sets: the contours of a volume's label map, for radiotherapy planning."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from pydicom import Dataset
from pydicom.charset import default_encoding
from pydicom.dataelem import RawDataElement
from pydicom.tag import Tag
from pydicom.uid import ImplicitVRLittleEndian, RTStructureSetStorage

from pyraseg.pipeline.writers.dicom.object import (
    NO_FRAME,
    SHORT_STRING,
    WrittenObject,
    code_item,
    cut,
    frame_of_reference,
    image_items,
    make_item,
    new_object,
    save,
    uid_item,
)
from pyraseg.pipeline.writers.dicom.source import SourceHeader, add_uid, read_source
from pyraseg.pipeline.writers.prediction import Algorithm, Replaced
from pyraseg.transforms.dicom.labels.contours import trace_mask
from pyraseg.transforms.dicom.series.source_series import SourceSeries
from pyraseg.transforms.errors import GeometryError, LabelError
from pyraseg.transforms.records import Segment

__all__ = ["write_rtstruct"]

STUDY = "1.2.840.10008.3.1.2.3.1"  # Detached Study Management, retired but kept by RT Referenced Study
ANATOMY = ("91723000", "SCT")
CONTOUR_DATA = Tag(0x3006, 0x0050)
FINEST, LONGEST = 8, 16  # digits after the point; characters of VR DS
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
    replaced: Mapping[str, Replaced] | None = None,
) -> WrittenObject:
    """Write a volume's label map as one RT Structure Set: a region for each class, a contour for each part.

    Reading it back (`pyraseg.transforms.dicom.labels.rtstruct_mask`) gives the label map bit for bit, on
    oblique grids too. Contours are those of `pyraseg.transforms.dicom.labels.contours.trace_mask`: they run
    between pixels, so readers need not agree on pixels that an edge crosses. A part with holes is one
    CLOSED_PLANAR contour with keyholes. All editions of the standard have that type, and it is right for
    readers that fill each contour and for those that combine contours by exclusive or. The former would fill
    a separate contour of a hole, and readers from before 2020 do not know CLOSEDPLANAR_XOR. A class that is
    absent from the volume is a region without contours.

    Patient and study are the source's, repaired (`read_source`). Every contour names its image. The
    structures are UNAPPROVED. A repeated run gives the same UIDs. The file has Implicit VR, because a contour
    may be longer than 64 KiB.

    Args:
        labels: (columns, rows, slices), class values, on the grid of the series.
        segments: the classes in the order of their values, background first.
        salt, replaced: as `pyraseg.pipeline.writers.prediction.Prediction` has them.
        header: of the first slice, where it has been read.

    Raises:
        GeometryError: labels of another shape than the series.
        LabelError: a label without a segment.
        InputError: the source's header lacks what results are filed by.
        OutputError: the file cannot be written.

    >>> import tempfile
    >>> import numpy as np
    >>> from pydicom import dcmread
    >>> from pydicom.data import get_testdata_file
    >>> from pyraseg.pipeline.writers import Algorithm, write_rtstruct
    >>> from pyraseg.transforms.dicom.files.discover import source_ref
    >>> from pyraseg.transforms.geometry.grid import VolumeGrid
    >>> grid = VolumeGrid((128, 128, 2), (0, 0, 0), (1, 0, 0), (0, 1, 0), (0, 0, 1), spacing=(0.66, 0.66, 5))
    >>> source = source_ref(get_testdata_file("CT_small.dcm"))
    >>> series = SourceSeries(grid, "1.2.3", slices=(source, source))
    >>> labels = np.zeros(grid.shape, np.uint8)
    >>> labels[40:80, 50:90] = 1
    >>> named = {"segments": [Segment(1, "lesion", (230, 159, 0))], "algorithm": Algorithm("my network")}
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     written = write_rtstruct(f"{folder}/rt.dcm", labels, series, **named)
    ...     len(dcmread(written.path).ROIContourSequence[0].ContourSequence)
    2
    """
    _check(labels, series, segments)
    header = header or read_source(series.slices[0])
    dataset, earlier = new_object(
        header,
        algorithm,
        kind="RTSTRUCT",
        sop_class_uid=RTStructureSetStorage,
        salt=salt,
        replaced=replaced or {},
    )
    _add_structure_set(dataset, header, algorithm)
    if earlier:
        dataset.PredecessorStructureSetSequence = [
            make_item(
                ReferencedSOPClassUID=earlier.sop_class_uid, ReferencedSOPInstanceUID=earlier.sop_instance_uid
            )
        ]
    _add_references(dataset, header, series, frame_of_reference(header, series))
    _add_regions(dataset, labels, series, segments=segments, algorithm=algorithm)
    notes = header.notes if series.frame_of_reference_uid else (*header.notes, NO_FRAME)
    return save(dataset, path, notes=notes, syntax=ImplicitVRLittleEndian)


def _check(labels: np.ndarray, series: SourceSeries, segments: Sequence[Segment]) -> None:
    if labels.shape != series.grid.shape:
        remedy = "Restore the label map to its source's grid first."
        wanted = f"labels {series.grid.shape}, as the source"
        raise GeometryError(wanted, found=f"{labels.shape}", remedy=remedy)
    known = {0, *(segment.value for segment in segments)}
    if strange := sorted({int(value) for plane in labels.T for value in np.unique(plane)} - known):
        remedy = "Give every class of the network a segment."
        raise LabelError("labels with a segment", found=f"{strange[0]}", remedy=remedy)


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
    images = uid_item(SeriesInstanceUID=header.identity.SeriesInstanceUID)
    images.ContourImageSequence = [_image(series, index) for index in range(len(series.slices))]
    study = uid_item(ReferencedSOPClassUID=STUDY, ReferencedSOPInstanceUID=header.identity.StudyInstanceUID)
    study.RTReferencedSeriesSequence = [images]
    frame = uid_item(FrameOfReferenceUID=frame_uid)
    frame.RTReferencedStudySequence = [study]
    add_uid(dataset, "FrameOfReferenceUID", frame_uid)
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
    contours = _contours(labels, series, [segment.value for segment in classes])
    regions, drawings, observations = [], [], []
    for segment in classes:
        region = make_item(
            ROINumber=segment.value,
            ROIName=cut(segment.name),
            ROIGenerationAlgorithm="AUTOMATIC",
            ROIGenerationDescription=cut(f"{algorithm.name} {algorithm.version}"),
        )
        add_uid(region, "ReferencedFrameOfReferenceUID", dataset.FrameOfReferenceUID)
        drawing = make_item(ROIDisplayColor=list(segment.colour), ReferencedROINumber=segment.value)
        if contours[segment.value]:
            drawing.ContourSequence = contours[segment.value]
        regions.append(region)
        drawings.append(drawing)
        observations.append(_observation(segment))
    dataset.StructureSetROISequence = regions
    dataset.ROIContourSequence = drawings
    dataset.RTROIObservationsSequence = observations


def _observation(segment: Segment) -> Dataset:
    """RT ROI Observations (PS3.3 C.8.8.8): the segment's codes. Type and interpreter are of type 2."""
    item = make_item(ObservationNumber=segment.value, ReferencedROINumber=segment.value, ROIInterpreter=None)
    if segment.category:
        item.SegmentedPropertyCategoryCodeSequence = [code_item(segment.category)]
    if segment.type:
        item.RTROIIdentificationCodeSequence = [code_item(segment.type)]
    anatomy = segment.category is not None and (segment.category.value, segment.category.scheme) == ANATOMY
    item.RTROIInterpretedType = "ORGAN" if anatomy else ""
    return item


def _contours(labels: np.ndarray, series: SourceSeries, values: Sequence[int]) -> dict[int, list[Dataset]]:
    """The items of Contour Sequence (PS3.3 C.8.8.6) by class value, slice by slice."""
    items: dict[int, list[Dataset]] = {value: [] for value in values}
    digits = _digits(series)
    for index in range(labels.shape[2]):
        plane, image = labels[:, :, index], _image(series, index)
        for value in values if plane.any() else ():
            items[value] += [
                _contour(line, index, image, series, digits) for line in trace_mask(plane == value)
            ]
    return items


def _image(series: SourceSeries, index: int) -> Dataset:
    """The reference to the image of a slice."""
    (item,) = image_items([series.slices[index]])
    if series.frames:
        item.ReferencedFrameNumber = series.frames[index] + 1
    return item


def _digits(series: SourceSeries) -> int:
    """Digits after the point that keep a ten-thousandth of a pixel, as far as VR DS has room."""
    wanted = math.ceil(4 - math.log10(min(series.grid.spacing)))
    corners = np.array(np.meshgrid(*([-1, size] for size in series.grid.shape), [1])).reshape(4, -1)
    whole = len(f"{-np.abs(series.grid.affine_lps @ corners).max():.0f}")
    return max(0, min(wanted, FINEST, LONGEST - 1 - whole))


def _contour(polygon: np.ndarray, index: int, image: Dataset, series: SourceSeries, digits: int) -> Dataset:
    points = np.column_stack([polygon, np.full(len(polygon), index), np.ones(len(polygon))])
    values = (points @ series.grid.affine_lps[:3].T).reshape(-1)
    text = ("\\".join([f"%.{digits}f"] * len(values)) % tuple(values)).encode("ascii")
    text += b" " * (len(text) % 2)
    item = make_item(
        ContourImageSequence=[image], ContourGeometricType="CLOSED_PLANAR", NumberOfContourPoints=len(polygon)
    )
    # Bytes of Implicit VR, which pydicom writes unchanged; writing single numbers would take the longest.
    # The encoding is that of items; otherwise all would be decoded and encoded again.
    item[CONTOUR_DATA] = RawDataElement(CONTOUR_DATA, "DS", len(text), text, 0, True, True)
    item.set_original_encoding(True, True, default_encoding)
    return item
