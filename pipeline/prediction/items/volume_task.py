"""One series from its files to its results, in a worker process; the network's scores come from another."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch

from pyraseg.pipeline.inference import CleanUpLabelsd
from pyraseg.pipeline.measurement.volume import measure_volume
from pyraseg.pipeline.prediction.discovery.search_box import Region
from pyraseg.pipeline.prediction.items.frame_task import ItemTask, frame_record
from pyraseg.pipeline.prediction.items.outputs import write_outputs
from pyraseg.pipeline.prediction.items.review import review_flags
from pyraseg.pipeline.prediction.items.scratch import scratch_array
from pyraseg.pipeline.prediction.items.source_facts import SourceFacts, source_facts
from pyraseg.pipeline.prediction.items.volume_inference import Probabilities, infer
from pyraseg.pipeline.prediction.items.volume_pictures import VolumePictures
from pyraseg.pipeline.prediction.items.volume_reading import ItemVolume, SeriesReading
from pyraseg.pipeline.prediction.processes.network_client import Exchange
from pyraseg.pipeline.prediction.stages import Stages
from pyraseg.pipeline.writers.dicom.source import check_images, read_source
from pyraseg.pipeline.writers.prediction import Prediction
from pyraseg.pipeline.writers.tables.item_records import FrameRecord, Item, ItemRecord
from pyraseg.transforms.errors import InputError
from pyraseg.transforms.frame.preprocessing import source_view
from pyraseg.transforms.records import Quantity

__all__ = ["VolumeTask"]

DICOM_FORMATS = {"seg", "sr", "rtstruct"}


@dataclass(frozen=True)
class VolumeTask(ItemTask):
    """What to do with each series.

    Attributes:
        reading: what may be mended or assumed of it.
        region: the box that is searched; None for all of it.
        overlap: of neighbouring windows, a fraction of their sides.
    """

    reading: SeriesReading = field(default_factory=SeriesReading)
    region: Region | None = None
    overlap: float = 0.5

    def _record(self, item: Item, exchange: Exchange, folder: Path, stages: Stages) -> ItemRecord:
        with stages("reading"):
            source = self.reading.read(item)
            self._check_references(source)
        dicom = source.series is not None
        facts = source_facts(item.source, identify=self.identify) if dicom else SourceFacts("", None, None)
        found = self._scored(item, source, exchange, folder, stages)
        labels = self._labels(source, found, folder, stages)
        with stages("quantities"):
            quantities = measure_volume(
                labels.T,
                source.array,
                label_names=self.names,
                declared=self.quantities,
                affine=source.affine,
                image_unit=source.unit,
            )
            sizes = [np.bincount(plane.ravel(), minlength=len(self.segments)) for plane in labels]
            row = self._volume_row(source, found, quantities, np.sum(sizes, axis=0))
        written = write_outputs(
            folder,
            self._volume_prediction(item, source, labels, found, quantities, folder, stages),
            pictures=self._drawing(item, source, stages),
            formats=tuple(name for name in self.formats if dicom or name not in DICOM_FORMATS),
            seg_type=self.seg_type,
            probabilities=self.probabilities,
            stages=stages,
            affine=source.affine,
        )
        spacing = source.spacing_mm
        return ItemRecord(
            case=item.case,
            file=item.file,
            study_instance_uid=facts.study_instance_uid,
            series_instance_uid=item.source.series_instance_uid,
            sop_instance_uid=item.source.sop_instance_uid,
            frames=labels.shape[0],
            rows=labels.shape[1],
            columns=labels.shape[2],
            spacing_mm=(spacing[1], spacing[0]),
            spacing_source="series" if dicom else "nifti",
            key_frame=0,
            units={quantity.name: quantity.unit for quantity in quantities},
            rows_of_frames=(row,),
            flags=row.flags,
            notes=(*self._notes(item, labels), *written.notes),
            seconds=0.0,
            outputs=written.outputs,
            fingerprint=self.fingerprint,
            size=item.size,
            modified_ns=item.modified_ns,
            identity=facts.identity,
            slice_mm=spacing[2],
            searched_mm=None if self.region is None else self.region.bounds,
        )

    def _check_references(self, source: ItemVolume) -> None:
        """Refuse what could not be filed before the network has worked for it."""
        if source.series is not None and DICOM_FORMATS & {*self.formats}:
            read_source(source.series.source.slices[0])
            check_images(source.series.source.slices)

    def _scored(
        self, item: Item, source: ItemVolume, exchange: Exchange, folder: Path, stages: Stages
    ) -> Probabilities:
        """The network's probabilities of all of the volume, or of the region and what is around it."""
        with stages("preprocessing"):
            data: Any = {"image": source.image, "case": item.case}
            image = self.preprocessing(data)["image"]
            plain, affine = image.as_tensor(), np.asarray(image.affine, np.float64)
            if self.region is not None:
                plain, affine = self._searched(source, plain, affine, exchange.shapes.inputs[1:])
        with stages("windows"):
            return infer(plain, affine, exchange=exchange, overlap=self.overlap, folder=folder)

    def _searched(
        self, source: ItemVolume, image: torch.Tensor, affine: np.ndarray, window: tuple[int, ...]
    ) -> tuple[torch.Tensor, np.ndarray]:
        if self.region is None or source.series is None:
            remedy = "Give the DICOM series, or leave --roi out."
            raise InputError("a DICOM series, in whose coordinates a region is", found="NIfTI", remedy=remedy)
        grid = source.series.grid
        self.region.check_meets(grid)
        place = self.region.window(grid, affine, image.shape[1:], window)
        moved = affine.copy()
        moved[:3, 3] += affine[:3, :3] @ [span.start for span in place]
        return image[(slice(None), *place)], moved

    def _labels(self, source: ItemVolume, found: Probabilities, folder: Path, stages: Stages) -> np.ndarray:
        """(slices, rows, columns) on the source grid, cleared up."""
        shape = source.array.shape
        labels = scratch_array(folder / ".labels", shape[::-1], np.uint8)
        with stages("label maps"):
            for place in self._kept_alive(found.labels(source.affine, labels.T), stages):
                self._blank(source, labels.T, place)
            for step in self.postprocessing.transforms:
                if isinstance(step, CleanUpLabelsd) and step.clean_up is not None:
                    labels = np.asarray(step.clean_up(labels[None], spacing_mm=source.spacing_mm[::-1]))[0]
        return labels

    def _shares(
        self, source: ItemVolume, found: Probabilities, folder: Path, stages: Stages
    ) -> np.ndarray | None:
        """(slices, K, rows, columns) on the source grid, where they are asked for."""
        if not (self.probabilities or self.seg_type == "fractional"):
            return None
        columns, rows, slices = source.array.shape
        shape = (slices, len(self.segments), rows, columns)
        shares = scratch_array(folder / ".probabilities", shape, np.float16)
        with stages("label maps"):
            volume = shares.transpose(1, 3, 2, 0)
            for place in self._kept_alive(found.shares(source.affine, volume), stages):
                self._blank(source, volume, place)
        return shares

    def _blank(self, source: ItemVolume, values: np.ndarray, slices: slice) -> None:
        """Leave nothing outside the region, (..., X, Y, Z)."""
        if self.region is not None and source.series is not None:
            values[..., slices] *= self.region.inside(source.series.grid, slices)

    @staticmethod
    def _kept_alive(parts: Iterator[slice], stages: Stages) -> Iterator[slice]:
        for part in parts:
            stages.beat()
            yield part

    def _volume_row(
        self, source: ItemVolume, found: Probabilities, quantities: tuple[Quantity, ...], sizes: np.ndarray
    ) -> FrameRecord:
        flags = review_flags(
            self.rules.review,
            label_names=self.names,
            areas=sizes,
            spacing_mm=None,
            confidence=found.confidence,
            voxel_ml=abs(float(np.linalg.det(source.affine[:3, :3]))) / 1000,
        )
        return frame_record(quantities, frame=0, confidence=found.confidence, flags=flags)

    def _volume_prediction(
        self,
        item: Item,
        source: ItemVolume,
        labels: np.ndarray,
        found: Probabilities,
        quantities: tuple[Quantity, ...],
        folder: Path,
        stages: Stages,
    ) -> Prediction:
        series = None if source.series is None else source.series.source
        trained_on = self.rules.trained_on
        return Prediction(
            source=item.source if series is None else series.slices[0],
            case=item.case,
            labels=labels,
            segments=self.segments,
            algorithm=self.algorithm,
            spacing_mm=source.spacing_mm[1::-1],
            quantities=quantities,
            probabilities=self._shares(source, found, folder, stages),
            salt=f"{self.fingerprint} {self.computed_by}",
            series=series,
            remarks=(
                *([f"What the model was trained on: {trained_on}"] if trained_on else []),
                *([self.region.remark] if self.region is not None else []),
            ),
        )

    def _drawing(self, item: Item, source: ItemVolume, stages: Stages) -> VolumePictures:
        with stages("pictures"):
            data: Any = {"image": source.image, "case": item.case}
            view = source_view(self.preprocessing)(data)["image"].as_tensor()[0]
            shown = view.mul(255).round_().to(torch.uint8).numpy()
        return VolumePictures(shown, source.affine, projected=item.source.modality == "PT")

    def _notes(self, item: Item, labels: np.ndarray) -> Iterator[str]:
        if item.source.sop_class_uid and len(labels) != item.slices:
            yield f"mended: {len(labels)} of {item.slices} slices make the volume"
        if self.region is not None:
            yield self.region.remark
