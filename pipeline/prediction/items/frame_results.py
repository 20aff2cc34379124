"""What the frames of one item give: label maps on the source grid, how sure they are, and views for
pictures."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import torch
from monai.transforms import Compose

from pyraseg.pipeline.prediction.items.confidence import colour_fraction, confidence
from pyraseg.pipeline.prediction.items.frame_reading import Frame, FrameReading
from pyraseg.pipeline.prediction.items.scratch import scratch_array
from pyraseg.pipeline.prediction.items.spacing import spacing_of_mask
from pyraseg.pipeline.prediction.processes.network_client import SLOTS, Exchange
from pyraseg.pipeline.prediction.stages import Stages
from pyraseg.pipeline.writers.tables.item_records import Item

__all__ = ["PROBABILITIES", "Findings", "gather"]

PROBABILITIES = "probabilities"  # the entry that the clean-up leaves them in


@dataclass
class Findings:
    """Frame by frame, in their order.

    Attributes:
        labels: (F, H, W) uint8.
        probabilities: (F, K, H, W) float16; None where they are not asked for.
        views: (F, C, H, W) uint8, black outside the tissue; None where they are not kept.
        confidences, colours: see ``pyraseg.pipeline.prediction.items.confidence``.
        spacing_mm: (row, column); ``spacing_source``: where it is from.
    """

    labels: np.ndarray
    probabilities: np.ndarray | None = None
    views: np.ndarray | None = None
    confidences: list[float | None] = field(default_factory=list)
    colours: list[float] = field(default_factory=list)
    spacing_mm: tuple[float, float] | None = None
    spacing_source: str = "none"


def gather(
    item: Item,
    *,
    reading: FrameReading,
    postprocessing: Compose,
    classes: int,
    exchange: Exchange,
    folder: Path,
    stages: Stages,
    probabilities: bool,
    views: bool,
) -> Findings:
    """Read, score and restore every frame of an item.

    Args:
        postprocessing: scores to a label map on the source grid; it leaves the probabilities where they are
            asked for.
        classes: K.
        exchange: to the network.
        folder: for what is too large for the memory.
        views: keep the view of every frame.

    Raises:
        PyrasegError: a frame cannot be read or scored, or there is no room.
    """
    source = item.source
    frames, size = source.number_of_frames, (source.rows, source.columns)
    found = Findings(scratch_array(folder / ".labels", (frames, *size), np.uint8))
    if probabilities:
        found.probabilities = scratch_array(folder / ".probabilities", (frames, classes, *size), np.float16)
    for index, frame, scores in _scored(item, reading, exchange, stages, views=views):
        with stages("label maps"):
            _add(found, index, frame, scores, postprocessing)
        if frame.view is not None:
            if found.views is None:
                found.views = scratch_array(folder / ".views", (frames, *frame.view.shape), np.uint8)
            found.views[index] = frame.view
    if found.spacing_mm is None and (spacing := spacing_of_mask(source, found.labels)):
        found.spacing_mm, found.spacing_source = spacing, "region"
    return found


def _scored(
    item: Item, reading: FrameReading, exchange: Exchange, stages: Stages, *, views: bool
) -> Iterator[tuple[int, Frame, np.ndarray]]:
    """Every frame with its scores; while one chunk is at the network, the next is read."""
    ahead: deque[list[tuple[int, Frame]]] = deque()
    size, frames = exchange.shapes.frames, item.source.number_of_frames
    for start in range(0, frames, size):
        with stages("reading"):
            indices = range(start, min(start + size, frames))
            chunk = [(index, reading.read(item, index, view=views)) for index in indices]
            exchange.send([frame.image for _, frame in chunk])
        ahead.append(chunk)
        if len(ahead) == SLOTS:
            yield from _paired(ahead.popleft(), exchange.receive())
    while ahead:
        yield from _paired(ahead.popleft(), exchange.receive())


def _paired(chunk: list[tuple[int, Frame]], scores: np.ndarray) -> Iterator[tuple[int, Frame, np.ndarray]]:
    return ((index, frame, scores[at]) for at, (index, frame) in enumerate(chunk))


def _add(found: Findings, index: int, frame: Frame, scores: np.ndarray, postprocessing: Compose) -> None:
    entry = postprocessing({"pred": torch.from_numpy(scores), "image": frame.image})
    found.labels[index] = np.asarray(entry["pred"])[0]
    if found.probabilities is not None:
        found.probabilities[index] = np.asarray(entry[PROBABILITIES])
    found.confidences.append(confidence(scores))
    found.colours.append(colour_fraction(frame.image.as_tensor()))
    meta = frame.image.meta
    spacing = meta.get("spacing_mm")
    found.spacing_mm = None if spacing is None else (float(spacing[0]), float(spacing[1]))
    found.spacing_source = str(meta.get("spacing_source", "none"))
