"""Labels of volumes by windows are those of MONAI's inferer, and less is kept for them."""

from __future__ import annotations

import pickle

import numpy as np
import pytest
import torch
from monai.data import MetaTensor
from monai.inferers import SlidingWindowInferer

from pyraseg.pipeline.inference import Ensemble, SegmentationInferer
from pyraseg.transforms.errors import ConfigError, GeometryError

CPU = torch.device("cpu")
ROI = (8, 7, 6)
SIZE = (17, 15, 20)
SHAPES = [
    (SIZE, 0.0),
    (SIZE, 0.25),
    (SIZE, 0.5),
    ((11, 8, 10), 0.8),
    (ROI, 0.5),
    ((5, 15, 20), 0.5),
    ((4, 5, 3), 0.5),
]


@pytest.fixture(scope="module")
def network() -> torch.nn.Module:
    """One that looks around, so that a window's edge is seen in its scores, and tells three classes apart."""
    torch.manual_seed(0)
    layers = (torch.nn.Conv3d(2, 4, 3, padding=1), torch.nn.ReLU(), torch.nn.Conv3d(4, 3, 3, padding=1))
    return torch.nn.Sequential(*layers).eval()


def volume(size=SIZE, *, seed=1) -> torch.Tensor:
    return torch.rand(1, 2, *size, generator=torch.Generator().manual_seed(seed))


def sliding(**options) -> SegmentationInferer:
    return SegmentationInferer("sliding", **{"roi_size": ROI, "device": CPU, "amp": False, **options})


def labels_of(image, network, **options) -> np.ndarray:
    """The labels (X, Y, Z) of all slabs."""
    slabs = [*sliding(**options).slabs(image, network)]
    labels = np.empty(
        [max(slab.slices[axis].stop for slab in slabs) for axis in range(3)], slabs[0].labels.dtype
    )
    for slab in slabs:
        labels[slab.slices] = slab.labels
    return labels


def monai(image, network, *, overlap=0.5) -> torch.Tensor:
    """Its probabilities, (K, X, Y, Z)."""
    inferer = SlidingWindowInferer(ROI, sw_batch_size=3, overlap=overlap, mode="gaussian")
    with torch.no_grad():
        return inferer(image, network)[0].softmax(0)


def disagreement(labels: np.ndarray, probabilities: torch.Tensor) -> float:
    """The greatest lead of the best class over the second best among voxels that are labelled otherwise."""
    best, second = probabilities.topk(2, dim=0).values
    wrong = torch.from_numpy(labels.astype(np.int64)) != probabilities.argmax(0)
    return float((best - second)[wrong].max()) if wrong.any() else 0.0


class TestMonai:
    @pytest.mark.parametrize(("size", "overlap"), SHAPES, ids=str)
    def test_scores_labels_and_probabilities_are_those_of_monai_s_inferer(self, network, size, overlap):
        image = volume(size)
        wanted = monai(image, network, overlap=overlap)
        assert len(wanted.argmax(0).unique()) > 1
        inferer = sliding(overlap=overlap)
        scores = inferer(image, network)[0]
        assert torch.allclose(scores.softmax(0), wanted, atol=1e-5)
        labels = scores.argmax(0).numpy()
        assert disagreement(labels, wanted) < 1e-4
        for axis in range(3):
            whole = np.full((3, *size), np.nan, np.float32)
            for slab in inferer.slabs(image, network, axis=axis):
                assert np.isnan(whole[:, *slab.slices]).all()
                whole[:, *slab.slices] = slab.probabilities
                assert slab.labels.dtype == np.uint8
                assert np.array_equal(labels[slab.slices], slab.labels)
            assert np.allclose(whole, wanted, atol=1e-5)

    @pytest.mark.parametrize("size", [(17, 15), (5, 15), (8, 7)])
    def test_frames_and_batches_of_them_have_the_scores_of_monai_s_inferer(self, size):
        torch.manual_seed(0)
        network = torch.nn.Conv2d(2, 3, 3, padding=1)
        images = torch.rand(3, 2, *size)
        with torch.no_grad():
            wanted = SlidingWindowInferer(ROI[:2], overlap=0.5, mode="gaussian")(images, network)
        assert torch.allclose(sliding(roi_size=ROI[:2])(images, network), wanted, atol=1e-5)

    @pytest.mark.parametrize("batch_size", [1, 2, 5, 1000])
    def test_windows_in_batches_give_what_single_windows_give(self, network, batch_size):
        labels = labels_of(volume(), network, batch_size=batch_size)
        assert disagreement(labels, monai(volume(), network)) < 1e-4

    @pytest.mark.parametrize(
        "options", [{"mode": "whole"}, {"mode": "sliding", "roi_size": (-1, -1, -1)}], ids=str
    )
    def test_a_window_of_the_volume_s_own_size_is_the_whole_volume(self, network, options):
        inferer = SegmentationInferer(device=CPU, amp=False, **options)
        with torch.no_grad():
            wanted = network(volume())[0].softmax(0)
            assert torch.allclose(inferer(volume(), network)[0].softmax(0), wanted, atol=1e-5)
        for slab in inferer.slabs(volume(), network):
            assert np.allclose(slab.probabilities, wanted[(slice(None), *slab.slices)], atol=1e-5)

    def test_bfloat16_is_rounded_in_the_network_and_nowhere_else(self, network):
        def half(windows):
            with torch.autocast("cpu", dtype=torch.bfloat16):
                return network(windows).float()

        assert disagreement(labels_of(volume(), network, amp=True), monai(volume(), half)) < 1e-4


