"""What the network says of a volume comes back to the source grid, voxel for voxel, whichever way the series
lies."""

from __future__ import annotations

from collections import deque
from typing import Any

import numpy as np
import pytest
import torch

from pyraseg.pipeline.inference import Decision, OperatingPoint
from pyraseg.pipeline.prediction.items.volume_inference import VolumeScores, infer
from pyraseg.pipeline.prediction.processes.network_client import Shapes
from pyraseg.pipeline.trust.quality import MapSums
from tests.chains import volume_preprocessing
from tests.pipeline.writers.volume_cases import read
from tests.transforms.dicom.series_cases import oblique, write_enhanced, write_series

WINDOW = (8, 8, 8)
THRESHOLD = 0.5


class Thresholds:
    """A client of a network that takes what is brighter than 0.5 for the lesion, and is sure
    of it."""

    def __init__(self, *, frames: int = 1, slots: int = 3) -> None:
        self.shapes = Shapes(frames, (1, *WINDOW), (2, *WINDOW), slots)
        self.waiting: deque[np.ndarray] = deque()
        self.most = 0
        self.features = np.zeros((frames, 0), np.float32)

    def send(self, inputs: Any) -> None:
        values = np.stack(list(inputs))
        assert len(values) <= self.shapes.frames
        self.waiting.append(200 * np.concatenate([THRESHOLD - values, values - THRESHOLD], axis=1))
        self.most = max(self.most, len(self.waiting))

    def receive(self) -> np.ndarray:
        return self.waiting.popleft()


def preprocessed(volume):
    """By a preprocessing whose grid has the series' own spacing, so that nothing is interpolated."""
    spacing = np.linalg.norm(volume.grid.affine[:3, :3], axis=0)
    order = np.abs(volume.grid.affine[:3, :3] / spacing).argmax(axis=1)  # the source's axis along each of RAS
    values = {"spacing_mm": spacing[order].tolist(), "window": [-1024, 976]}
    preprocessing = volume_preprocessing("ct_sarcoma", input_size=WINDOW, **values)
    return preprocessing({"image": volume, "case": "c"})["image"]


@pytest.fixture
def truth():
    """(slices, rows, columns), neither symmetric nor of one size along two axes."""
    labels = np.zeros((14, 11, 19), np.uint8)
    labels[3:9, 2:8, 5:16] = 1
    labels[5, 4, 7:9] = labels[12, 9, 18] = labels[0, 0, 0] = 1
    labels[4:6, 7, 15] = 0
    return labels


def score(volume, folder, network):
    image = preprocessed(volume)
    return infer(image.as_tensor(), np.asarray(image.affine), network=network, overlap=0.5, folder=folder)


@pytest.mark.parametrize("write", [write_series, write_enhanced])
@pytest.mark.parametrize(
    "orientation", [(1.0, 0.0, 0.0, 0.0, 1.0, 0.0), (0.0, 1.0, 0.0, 0.0, 0.0, -1.0), oblique()],
    ids=["axial", "sagittal", "oblique"],
)  # fmt: skip
def test_a_lesion_comes_back_bit_for_bit(tmp_path, truth, write, orientation):
    volume = read(write(tmp_path / "series", 2000 * truth.astype(np.int16), orientation=orientation))
    scored = score(volume, tmp_path, Thresholds())
    labels = np.full(volume.grid.shape, 9, np.uint8)
    slices = list(scored.labels(volume.grid.affine, labels))
    assert [slices[0].start, slices[-1].stop] == [0, volume.grid.shape[2]]
    np.testing.assert_array_equal(labels.T, truth)
    probabilities = np.zeros((2, *volume.grid.shape), np.float32)
    assert list(scored.probabilities(volume.grid.affine, probabilities)) == slices
    np.testing.assert_array_equal(probabilities.argmax(axis=0), labels)
    assert scored.confidence == pytest.approx(1)


@pytest.mark.parametrize(("threshold", "kept"), [(0.5, True), (0.55, True), (0.8, False)])
def test_a_lesion_that_does_not_reach_its_threshold_is_not_delivered(tmp_path, truth, threshold, kept):
    bright = 2000 * truth.astype(np.int16)
    bright[12, 9, 18] = 1002  # with a probability of 0.6
    volume = read(write_series(tmp_path / "series", bright))
    decision = Decision(("background", "lesion"), {"lesion": OperatingPoint(threshold)})
    labels = np.zeros(volume.grid.shape, np.uint8)
    list(score(volume, tmp_path, Thresholds()).labels(volume.grid.affine, labels, decision=decision))
    truth[12, 9, 18] = kept
    np.testing.assert_array_equal(labels.T, truth)


def test_classes_beyond_128_come_back_as_they_are(tmp_path):
    probabilities = np.zeros((140, 4, 4, 4), np.float32)
    probabilities[131, 1:3], probabilities[0, 0], probabilities[0, 3] = 1, 1, 1
    scored = VolumeScores(probabilities, np.eye(4), None, MapSums.of(torch.ones(2, 1, 1)), np.zeros(0))
    labels = np.zeros((4, 4, 4), np.uint8)
    list(scored.labels(np.eye(4), labels))
    np.testing.assert_array_equal(labels, probabilities.argmax(axis=0))


def test_windows_go_out_to_every_slot(tmp_path, truth):
    volume = read(write_series(tmp_path / "series", 2000 * truth.astype(np.int16)))
    one, several = Thresholds(slots=2), Thresholds(frames=2, slots=4)
    first, second = (score(volume, tmp_path, network) for network in (one, several))
    assert (one.most, several.most) == (2, 4)
    np.testing.assert_allclose(first.values, second.values, atol=1e-6)


def test_without_a_lesion_there_is_no_confidence(tmp_path, truth):
    volume = read(write_series(tmp_path / "series", np.zeros_like(truth, np.int16)))
    assert score(volume, tmp_path, Thresholds()).confidence is None
