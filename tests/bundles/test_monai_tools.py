"""What the tools of MONAI's world do with a bundle, none of which calls code of ours first.

MONAI Label and the Deploy App SDK are no dependencies: what they do is done here line by line
(monailabel/tasks/infer/bundle.py, monai/deploy/operators/monai_bundle_inference_operator.py).
"""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from monai.bundle import (
    ConfigItem,
    ConfigParser,
    ConfigWorkflow,
    load,
    onnx_export,
)
from monai.fl.client import MonaiAlgo
from monai.fl.utils.constants import ExtraItems
from monai.fl.utils.exchange_object import ExchangeObject
from monai.networks.utils import get_state_dict
from monai.transforms import Compose

from pyraseg.pipeline.networks import CBAMResNetPSPNet
from tests.bundles.conftest import ROOT

BUNDLES = sorted(path.parent.parent for path in ROOT.glob("bundles/*/configs/metadata.json"))
COPIED = shutil.ignore_patterns("*.pt", "*.ts", "cache", "eval", "mlruns*")


@pytest.fixture(params=BUNDLES, ids=lambda path: path.name)
def bundle(request) -> Path:
    return request.param


@pytest.fixture(scope="module")
def delivered(ultrasound, trained, tmp_path_factory) -> Path:
    """The bundle as it is handed on: a copy elsewhere, with its weights."""
    folder = tmp_path_factory.mktemp("delivered") / "us_hydronephrosis"
    shutil.copytree(ultrasound.bundle, folder, ignore=COPIED)
    shutil.copy(trained, folder / "models" / "model.pt")
    return folder


class TestABareConfigParser:
    def test_resolves_what_inference_needs_from_inference_yaml_alone(self, bundle):
        parser = ConfigParser()
        parser.read_config(str(bundle / "configs" / "inference.yaml"))
        parser.config.update({"bundle_root": str(bundle)})
        assert isinstance(parser.get_parsed_content("device"), torch.device)
        assert isinstance(parser.get_parsed_content("network_def"), CBAMResNetPSPNet)
        assert isinstance(parser.get_parsed_content("preprocessing"), Compose)
        assert isinstance(parser.get_parsed_content("postprocessing"), Compose)
        assert callable(parser.get_parsed_content("inferer"))

    def test_segments_an_image_as_monai_label_does(self, ultrasound, delivered):
        parser = ConfigParser()
        parser.read_config(str(delivered / "configs" / "inference.yaml"))
        parser.config.update({"bundle_root": str(delivered)})
        network = parser.get_parsed_content("network_def", instantiate=True)
        checkpoint = torch.load(delivered / "models" / "model.pt", weights_only=True)
        network.load_state_dict(checkpoint.get("model", checkpoint), strict=False)
        parser.config.update({"device": "cpu"})
        if parser.ref_resolver.items.get("device"):
            parser.ref_resolver.items["device"] = ConfigItem(config="cpu", id="device")
        item = json.loads((ultrasound.data / "datalist.json").read_text())["test"][0]
        data = {"image": str(ultrasound.data / item["image"])}
        for transform in parser.get_parsed_content("preprocessing", instantiate=True).transforms:
            data = transform(data)
        with torch.no_grad():
            inferer = parser.get_parsed_content("inferer", instantiate=True)
            data["pred"] = inferer(data["image"][None], network.eval())[0]
        for transform in parser.get_parsed_content("postprocessing", instantiate=True).transforms:
            data = transform(data)
        assert data["pred"].shape[1:] == tuple(data["image"].meta["spatial_shape"])
        assert set(torch.unique(torch.as_tensor(data["pred"])).tolist()) <= {0, 1, 2}