class TestAverages:
    @pytest.mark.parametrize("flips", [["h"], ["d", "h"], ["h", "w", "d"]], ids=str)
    def test_flips_are_averaged_within_each_window(self, network, flips):
        averaging = SegmentationInferer(device=CPU, amp=False, tta_flips=flips)
        wanted = monai(volume(), lambda windows: averaging(windows, network))
        labels = labels_of(volume(), network, tta_flips=flips)
        assert disagreement(labels, wanted) < 1e-4
        assert not np.array_equal(labels, labels_of(volume(), network))
        assert np.array_equal(labels, sliding(tta_flips=flips)(volume(), network)[0].argmax(0))

    def test_members_of_an_ensemble_are_averaged_within_each_window(self, network):
        torch.manual_seed(5)
        both = Ensemble([network, torch.nn.Conv3d(2, 3, 3, padding=1)])
        labels = labels_of(volume(), both)
        assert disagreement(labels, monai(volume(), both)) < 1e-4
        assert np.array_equal(labels, sliding()(volume(), both)[0].argmax(0))


class TestInput:
    def test_tensors_arrays_and_mapped_files_give_one_result(self, network, tmp_path):
        image = (volume() * 1000 - 500).round()
        np.save(tmp_path / "image.npy", image.numpy().astype(np.int16))
        mapped = np.load(tmp_path / "image.npy", mmap_mode="r")
        wanted = labels_of(image, network)
        for given in (mapped, mapped[0], image[0], MetaTensor(image), image.numpy().astype(">f8")):
            assert np.array_equal(labels_of(given, network), wanted)

    def test_the_network_sees_plain_windows_and_leaves_no_gradients(self, network):
        seen = []

        def watched(windows):
            scores = network(windows)
            seen.append((type(windows), scores.requires_grad))
            return scores

        [*sliding().slabs(MetaTensor(volume()), watched)]
        sliding()(MetaTensor(volume()), watched)
        assert set(seen) == {(torch.Tensor, False)}
        assert torch.is_grad_enabled()

    @pytest.mark.parametrize("shape", [(2, 2, 5, 5, 5), (5, 5, 5), (1, 2, 0, 5, 5)], ids=str)
    def test_several_volumes_or_none_are_refused(self, network, shape):
        with pytest.raises(GeometryError, match="one by one"):
            labels_of(torch.zeros(shape), network)

    @pytest.mark.parametrize(
        "options", [{"overlap": 1.0}, {"overlap": -0.1}, {"batch_size": 0}, {"roi_size": (8, 7)}], ids=str
    )
    def test_settings_that_cannot_be_are_refused(self, network, options):
        with pytest.raises(ConfigError):
            sliding(**options)(volume(), network)
        with pytest.raises(ConfigError):
            labels_of(volume(), network, **options)

    def test_a_network_that_shrinks_its_windows_is_refused(self):
        with pytest.raises(GeometryError, match="of a window"):
            sliding()(volume(), torch.nn.Conv3d(2, 3, 3))

    def test_an_inferer_can_go_to_another_process(self, network):
        inferer = pickle.loads(pickle.dumps(sliding(tta_flips=["w"])))
        assert torch.equal(inferer(volume(), network), sliding(tta_flips=["w"])(volume(), network))

    def test_more_than_256_classes_take_two_bytes(self):
        def network(windows):
            levels = torch.arange(300.0).reshape(1, 300, 1, 1, 1)
            return -(levels - 300 * windows[:, :1]).square()

        labels = labels_of(volume(ROI), network, overlap=0.0)
        assert labels.dtype == np.uint16
        assert labels.max() > 256
        assert np.abs(labels - 300 * volume(ROI)[0, 0].numpy()).max() < 1


class TestMemory:
    def test_a_slab_leaves_before_the_next_row_of_windows_is_scored(self, network):
        """So what is kept is one row, however long the volume."""
        windows = []
        counted = sliding(batch_size=1)
        slabs = counted.slabs(volume((8, 7, 36)), lambda x: windows.append(len(x)) or network(x))
        scored = [sum(windows) for slab in slabs]
        assert scored == list(range(1, 12))

    def test_what_is_kept_is_thinnest_where_the_volume_is_longest(self, network):
        for axis in range(3):
            size = [10, 9, 8]
            size[axis] *= 3
            for slab in sliding().slabs(volume(tuple(size)), network):
                assert [
                    span.stop - span.start < side for span, side in zip(slab.slices, size, strict=True)
                ] == [other == axis for other in range(3)]
