"""The overlay `soft_labels.yaml`: training through MONAI's own entry point, its run, its checkpoint, its
cache."""

from __future__ import annotations

import csv
import json

import pytest
import torch
from mlflow import MlflowClient
from monai.bundle import ConfigWorkflow, run

from pyraseg.pipeline.losses import AuxiliaryLoss, SoftLabelDivergence
from pyraseg.pipeline.utils.errors import own_error
from pyraseg.transforms.errors import CheckpointError, ConfigError


def configs(workspace) -> list[str]:
    return [workspace.config("train"), workspace.config("soft_labels")]


def parsed(workspace, *ids, **overrides):
    flow = ConfigWorkflow(config_file=configs(workspace), logging_file=False, **overrides)
    return [flow.parser.get_parsed_content(name) for name in ids]


def refusal(kind, files, **overrides):
    with pytest.raises((RuntimeError, kind)) as raised:
        run("training", config_file=files, **overrides)
    error = own_error(raised.value)
    assert isinstance(error, kind)
    return str(error)


@pytest.fixture(scope="module")
def options(ultrasound):
    return {**ultrasound.training("soft"), "run_name": "soft", "superpixel_size": 8}


@pytest.fixture(scope="module")
def soft(ultrasound, options):
    """The checkpoint of a training with soft labels and the auxiliary head, two epochs."""
    run("training", config_file=configs(ultrasound), max_epochs=2, **options)
    return ultrasound.output / "soft" / "model.pt"


def test_its_run_shows_the_options(ultrasound, soft):
    client = MlflowClient(ultrasound.store)
    experiment = client.get_experiment_by_name("tests").experiment_id
    (tracked,) = [r for r in client.search_runs([experiment]) if r.info.run_name == "soft"]
    assert tracked.info.status == "FINISHED"
    shown = {"soft_loss": "superpixel", "soft_beta": "1.0", "superpixel_size": "8", "compactness": "0.5"}
    assert {name: tracked.data.params.get(name) for name in shown} == shown
    assert "soft_scale" in tracked.data.params


def test_its_checkpoint_evaluates_without_the_overlay(ultrasound, soft):
    folder = ultrasound.output / "soft_evaluation"
    run(
        "evaluating",
        config_file=[ultrasound.config("train"), ultrasound.config("evaluate")],
        **ultrasound.common,
        checkpoint=str(soft),
        output_dir=str(folder),
        cache_dir=str(ultrasound.output / "cache"),
        track=False,
        surfaces=False,
        resamples=0,
        quantities=[],
    )
    with open(folder / "cases.csv", newline="") as file:
        cases = {row["case"] for row in csv.DictReader(file)}
    assert cases == {
        item["case"] for item in json.loads((ultrasound.data / "datalist.json").read_text())["test"]
    }


def test_the_second_epoch_reads_soft_labels_from_the_cache_and_the_network_sees_hard_and_soft(
    ultrasound, soft, options
):
    trainer, dataset = parsed(ultrasound, "train::trainer", "train::dataset", **options | {"track": False})
    stored = {path: torch.load(path, weights_only=False)["item"] for path in dataset.cache_dir.iterdir()}
    softened = [item["soft_label"] for item in stored.values() if "soft_label" in item]
    assert {(labels.shape, labels.dtype) for labels in softened} == {((3, 64, 64), torch.uint8)}
    assert any(((labels > 0) & (labels < 255)).any() for labels in softened)
    before = {path.name for path in dataset.cache_dir.iterdir()}
    batch = next(iter(trainer.data_loader))
    assert {path.name for path in dataset.cache_dir.iterdir()} == before
    images, targets = trainer.prepare_batch(batch, torch.device("cpu"), False)
    assert (images.shape, targets.shape) == ((4, 3, 64, 64), (4, 4, 64, 64))
    loss = trainer.loss_function(trainer.network.train()(images), targets)
    loss.backward()
    assert loss.isfinite()


def test_a_resumed_training_must_repeat_them(ultrasound, soft, options):
    again = options | {"max_epochs": 3, "resume": True}
    for name, value in {"soft_beta": 0.5, "compactness": 1.0}.items():
        assert f"{name} {value}" in refusal(CheckpointError, configs(ultrasound), **again, **{name: value})
    del again["superpixel_size"]
    assert "soft_beta" in refusal(CheckpointError, ultrasound.config("train"), **again)


def test_their_options_without_the_overlay_stop_the_run_with_its_name(ultrasound, options):
    assert "soft_labels.yaml" in refusal(ConfigError, ultrasound.config("train"), **options)


def test_their_number_takes_the_place_of_their_size(ultrasound, options):
    (transform,) = parsed(ultrasound, "train::soft_labels", **options | {"num_segments": 50})
    assert transform.soft_labels.superpixels.options["num_segments"] == 50
    assert transform.soft_labels.superpixels.options["size"] is None


@pytest.mark.parametrize("name", ["label_smoothing", "svls", "nacl", "focal", "none"])
def test_the_comparison_losses_train_on_hard_labels_alone(ultrasound, options, name):
    overrides = options | {"soft_loss": name, "track": False, "output_dir": str(ultrasound.output / name)}
    trainer, loss = parsed(ultrasound, "train::trainer", "loss", **overrides)
    assert isinstance(loss, AuxiliaryLoss)
    assert not any(isinstance(part, SoftLabelDivergence) for part in loss.modules())
    batch = next(iter(trainer.data_loader))
    assert "soft_label" not in batch
    images, targets = trainer.prepare_batch(batch, torch.device("cpu"), False)
    assert targets.shape == (4, 1, 64, 64)
    assert loss(trainer.network.train()(images), targets).isfinite()


def test_an_unknown_soft_loss_stops_the_run_with_those_that_are(ultrasound, options):
    overrides = options | {"soft_loss": "superpixels", "output_dir": str(ultrasound.output / "unknown")}
    assert "svls" in refusal(ConfigError, configs(ultrasound), **overrides)


def test_without_the_overlay_training_is_as_it_was(ultrasound):
    flow = ConfigWorkflow(
        config_file=ultrasound.config("train"), logging_file=False, **ultrasound.training("plain")
    )
    batch = next(iter(flow.parser.get_parsed_content("train::dataloader")))
    assert "soft_label" not in batch
    assert "soft_beta" not in flow.parser.get_parsed_content("checkpoints").settings
