"""The bundles of CT, MR and PET, by MONAI's own entry point, on phantoms that are real series."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import nibabel
import numpy as np
import pytest
import torch
from monai.bundle import ConfigWorkflow, run

from pyraseg.pipeline.bundle import describe_preprocessing
from pyraseg.pipeline.networks.checkpoint import with_facts
from pyraseg.pipeline.phantom import generate
from pyraseg.pipeline.prediction.bundle import load_bundle, read_bundle
from pyraseg.pipeline.training.checkpoints import save_checkpoint
from pyraseg.pipeline.utils.errors import own_error
from pyraseg.transforms.dicom.series.find import find_series, the_series
from pyraseg.transforms.dicom.series.volume import read_series
from pyraseg.transforms.errors import CheckpointError, ConfigError
from tests.bundles.conftest import ROOT, Workspace

SMALL = {
    "depth": 18,
    "input_size": [16, 16, 16],
    "batch_size": 2,
    "val_interval": 1,
    "max_epochs": 1,
    "patches_per_volume": 2,
    "track": False,
}
IMAGES = ("train::deterministic_transforms", "validate::preprocessing")
COARSE = {"spacing_mm": [16.0, 16.0, 16.0]}  # few windows a body


@pytest.fixture(scope="module")
def pet(tmp_path_factory) -> Workspace:
    folder = tmp_path_factory.mktemp("volumes") / "pet"
    generate(folder, modality="pet", cases=4, seed=0)
    return Workspace(ROOT / "bundles" / "pet_sarcoma", folder, folder.parent / "runs")


@pytest.fixture(scope="module")
def checkpoint(pet) -> Path:
    run("training", config_file=pet.config("train"), run_name="volumes", **training(pet))
    return pet.output / "models" / "model.pt"


def training(volumes: Workspace) -> dict[str, object]:
    return {**volumes.training(), **SMALL, **COARSE, "batch_dice": True}


def parsed(files: list[str], *ids: str, **overrides) -> list:
    flow = ConfigWorkflow(config_file=files, logging_file=False, **overrides)
    return [flow.parser.get_parsed_content(name) for name in ids]


def test_the_images_of_training_evaluation_and_inference_are_the_same(pet):
    small = {**pet.common, "input_size": [16, 16, 16]}
    made = parsed(
        [pet.config("train")],
        "train::deterministic_transforms",
        "validate::preprocessing",
        "data",
        **small,
    )
    (inference,) = parsed([pet.config("inference")], "preprocessing", **small)
    item = made[2].items("training")[0]
    images = [transform(dict(item))["image"] for transform in (*made[:2], inference)]
    assert torch.equal(images[0], images[1])
    assert torch.equal(images[0], images[2])


def test_a_training_evaluates_on_the_source_grid(pet, checkpoint):
    files = [pet.config("train"), pet.config("evaluate")]
    options = {
        "checkpoint": str(checkpoint),
        "output_dir": str(pet.output / "eval"),
        "track": False,
        "resamples": 10,
    }
    run(
        "evaluating",
        config_file=files,
        **{**pet.common, **options, "cache_dir": str(pet.output / "cache")},
    )
    with open(pet.output / "eval" / "cases.csv", newline="") as file:
        rows = list(csv.DictReader(file))
    tests = json.loads((pet.data / "datalist.json").read_text())["test"]
    assert {row["case"] for row in rows} == {item["case"] for item in tests}
    reference = nibabel.load(pet.data / tests[0]["label"])
    (first,) = [row for row in rows if row["case"] == tests[0]["case"]]
    assert int(first["reference_pixels"]) == np.count_nonzero(reference.get_fdata())
    assert (pet.output / "eval" / "overlays.png").is_file()


def test_inference_writes_labels_where_the_series_lies(pet, checkpoint):
    series = sorted((pet.data / "images").iterdir())[0]
    options = {
        "dataset_dir": str(series),
        "checkpoint": str(checkpoint),
        "output_dir": str(pet.output / "labels"),
    }
    run("inference", config_file=pet.config("inference"), **{**pet.common, **options})
    with open(pet.output / "labels" / "cases.csv", newline="") as file:
        (row,) = csv.DictReader(file)
    grid = read_series(the_series(find_series(series))).grid
    written = nibabel.load(pet.output / "labels" / "labels" / f"{row['case']}.nii.gz")
    assert written.shape == grid.shape
    assert np.allclose(written.affine, grid.affine, atol=1e-3)


class TestACheckpointKnowsWhatItsNetworkSaw:
    """The pet training's spacing is an override; all that follows takes it from the checkpoint."""

    @pytest.mark.parametrize("name", ["inference", "evaluate"])
    def test_spacing_window_and_size_are_its_own_without_a_word(self, pet, checkpoint, name):
        ids = ("spacing_mm", "orientation", "window", "input_size", "label_names")
        found = parsed([pet.config(name)], *ids, **pet.common, checkpoint=str(checkpoint))
        wanted = [[16, 16, 16], "RAS", [0, 15], [16, 16, 16], ["background", "tumour"]]
        assert found == wanted

    @pytest.mark.parametrize(
        ("override", "both"),
        [
            ({"spacing_mm": [4, 4, 4]}, "pixdim [16.0, 16.0, 16.0], found Spacingd pixdim [4.0, 4.0, 4.0]"),
            ({"window": [0, 10]}, "window [0.0, 15.0], found VolumeIntensityd window [0.0, 10.0]"),
            ({"orientation": "LPS"}, "axcodes RAS, found Orientationd axcodes LPS"),
            (
                {"input_size": [32, 32, 32]},
                "SpatialPadd spatial_size [16, 16, 16], found input_size [32, 32, 32], ",
            ),
            ({"label_names": ["background", "edema"]}, "'edema']"),
            ({"preprocessing::transforms::2::pixdim": [5, 5, 5]}, "found Spacingd pixdim [5.0, 5.0, 5.0]"),
            ({"preprocessing::transforms::3::constant_values": 9.0}, "found SpatialPadd constant_values 9.0"),
            (
                {"preprocessing::transforms::3::_disabled_": True},
                "found preprocessing LoadVolumed, Orientationd, Spacingd, VolumeIntensityd",
            ),
        ],
    )
    def test_another_value_is_an_error_that_names_both(self, pet, checkpoint, override, both):
        overrides = {**pet.common, "checkpoint": str(checkpoint), **override}
        flow = ConfigWorkflow(config_file=pet.config("inference"), logging_file=False, **overrides)
        with pytest.raises((CheckpointError, RuntimeError)) as raised:
            flow.parser.get_parsed_content("run::0")
        assert both in str(own_error(raised.value))

    @pytest.mark.parametrize("name", ["spacing_mm", "preprocessing::transforms::2::pixdim"])
    def test_predict_refuses_it_in_the_same_words(self, pet, checkpoint, name):
        with pytest.raises(CheckpointError, match=r"pixdim \[16.0, 16.0, 16.0\], found .* \[4.0, 4.0, 4.0\]"):
            load_bundle(read_bundle(pet.bundle), checkpoints=[checkpoint], overrides={name: "[4,4,4]"})

    def test_what_a_nested_override_set_is_taken_too(self, pet, checkpoint):
        nested = {f"{key}::transforms::2::pixdim": [9, 9, 9] for key in IMAGES}
        nested |= {f"{key}::transforms::{n}::window": [0, 7] for key, n in zip(IMAGES, (5, 4), strict=True)}
        files = [pet.config("train"), pet.config("unet")]
        network, facts = parsed(files, "network_def", "checkpoints::facts", **training(pet), **nested)
        path = save_checkpoint(pet.output / "nested.pt", with_facts(network.state_dict(), facts))
        bundle = load_bundle(read_bundle(pet.bundle), checkpoints=[path])
        seen = describe_preprocessing(bundle.preprocessing)
        assert (seen["Spacingd"]["pixdim"], seen["VolumeIntensityd"]["window"]) == ([9, 9, 9], [0, 7])
        with pytest.raises(CheckpointError, match="trained alike, Spacingd pixdim"):
            load_bundle(read_bundle(pet.bundle), checkpoints=[checkpoint, path])

    def test_a_training_that_would_validate_on_other_images_does_not_begin(self, pet, checkpoint):
        overrides = {**training(pet), f"{IMAGES[0]}::transforms::2::pixdim": [9, 9, 9]}
        with pytest.raises((ConfigError, RuntimeError)) as raised:
            parsed([pet.config("train")], "run::1", **overrides)
        assert "pixdim [9.0, 9.0, 9.0], found Spacingd pixdim [16.0" in str(own_error(raised.value))

    def test_pretrained_weights_that_saw_other_images_are_said(self, pet, checkpoint, caplog):
        overrides = {**training(pet), "pretrained": str(checkpoint), "spacing_mm": [9, 9, 9]}
        parsed([pet.config("train")], "run::1", **overrides)
        assert "pretrained weights saw other images, Spacingd pixdim [16.0" in caplog.text


def test_soft_labels_move_with_their_windows(pet):
    files = [pet.config("train"), pet.config("soft_labels")]
    (dataset,) = parsed(files, "train::dataset", **training(pet))
    patches = dataset[0]
    assert len(patches) == 2
    for patch in patches:
        assert patch["soft_label"].shape == (2, 16, 16, 16)
        hard = patch["soft_label"].float().argmax(dim=0)
        assert (hard == patch["label"][0]).float().mean() > 0.9
