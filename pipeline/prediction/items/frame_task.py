"""One item from its file to its results, in a worker process; the network's scores come from another."""

from __future__ import annotations

import json
import math
import time
import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from monai.transforms import Compose

from pyraseg.pipeline.measurement.frame import measure_frame
from pyraseg.pipeline.prediction.discovery.acceptance_rules import Rules
from pyraseg.pipeline.prediction.items.frame_reading import FrameReading
from pyraseg.pipeline.prediction.items.frame_results import Findings, gather
from pyraseg.pipeline.prediction.items.key_frame import key_frame, rule
from pyraseg.pipeline.prediction.items.outputs import Pictures, write_outputs
from pyraseg.pipeline.prediction.items.review import item_flags, review_flags
from pyraseg.pipeline.prediction.items.source_facts import SourceFacts, source_facts
from pyraseg.pipeline.prediction.output.folder import RECORD
from pyraseg.pipeline.prediction.processes.network_client import Exchange
from pyraseg.pipeline.prediction.stages import Stages
from pyraseg.pipeline.utils.files import atomic_write
from pyraseg.pipeline.writers.prediction import Algorithm, Prediction
from pyraseg.pipeline.writers.tables.item_records import FrameRecord, Item, ItemRecord
from pyraseg.transforms.errors import ConfigError
from pyraseg.transforms.records import Quantity, Segment

__all__ = ["Done", "ItemTask", "frame_record"]

ROOT = Path(__file__).resolve().parents[3]
OURS = (str(ROOT / "pipeline"), str(ROOT / "transforms"))


@dataclass(frozen=True)
class Done:
    """What the main process hears of an item whose draft is complete: frames, flags and processor seconds by
    stage."""

    frames: int
    flags: tuple[str, ...]
    seconds: Mapping[str, float]


