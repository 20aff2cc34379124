"""The ultrasound bundle from DICOM files to label maps, through MONAI's own entry points, in process."""

from __future__ import annotations

import csv
import json
import stat

import nibabel
import numpy as np
import pytest
import torch
from mlflow import MlflowClient
from monai.bundle import ConfigWorkflow, run

from pyraseg.pipeline.networks.checkpoint import facts_of
from pyraseg.pipeline.utils.errors import own_error
from pyraseg.transforms.errors import CheckpointError, ConfigError, DatalistError, LabelError, OutputError
from pyraseg.transforms.io.frames import LoadFrame

NAMES = ["background", "kidney", "hydronephrosis"]


def refusal(kind, run_id, config_file, **overrides):
    """Run and return the one sentence of the error of ours that ends it."""
    with pytest.raises((RuntimeError, kind)) as raised:
        run(run_id, config_file=config_file, **overrides)
    error = own_error(raised.value)
    assert isinstance(error, kind)
    return str(error)


def runs_named(store, name):
    client = MlflowClient(store)
    experiment = client.get_experiment_by_name("tests").experiment_id
    return [r for r in client.search_runs([experiment]) if r.info.run_name == name]


def test_training_leaves_a_checkpoint_that_says_what_it_is(trained):
    content = facts_of(torch.load(trained, weights_only=True))
    assert content["label_names"] == NAMES
    assert content["input_size"] == [64, 64]
    assert content["network"]["depth"] == 18
    assert content["data"]["training_groups"] > 0
    assert content["run_id"]
    assert (trained.parent / "last.pt").is_file()


def test_training_is_one_mlflow_run_with_what_a_reader_looks_for(ultrasound, trained):
    (tracked,) = runs_named(ultrasound.store, "trained")
    assert tracked.info.status == "FINISHED"
    assert tracked.data.params["depth"] == "18"
    assert tracked.data.params["dataset_digest"]
    expected = {"loss", "learning_rate", "train_loss", "val_loss", "val_mean_dice", "val_dice_kidney"}
    assert expected <= set(tracked.data.metrics)
    stored = [
        a.path
        for folder in ("overlays", "checkpoints")
        for a in MlflowClient(ultrasound.store).list_artifacts(tracked.info.run_id, folder)
    ]
    assert stored == ["overlays/validation.png", "checkpoints/model.pt"]


def test_checkpoints_cache_database_and_artifacts_are_their_owner_s_alone(ultrasound, trained):
    (tracked,) = runs_named(ultrasound.store, "trained")
    (artifacts,) = (ultrasound.output / "mlruns").rglob(tracked.info.run_id)
    places = [*(ultrasound.output / name for name in ("models", "cache", "mlruns.db")), artifacts]
    paths = [path for place in places for path in (place, *place.rglob("*"))]
    assert len(paths) > 30
    wrong = [p.name for p in paths if stat.S_IMODE(p.stat().st_mode) != (0o700 if p.is_dir() else 0o600)]
    assert wrong == []


def test_the_images_of_training_evaluation_and_inference_are_the_same(ultrasound, trained):
    flows = {
        name: ConfigWorkflow(
            config_file=ultrasound.config(name), logging_file=False, **ultrasound.common, **{size: [64, 64]}
        )
        for name, size in (("train", "input_size"), ("inference", "inference_size"))
    }
    deterministic = flows["train"].parser.get_parsed_content("train::deterministic_transforms")
    source = flows["train"].parser.get_parsed_content("validate::preprocessing")
    inference = flows["inference"].parser.get_parsed_content("preprocessing")
    for item in flows["train"].parser.get_parsed_content("data").items("training")[:3]:
        images = [transform(dict(item))["image"] for transform in (deterministic, source, inference)]
        assert torch.equal(images[0], images[1])
        assert torch.equal(images[0], images[2])


def test_inference_writes_a_label_map_on_the_source_grid_for_every_frame(ultrasound, trained):
    folder = ultrasound.output / "predictions"
    overrides = {**ultrasound.common, "dataset_dir": str(ultrasound.data / "images")}
    run(
        "inference",
        config_file=ultrasound.config("inference"),
        checkpoint=str(trained),
        output_dir=str(folder),
        **overrides,
    )
    with open(folder / "cases.csv") as file:
        rows = list(csv.DictReader(file))
    frames = sum(
        len(json.loads((ultrasound.data / "datalist.json").read_text())[split])
        for split in ("training", "validation", "test")
    )
    assert len(rows) == frames
    for row in rows[:5]:
        source = LoadFrame()(str(ultrasound.data / "images" / row["image"]))
        stored = nibabel.load(folder / "labels" / f"{row['case']}.nii.gz")
        assert stored.shape[:2] == tuple(source.shape[:0:-1])
        values = np.asarray(stored.dataobj)
        assert int(row["kidney_pixels"]) == int((values == 1).sum())
        assert (folder / "overlays" / f"{row['case']}.png").is_file()
        assert (row["kidney_mm2"] != "") == (row["spacing_source"] != "none")


