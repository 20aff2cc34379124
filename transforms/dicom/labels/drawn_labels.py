"""Labels drawn on a series, DICOM SEG or RTSTRUCT, as the classes of one label map."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from pydicom.uid import RTStructureSetStorage, SegmentationStorage

from pyraseg.transforms.dicom.files.header import parse_file
from pyraseg.transforms.dicom.labels.rtstruct import StructureSet, read_rtstruct
from pyraseg.transforms.dicom.labels.rtstruct_mask import roi_label_map
from pyraseg.transforms.dicom.labels.seg import LABEL_MAP_STORAGE, Segmentation, read_segmentation
from pyraseg.transforms.dicom.labels.seg_labels import segmentation_labels
from pyraseg.transforms.dicom.series.source_series import SourceSeries
from pyraseg.transforms.errors import GeometryError, InputError, LabelError

__all__ = ["LABEL_CLASSES", "DrawnLabels", "read_drawn_labels"]

LABEL_CLASSES = (RTStructureSetStorage, SegmentationStorage, LABEL_MAP_STORAGE)


@dataclass(frozen=True)
class DrawnLabels:
    """A segmentation or a structure set, and the series that it was drawn on.

    Attributes:
        content: from `read_segmentation` or `read_rtstruct`.
        parts: the name of each segment or region by its number. Names may be a person's: not for logs.
        series: the SOP Instance UIDs of each Series Instance UID that it refers to; the latter may be empty.
        images: the SOP Instance UIDs that its frames or contours name.
        frames_of_reference: the UIDs (3006,0024) or (0020,0052) that it names.
    """

    content: Segmentation | StructureSet = field(repr=False)
    parts: Mapping[int, str] = field(repr=False)
    series: Mapping[str, frozenset[str]]
    images: frozenset[str]
    frames_of_reference: frozenset[str]

    def classes(self, label_map: Mapping[int | str, int] | None) -> dict[int, int]:
        """The class of each part in the label map, by the part's number, in the order of the classes.

        A key that is a whole number is a Segment Number or ROI Number. Any other is a Segment Label or ROI
        Name, compared without regard to case and surrounding space. Parts without a key and parts of class 0
        are left out. At least one key must name a part. None takes all parts, with their numbers as classes.

        Raises:
            LabelError: no key names a part, a name has several parts, or two keys give one part two classes.
        """
        if label_map is None:
            return {number: number for number in self.parts}
        counts = Counter(name.casefold() for name in self.parts.values())
        classes: dict[int, int] = {}
        for key, value in label_map.items():
            name = key.strip().casefold() if isinstance(key, str) else None
            if name is not None and counts[name] > 1:
                raise self._refused("one part of each name", "a name that several have")
            for number in (
                each for each, part in self.parts.items() if key == each or name == part.casefold()
            ):
                if classes.setdefault(number, value) != value:
                    raise self._refused("one class for each part", f"two for number {number}")
        if not any(classes.values()):
            raise self._refused("a part that the label map names", f"none of {len(self.parts)} named")
        return {key: value for key, value in sorted(classes.items(), key=lambda pair: pair[1]) if value}

    def label_map(
        self,
        series: SourceSeries | None,
        label_map: Mapping[int | str, int] | None,
        *,
        nearest: bool = False,
        crop: bool = False,
    ) -> tuple[np.ndarray, tuple[str, ...]]:
        """The label map (columns, rows, slices) uint8 on the grid of the series drawn on, and notes.

        Where parts of two classes overlap the higher class counts, so the order of the classes declares the
        priority. A listed region that is not drawn counts as absent if another is drawn.

        Args:
            series: None, where the image is of NIfTI, is refused.
            label_map: as `classes`.
            nearest: draw contours that lie between slices on the nearest one.
            crop: leave out what lies beyond the series, even where nothing else is drawn.

        Raises:
            LabelError: as `classes`.
            GeometryError, InputError: as `roi_label_map` and `segmentation_labels`; no named region is drawn.
            GeometryError: no series.
        """
        if series is None:
            wanted, found = "a DICOM label with the series that it was drawn on", "a NIfTI image"
            remedy = "Name the folder of the series as the image, or give the label as NIfTI."
            raise GeometryError(wanted, found=found, remedy=remedy)
        classes = self.classes(label_map)
        if isinstance(self.content, Segmentation):
            return segmentation_labels(self.content, series, classes, crop=crop)
        drawn = {roi.number for roi in self.content.rois if roi.contours}
        present = {number: value for number, value in classes.items() if number in drawn} or classes
        labels, notes = roi_label_map(self.content, series, present, nearest=nearest, crop=crop)
        missing = (f"region {number}: not drawn" for number in classes if number not in present)
        return labels, (*notes, *missing)

    def _refused(self, wanted: str, found: str) -> LabelError:
        numbers = ", ".join(map(str, self.parts)) or "none"
        remedy = f"Choose by Segment Number or ROI Number (--label-map NUMBER=CLASS); there are: {numbers}."
        return LabelError(wanted, found=found, remedy=remedy, path=self.content.path)


def read_drawn_labels(path: str | Path) -> DrawnLabels:
    """Read a DICOM SEG or RTSTRUCT; pixels stay on disk.

    Raises:
        InputError: not DICOM, another kind of object, or broken.

    >>> from pyraseg.transforms.dicom import find_series, read_source_series, the_series
    >>> source = read_source_series(the_series(find_series(series)))
    >>> labels, notes = read_drawn_labels(structures).label_map(source, {"tumour": 1})
    >>> labels.shape, int(labels.sum())
    ((8, 6, 5), 20)
    """
    kind = parse_file(path).sop_class_uid
    if kind == RTStructureSetStorage:
        structures = read_rtstruct(path)
        contours = [contour for roi in structures.rois for contour in roi.contours]
        return DrawnLabels(
            content=structures,
            parts={roi.number: roi.name for roi in structures.rois},
            series=structures.series,
            images=frozenset(uid for contour in contours for uid, _ in contour.images if uid),
            frames_of_reference=frozenset(roi.frame_of_reference_uid for roi in structures.rois) - {""},
        )
    if kind in LABEL_CLASSES:
        segmentation = read_segmentation(path)
        return DrawnLabels(
            content=segmentation,
            parts={segment.number: segment.label for segment in segmentation.segments},
            series=segmentation.series,
            images=frozenset(uid for frame in segmentation.frames for uid, _ in frame.images if uid),
            frames_of_reference=frozenset({segmentation.frame_of_reference_uid}) - {""},
        )
    found, remedy = "another kind of DICOM object", "Give a file whose modality is SEG or RTSTRUCT, or NIfTI."
    raise InputError("labels drawn on a series", found=found, remedy=remedy, path=path)
