"""Predict one series in a worker; the network runs in another process."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from monai.data.utils import affine_to_spacing

from pyraseg.pipeline.inference import CleanUpLabelsd, Decision, SourceGridLabelsd
from pyraseg.pipeline.inference.decision import PLAINLY
from pyraseg.pipeline.measurement.volume import as_ucum, measure_volume
from pyraseg.pipeline.prediction.discovery.search_box import SearchBox
from pyraseg.pipeline.prediction.items.header import ItemHeader, read_item_header
from pyraseg.pipeline.prediction.items.outputs import VolumePictures, scratch_array
from pyraseg.pipeline.prediction.items.quality import review_flags
from pyraseg.pipeline.prediction.items.task import ItemResults, ItemTask, frame_record
from pyraseg.pipeline.prediction.items.volume_inference import VolumeScores, infer
from pyraseg.pipeline.prediction.processes.network_client import NetworkClient
from pyraseg.pipeline.prediction.progress import Stages
from pyraseg.pipeline.utils.reading_options import OF_SERIES, as_typed
from pyraseg.pipeline.writers.dicom.source import check_images
from pyraseg.pipeline.writers.tables.item_records import FrameRecord, Item
from pyraseg.transforms.dicom.files.opening import replaced
from pyraseg.transforms.dicom.series.volume import Volume
from pyraseg.transforms.errors import InputError, PyrasegError
from pyraseg.transforms.frame.source_view import source_view
from pyraseg.transforms.io.display_range import CONTRAST
from pyraseg.transforms.io.reading_options import ReadingOptions
from pyraseg.transforms.io.volumes import Loaded, read_volume
from pyraseg.transforms.records import Quantity

__all__ = ["VolumeTask", "read_item_volume"]

DEFAULT = ReadingOptions()


def read_item_volume(item: Item, reading: ReadingOptions = DEFAULT) -> Loaded:
    """Read an item's files, once. An item is a series, so none is chosen.

    Raises:
        InputError, GeometryError: the files are not one unambiguous volume, or not those that were found.
    """
    source = item.paths if item.source.sop_class_uid else item.source.path
    try:
        volume = read_volume(source, **reading.of_images | {"series": None}, workers=1)
    except PyrasegError as error:
        raise error.restated(spell=as_typed(OF_SERIES)) from None
    for ref in volume.source.slices if isinstance(volume, Volume) else ():
        if ref.stamp not in item.stamps:
            raise replaced(ref.path)
    return volume


@dataclass(frozen=True)
class VolumeTask(ItemTask):
    """The task for each series.

    Attributes:
        reading: how to read the series.
        box: the part to search; None for all.
        overlap: of neighbouring windows, a fraction of their sides.
    """

    reading: ReadingOptions = DEFAULT
    box: SearchBox | None = None
    overlap: float = 0.5

    def process(self, item: Item, network: NetworkClient, folder: Path, stages: Stages) -> ItemResults:
        """Read a series, score it by windows and measure it."""
        with stages("reading"):
            volume = read_item_volume(item, self.reading)
            header = self._header(volume)
        contrast, scores = self._scored(item, volume, network, folder, stages)
        labels = self._labels(volume, scores, folder, stages)
        with stages("quantities"):
            quantities = measure_volume(
                labels.T,
                volume.array,
                label_names=self.names,
                declared=self.quantities,
                affine=volume.affine,
                image_unit=as_ucum(volume.unit),
            )
            quantities = self.judge.with_intervals(quantities)
            sizes = [np.bincount(plane.ravel(), minlength=len(self.segments)) for plane in labels]
            row = self._row(volume, scores, quantities, np.sum(sizes, axis=0), contrast)
        series = volume.source if isinstance(volume, Volume) else None
        x, y, z = map(float, affine_to_spacing(volume.affine))
        prediction = self.predicted(
            item,
            item.source if series is None else series.slices[0],
            labels,
            probabilities=self._probabilities(volume, scores, folder, stages),
            spacing_mm=(y, x),
            quantities=quantities,
            series=series,
            remarks=tuple(self._remarks()),
        )
        projected = item.source.modality == "PT"
        return ItemResults(
            prediction,
            header,
            VolumePictures(lambda: self._view(item, volume), volume.affine, projected),
            rows=(row,),
            spacing_source="series" if series else "nifti",
            affine=volume.affine,
            slice_mm=z,
            searched_mm=None if self.box is None else self.box.bounds,
            notes=tuple(self._notes(item, labels)),
        )

    def _header(self, volume: Loaded) -> ItemHeader:
        """The header of the first slice, which written objects copy; refused where they cannot be filed.

        All slices have been read by now, but without the patient's attributes. Which slice is first is
        known only after sorting, so its file is read again.
        """
        if not isinstance(volume, Volume):
            return ItemHeader()
        slices = volume.source.slices
        _, header = read_item_header(slices[0], dicom=self.writes_dicom, identify=self.identify)
        if self.writes_dicom:
            check_images(slices)
        return header

    def _scored(
        self, item: Item, volume: Loaded, network: NetworkClient, folder: Path, stages: Stages
    ) -> tuple[str, VolumeScores]:
        """What is wrong with the greys; the probabilities of the whole volume, or of the box and around."""
        with stages("preprocessing"):
            data: Any = {"image": volume, "case": item.case}
            image = self.preprocessing(data)["image"]
            contrast = str(image.meta.get(CONTRAST, ""))
            plain, affine = image.as_tensor(), np.asarray(image.affine, np.float64)
            if self.box is not None:
                plain, affine = self._searched(volume, plain, affine, network.shapes.inputs[1:])
        with stages("windows"):
            options: dict[str, Any] = {"overlap": self.overlap, "folder": folder}
            options["weights"] = self._decision.weights
            return contrast, infer(plain, affine, network=network, **options)

    @property
    def _decision(self) -> Decision:
        """The operating points by which the postprocessing decides."""
        steps = self.postprocessing.transforms
        return next((step.decision for step in steps if isinstance(step, SourceGridLabelsd)), PLAINLY)

    def _searched(
        self, volume: Loaded, image: torch.Tensor, affine: np.ndarray, window: tuple[int, ...]
    ) -> tuple[torch.Tensor, np.ndarray]:
        if self.box is None or not isinstance(volume, Volume):
            remedy = "Give the DICOM series, or leave --roi out."
            raise InputError("a DICOM series, in whose coordinates a region is", found="NIfTI", remedy=remedy)
        grid = volume.grid
        self.box.check_meets(grid)
        part = self.box.window(grid, affine, image.shape[1:], window)
        moved = affine.copy()
        moved[:3, 3] += affine[:3, :3] @ [span.start for span in part]
        return image[(slice(None), *part)], moved

    def _labels(self, volume: Loaded, scores: VolumeScores, folder: Path, stages: Stages) -> np.ndarray:
        """(slices, rows, columns) on the source grid, after postprocessing."""
        labels = scratch_array(folder / ".labels", volume.array.shape[::-1], np.uint8)
        spacing_mm = tuple(map(float, affine_to_spacing(volume.affine)))
        with stages("label maps"):
            for slices in scores.labels(volume.affine, labels.T, decision=self._decision):
                self._blank(volume, labels.T, slices)
                stages.beat()
            for step in self.postprocessing.transforms:
                if isinstance(step, CleanUpLabelsd) and step.clean_up is not None:
                    labels = np.asarray(step.clean_up(labels[None], spacing_mm=spacing_mm[::-1]))[0]
        return labels

    def _probabilities(
        self, volume: Loaded, scores: VolumeScores, folder: Path, stages: Stages
    ) -> np.ndarray | None:
        """(slices, K, rows, columns) on the source grid, where asked for."""
        if not self.needs_probabilities:
            return None
        columns, rows, slices = volume.array.shape
        shape = (slices, len(self.segments), rows, columns)
        values = scratch_array(folder / ".probabilities", shape, np.float16)
        with stages("label maps"):
            by_class = values.transpose(1, 3, 2, 0)
            for part in scores.probabilities(volume.affine, by_class):
                self._blank(volume, by_class, part)
                stages.beat()
        return values

    def _blank(self, volume: Loaded, values: np.ndarray, slices: slice) -> None:
        """Clear everything outside the box, (..., X, Y, Z)."""
        if self.box is not None and isinstance(volume, Volume):
            values[..., slices] *= self.box.inside(volume.grid, slices)

    def _row(
        self,
        volume: Loaded,
        scores: VolumeScores,
        quantities: tuple[Quantity, ...],
        sizes: np.ndarray,
        contrast: str,
    ) -> FrameRecord:
        flags = review_flags(
            self.rules.review,
            label_names=self.names,
            areas=sizes,
            spacing_mm=None,
            confidence=scores.confidence,
            contrast=contrast,
            voxel_ml=abs(float(np.linalg.det(volume.affine[:3, :3]))) / 1000,
        )
        evidence = self.judge.evidence(scores.features, scores.sums)
        judgement = self.judge.judge(evidence, found=[bool(size) for size in sizes[1:]])
        known: dict[str, Any] = {"confidence": scores.confidence, "flags": flags, "judgement": judgement}
        return frame_record(quantities, frame=0, **known)

    def _view(self, item: Item, volume: Loaded) -> np.ndarray:
        data: Any = {"image": volume, "case": item.case}
        view = source_view(self.preprocessing)(data)["image"].as_tensor()[0]
        return np.asarray(view.mul(255).round_().to(torch.uint8).numpy())

    def _remarks(self) -> Iterator[str]:
        if self.rules.trained_on:
            yield f"What the model was trained on: {self.rules.trained_on}"
        if self.box is not None:
            yield self.box.remark

    def _notes(self, item: Item, labels: np.ndarray) -> Iterator[str]:
        if item.source.sop_class_uid and len(labels) != item.slices:
            which = "mended" if self.reading.stack is None else f"stack {self.reading.stack}"
            yield f"{which}: {len(labels)} of {item.slices} slices make the volume"
        if self.box is not None:
            yield self.box.remark