@dataclass(frozen=True)
class ItemTask:
    """What to do with each item; sent to the workers at their start.

    Attributes:
        preprocessing, postprocessing: the bundle's.
        quantities: as its metadata declares them.
        rules: what it takes, and what is to be looked at.
        formats, seg_type, probabilities, identify: what to write.
        drafts: the folder of this run's drafts.
        fingerprint: of weights, bundle and options.
        computed_by: the backend's name; other backends differ in some pixels, so their results have other
            UIDs.
    """

    preprocessing: Compose
    postprocessing: Compose
    segments: tuple[Segment, ...]
    quantities: tuple[Mapping[str, Any], ...]
    rules: Rules
    algorithm: Algorithm
    formats: tuple[str, ...]
    seg_type: str
    probabilities: bool
    identify: bool
    drafts: Path
    fingerprint: str
    computed_by: str = ""

    @property
    def names(self) -> tuple[str, ...]:
        """The classes, background first."""
        return tuple(segment.name for segment in self.segments)

    def __call__(self, item: Item, exchange: Exchange | None) -> Done:
        """Fill the item's draft; its ``item.json`` comes last.

        Raises:
            PyrasegError: the item cannot be read, scored or written.
        """
        if exchange is None:
            raise ConfigError(
                "workers with a network", found="none", remedy="Give the pool shapes and a server."
            )
        begin, stages = time.perf_counter(), Stages(exchange.live)
        folder = self.drafts / item.case
        folder.mkdir(parents=True, exist_ok=True)
        with _own_warnings() as warned:
            record = self._record(item, exchange, folder, stages)
        notes = tuple(dict.fromkeys([*item.notes, *record.notes, *warned]))
        record = replace(record, notes=notes, seconds=round(time.perf_counter() - begin, 3))
        with atomic_write(folder / RECORD, "w") as file:
            json.dump(record.to_json(), file)
        return Done(record.frames, record.flags, dict(stages.seconds))

    def _record(self, item: Item, exchange: Exchange, folder: Path, stages: Stages) -> ItemRecord:
        facts = source_facts(item.source, identify=self.identify)
        reading = FrameReading(self.preprocessing)
        found = gather(
            item,
            reading=reading,
            postprocessing=self.postprocessing,
            classes=len(self.segments),
            exchange=exchange,
            folder=folder,
            stages=stages,
            probabilities=self.probabilities or self.seg_type == "fractional",
            views=item.source.number_of_frames == 1 or "overlay" in self.formats,
        )
        with stages("quantities"):
            measured = [self._measured(labels, found) for labels in found.labels]
            areas = np.array(
                [np.bincount(labels.ravel(), minlength=len(self.segments)) for labels in found.labels]
            )
            key = key_frame(areas, names=self.names, segment=self.rules.key_frame)
            rows = tuple(
                self._row(index, found, values, areas[index]) for index, values in enumerate(measured)
            )
        written = write_outputs(
            folder,
            self._prediction(item, found, key, measured[key]),
            pictures=_pictures(item, found, key, reading, facts),
            formats=self.formats,
            seg_type=self.seg_type,
            probabilities=self.probabilities,
            stages=stages,
            frame_time_ms=facts.frame_time_ms,
        )
        return ItemRecord(
            case=item.case,
            file=item.file,
            study_instance_uid=facts.study_instance_uid,
            series_instance_uid=item.source.series_instance_uid,
            sop_instance_uid=item.source.sop_instance_uid,
            frames=len(rows),
            rows=item.source.rows,
            columns=item.source.columns,
            spacing_mm=found.spacing_mm,
            spacing_source=found.spacing_source,
            key_frame=key,
            units={quantity.name: quantity.unit for quantity in measured[key]},
            rows_of_frames=rows,
            flags=item_flags(rows, key),
            notes=written.notes,
            seconds=0.0,
            outputs=written.outputs,
            fingerprint=self.fingerprint,
            size=item.size,
            modified_ns=item.modified_ns,
            identity=facts.identity,
        )

    def _prediction(
        self, item: Item, found: Findings, key: int, quantities: tuple[Quantity, ...]
    ) -> Prediction:
        return Prediction(
            source=item.source,
            case=item.case,
            labels=found.labels,
            segments=self.segments,
            algorithm=self.algorithm,
            spacing_mm=found.spacing_mm,
            key_frame=key,
            key_frame_rule=rule(self.rules.key_frame) if len(found.labels) > 1 else "",
            quantities=quantities,
            probabilities=found.probabilities,
            salt=f"{self.fingerprint} {self.computed_by}",
        )

    def _measured(self, labels: np.ndarray, found: Findings) -> tuple[Quantity, ...]:
        return measure_frame(
            labels, label_names=self.names, declared=self.quantities, spacing_mm=found.spacing_mm
        )

    def _row(
        self, index: int, found: Findings, quantities: tuple[Quantity, ...], areas: np.ndarray
    ) -> FrameRecord:
        flags = review_flags(
            self.rules.review,
            label_names=self.names,
            areas=areas,
            spacing_mm=found.spacing_mm,
            confidence=found.confidences[index],
            colour=found.colours[index],
        )
        return frame_record(quantities, frame=index, confidence=found.confidences[index], flags=flags)


def _pictures(item: Item, found: Findings, key: int, reading: FrameReading, facts: SourceFacts) -> Pictures:
    views = found.views
    if views is None:  # not kept: the frame that stands for the item is read once more
        return Pictures(
            reading.view(item, key), lambda index: np.asarray(reading.view(item, index)), facts.frame_time_ms
        )
    return Pictures(views[key], lambda index: views[index], facts.frame_time_ms)


def frame_record(
    quantities: Sequence[Quantity], *, frame: int, confidence: float | None, flags: tuple[str, ...]
) -> FrameRecord:
    """What was measured on a frame or a volume, rounded as the tables have it."""
    return FrameRecord(
        frame=frame,
        values={quantity.name: _rounded(quantity.value) for quantity in quantities},
        reasons={quantity.name: quantity.reason for quantity in quantities if quantity.reason},
        confidence=_rounded(confidence),
        flags=flags,
    )


def _rounded(value: float | None) -> float | None:
    return None if value is None or not math.isfinite(value) else float(f"{value:.8g}")


@contextmanager
def _own_warnings() -> Iterator[list[str]]:
    """Gather this project's own warnings; a library's may quote an attribute of the patient."""
    texts: list[str] = []
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        yield texts
    texts += [str(warning.message) for warning in caught if warning.filename.startswith(OURS)]
