"""Predict a single frame or a cine in a worker; the network runs in another process."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from pyraseg.pipeline.measurement.frame import measure_frame
from pyraseg.pipeline.prediction.items.frame_results import FrameReading, FrameResults, score_frames
from pyraseg.pipeline.prediction.items.header import read_item_header, spacing_of_mask
from pyraseg.pipeline.prediction.items.outputs import Pictures
from pyraseg.pipeline.prediction.items.quality import key_frame, key_frame_rule, review_flags
from pyraseg.pipeline.prediction.items.task import ItemResults, ItemTask, frame_record
from pyraseg.pipeline.prediction.processes.network_client import NetworkClient
from pyraseg.pipeline.prediction.progress import Stages
from pyraseg.pipeline.writers.tables.item_records import FrameRecord, Item
from pyraseg.transforms.io.dicom_reader import open_frames
from pyraseg.transforms.io.display_range import ValueRange
from pyraseg.transforms.records import Quantity

__all__ = ["FrameTask"]


@dataclass(frozen=True)
class FrameTask(ItemTask):
    """The task for each single frame or cine.

    Attributes:
        value_range: see `ReadingOptions`.
    """

    value_range: ValueRange | None = None

    def process(self, item: Item, network: NetworkClient, folder: Path, stages: Stages) -> ItemResults:
        """Read, score and measure every frame."""
        image, header = read_item_header(item.source, dicom=self.writes_dicom, identify=self.identify)
        reading = FrameReading(self.preprocessing, open_frames(image, self.value_range), item.case)
        frames = score_frames(
            reading,
            postprocessing=self.postprocessing,
            size=(item.source.rows, item.source.columns),
            network=network,
            folder=folder,
            stages=stages,
            probabilities=self.needs_probabilities,
            views=item.source.number_of_frames == 1 or "overlay" in self.formats,
        )
        labels = frames.labels
        if frames.spacing_mm is None and (spacing := spacing_of_mask(image, labels)):
            frames.spacing_mm, frames.spacing_source = spacing, "region"
        with stages("quantities"):
            options: dict[str, Any] = {"declared": self.quantities, "spacing_mm": frames.spacing_mm}
            measured = [measure_frame(frame, label_names=self.names, **options) for frame in labels]
            areas = np.array([np.bincount(frame.ravel(), minlength=len(self.segments)) for frame in labels])
            key = key_frame(areas, names=self.names, segment=self.rules.key_frame)
            measured = [self.judge.with_intervals(values) for values in measured]
            rows = [self._row(index, frames, values, areas[index]) for index, values in enumerate(measured)]
        prediction = self.predicted(
            item,
            item.source,
            labels,
            probabilities=frames.probabilities,
            spacing_mm=frames.spacing_mm,
            quantities=measured[key],
            key_frame=key,
            key_frame_rule=key_frame_rule(self.rules.key_frame) if len(labels) > 1 else "",
        )
        pictures = _pictures(frames, key, reading, header.frame_time_ms)
        return ItemResults(prediction, header, pictures, tuple(rows), frames.spacing_source)

    def _row(
        self, index: int, frames: FrameResults, quantities: tuple[Quantity, ...], areas: np.ndarray
    ) -> FrameRecord:
        flags = review_flags(
            self.rules.review,
            label_names=self.names,
            areas=areas,
            spacing_mm=frames.spacing_mm,
            confidence=frames.confidences[index],
            colour=frames.colours[index],
            contrast=frames.contrasts[index],
        )
        evidence = self.judge.evidence(*frames.evidence[index])
        return frame_record(
            quantities,
            frame=index,
            confidence=frames.confidences[index],
            flags=flags,
            judgement=self.judge.judge(evidence, found=[bool(area) for area in areas[1:]]),
        )


def _pictures(frames: FrameResults, key: int, reading: FrameReading, frame_time_ms: float | None) -> Pictures:
    views = frames.views
    view: Callable[[int], np.ndarray | None] = reading.view if views is None else views.__getitem__
    # The view of the key frame is read again where views were not kept
    return Pictures(view(key), lambda index: np.asarray(view(index)), frame_time_ms)
