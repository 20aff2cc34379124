"""Labels of volumes by windows are those of MONAI's inferer, and less is kept for them."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from monai.data import MetaTensor
from monai.inferers import SlidingWindowInferer

from pyraseg.pipeline.inference.ensemble import Ensemble
from pyraseg.pipeline.inference.flips import FlipInferer
from pyraseg.pipeline.inference.inferer import make_inferer
from pyraseg.pipeline.inference.sliding import SlidingLabels, make_sliding_labels
from pyraseg.transforms.errors import ConfigError, GeometryError, OutputError

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


def labeller(**options) -> SlidingLabels:
    return make_sliding_labels(ROI, device=CPU, **{"amp": False, **options})


def monai(image, network, *, overlap=0.5, cval=0.0) -> torch.Tensor:
    """Its probabilities, (K, X, Y, Z)."""
    inferer = SlidingWindowInferer(ROI, sw_batch_size=3, overlap=overlap, mode="gaussian", cval=cval)
    with torch.no_grad():
        return inferer(image, network)[0].softmax(0)


def disagreement(labels: np.ndarray, probabilities: torch.Tensor) -> float:
    """The greatest lead of the best class over the second best among voxels that are labelled otherwise."""
    best, second = probabilities.topk(2, dim=0).values
    wrong = torch.from_numpy(labels.astype(np.int64)) != probabilities.argmax(0)
    return float((best - second)[wrong].max()) if wrong.any() else 0.0


class TestMonai:
    @pytest.mark.parametrize(("size", "overlap"), SHAPES, ids=str)
    def test_labels_and_probabilities_are_those_of_monai_s_inferer(self, network, size, overlap):
        image = volume(size)
        wanted = monai(image, network, overlap=overlap)
        assert len(wanted.argmax(0).unique()) > 1
        found = labeller(overlap=overlap)
        labels = found(image, network)
        assert labels.dtype == np.uint8
        assert disagreement(labels, wanted) < 1e-4
        for axis in range(3):
            whole = np.full((3, *size), np.nan, np.float32)
            for slab in found.slabs(image, network, axis=axis, probabilities=True):
                assert np.isnan(whole[:, *slab.place]).all()
                whole[:, *slab.place] = slab.probabilities
                assert np.array_equal(labels[slab.place], slab.labels)
            assert np.allclose(whole, wanted, atol=1e-5)

    @pytest.mark.parametrize("batch_size", [1, 2, 5, 1000])
    def test_windows_in_batches_give_what_single_windows_give(self, network, batch_size):
        assert (
            disagreement(labeller(batch_size=batch_size)(volume(), network), monai(volume(), network)) < 1e-4
        )

    def test_what_lies_beyond_a_small_volume_is_as_asked_for(self, network):
        image = volume((5, 15, 4))
        black, white = (labeller(padding_value=value)(image, network) for value in (0.0, 5.0))
        assert disagreement(white, monai(image, network, cval=5.0)) < 1e-4
        assert not np.array_equal(black, white)

    def test_a_side_of_minus_one_is_the_volume_s_own(self, network):
        whole = SlidingLabels((-1, -1, -1), make_inferer("whole", device=CPU, amp=False), CPU)
        with torch.no_grad():
            assert disagreement(whole(volume(), network), network(volume())[0].softmax(0)) < 1e-4

    def test_bfloat16_is_rounded_in_the_network_and_nowhere_else(self, network):
        def half(windows):
            with torch.autocast("cpu", dtype=torch.bfloat16):
                return network(windows).float()

        assert disagreement(labeller(amp=True)(volume(), network), monai(volume(), half)) < 1e-4


class TestAverages:
    @pytest.mark.parametrize("flips", [["h"], ["d", "h"], ["h", "w", "d"]], ids=str)
    def test_flips_are_averaged_within_each_window(self, network, flips):
        averaging = FlipInferer(lambda windows, module: module(windows), flips)
        wanted = monai(volume(), lambda windows: averaging(windows, network))
        labels = labeller(tta_flips=flips)(volume(), network)
        assert disagreement(labels, wanted) < 1e-4
        assert not np.array_equal(labels, labeller()(volume(), network))

    def test_members_of_an_ensemble_are_averaged_within_each_window(self, network):
        torch.manual_seed(5)
        both = Ensemble([network, torch.nn.Conv3d(2, 3, 3, padding=1)])
        assert disagreement(labeller()(volume(), both), monai(volume(), both)) < 1e-4


class TestInput:
    def test_tensors_arrays_and_mapped_files_give_one_result(self, network, tmp_path):
        image = (volume() * 1000 - 500).round()
        np.save(tmp_path / "image.npy", image.numpy().astype(np.int16))
        mapped = np.load(tmp_path / "image.npy", mmap_mode="r")
        wanted = labeller()(image, network)
        for given in (mapped, mapped[0], image[0], MetaTensor(image), image.numpy().astype(">f8")):
            assert np.array_equal(labeller()(given, network), wanted)

    def test_the_network_sees_plain_windows_and_leaves_no_gradients(self, network):
        seen = []

        def watched(windows):
            scores = network(windows)
            seen.append((type(windows), scores.requires_grad))
            return scores

        labeller()(MetaTensor(volume()), watched)
        assert set(seen) == {(torch.Tensor, False)}
        assert torch.is_grad_enabled()

    @pytest.mark.parametrize("shape", [(2, 2, 5, 5, 5), (5, 5, 5), (1, 2, 0, 5, 5)], ids=str)
    def test_several_volumes_or_none_are_refused(self, network, shape):
        with pytest.raises(GeometryError, match="one by one"):
            labeller()(torch.zeros(shape), network)

    @pytest.mark.parametrize("options", [{"overlap": 1.0}, {"overlap": -0.1}, {"batch_size": 0}], ids=str)
    def test_settings_that_cannot_be_are_refused(self, network, options):
        with pytest.raises(ConfigError):
            labeller(**options)(volume(), network)

    def test_a_network_that_shrinks_its_windows_is_refused(self):
        with pytest.raises(GeometryError, match="of a window"):
            labeller()(volume(), torch.nn.Conv3d(2, 3, 3))


class TestOutput:
    def test_labels_go_where_the_caller_wants_them(self, network, tmp_path):
        out = np.lib.format.open_memmap(tmp_path / "labels.npy", mode="w+", dtype=np.uint16, shape=SIZE)
        assert labeller()(volume(), network, out=out) is out
        assert np.array_equal(np.load(tmp_path / "labels.npy"), labeller()(volume(), network))
        with pytest.raises(GeometryError):
            labeller()(volume(), network, out=out[1:])

    def test_more_than_256_classes_take_two_bytes(self):
        def network(windows):
            levels = torch.arange(300.0).reshape(1, 300, 1, 1, 1)
            return -(levels - 300 * windows[:, :1]).square()

        labels = labeller(overlap=0.0)(volume(ROI), network)
        assert labels.dtype == np.uint16
        assert labels.max() > 256
        assert np.abs(labels - 300 * volume(ROI)[0, 0].numpy()).max() < 1

    def test_probabilities_go_to_a_file_that_can_be_mapped(self, network, tmp_path):
        path = tmp_path / "new" / "probabilities.npy"
        labels = labeller()(volume(), network, probabilities=path)
        found = np.load(path, mmap_mode="r")
        assert np.allclose(found, monai(volume(), network), atol=1e-5)
        assert np.array_equal(labels, found.argmax(0))
        assert list(path.parent.iterdir()) == [path]

    @pytest.mark.parametrize("error", [KeyboardInterrupt, MemoryError])
    def test_whoever_interrupts_it_finds_no_half_file(self, network, tmp_path, error):
        path = tmp_path / "probabilities.npy"
        path.write_text("of before")

        def stop(done: int, of: int) -> None:
            if done > of // 2:
                raise error

        with pytest.raises(error):
            labeller()(volume(), network, probabilities=path, progress=stop)
        assert [(file.name, file.read_text()) for file in tmp_path.iterdir()] == [(path.name, "of before")]
        assert disagreement(labeller()(volume(), network), monai(volume(), network)) < 1e-4

    def test_a_file_that_cannot_be_written_is_said_so(self, network, tmp_path):
        (tmp_path / "file").touch()
        with pytest.raises(OutputError):
            labeller()(volume(), network, probabilities=tmp_path / "file" / "probabilities.npy")

    def test_progress_counts_the_windows_to_their_number(self, network):
        seen = []
        labeller(batch_size=4)(volume(), network, progress=lambda done, of: seen.append((done, of)))
        numbers = [done for done, _ in seen]
        assert numbers == sorted(set(numbers))
        assert {of for _, of in seen} == {numbers[-1]}


class TestMemory:
    def test_a_slab_leaves_before_the_next_row_of_windows_is_scored(self, network):
        """So what is kept is one row, however long the volume."""
        windows = []
        counted = labeller()
        slabs = counted.slabs(volume((8, 7, 36)), lambda x: windows.append(len(x)) or network(x))
        scored = [sum(windows) for slab in slabs]
        assert scored == list(range(1, 12))

    def test_what_is_kept_is_thinnest_where_the_volume_is_longest(self, network):
        for axis in range(3):
            size = [10, 9, 8]
            size[axis] *= 3
            for slab in labeller().slabs(volume(tuple(size)), network):
                assert [
                    place.stop - place.start < side for place, side in zip(slab.place, size, strict=True)
                ] == [other == axis for other in range(3)]
