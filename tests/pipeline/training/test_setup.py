"""Output folders, random numbers, the network's to_device and the facts of a run."""

from __future__ import annotations

import random

import numpy as np
import pytest
import torch

from pyraseg.pipeline.datalist import Datalist
from pyraseg.pipeline.networks import CBAMResNetPSPNet
from pyraseg.pipeline.training import check_output_dir, data_facts, seed_everything, to_device
from pyraseg.transforms.errors import CheckpointError, OutputError
from pyraseg.transforms.io.reading_options import ReadingOptions
from tests.pipeline.training.engines import CPU


class TestCheckOutputDir:
    def test_a_new_folder_is_accepted_and_not_made(self, tmp_path):
        check_output_dir(tmp_path / "a" / "b")
        check_output_dir(tmp_path / "a" / "b", resume=True)  # a first start with a scheduler's command
        assert list(tmp_path.iterdir()) == []

    def test_a_folder_with_results_is_refused_unless_they_may_be_replaced(self, tmp_path):
        (tmp_path / "model.pt").touch()
        with pytest.raises(OutputError, match="--overwrite true") as raised:
            check_output_dir(tmp_path)
        assert raised.value.path == str(tmp_path)
        assert str(tmp_path) not in str(raised.value)
        check_output_dir(tmp_path, overwrite=True)
        assert [path.name for path in tmp_path.iterdir()] == ["model.pt"]

    def test_hidden_files_do_not_count(self, tmp_path):
        (tmp_path / ".gitignore").touch()
        check_output_dir(tmp_path)

    @pytest.mark.parametrize("inside", ["", "models/new", "n" * 300])
    def test_a_place_that_cannot_be_a_folder_is_refused_and_nothing_is_left(self, tmp_path, inside):
        file = tmp_path / "file"
        file.write_text("kept")
        with pytest.raises(OutputError, match="can be written"):
            check_output_dir(file / inside, overwrite=True)
        assert [path.name for path in tmp_path.iterdir()] == ["file"]
        assert file.read_text() == "kept"

    def test_a_training_to_continue_is_let_in_and_no_other(self, tmp_path):
        (tmp_path / "model.pt").touch()
        with pytest.raises(OutputError, match=r"no last\.pt"):
            check_output_dir(tmp_path, resume=True)
        (tmp_path / "last.pt").touch()
        check_output_dir(tmp_path, resume=True)
        with pytest.raises(OutputError, match="--resume true"):
            check_output_dir(tmp_path)


def drawn() -> tuple[float, float, float]:
    return random.random(), float(np.random.rand()), torch.rand(1).item()  # noqa: NPY002


def test_one_seed_sets_every_generator():
    seed_everything(3)
    first = drawn()
    seed_everything(3)
    assert drawn() == first
    seed_everything(4)
    assert drawn() != first


def test_deterministic_algorithms_are_asked_for_and_let_go_again():
    seed_everything(0, deterministic=True)
    assert torch.are_deterministic_algorithms_enabled()
    seed_everything(0)
    assert not torch.are_deterministic_algorithms_enabled()


class TestPlace:
    def network(self, **options) -> CBAMResNetPSPNet:
        return CBAMResNetPSPNet(depth=18, out_channels=2, **options)

    @pytest.mark.parametrize(
        ("spatial_dims", "layout"), [(2, torch.channels_last), (3, torch.channels_last_3d)]
    )
    def test_the_weights_get_the_channels_last_layout_of_their_dimension(self, spatial_dims, layout):
        placed = to_device(self.network(spatial_dims=spatial_dims), CPU)
        kernels = [p for p in placed.parameters() if p.ndim == spatial_dims + 2]
        assert kernels
        assert all(kernel.is_contiguous(memory_format=layout) for kernel in kernels)

    def test_the_layout_changes_no_weight(self):
        network = self.network()
        before = {name: value.clone() for name, value in network.state_dict().items()}
        for name, value in to_device(network, CPU).state_dict().items():
            assert torch.equal(value, before[name]), name

    def test_pretrained_weights_come_from_the_file(self, tmp_path):
        stem = "plain7"
        trained = self.network(stem=stem)
        torch.save(trained.backbone.state_dict(), tmp_path / "resnet18.pt")
        fresh = self.network(stem=stem)
        name = "layer1.0.conv1.weight"
        assert not torch.equal(fresh.backbone.state_dict()[name], trained.backbone.state_dict()[name])
        placed = to_device(fresh, CPU, channels_last=False, pretrained=str(tmp_path / "resnet18.pt"))
        assert torch.equal(placed.backbone.state_dict()[name], trained.backbone.state_dict()[name])

    def test_an_absent_file_of_weights_is_refused(self, tmp_path):
        with pytest.raises(CheckpointError, match="no such file"):
            to_device(self.network(), CPU, pretrained=str(tmp_path / "none.pt"))


def test_the_facts_of_the_data_are_counts_and_a_digest_without_paths_and_names():
    files = {"image": "/secret/frame.png", "label": "/secret/mask.png"}
    items = [{**files, "case": f"c{n}", "group": f"DOE{n % 2}"} for n in range(5)]
    names, reading = ("background", "kidney"), ReadingOptions(assume_hu=True)
    splits = (tuple(items[:3]), tuple(items[3:]), ())
    data = Datalist(*splits, names, {0: 0, 1: 1}, digest="abc", reading=reading)
    facts = data_facts(data, torch.nn.Linear(3, 2))
    assert facts == {
        "dataset_digest": "abc",
        "training_frames": 3,
        "validation_frames": 2,
        "test_frames": 0,
        "training_groups": 2,
        "validation_groups": 2,
        "test_groups": 0,
        "images_as_groups": 0,
        "reading": {"assume_hu": True},
        "network_parameters": 8,
    }
