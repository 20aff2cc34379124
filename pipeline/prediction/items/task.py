"""Predict one item in a worker process: the parts common to frames and volumes."""

from __future__ import annotations

import hashlib
import json
import math
import os
import time
import warnings
from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from monai.transforms import Compose

from pyraseg.pipeline.prediction.discovery.acceptance_rules import AcceptanceRules
from pyraseg.pipeline.prediction.items.header import ItemHeader
from pyraseg.pipeline.prediction.items.outputs import DICOM_FORMATS, Pictures, VolumePictures, write_outputs
from pyraseg.pipeline.prediction.items.quality import item_flags
from pyraseg.pipeline.prediction.output.folder import RECORD
from pyraseg.pipeline.prediction.processes.network_client import NetworkClient
from pyraseg.pipeline.prediction.progress import Stages
from pyraseg.pipeline.trust.judge import Judge, Judgement
from pyraseg.pipeline.utils.files import atomic_write
from pyraseg.pipeline.writers.dicom.object import replaced_objects
from pyraseg.pipeline.writers.prediction import Algorithm, Prediction
from pyraseg.pipeline.writers.tables.item_records import FrameRecord, Item, ItemRecord
from pyraseg.transforms.dicom.files.opening import replaced
from pyraseg.transforms.errors import OURS, ConfigError
from pyraseg.transforms.records import Quantity, Segment, SourceRef

__all__ = ["Done", "ItemResults", "ItemTask", "frame_record"]


@dataclass(frozen=True)
class Done:
    """The message on a finished draft: frames, flags and processor seconds by stage."""

    frames: int
    flags: tuple[str, ...]
    seconds: Mapping[str, float]


@dataclass(frozen=True, eq=False)
class ItemResults:
    """The results of one item, before anything is written.

    Attributes:
        prediction: for the writers.
        header: of the prediction's source; empty for NIfTI.
        pictures: the data for pictures.
        rows: one for each frame, or one for the whole volume.
        spacing_source: where the prediction's spacing comes from.
        affine, slice_mm, searched_mm: of a volume.
        notes: for the tables.
    """

    prediction: Prediction
    header: ItemHeader
    pictures: Pictures | VolumePictures
    rows: tuple[FrameRecord, ...]
    spacing_source: str
    affine: np.ndarray | None = None
    slice_mm: float | None = None
    searched_mm: tuple[float, ...] | None = None
    notes: tuple[str, ...] = ()