def test_a_label_set_of_two_classes_is_one_override(ultrasound, tmp_path):
    content = json.loads((ultrasound.data / "datalist.json").read_text())
    content |= {"label_names": ["background", "hydronephrosis"], "label_map": {"0": 0, "1": 0, "2": 1}}
    del content["digest"]
    datalist = tmp_path / "two.json"
    datalist.write_text(json.dumps(content))
    overrides = ultrasound.training("two") | {"datalist": str(datalist), "max_epochs": 1, "track": False}
    remedy = refusal(LabelError, "training", ultrasound.config("train"), **overrides)
    assert "--label_names" in remedy
    two = {"label_names": ["background", "hydronephrosis"], "aux": True}
    run("training", config_file=ultrasound.config("train"), **overrides, **two)
    content = facts_of(torch.load(ultrasound.output / "two" / "model.pt", weights_only=True))
    assert content["label_names"] == ["background", "hydronephrosis"]


def test_an_epoch_has_a_step_also_where_its_draws_are_fewer_than_a_batch_and_the_frames_are_more(ultrasound):
    overrides = ultrasound.training("few") | {"frames_per_group": 1, "batch_size": 11}
    flow = ConfigWorkflow(config_file=ultrasound.config("train"), logging_file=False, **overrides)
    loader = flow.parser.get_parsed_content("train::dataloader")
    assert len(loader.sampler) < 11 < len(loader.dataset)
    assert len(loader) == 1


@pytest.mark.parametrize("name", ["train", "inference"])
def test_monai_finds_every_required_property(ultrasound, trained, name):
    overrides = (
        {**ultrasound.training("properties"), "track": False} if name == "train" else ultrasound.common
    )
    if name == "inference":
        overrides = {
            **overrides,
            "checkpoint": str(trained),
            "output_dir": str(ultrasound.output / "properties"),
        }
    flow = ConfigWorkflow(
        config_file=ultrasound.config(name),
        logging_file=False,
        workflow_type="train" if name == "train" else "infer",
        **overrides,
    )
    flow.initialize()
    assert flow.check_properties() == []


class TestBadInput:
    """One clear sentence each, and nothing half-written."""

    def test_a_mistyped_override(self, ultrasound):
        overrides = ultrasound.training("typo") | {"max_epohcs": 1}
        assert "--max_epochs" in refusal(ConfigError, "training", ultrasound.config("train"), **overrides)

    def test_an_option_that_a_baseline_has_not(self, ultrasound):
        configs = [ultrasound.config("train"), ultrasound.config("unet")]
        overrides = ultrasound.training("baseline") | {"depth": 34}
        assert "found --depth" in refusal(ConfigError, "training", configs, **overrides)

    def test_an_output_folder_that_is_in_use(self, ultrasound, trained):
        sentence = refusal(OutputError, "training", ultrasound.config("train"), **ultrasound.training())
        assert "--overwrite true" in sentence

    def test_a_datalist_that_is_not_there(self, ultrasound, tmp_path):
        overrides = ultrasound.training("missing") | {"dataset_dir": str(tmp_path)}
        assert "no such file" in refusal(DatalistError, "training", ultrasound.config("train"), **overrides)
        assert not (ultrasound.output / "missing").exists()

    def test_a_checkpoint_that_is_not_there(self, ultrasound, tmp_path):
        sentence = refusal(
            CheckpointError,
            "inference",
            ultrasound.config("inference"),
            **ultrasound.common,
            checkpoint=str(tmp_path / "none.pt"),
            output_dir=str(tmp_path / "out"),
        )
        assert "no such file" in sentence

    def test_a_checkpoint_of_another_architecture(self, ultrasound, trained, tmp_path):
        sentence = refusal(
            CheckpointError,
            "evaluating",
            [ultrasound.config("train"), ultrasound.config("evaluate")],
            **ultrasound.common,
            checkpoint=str(trained),
            output_dir=str(tmp_path / "out"),
            track=False,
            network_def={"_target_": "pyraseg.pipeline.networks.CBAMResNetPSPNet", "depth": 34},
        )
        assert "18" in sentence
