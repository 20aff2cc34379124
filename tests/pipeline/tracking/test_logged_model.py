"""A training's network is a LoggedModel whose metrics belong to it and to a data set, however they arrive."""

from __future__ import annotations

import hashlib
from pathlib import Path

import mlflow
import pytest
import torch
from mlflow import MlflowClient
from torch import nn

from pyraseg.pipeline.tracking import RunTracker
from pyraseg.pipeline.tracking.sync import sync
from pyraseg.transforms.errors import TrackingError

SPLIT = {"digest": "d" * 64, "validation": {"g1": ["c1"]}, "test": {"g2": ["c2", "c3"]}}
DIGEST = SPLIT["digest"][:36]


def checkpoint(folder: Path, content: str = "weights") -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "model.pt").write_text(content)
    return folder / "model.pt"


def train(uri, path, *, name="a training", dice=(0.4, 0.8, 0.6), network=None, **options):
    """A training whose second epoch is the best; the ID of its run."""
    options |= {"experiment_name": "logged models", "run_name": name, "split": SPLIT}
    with RunTracker(uri, **options) as tracker:
        for epoch, value in enumerate(dice, start=1):
            tracker.log_metrics({"val_mean_dice": value, "train_loss": 1.0}, step=epoch)
        sha256 = tracker.log_checkpoint(path)
        if network is not None:
            tracker.log_model(network, torch.zeros(1, 3, 8, 8), sha256=sha256)
        tracker.log_trained(sha256, epoch=2)
    return tracker.run_id


def evaluate(uri, sha256, *, dice=0.7, digest=None, **options):
    split = SPLIT | ({"digest": digest} if digest else {})
    options |= {"experiment_name": "logged models", "parameters": {"split": "test"}, "split": split}
    with RunTracker(uri, **options) as tracker:
        tracker.log_tags({"evaluated.sha256": sha256})
        tracker.log_metrics({"test_mean_dice": dice, "test_kidney_dice": dice}, step=0)
        tracker.log_evaluated(sha256)
    return tracker.run_id


