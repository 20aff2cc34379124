"""The segments of a DICOM segmentation: label, codes, colour and the algorithm that made them."""

from __future__ import annotations

from pydicom import Dataset

from pyraseg.pipeline.writers.dicom.object import MANUFACTURER, code_item, cut
from pyraseg.pipeline.writers.dicom.source import derive_uid
from pyraseg.pipeline.writers.prediction import Algorithm, Prediction
from pyraseg.transforms.records import Code, Segment

__all__ = ["ARTIFICIAL_INTELLIGENCE", "GENERIC", "foreground", "segment_items", "tracking_uid", "uncoded"]

ARTIFICIAL_INTELLIGENCE = Code("123110", "DCM", "Artificial Intelligence")
BACKGROUND = Code("125040", "DCM", "Background")
GENERIC = Code("85756007", "SCT", "Tissue")  # what is true of a class whose bundle declares no code


def foreground(prediction: Prediction) -> tuple[Segment, ...]:
    """The classes that become segments: all but the background."""
    return tuple(segment for segment in prediction.segments if segment.value)


def uncoded(prediction: Prediction) -> tuple[str, ...]:
    """A note on the classes without codes, or nothing."""
    names = ", ".join(
        segment.name for segment in foreground(prediction) if not (segment.category and segment.type)
    )
    remedy = 'declare category and type under "segments" in the bundle\'s metadata.json'
    return (f"written under the generic code Tissue: {names}; {remedy}",) if names else ()


def tracking_uid(prediction: Prediction, segment: str) -> str:
    """The UID that the same region has in segmentation and report."""
    result = (prediction.algorithm.weights, prediction.salt)
    return derive_uid(prediction.source.sop_instance_uid, *result, "tracking", segment)


def segment_items(prediction: Prediction, *, background: bool) -> list[Dataset]:
    """Segment Sequence (PS3.3 C.8.20.2): Segment Number is the class's value.

    Args:
        background: describe value 0 too, as a label map does.
    """
    algorithm = _algorithm(prediction.algorithm)
    items = [_segment(prediction, segment, algorithm) for segment in foreground(prediction)]
    return [_background(prediction.algorithm), *items] if background else items


def _segment(prediction: Prediction, segment: Segment, algorithm: Dataset) -> Dataset:
    item = Dataset()
    item.SegmentNumber = segment.value
    item.SegmentLabel = cut(segment.name)
    item.SegmentAlgorithmType = "AUTOMATIC"
    item.SegmentAlgorithmName = cut(prediction.algorithm.name)
    item.SegmentationAlgorithmIdentificationSequence = [algorithm]
    item.SegmentedPropertyCategoryCodeSequence = [code_item(segment.category or GENERIC)]
    item.SegmentedPropertyTypeCodeSequence = [code_item(segment.type or GENERIC)]
    item.RecommendedDisplayCIELabValue = _cielab(segment.colour)
    item.TrackingID = segment.name
    item.TrackingUID = tracking_uid(prediction, segment.name)
    return item


def _background(algorithm: Algorithm) -> Dataset:
    item = Dataset()
    item.SegmentNumber = 0
    item.SegmentLabel = "Background"
    item.SegmentAlgorithmType = "AUTOMATIC"
    item.SegmentAlgorithmName = cut(algorithm.name)
    item.SegmentedPropertyCategoryCodeSequence = [code_item(BACKGROUND)]
    item.SegmentedPropertyTypeCodeSequence = [code_item(BACKGROUND)]
    item.RecommendedDisplayCIELabValue = _cielab((0, 0, 0))
    return item


def _algorithm(algorithm: Algorithm) -> Dataset:
    """Algorithm Identification (PS3.3 section 10.16)."""
    item = Dataset()
    item.AlgorithmFamilyCodeSequence = [code_item(ARTIFICIAL_INTELLIGENCE)]
    item.AlgorithmName = cut(algorithm.name)
    item.AlgorithmVersion = cut(algorithm.version)
    item.AlgorithmParameters = f"bundle {algorithm.bundle}, weights SHA-256 {algorithm.weights}"
    item.AlgorithmSource = MANUFACTURER
    return item


def _cielab(colour: tuple[int, int, int]) -> list[int]:
    """Recommended Display CIELab Value (0062,000D), encoded as PS3.3 C.10.7.1.1 says."""
    from highdicom.color import CIELabColor

    return list(CIELabColor.from_rgb(*colour).value)
