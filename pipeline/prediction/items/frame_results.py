"""The frames of one item: each is read once, scored, and restored to the source grid."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from monai.data import MetaTensor
from monai.transforms import Compose, InvertibleTransform

from pyraseg.pipeline.prediction.items.outputs import scratch_array
from pyraseg.pipeline.prediction.items.quality import colour_fraction, confidence
from pyraseg.pipeline.prediction.processes.network_client import SLOTS, NetworkClient
from pyraseg.pipeline.prediction.progress import Stages
from pyraseg.pipeline.trust.quality import MapSums
from pyraseg.transforms.frame.display import ScaleDisplayd
from pyraseg.transforms.io.display_range import CONTRAST

__all__ = ["PROBABILITIES", "Frame", "FrameReading", "FrameResults", "score_frames"]

PROBABILITIES = "probabilities"  # the entry in which postprocessing keeps them


@dataclass(frozen=True)
class Frame:
    """One frame.

    Attributes:
        image: (C, h, w) for the network, with its applied operations.
        view: (C, H, W) uint8 on the source grid, black outside the tissue; all black where text could not be
            told from tissue; None where not asked for.
    """

    image: MetaTensor
    view: np.ndarray | None


class FrameReading:
    """Reads frames by a bundle's preprocessing, each once for network and pictures.

    Args:
        preprocessing: from a frame to the network's input. The steps before its ``ScaleDisplayd`` load, crop
            and blank; pictures show their result.
        frames: paths of frames, or `pyraseg.transforms.io.dicom_reader.open_frames`.
        case: the item's hashed name.
    """

    def __init__(self, preprocessing: Compose, frames: Sequence[Any], case: str) -> None:
        self.preprocessing, self.frames, self.case = preprocessing, frames, case
        kinds = [type(step) for step in preprocessing.transforms]
        self._end = kinds.index(ScaleDisplayd) if ScaleDisplayd in kinds else None

    def read(self, index: int, *, view: bool) -> Frame:
        """Read frame ``index``, from 0.

        Raises:
            InputError: it cannot be read correctly.
        """
        data: Any = {"image": self.frames[index], "case": self.case}
        if not view or self._end is None:
            return Frame(self.preprocessing(data)["image"], None)
        data = self.preprocessing(data, end=self._end)
        shown = self._view(data["image"])
        return Frame(self.preprocessing(data, start=self._end)["image"], shown)

    def view(self, index: int) -> np.ndarray | None:
        """Read only the picture of a frame."""
        if self._end is None:
            return None
        data: Any = {"image": self.frames[index], "case": self.case}
        return self._view(self.preprocessing(data, end=self._end)["image"])

    def _view(self, image: MetaTensor) -> np.ndarray:
        plain, white = image.as_tensor(), float(image.meta["display_max"])
        if not image.meta.get("tissue_clear", True):
            plain = torch.zeros_like(plain)
        if plain.dtype != torch.uint8 or white != 255:
            plain = (plain.float() * (255 / white)).round_().clamp_(0, 255).to(torch.uint8)
        shown = MetaTensor(plain, meta=dict(image.meta), applied_operations=list(image.applied_operations))
        data: Any = {"image": shown}
        for step in reversed(self.preprocessing.transforms[: self._end]):
            if isinstance(step, InvertibleTransform):
                data = step.inverse(data)
        return np.asarray(data["image"].as_tensor().numpy())


@dataclass
class FrameResults:
    """The results of all frames of an item, in order.

    Attributes:
        labels: (F, H, W) uint8.
        probabilities: (F, K, H, W) float16; None where not asked for.
        views: (F, C, H, W) uint8, black outside the tissue; None where not kept.
        confidences, colours: see `pyraseg.pipeline.prediction.items.quality`.
        evidence: of each frame, for its `Judgement`: the features (F,) and the sums of the probabilities.
        contrasts: what is wrong with each frame's greys, see `contrast_fault`.
        spacing_mm: (row, column); ``spacing_source``: where it comes from.
    """

    labels: np.ndarray
    probabilities: np.ndarray | None = None
    views: np.ndarray | None = None
    confidences: list[float | None] = field(default_factory=list)
    colours: list[float] = field(default_factory=list)
    contrasts: list[str] = field(default_factory=list)
    evidence: list[tuple[np.ndarray, MapSums]] = field(default_factory=list)
    spacing_mm: tuple[float, float] | None = None
    spacing_source: str = "none"

    def add(
        self, index: int, frame: Frame, scored: tuple[np.ndarray, np.ndarray], postprocessing: Compose
    ) -> None:
        """Add a frame, its scores (K, h, w) and its features (F,)."""
        scores, features = scored
        entry = postprocessing({"pred": torch.from_numpy(scores), "image": frame.image})
        self.labels[index] = np.asarray(entry["pred"])[0]
        if self.probabilities is not None:
            self.probabilities[index] = np.asarray(entry[PROBABILITIES])
        weights = next((s.weights for s in postprocessing.transforms if hasattr(s, "weights")), None)
        self.evidence.append((features, MapSums.of_scores(torch.from_numpy(scores), weights)))
        self.confidences.append(confidence(scores))
        self.colours.append(colour_fraction(frame.image.as_tensor()))
        self.contrasts.append(str(frame.image.meta.get(CONTRAST, "")))
        spacing = frame.image.meta.get("spacing_mm")
        self.spacing_mm = None if spacing is None else (float(spacing[0]), float(spacing[1]))
        self.spacing_source = str(frame.image.meta.get("spacing_source", "none"))


def score_frames(
    reading: FrameReading,
    *,
    postprocessing: Compose,
    size: tuple[int, int],
    network: NetworkClient,
    folder: Path,
    stages: Stages,
    probabilities: bool,
    views: bool,
) -> FrameResults:
    """Read, score and restore every frame of an item.

    Args:
        postprocessing: from scores to a label map on the source grid; keeps probabilities where asked for.
        size: (rows, columns) of the source.
        folder: for arrays too large for memory.
        views: keep the view of every frame.

    Raises:
        PyrasegError: a frame cannot be read or scored, or the disk is full.
    """
    frames, classes = len(reading.frames), network.shapes.scores[0]
    results = FrameResults(scratch_array(folder / ".labels", (frames, *size), np.uint8))
    if probabilities:
        shape = (frames, classes, *size)
        results.probabilities = scratch_array(folder / ".probabilities", shape, np.float16)
    for index, frame, scored in _scored(reading, network, stages, views=views):
        with stages("label maps"):
            results.add(index, frame, scored, postprocessing)
        if frame.view is not None:
            if results.views is None:
                results.views = scratch_array(folder / ".views", (frames, *frame.view.shape), np.uint8)
            results.views[index] = frame.view
    return results


def _scored(
    reading: FrameReading, network: NetworkClient, stages: Stages, *, views: bool
) -> Iterator[tuple[int, Frame, tuple[np.ndarray, np.ndarray]]]:
    """Every frame with its scores and features; the next chunk is read while the network scores one."""
    ahead: deque[list[tuple[int, Frame]]] = deque()
    size, frames = network.shapes.frames, len(reading.frames)
    for start in range(0, frames, size):
        with stages("reading"):
            indices = range(start, min(start + size, frames))
            chunk = [(index, reading.read(index, view=views)) for index in indices]
            network.send([frame.image for _, frame in chunk])
        ahead.append(chunk)
        if len(ahead) == SLOTS:
            yield from _paired(ahead.popleft(), network)
    while ahead:
        yield from _paired(ahead.popleft(), network)


def _paired(
    chunk: list[tuple[int, Frame]], network: NetworkClient
) -> Iterator[tuple[int, Frame, tuple[np.ndarray, np.ndarray]]]:
    scores, features = network.receive(), network.features.copy()
    return ((index, frame, (scores[n], features[n])) for n, (index, frame) in enumerate(chunk))
