"""Inference over a folder with MONAI's evaluator: a label map and an overlay per frame or volume, and a
table."""

from __future__ import annotations

import csv
import logging
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from ignite.engine import Engine, Events
from monai.transforms import Compose

from pyraseg.pipeline.inference.trained import load_checkpoints
from pyraseg.pipeline.utils.errors import unwrap_monai_errors
from pyraseg.pipeline.utils.files import atomic_write
from pyraseg.pipeline.writers.nifti import write_label, write_labels
from pyraseg.pipeline.writers.pictures.montage import draw_volume
from pyraseg.pipeline.writers.pictures.overlay import write_overlay
from pyraseg.pipeline.writers.pictures.png import write_png
from pyraseg.transforms.frame.preprocessing import source_view
from pyraseg.transforms.records import Segment

__all__ = ["SavePredictions", "infer"]

logger = logging.getLogger(__name__)


def infer(
    evaluator: Any,
    *,
    checkpoint: str | Path | Sequence[str | Path],
    folder: str | Path,
    left_out: Sequence[tuple[str, str]] = (),
) -> None:
    """Load a checkpoint and run a MONAI evaluator over its data.

    Args:
        evaluator: with `SavePredictions` among its handlers.
        checkpoint: the weights; several for an ``Ensemble``.
        folder: the output folder, for ``left_out.csv``.
        left_out: relative path and reason of every file that is no image to predict; written down, never
            dropped.

    Raises:
        CheckpointError: the checkpoint is missing or does not fit the network.
        PyrasegError: a file cannot be read, with the case's name.
    """
    load_checkpoints(evaluator.network, checkpoint)
    if left_out:
        _write_left_out(Path(folder) / "left_out.csv", left_out)
    with unwrap_monai_errors():
        evaluator.run()


def _write_left_out(path: Path, left_out: Sequence[tuple[str, str]]) -> None:
    with atomic_write(path, "w") as file:
        table = csv.writer(file)
        table.writerow(["file", "reason"])
        table.writerows((_text(name), reason) for name, reason in left_out)
    logger.warning("%d files are left out; %s says which and why", len(left_out), path.name)


class SavePredictions:
    """Ignite handler for an evaluator: ``labels/<case>.nii.gz``, ``overlays/<case>.png`` and, at the end,
    ``cases.csv``.

    Files are named by the case's keyed hash; ``cases.csv`` leads back to the input, by its path relative to
    ``dataset_dir``, and holds each class's pixels and, where the frame is calibrated, its area in mm2. A
    volume's label map has its source's affine, its overlay is a montage of slices, and the table holds voxels
    and ml.
    """

    def __init__(
        self,
        folder: str | Path,
        *,
        dataset_dir: str | Path,
        segments: Sequence[Segment],
        preprocessing: Compose,
    ) -> None:
        self.folder = Path(folder)
        self.dataset_dir = Path(dataset_dir)
        self.segments = tuple(segments)
        self.view = source_view(preprocessing)
        self._rows: list[list[Any]] = []
        self._unit = "mm2"
        self._paths: dict[str, str] = {}
        self._root = Path()

    def attach(self, engine: Engine) -> None:
        engine.add_event_handler(Events.STARTED, self._start)
        engine.add_event_handler(Events.ITERATION_COMPLETED, self._save)
        engine.add_event_handler(Events.COMPLETED, self._finish)

    def _start(self, engine: Any) -> None:
        # dataset_dir may also be one file, or a glob with several levels of wildcards
        self._root = next(place for place in (self.dataset_dir, *self.dataset_dir.parents) if place.is_dir())
        self._rows = []
        self._paths = {item["case"]: item["image"] for item in engine.data_loader.dataset.data}

    def _save(self, engine: Any) -> None:
        for batch, output in zip(engine.state.batch, engine.state.output, strict=True):
            self._save_one(
                batch["case"], output["image"], np.asarray(output["pred"].cpu())[0].astype(np.uint8)
            )

    def _save_one(self, case: str, image: Any, mask: np.ndarray) -> None:
        source = self.view({"image": self._paths[case], "case": case})["image"]
        spacing_mm = image.meta.get("spacing_mm")
        spacing_mm = None if spacing_mm is None else tuple(float(value) for value in spacing_mm)
        label_path, overlay_path = (
            self.folder / "labels" / f"{case}.nii.gz",
            self.folder / "overlays" / f"{case}.png",
        )
        if mask.ndim == 3:
            affine = np.asarray(source.affine)
            write_labels(label_path, mask.T, affine=affine)
            write_png(overlay_path, draw_volume(source.numpy()[0], mask, self.segments, affine=affine))
        else:
            write_label(label_path, mask, spacing_mm=spacing_mm)
            write_overlay(overlay_path, np.asarray(source), mask, self.segments)
        self._rows.append(
            [case, _relative(self._paths[case], self._root), *self._sizes(image, mask, spacing_mm)]
        )

    def _sizes(self, image: Any, mask: np.ndarray, spacing_mm: tuple[float, ...] | None) -> list[Any]:
        """Where the spacing is from, each class's pixels, and its area in mm2 or its volume in ml."""
        self._unit = "ml" if mask.ndim == 3 else "mm2"
        pixels = [int(np.count_nonzero(mask == segment.value)) for segment in self.segments[1:]]
        one = None if spacing_mm is None else float(np.prod(spacing_mm)) / (1000 if mask.ndim == 3 else 1)
        digits = 3 if mask.ndim == 3 else 2
        return [
            image.meta["spacing_source"],
            *pixels,
            *("" if one is None else f"{n * one:.{digits}f}" for n in pixels),
        ]

    def _finish(self, engine: Any) -> None:
        names = [segment.name for segment in self.segments[1:]]
        counted = "voxels" if self._unit == "ml" else "pixels"
        sizes = [*(f"{name}_{counted}" for name in names), *(f"{name}_{self._unit}" for name in names)]
        with atomic_write(self.folder / "cases.csv", "w") as file:
            table = csv.writer(file)
            table.writerow(["case", "image", "spacing_source", *sizes])
            table.writerows(self._rows)
        logger.info(
            "%d images predicted: label maps, overlays and cases.csv are in the output folder",
            len(self._rows),
        )


def _relative(path: str, root: Path) -> str:
    return _text(os.path.relpath(path, root))


def _text(name: str) -> str:
    """A name that is not UTF-8 must not cost the table at the end of a run."""
    return os.fsencode(name).decode("utf-8", "backslashreplace")
