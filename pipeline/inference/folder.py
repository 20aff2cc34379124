"""Inference over a folder with MONAI's evaluator: a label map and an overlay for each image, and a table."""

from __future__ import annotations

import logging
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from ignite.engine import Engine, Events
from monai.transforms import Compose

from pyraseg.pipeline.inference.trained import load_checkpoints
from pyraseg.pipeline.utils.errors import unwrap_monai_errors
from pyraseg.pipeline.utils.files import private_files, write_rows
from pyraseg.pipeline.writers.nifti import write_label, write_labels
from pyraseg.pipeline.writers.pictures.montage import draw_volume
from pyraseg.pipeline.writers.pictures.overlay import write_overlay
from pyraseg.pipeline.writers.pictures.picture_files import write_png
from pyraseg.transforms.frame.source_view import source_view
from pyraseg.transforms.io.display_range import CONTRAST
from pyraseg.transforms.records import Segment

__all__ = ["SavePredictions", "infer"]

LEFT_OUT = "left_out.csv"

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
        left_out: relative path and reason of every file that is no image to predict.

    Raises:
        CheckpointError: the checkpoint is missing or does not fit the network.
        PyrasegError: a file cannot be read, with the case's name.
    """
    load_checkpoints(evaluator.network, checkpoint)
    with private_files(), unwrap_monai_errors():
        if left_out:
            _write_left_out(Path(folder), left_out)
        evaluator.run()


def _write_left_out(folder: Path, left_out: Sequence[tuple[str, str]]) -> None:
    write_rows(folder / LEFT_OUT, ["file", "reason"], ((_utf8(name), reason) for name, reason in left_out))
    logger.warning("%d files are left out; %s says which and why", len(left_out), LEFT_OUT)


class SavePredictions:
    """Ignite handler for an evaluator: ``labels/<case>.nii.gz``, ``overlays/<case>.png`` and ``cases.csv``.

    Files are named by the case's keyed hash. ``cases.csv`` has the input's path relative to ``dataset_dir``,
    each class's pixels and, if the frame is calibrated, its area in mm2, then the warnings of the checkpoint,
    if it can tell (``expected_dice`` is the least of the classes). A volume's label map has the source's
    affine, its overlay is a montage of slices, and the table has voxels and ml.

    Args:
        folder: the output folder.
        dataset_dir: the folder, file or glob that was predicted.
        segments: values, names and colours of the classes, background first.
        preprocessing: transforms of the images; overlays use their crop and blanking, or their window.

    Raises:
        OutputError: when run, ``folder`` cannot be written.

    >>> segments = [Segment(0, "background", (0, 0, 0)), Segment(1, "kidney", (255, 0, 0))]
    >>> handler = SavePredictions("eval", dataset_dir=".", segments=segments, preprocessing=Compose([]))
    >>> handler.attach(Engine(lambda engine, batch: None))  # or among the val_handlers of an evaluator
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
        self._volumes = self._judged = False
        self._paths: dict[str, str] = {}

    def attach(self, engine: Engine) -> None:
        engine.add_event_handler(Events.STARTED, self._start)
        engine.add_event_handler(Events.ITERATION_COMPLETED, self._save)
        engine.add_event_handler(Events.COMPLETED, self._finish)

    def _start(self, engine: Any) -> None:
        self._rows = []
        self._paths = {item["case"]: item["image"] for item in engine.data_loader.dataset.data}

    def _save(self, engine: Any) -> None:
        for batch, output in zip(engine.state.batch, engine.state.output, strict=True):
            labels = np.asarray(output["pred"].cpu())[0].astype(np.uint8)
            self._save_one(batch["case"], output["image"].meta, labels, judgement=output.get("judgement"))

    def _save_one(self, case: str, meta: Mapping[str, Any], labels: np.ndarray, *, judgement: Any) -> None:
        if fault := meta.get(CONTRAST):
            logger.warning("the image of case %s is %s", case, fault)
        path = self._paths[case]
        source = self.view({"image": path, "case": case})["image"]
        spacing_mm = meta.get("spacing_mm")
        spacing_mm = None if spacing_mm is None else tuple(float(value) for value in spacing_mm)
        label_path = self.folder / "labels" / f"{case}.nii.gz"
        overlay_path = self.folder / "overlays" / f"{case}.png"
        self._volumes = labels.ndim == 3
        if self._volumes:
            affine = np.asarray(source.affine)
            write_labels(label_path, labels.T, affine=affine)
            write_png(overlay_path, draw_volume(source.numpy()[0], labels, self.segments, affine=affine))
        else:
            write_label(label_path, labels, spacing_mm=spacing_mm)
            write_overlay(overlay_path, np.asarray(source), labels, self.segments)
        counts = [int(np.count_nonzero(labels == segment.value)) for segment in self.segments[1:]]
        sizes = [""] * len(counts)
        if spacing_mm is not None:
            one, digits = (
                float(np.prod(spacing_mm)) / (1000 if self._volumes else 1),
                3 if self._volumes else 2,
            )
            sizes = [f"{count * one:.{digits}f}" for count in counts]
        # dataset_dir may also be one file, or a glob with several levels of wildcards
        root = next(folder for folder in (self.dataset_dir, *self.dataset_dir.parents) if folder.is_dir())
        relative = _utf8(os.path.relpath(path, root))
        told = [] if judgement is None else _warnings(judgement)
        self._judged = self._judged or bool(told)
        self._rows.append([case, relative, meta["spacing_source"], *counts, *sizes, *told])

    def _finish(self, engine: Any) -> None:
        units = ("voxels", "ml") if self._volumes else ("pixels", "mm2")
        sizes = [f"{segment.name}_{unit}" for unit in units for segment in self.segments[1:]]
        told = ["unlike", "expected_dice", "warnings"] if self._judged else []
        header = ["case", "image", "spacing_source", *sizes, *told]
        write_rows(self.folder / "cases.csv", header, self._rows)
        message = "%d images predicted: label maps, overlays and cases.csv are in the output folder"
        logger.info(message, len(self._rows))


def _warnings(judgement: Any) -> list[str]:
    """The cells of a `Judgement`."""
    numbers = (judgement.unlike, judgement.quality)
    return [*("" if value is None else f"{value:.3f}" for value in numbers), "; ".join(judgement.flags)]


def _utf8(name: str) -> str:
    """Escape a name that is not UTF-8, which would spoil the table at the end of a run."""
    return os.fsencode(name).decode("utf-8", "backslashreplace")