def sha_of(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def models(uri, run_id):
    client = MlflowClient(uri)
    experiment = client.get_experiment_by_name("logged models").experiment_id
    return list(client.search_logged_models([experiment], filter_string=f"source_run_id = '{run_id}'"))


def of_data(model):
    return {(m.key, m.dataset_name, m.dataset_digest): m.value for m in model.metrics}


def test_a_model_has_the_metrics_of_its_best_epoch_and_of_its_evaluations_by_data_set(store, tmp_path):
    path = checkpoint(tmp_path, "one")
    run_id = train(store, path, name="cbam: seed 0.1")
    measured = evaluate(store, sha_of(path))
    evaluate(store, sha_of(path), dice=0.5, digest="e" * 64)
    (model,) = models(store, run_id)
    assert (model.name, model.status) == ("cbam- seed 0-1", "READY")
    assert model.tags["checkpoint.sha256"] == sha_of(path)
    assert of_data(model) == {
        ("val_mean_dice", "datalist validation", DIGEST): 0.8,
        ("test_mean_dice", "datalist test", DIGEST): 0.7,
        ("test_kidney_dice", "datalist test", DIGEST): 0.7,
        ("test_mean_dice", "datalist test", "e" * 36): 0.5,
        ("test_kidney_dice", "datalist test", "e" * 36): 0.5,
    }
    client = MlflowClient(store)
    assert [m.step for m in client.get_metric_history(run_id, "val_mean_dice")] == [1, 2, 3]
    assert [m.value for m in client.get_metric_history(measured, "test_mean_dice")] == [0.7]
    assert [o.model_id for o in client.get_run(run_id).outputs.model_outputs] == [model.model_id]
    assert [i.model_id for i in client.get_run(measured).inputs.model_inputs] == [model.model_id]


def test_the_best_model_on_a_data_set_is_one_search(store, tmp_path):
    shas = {}
    for name, inside, outside in (("first", 0.91, 0.2), ("second", 0.92, 0.1)):
        path = checkpoint(tmp_path / name, name)
        train(store, path, name=name)
        shas[name] = sha_of(path)
        evaluate(store, shas[name], dice=inside, digest="1" * 64)
        evaluate(store, shas[name], dice=outside, digest="2" * 64)
    for digest, best in (("1" * 36, "second"), ("2" * 36, "first")):
        order = {"field_name": "metrics.test_mean_dice", "ascending": False}
        order |= {"dataset_name": "datalist test", "dataset_digest": digest}
        client = MlflowClient(store)
        experiment = client.get_experiment_by_name("logged models").experiment_id
        found = client.search_logged_models([experiment], order_by=[order], max_results=1)
        assert found[0].tags["checkpoint.sha256"] == shas[best]


def test_an_evaluation_that_arrives_before_its_training_is_found_by_it(store, tmp_path):
    """As from two outboxes that wait for one server, in the order of their folders."""
    path = checkpoint(tmp_path, "late")
    evaluate(store, sha_of(path))
    run_id = train(store, path)
    (model,) = models(store, run_id)
    assert of_data(model)["test_mean_dice", "datalist test", DIGEST] == 0.7


def test_an_ensemble_and_an_unknown_checkpoint_are_no_model(store):
    for sha256 in ("f" * 64, "a" * 64 + " " + "b" * 64):
        run_id = evaluate(store, sha256)
        assert not MlflowClient(store).get_run(run_id).inputs.model_inputs


def test_sent_twice_it_is_one_model(store, tmp_path):
    path = checkpoint(tmp_path, "twice")
    run_id = train(store, path)
    evaluate(store, sha_of(path))
    (before,) = models(store, run_id)
    with RunTracker(store, experiment_name="logged models", run_id=run_id, split=SPLIT) as tracker:
        tracker.log_trained(tracker.log_checkpoint(path), epoch=2)
    (model,) = models(store, run_id)
    assert (model.model_id, of_data(model)) == (before.model_id, of_data(before))
    assert len(MlflowClient(store).get_run(run_id).outputs.model_outputs) == 1


@pytest.mark.usefixtures("impatient")
def test_the_network_loads_by_its_model_and_by_its_run(server, tmp_path, monkeypatch):
    uri = server.uri
    monkeypatch.setenv("MLFLOW_ALLOW_PICKLE_DESERIALIZATION", "false")
    run_id = train(uri, checkpoint(tmp_path, "served"), network=nn.Conv2d(3, 2, 1))
    (model,) = models(uri, run_id)
    monkeypatch.setattr(mlflow.tracking._tracking_service.utils, "_tracking_uri", uri)
    x = torch.rand(1, 3, 8, 8)
    by_model, by_run = (mlflow.pytorch.load_model(u) for u in (model.model_uri, f"runs:/{run_id}/model"))
    torch.testing.assert_close(by_model(x), by_run(x))
    assert {entry.path for entry in MlflowClient(uri).list_artifacts(run_id)} >= {"model", "checkpoints"}


@pytest.mark.usefixtures("impatient")
def test_what_waited_for_a_server_becomes_the_same_model(server, tmp_path, monkeypatch):
    import signal

    path, outputs = checkpoint(tmp_path, "away"), tmp_path / "outputs"
    options = {"patience": 0.1}
    original = RunTracker._start

    def start_then_stop(tracker, stack):
        original(tracker, stack)
        server.signal(signal.SIGSTOP)

    monkeypatch.setattr(RunTracker, "_start", start_then_stop)
    run_id = train(server.uri, path, network=nn.Conv2d(3, 2, 1), outbox_dir=outputs / "z", **options)
    server.signal(signal.SIGCONT)
    evaluate(server.uri, sha_of(path), outbox_dir=outputs / "a", **options)
    with pytest.raises(TrackingError):
        list(sync(outputs))
    server.signal(signal.SIGCONT)
    assert all("sent" in line for line in sync(outputs))
    (model,) = models(server.uri, run_id)
    assert model.status == "READY"
    assert {key for key, *_ in of_data(model)} == {"val_mean_dice", "test_mean_dice", "test_kidney_dice"}
