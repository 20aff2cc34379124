"""The ultrasound bundle's pretraining, through MONAI's own entry point, and training from its file."""

from __future__ import annotations

import json

import pytest
import torch
from mlflow import MlflowClient
from monai.bundle import ConfigWorkflow, run

from pyraseg.pipeline.networks import load_pretrained
from pyraseg.pipeline.utils.errors import own_error
from pyraseg.transforms.errors import ConfigError


@pytest.fixture(scope="module")
def overrides(ultrasound):
    return {**ultrasound.training("pretrained"), "max_epochs": 2, "run_name": "pretrained"}


@pytest.fixture(scope="module")
def backbone(ultrasound, overrides):
    run("pretraining", config_file=ultrasound.config("pretrain"), **overrides)
    return ultrasound.output / "pretrained" / "backbone.pt"


def test_pretraining_leaves_a_backbone_that_training_loads_whole(ultrasound, backbone):
    common = {**ultrasound.training("from_backbone"), "track": False}
    plain, pretrained = (
        ConfigWorkflow(config_file=ultrasound.config("train"), logging_file=False, **common, pretrained=file)
        for file in (None, str(backbone))
    )
    kept = torch.load(backbone, weights_only=True)["state_dict"]
    network = pretrained.parser.get_parsed_content("network")
    assert all(torch.equal(value, kept[name]) for name, value in network.backbone.state_dict().items())
    report = load_pretrained(plain.parser.get_parsed_content("network"), backbone)
    assert (set(report.loaded), report.missing) == (set(kept), ())


def test_pretraining_is_one_mlflow_run_on_the_training_split(ultrasound, backbone):
    client = MlflowClient(ultrasound.store)
    experiment = client.get_experiment_by_name("tests").experiment_id
    (tracked,) = [r for r in client.search_runs([experiment]) if r.info.run_name == "pretrained"]
    training = json.loads((ultrasound.data / "datalist.json").read_text())["training"]
    assert tracked.info.status == "FINISHED"
    assert tracked.data.params["training_frames"] == str(len(training))
    assert tracked.data.params["training_groups"] == str(len({item["group"] for item in training}))
    assert {"loss", "learning_rate"} <= set(tracked.data.metrics)
    assert len(client.get_metric_history(tracked.info.run_id, "loss")) == 2 * (len(training) // 4)


def test_a_mistyped_override_stops_pretraining(ultrasound, overrides):
    with pytest.raises((RuntimeError, ConfigError)) as raised:
        run("pretraining", config_file=ultrasound.config("pretrain"), **overrides, cel_size=4)
    assert "--cell_size" in str(own_error(raised.value))
