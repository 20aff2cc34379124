"""The segments of a DICOM segmentation: label, codes, colour and the algorithm that made them."""

from __future__ import annotations

from highdicom.color import CIELabColor
from pydicom import Dataset

from pyraseg.pipeline.writers.dicom.object import MANUFACTURER, code_item, cut, make_item
from pyraseg.pipeline.writers.dicom.source import derive_uid
from pyraseg.pipeline.writers.prediction import Algorithm, Prediction
from pyraseg.transforms.records import Code, Segment

__all__ = ["ARTIFICIAL_INTELLIGENCE", "GENERIC", "foreground", "segment_items", "tracking_uid", "uncoded"]

ARTIFICIAL_INTELLIGENCE = Code("123110", "DCM", "Artificial Intelligence")
BACKGROUND = Code("125040", "DCM", "Background")
GENERIC = Code("85756007", "SCT", "Tissue")  # true of every class without a declared code


def foreground(prediction: Prediction) -> tuple[Segment, ...]:
    """The classes that become segments: all but the background."""
    return tuple(segment for segment in prediction.segments if segment.value)


def uncoded(prediction: Prediction) -> tuple[str, ...]:
    """A note on classes without codes, or nothing."""
    names = ", ".join(
        segment.name for segment in foreground(prediction) if not (segment.category and segment.type)
    )
    remedy = 'declare category and type under "segments" in the bundle\'s metadata.json'
    return (f"written under the generic code Tissue: {names}; {remedy}",) if names else ()


def tracking_uid(prediction: Prediction, segment: str) -> str:
    """The UID of the same region in segmentation and report."""
    result = (prediction.algorithm.weights, prediction.salt)
    return derive_uid(prediction.source.sop_instance_uid, *result, "tracking", segment)


def segment_items(prediction: Prediction, *, background: bool) -> list[Dataset]:
    """Segment Sequence (PS3.3 C.8.20.2): Segment Number is the class's value.

    Args:
        background: describe value 0 too, as a label map does.
    """
    algorithm = prediction.algorithm
    identification = make_item(  # Algorithm Identification, PS3.3 section 10.16
        AlgorithmFamilyCodeSequence=[code_item(ARTIFICIAL_INTELLIGENCE)],
        AlgorithmName=cut(algorithm.name),
        AlgorithmVersion=cut(algorithm.version),
        AlgorithmParameters=", ".join(algorithm.parameters),
        AlgorithmSource=MANUFACTURER,
    )
    items = []
    if background:
        items.append(_segment(Segment(0, "Background", (0, 0, 0), BACKGROUND, BACKGROUND), algorithm))
    for segment in foreground(prediction):
        item = _segment(segment, algorithm)
        item.SegmentationAlgorithmIdentificationSequence = [identification]
        item.TrackingID = segment.name
        item.TrackingUID = tracking_uid(prediction, segment.name)
        items.append(item)
    return items


def _segment(segment: Segment, algorithm: Algorithm) -> Dataset:
    return make_item(
        SegmentNumber=segment.value,
        SegmentLabel=cut(segment.name),
        SegmentAlgorithmType="AUTOMATIC",
        SegmentAlgorithmName=cut(algorithm.name),
        SegmentedPropertyCategoryCodeSequence=[code_item(segment.category or GENERIC)],
        SegmentedPropertyTypeCodeSequence=[code_item(segment.type or GENERIC)],
        # encoded as PS3.3 C.10.7.1.1 says
        RecommendedDisplayCIELabValue=list(CIELabColor.from_rgb(*segment.colour).value),
    )
