"""The files of the best validation so far, or of an evaluation: tables, summary, reliability plot, predicted
masks."""

from __future__ import annotations

import io
import zipfile
import zlib
from pathlib import Path
from typing import Any

import numpy as np
import torch
from ignite.engine import Engine, Events

from pyraseg.pipeline.evaluation.results import Results
from pyraseg.pipeline.evaluation.tables import write_results
from pyraseg.pipeline.tracking import RunTracker
from pyraseg.pipeline.utils.distributed import gather, is_main
from pyraseg.pipeline.utils.files import atomic_write
from pyraseg.pipeline.writers.pictures.picture_files import write_png
from pyraseg.pipeline.writers.pictures.reliability import draw_reliability

__all__ = ["CaseResults", "pack", "unpack", "write_masks"]


def pack(label_map: torch.Tensor) -> bytes:
    """Compress a label map of bytes (1, H, W) or (1, H, W, D), mostly background, to about a hundredth."""
    buffer = io.BytesIO()
    np.save(buffer, torch.as_tensor(label_map)[0].cpu().numpy().astype(np.uint8), allow_pickle=False)
    return zlib.compress(buffer.getvalue(), level=1)


def unpack(packed: bytes) -> np.ndarray:
    """The uint8 label map (H, W) or (H, W, D) of `pack`."""
    return np.load(io.BytesIO(zlib.decompress(packed)), allow_pickle=False)


def write_masks(path: str | Path, masks: dict[str, bytes]) -> Path:
    """Write packed label maps as a compressed ``.npz``, an array a case, that ``numpy.load`` reads one by
    one.

    Raises:
        OutputError: the file cannot be written.
    """
    with (
        atomic_write(path) as file,
        zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED, compresslevel=1) as archive,
    ):
        for case, packed in masks.items():
            archive.writestr(zipfile.ZipInfo(f"{case}.npy"), zlib.decompress(packed), zipfile.ZIP_DEFLATED)
    return Path(path)


class CaseResults:
    """Ignite handler for an evaluator with `SegmentationScores`: whenever the key metric is the best so far,
    write what each case gave, and hand it to the tracker.

    The files: those of `write_results`, ``reliability.png`` where there are probabilities, and
    ``predictions.npz``, the predicted label maps on the source grids by case. An older best's files are
    replaced.

    Args:
        tracker: the MLflow run.
        folder: where the files go.
        artifacts: their folder among the run's artifacts.
    """

    def __init__(self, tracker: RunTracker, *, folder: str | Path, artifacts: str = "") -> None:
        self.tracker = tracker
        self.folder = Path(folder)
        self.artifacts = artifacts
        self._masks: dict[str, bytes] = {}

    def attach(self, engine: Engine) -> None:
        engine.add_event_handler(Events.EPOCH_STARTED, self._start)
        engine.add_event_handler(Events.ITERATION_COMPLETED, self._collect)
        engine.add_event_handler(Events.EPOCH_COMPLETED, self._finish)

    def _start(self, engine: Engine) -> None:
        self._masks = {}

    def _collect(self, engine: Any) -> None:
        for batch, output in zip(engine.state.batch, engine.state.output, strict=True):
            self._masks[str(batch["case"])] = pack(output["pred"])

    def _finish(self, engine: Any) -> None:
        if engine.state.best_metric_epoch == engine.state.epoch:
            masks = {case: mask for part in gather(self._masks) for case, mask in part.items()}
            if is_main():
                for path in self._write(engine.state.results, masks):
                    self.tracker.log_file(path, self.artifacts)
        self._masks = {}

    def _write(self, results: Results, masks: dict[str, bytes]) -> list[Path]:
        paths = write_results(self.folder, results)
        if results.reliability:
            paths.append(write_png(self.folder / "reliability.png", draw_reliability(results.reliability)))
        return [*paths, write_masks(self.folder / "predictions.npz", masks)]
