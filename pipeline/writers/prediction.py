"""The input of the writers: the prediction for one item, on the grid of its source."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from pyraseg.pipeline.bundle.segments import BACKGROUND, resolve_segments
from pyraseg.transforms.dicom.files.discover import source_ref
from pyraseg.transforms.dicom.series.source_series import SourceSeries
from pyraseg.transforms.records import Quantity, Segment, SourceRef

__all__ = ["Algorithm", "Prediction", "Replaced"]


@dataclass(frozen=True)
class Algorithm:
    """The algorithm of a prediction, as in DICOM's Algorithm Identification (PS3.3 section 10.16).

    Attributes:
        name: the bundle's name.
        version: the bundle's version.
        weights: SHA-256 of the checkpoint, hexadecimal; of all of them together for an ensemble.
        bundle: the name of the bundle's folder, such as "us_hydronephrosis".
        operating_point: how probabilities became labels, in words; see `Decision`.
        model: name and version in a model registry, "kidney version 3"; empty for weights from a file.

    >>> Algorithm("Kidney segmentation", version="2.0").weights
    'unknown'
    """

    name: str
    version: str = "unknown"
    weights: str = "unknown"
    bundle: str = "pyraseg"
    operating_point: str = "argmax"
    model: str = ""

    @property
    def parameters(self) -> list[str]:
        """What the result depends on beside name and version, in phrases."""
        model = [f"model {self.model}"] if self.model else []
        weights = f"weights SHA-256 {self.weights}"
        return [f"bundle {self.bundle}", *model, weights, f"operating point {self.operating_point}"]


@dataclass(frozen=True)
class Replaced:
    """An earlier result of the same source, which a new one replaces.

    Attributes:
        keep_uids: whether the new one takes its UIDs, so that an archive overwrites it; else the new one has
            its own and names this one.

    >>> Replaced("1.2.3", sop_instance_uid="1.2.3.4", series_instance_uid="1.2.3.5").keep_uids
    False
    """

    sop_class_uid: str
    sop_instance_uid: str
    series_instance_uid: str
    keep_uids: bool = False


@dataclass(frozen=True)
class Prediction:
    """The label maps of one item: a single frame, the frames of a cine, or the slices of a volume.

    Attributes:
        source: the file; of a volume its first slice.
        case: the item's hashed name, which names no patient.
        labels: (F, H, W) uint8, class values, in the source's order; F = 1 for a single frame. A volume's
            (x, y, z) is (F, H, W) transposed.
        segments: the classes in the order of their values, background first.
        algorithm: of the prediction.
        spacing_mm: (row, column) in mm per pixel, None without calibration.
        key_frame: the frame that ``quantities`` are measured on, counted from 0.
        key_frame_rule: how it was chosen, in words.
        quantities: of the key frame, or of the volume.
        probabilities: (F, K, H, W), from 0 to 1; 0 for all classes outside the input; None if not asked for.
        salt: what else the result depends on, such as options. The UIDs of written objects follow from
            source, weights and salt, so a repeated run writes the same UIDs.
        series: of a volume, in the order of its slices; None for a single file.
        remarks: further sentences for a reader of the report, such as what the model was trained on.
        replaced: the earlier results of the same source by SOP Class UID.

    >>> import numpy as np
    >>> from pydicom.data import get_testdata_file
    >>> lesion = np.zeros((128, 128), np.uint8)
    >>> lesion[40:80, 50:90] = 1
    >>> path = get_testdata_file("CT_small.dcm")
    >>> prediction = Prediction.of_file(path, lesion, ["lesion"], algorithm=Algorithm("my network"))
    >>> prediction.labels.shape, [segment.name for segment in prediction.segments]
    ((1, 128, 128), ['background', 'lesion'])
    """

    source: SourceRef
    case: str
    labels: np.ndarray
    segments: tuple[Segment, ...]
    algorithm: Algorithm
    spacing_mm: tuple[float, float] | None = None
    key_frame: int = 0
    key_frame_rule: str = ""
    quantities: tuple[Quantity, ...] = ()
    probabilities: np.ndarray | None = None
    salt: str = ""
    series: SourceSeries | None = None
    remarks: tuple[str, ...] = ()
    replaced: Mapping[str, Replaced] = field(default_factory=dict)

    @classmethod
    def of_file(
        cls, path: str | Path, labels: ArrayLike, names: Sequence[str], *, algorithm: Algorithm, **more: Any
    ) -> Prediction:
        """The prediction for one DICOM file, from its label map.

        Args:
            path: a single frame or a cine.
            labels: (H, W), of a cine (F, H, W), uint8: 0 is background, ``names[0]`` has the value 1.
            names: of the classes, without the background.
            more: further attributes, such as ``quantities``. By default the labels are the ``salt``, so two
                results of one file are two objects.

        Raises:
            InputError: the file is no DICOM image.
            LabelError: names that are no label set.
        """
        array = np.asarray(labels)
        given = {"salt": hashlib.sha256(array.tobytes()).hexdigest(), **more}
        segments = resolve_segments((BACKGROUND, *names))
        frames = array[None] if array.ndim == 2 else array
        return cls(source_ref(path), Path(path).stem, frames, segments, algorithm, **given)

    @property
    def images(self) -> tuple[SourceRef, ...]:
        """The files of the frames."""
        return (self.source,) if self.series is None else self.series.slices

    def image_of(self, frame: int) -> tuple[SourceRef, int]:
        """The file of a frame, and the frame's index in it, from 0."""
        if self.series is None:
            return self.source, frame
        return self.series.slices[frame], self.series.frames[frame] if self.series.frames else 0
