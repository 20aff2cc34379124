"""A stored model loads without pickle, gives the same numbers, and says what it takes."""

import threading
import time
import zipfile
from pathlib import Path

import mlflow.pytorch
import pytest
import requests
import torch
import uvicorn
from mlflow.pyfunc import scoring_server
from torch import nn

from pyraseg.pipeline.networks import CBAMResNetPSPNet
from pyraseg.pipeline.tracking import RunTracker
from pyraseg.pipeline.tracking.model import save_model


@pytest.fixture(scope="module")
def network():
    torch.manual_seed(0)
    return CBAMResNetPSPNet(
        spatial_dims=2, in_channels=3, out_channels=3, depth=18, output_stride=16, aux=True
    ).train()


@pytest.fixture
def _no_pickle(monkeypatch):
    monkeypatch.setenv("MLFLOW_ALLOW_PICKLE_DESERIALIZATION", "false")


def shapes(uri):
    signature = mlflow.models.get_model_info(uri).signature
    return [tensors.inputs[0].shape for tensors in (signature.inputs, signature.outputs)]


@pytest.mark.usefixtures("_no_pickle")
def test_a_network_of_ours_comes_back_from_its_run_with_free_batch_and_size(network, store, monkeypatch):
    example = torch.rand(1, 3, 96, 128).to(memory_format=torch.channels_last)
    with RunTracker(store, experiment_name="models") as tracker:
        tracker.log_model(network.to(memory_format=torch.channels_last), example)
    assert network.training
    monkeypatch.setattr(mlflow.tracking._tracking_service.utils, "_tracking_uri", store)
    uri = f"runs:/{tracker.run_id}/model"
    loaded, reference = mlflow.pytorch.load_model(uri), network.eval()
    assert shapes(uri) == [(-1, 3, -1, -1), (-1, 3, -1, -1)]
    with torch.no_grad():
        for size in ((1, 3, 96, 128), (3, 3, 72, 56)):
            x = torch.rand(size)
            torch.testing.assert_close(loaded(x), reference(x), rtol=1e-4, atol=1e-5)
    network.train()


class FixedSize(nn.Module):
    """Works at one size alone, as some baselines do."""

    def forward(self, x):
        return x.reshape(-1, 3, 96 * 80).mean(-1)[:, :, None, None] + torch.zeros(1, 1, 96, 80)


@pytest.mark.usefixtures("_no_pickle")
def test_a_network_of_one_size_says_so_in_its_signature(tmp_path):
    folder = save_model(FixedSize(), torch.rand(1, 3, 96, 80), folder=tmp_path / "model")
    assert shapes(str(folder)) == [(-1, 3, 96, 80), (-1, 3, 96, 80)]
    x = torch.rand(3, 3, 96, 80)
    torch.testing.assert_close(mlflow.pytorch.load_model(str(folder))(x), FixedSize()(x))


def test_no_image_and_no_path_of_the_code_leaves_with_the_model(tmp_path):
    folder = save_model(SegmentationHead(), torch.full((1, 3, 8, 8), 0.12345), folder=tmp_path / "model")
    assert "0.1234" not in "".join(path.read_text() for path in folder.glob("*.json"))
    (archive,) = folder.rglob("*.pt2")
    with zipfile.ZipFile(archive) as records:
        assert not any(
            str(Path(__file__).parent).encode() in records.read(name) for name in records.namelist()
        )


class SegmentationHead(nn.Module):
    """A little of a network, written in this file: its path is one that must not leave."""

    def forward(self, x):
        return torch.relu(x) + 1


@pytest.fixture
def address(tmp_path):
    """A model served on this machine alone, by the app that ``mlflow models serve`` starts."""
    folder = save_model(SegmentationHead(), torch.zeros(1, 3, 8, 8), folder=tmp_path / "model")
    app = scoring_server.init(mlflow.pyfunc.load_model(str(folder)))
    server = uvicorn.Server(uvicorn.Config(app, host="127.0.0.1", port=0, log_level="error"))
    thread = threading.Thread(target=server.run)
    thread.start()
    limit = time.monotonic() + 30
    while not server.started and time.monotonic() < limit:
        time.sleep(0.01)
    yield "http://127.0.0.1:{1}/invocations".format(*server.servers[0].sockets[0].getsockname())
    server.should_exit = True
    thread.join()


@pytest.mark.usefixtures("_no_pickle")
def test_a_served_model_answers_with_what_the_network_gives(address):
    x = torch.rand(2, 3, 5, 7)
    for body in ({"inputs": x.tolist()}, {"instances": x.tolist()}):
        answer = requests.post(address, json=body, timeout=30)
        assert answer.status_code == 200
        torch.testing.assert_close(torch.tensor(answer.json()["predictions"]), SegmentationHead()(x))


@pytest.mark.usefixtures("_no_pickle")
@pytest.mark.parametrize("shape", [(1, 3, 8, 8), (1, 1, 4, 6, 8)])
def test_a_model_of_any_number_of_axes_loads_as_a_plain_function(tmp_path, shape):
    folder = save_model(SegmentationHead(), torch.zeros(shape), folder=tmp_path / "model")
    model, x = mlflow.pyfunc.load_model(str(folder)), torch.rand(shape)
    torch.testing.assert_close(torch.from_numpy(model.predict(x.numpy())), SegmentationHead()(x))
    (archive,) = folder.rglob("*.pt2")
    assert model.metadata.model_size_bytes == archive.stat().st_size


class Untraceable(nn.Module):
    def forward(self, x):
        return x if x.sum().item() > 0 and str(x.mean().item()) > "0" else -x


def test_a_network_that_torch_cannot_export_costs_the_run_nothing_but_the_model(store):
    with RunTracker(store, experiment_name="models") as tracker:
        tracker.log_model(Untraceable(), torch.rand(1, 3, 8, 8))
    run = mlflow.MlflowClient(store).get_run(tracker.run_id)
    assert run.info.status == "FINISHED"
    assert run.data.tags["model.export"].startswith("failed")