@dataclass(frozen=True)
class ItemTask(ABC):
    """The task for each item; sent to the workers at their start.

    Attributes:
        preprocessing, postprocessing: of the bundle.
        quantities: as its metadata declares them.
        rules: which objects it accepts, and what to review.
        judge: of the results, by what the checkpoint has learnt of its reliability.
        formats, seg_type, probabilities, identify: what to write.
        drafts: the folder of this run's drafts.
        fingerprint: of weights, bundle and options.
        computed_by: the backend's name; other backends give some other pixels, and so other UIDs.
        earlier: the folder of the earlier results' items; replace: whether to take their UIDs.
    """

    preprocessing: Compose
    postprocessing: Compose
    segments: tuple[Segment, ...]
    quantities: tuple[Mapping[str, Any], ...]
    rules: AcceptanceRules
    algorithm: Algorithm
    formats: tuple[str, ...]
    seg_type: str
    probabilities: bool
    identify: bool
    drafts: Path
    fingerprint: str
    computed_by: str = ""
    judge: Judge = field(default_factory=Judge)
    earlier: Path | None = None
    replace: bool = False

    @property
    def names(self) -> tuple[str, ...]:
        """The classes, background first."""
        return tuple(segment.name for segment in self.segments)

    @property
    def writes_dicom(self) -> bool:
        """Whether one of the formats refers to its source."""
        return not DICOM_FORMATS.isdisjoint(self.formats)

    @property
    def needs_probabilities(self) -> bool:
        """Whether an output needs probabilities."""
        return self.probabilities or self.seg_type == "fractional"

    @abstractmethod
    def process(self, item: Item, network: NetworkClient, folder: Path, stages: Stages) -> ItemResults:
        """Read, score and measure an item.

        Args:
            folder: for arrays too large for memory.

        Raises:
            PyrasegError: the item cannot be read or scored, or the disk is full.
        """

    def __call__(self, item: Item, network: NetworkClient | None) -> Done:
        """Fill the item's draft; its ``item.json`` is written last.

        Raises:
            PyrasegError: the item cannot be read, scored or written.
        """
        if network is None:
            raise ConfigError(
                "workers with a network", found="none", remedy="Give the pool shapes and a server."
            )
        begin, stages = time.perf_counter(), Stages(network.report_alive)
        _check_unchanged(item)
        folder = self.drafts / item.case
        folder.mkdir(exist_ok=True)  # and not its parents: a removed output folder stays removed
        with _own_warnings() as warned:
            results = self.process(item, network, folder, stages)
            prediction, header = results.prediction, results.header
            written = write_outputs(
                folder,
                prediction,
                pictures=results.pictures,
                formats=tuple(
                    name for name in self.formats if item.source.sop_class_uid or name not in DICOM_FORMATS
                ),
                seg_type=self.seg_type,
                probabilities=self.probabilities,
                stages=stages,
                header=header.source,
                frame_time_ms=header.frame_time_ms,
                affine=results.affine,
            )
        _check_unchanged(item)
        earlier = ["replaces an earlier result"] if prediction.replaced else []
        record = ItemRecord(
            case=item.case,
            file=item.file,
            study_instance_uid=item.source.study_instance_uid,
            series_instance_uid=item.source.series_instance_uid,
            sop_instance_uid=item.source.sop_instance_uid,
            frames=prediction.labels.shape[0],
            rows=prediction.labels.shape[1],
            columns=prediction.labels.shape[2],
            spacing_mm=prediction.spacing_mm,
            spacing_source=results.spacing_source,
            key_frame=prediction.key_frame,
            units={quantity.name: quantity.unit for quantity in prediction.quantities},
            rows_of_frames=results.rows,
            flags=item_flags(results.rows, prediction.key_frame),
            notes=tuple(dict.fromkeys([*item.notes, *results.notes, *earlier, *written.notes, *warned])),
            seconds=round(time.perf_counter() - begin, 3),
            outputs=written.outputs,
            fingerprint=self.fingerprint,
            size=item.size,
            modified_ns=item.modified_ns,
            identity=header.identity,
            slice_mm=results.slice_mm,
            searched_mm=results.searched_mm,
        )
        with atomic_write(folder / RECORD, "w") as file:
            json.dump(record.to_json(), file)
        return Done(record.frames, record.flags, dict(stages.seconds))

    def predicted(self, item: Item, source: SourceRef, labels: np.ndarray, **more: Any) -> Prediction:
        """The prediction of an item, with what is the same for all items."""
        salt = f"{self.fingerprint} {self.computed_by}"
        if (
            series := more.get("series")
        ) is not None:  # with a slice more it is another object, of other UIDs
            salt += hashlib.sha256("\n".join(sorted(series.instances)).encode()).hexdigest()
        if self.earlier is not None:
            more["replaced"] = replaced_objects(self.earlier / item.case, keep_uids=self.replace)
        return Prediction(source, item.case, labels, self.segments, self.algorithm, salt=salt, **more)


def _check_unchanged(item: Item) -> None:
    """Refuse an item whose files are not those of its discovery, by size and time.

    The readers compare each file's UIDs and patient too; this also sees files that none of them opened.
    """
    statuses = [os.stat(file) for file in item.files]
    size, modified = sum(each.st_size for each in statuses), sum(each.st_mtime_ns for each in statuses)
    if (size, modified) != (item.size, item.modified_ns):
        raise replaced(item.source.path)


def frame_record(
    quantities: tuple[Quantity, ...],
    *,
    frame: int,
    confidence: float | None,
    flags: tuple[str, ...],
    judgement: Judgement,
) -> FrameRecord:
    """The measurements of a frame or a volume, rounded as in the tables."""
    return FrameRecord(
        frame=frame,
        values={quantity.name: _rounded(quantity.value) for quantity in quantities},
        reasons={quantity.name: quantity.reason for quantity in quantities if quantity.reason},
        confidence=_rounded(confidence),
        flags=(*flags, *judgement.flags),
        unlike=_rounded(judgement.unlike),
        expected_dice={name: round(value, 4) for name, value in judgement.expected_dice.items()},
        intervals={
            each.name: (float(f"{each.interval[0]:.8g}"), float(f"{each.interval[1]:.8g}"))
            for each in quantities
            if each.interval is not None
        },
    )


def _rounded(value: float | None) -> float | None:
    return None if value is None or not math.isfinite(value) else float(f"{value:.8g}")


@contextmanager
def _own_warnings() -> Iterator[list[str]]:
    """Collect this project's warnings only; a library's may quote an attribute of the patient."""
    texts: list[str] = []
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        yield texts
    texts += [str(warning.message) for warning in caught if warning.filename.startswith(OURS)]