class TestExport:
    def test_onnx(self, delivered, tmp_path):
        onnx_export(
            net_id="network_def",
            filepath=str(tmp_path / "model.onnx"),
            ckpt_file=str(delivered / "models" / "model.pt"),
            config_file=str(delivered / "configs" / "inference.yaml"),
            meta_file=str(delivered / "configs" / "metadata.json"),
            bundle_root=str(delivered),
            input_shape=[1, 3, 64, 64],
        )
        assert (tmp_path / "model.onnx").stat().st_size > 1_000_000

    def test_monai_s_load_puts_the_weights_into_the_network(self, delivered):
        """``load`` builds a network from a JSON config alone; of a bundle in YAML it takes the network."""
        parser = ConfigParser()
        parser.read_config(str(delivered / "configs" / "inference.yaml"))
        parser.config.update({"bundle_root": str(delivered)})
        network = parser.get_parsed_content("network_def")
        where = {"name": delivered.name, "bundle_dir": str(delivered.parent)}
        loaded = load(**where, model=network, device="cpu")
        weights = torch.load(delivered / "models" / "model.pt", weights_only=True)
        assert all(torch.equal(value, weights[name]) for name, value in loaded.state_dict().items())


class TestInitialize:
    def test_touches_neither_data_nor_folders(self, bundle, tmp_path):
        """A federated client initialises first and looks at data later."""
        for name in ("train", "evaluate", "inference"):
            overrides = {"bundle_root": str(tmp_path / "none"), "dataset_dir": str(tmp_path / "gone")}
            overrides["output_dir"] = str(tmp_path / "out")
            config = str(bundle / "configs" / f"{name}.yaml")
            ConfigWorkflow(config_file=config, logging_file=False, **overrides).initialize()
        assert list(tmp_path.iterdir()) == []


def test_one_round_of_a_federated_client(ultrasound):
    options = ultrasound.training("federated") | {"track": False, "frames_per_group": 2}
    evaluate = {
        name: value
        for name, value in options.items()
        if name not in ("input_size", "depth", "frames_per_group", "batch_size", "learning_rate")
    }
    algorithm = MonaiAlgo(
        bundle_root=str(ultrasound.bundle),
        local_epochs=1,
        config_train_filename="configs/train.yaml",
        train_kwargs=dict(options),
        config_evaluate_filename="configs/evaluate.yaml",
        eval_kwargs=evaluate | {"surfaces": False, "resamples": 0, "checkpoint": "none.pt"},
    )
    algorithm.initialize(extra={ExtraItems.CLIENT_NAME: "site"})
    assert not (ultrasound.output / "federated").exists()
    sent = get_state_dict(algorithm.trainer.network)
    before = {name: value.clone() for name, value in sent.items()}
    algorithm.train(ExchangeObject(weights=before))
    returned = algorithm.get_weights()
    assert any(abs(value).max() > 0 for value in returned.weights.values())
    metrics = algorithm.evaluate(ExchangeObject(weights=before)).metrics
    assert "test_mean_dice" in metrics
    algorithm.finalize()


def test_the_zoo_s_form_without_a_run_id_trains_beside_a_user_s_own_folders(ultrasound, tmp_path):
    """A ``transforms.py`` or a ``pipeline`` of the user's, which MONAI puts on the path, break nothing."""
    folder = tmp_path / "bundle"
    shutil.copytree(ultrasound.bundle, folder, ignore=COPIED)
    (folder / "transforms.py").write_text("raise RuntimeError('the user has transforms')")
    (folder / "pipeline").mkdir()
    (folder / "pipeline" / "__init__.py").write_text("raise RuntimeError('the user has a pipeline')")
    here = {"bundle_root": ".", "output_dir": "models", "frames_per_group": 2, "track": "false"}
    options = ultrasound.training() | here
    words = [word for name, value in options.items() for word in (f"--{name}", str(value))]
    command = [sys.executable, "-m", "monai.bundle", "run", "--config_file", "configs/train.yaml", *words]
    nested = ["--train#trainer#max_epochs", "1", "--validate::dataloader::num_workers", "0"]
    done = subprocess.run([*command, *nested], cwd=folder, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-3000:]
    assert (folder / "models" / "model.pt").is_file()
    warnings = [line for line in done.stderr.splitlines() if "Warning:" in line]
    assert [line for line in warnings if "/monai/" not in line] == []
