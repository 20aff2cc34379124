"""A name in MLflow leads to the checkpoint of a training, whole and unchanged, or to one clear sentence."""

from __future__ import annotations

import hashlib
import shutil
from itertools import count
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from mlflow import MlflowClient

from pyraseg.pipeline.delivery.export import export_checkpoint
from pyraseg.pipeline.delivery.info import describe
from pyraseg.pipeline.tracking.registry import fetch_checkpoint, pinned
from pyraseg.pipeline.tracking.store import the_experiment
from pyraseg.transforms.errors import CheckpointError, TrackingError, UsageError
from tests.pipeline.prediction.runs import write_checkpoint

NAMES = count()


@pytest.fixture(autouse=True)
def cache(monkeypatch, tmp_path):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return tmp_path / "cache" / "pyraseg" / "checkpoints"


@pytest.fixture(scope="module")
def client(store):
    return MlflowClient(store)


def training(client, folder, content=b"weights", **tags):
    """The ID of a run with this checkpoint."""
    folder.mkdir(exist_ok=True)
    path = folder / "model.pt"
    path.write_bytes(content)
    tags = {"checkpoint.sha256": hashlib.sha256(path.read_bytes()).hexdigest()} | tags
    run = client.create_run(the_experiment(client, "registry").experiment_id, tags=tags)
    client.log_artifact(run.info.run_id, str(path), "checkpoints")
    return run.info.run_id


@pytest.fixture
def model(client, tmp_path):
    """A registered model: version 1 has the alias champion."""
    name, run_id = f"kidney {next(NAMES)}", training(client, tmp_path / "run")
    client.create_registered_model(name)
    client.create_model_version(name, f"runs:/{run_id}/model", run_id)
    client.set_registered_model_alias(name, "champion", "1")
    return name


def artifact_of(client, name) -> Path:
    run = client.get_run(client.get_model_version(name, "1").run_id)
    return Path(urlsplit(run.info.artifact_uri).path) / "checkpoints" / "model.pt"


def test_an_alias_a_version_and_a_run_lead_to_one_file_by_its_hash(client, model, store, cache):
    run_id = client.get_model_version(model, "1").run_id
    for name in (f"models:/{model}@champion", f"models:/{model}/1", f"runs:/{run_id}"):
        path, stored = fetch_checkpoint(name, tracking_uri=store)
        assert path.read_text() == "weights"
        assert path == cache / stored.sha256 / "model.pt"
        assert stored.run_id == run_id
        assert stored.model == (f"MLflow run {run_id}" if "runs" in name else f"{model} version 1")
    assert [p.name for p in cache.iterdir()] == [stored.sha256]
    assert pinned(f"models:/{model}@champion", tracking_uri=store) == f"models:/{model}/1"


def test_a_checkpoint_is_described_by_its_name_and_exported_to_a_named_folder(client, store, tmp_path):
    checkpoint = write_checkpoint(tmp_path / "trained" / "model.pt")
    run_id = training(client, tmp_path / "run", checkpoint.read_bytes())
    assert describe(f"runs:/{run_id}", tracking_uri=store) == describe(checkpoint)
    with pytest.raises(UsageError, match="Name one with --output"):
        export_checkpoint(f"runs:/{run_id}", format="pt2", tracking_uri=store)


def test_a_file_is_fetched_once_and_again_where_the_copy_was_damaged(client, model, store):
    reference = f"models:/{model}@champion"
    path, _ = fetch_checkpoint(reference, tracking_uri=store)
    path.write_text("damaged")
    fetch_checkpoint(reference, tracking_uri=store)
    assert path.read_text() == "weights"
    artifact_of(client, model).unlink()
    assert fetch_checkpoint(reference, tracking_uri=store)[0].read_text() == "weights"


def test_a_file_that_was_changed_or_is_gone_is_refused_and_leaves_nothing(client, model, store, cache):
    artifact = artifact_of(client, model)
    artifact.write_text("other weights")
    with pytest.raises(CheckpointError, match=r"found one with SHA-256 .* it was changed since"):
        fetch_checkpoint(f"models:/{model}/1", tracking_uri=store)
    artifact.unlink()
    with pytest.raises(CheckpointError, match="its file is gone"):
        fetch_checkpoint(f"models:/{model}/1", tracking_uri=store)
    shutil.rmtree(artifact.parents[1])
    with pytest.raises(CheckpointError, match="its file is gone"):
        fetch_checkpoint(f"models:/{model}/1", tracking_uri=store)
    assert list(cache.iterdir()) == []


def test_a_version_keeps_its_own_hash_where_its_run_has_trained_on(client, tmp_path, store):
    """A finished training may be resumed, which replaces the checkpoint of its run."""
    name, run_id = f"resumed {next(NAMES)}", training(client, tmp_path / "run", b"later weights")
    client.create_registered_model(name)
    tags = {"checkpoint.sha256": hashlib.sha256(b"weights").hexdigest()}
    client.create_model_version(name, f"runs:/{run_id}/model", run_id, tags=tags)
    with pytest.raises(CheckpointError, match="it was changed since"):
        fetch_checkpoint(f"models:/{name}/1", tracking_uri=store)


@pytest.mark.parametrize(
    ("reference", "said"),
    [
        ("models:/{}@champoin", "an alias of the model '.*', found 'champoin'. Did you mean 'champion'"),
        ("models:/{}/7", "none with the number 7"),
        ("models:/x{}@champion", "a registered model of this store, found 'xkidney .*Did you mean 'kidney"),
        ("models:/{}", "Write models:/NAME@ALIAS"),
        ("models:/{}/latest", "Write models:/NAME@ALIAS"),
        ("models:/{}@champion/model.pt", "Write models:/NAME@ALIAS"),
        ("runs:/" + "0" * 32, "no run of this ID"),
        ("runs:/abc/../../model.pt", "Write models:/NAME@ALIAS"),
    ],
)
def test_a_name_of_nothing_is_said_with_what_there_is(reference, said, model, store):
    with pytest.raises(CheckpointError, match=said):
        fetch_checkpoint(reference.format(model), tracking_uri=store)


def test_what_is_no_training_is_said(client, store, tmp_path):
    experiment = the_experiment(client, "registry").experiment_id
    bare, evaluation = (
        client.create_run(experiment, tags=tags).info.run_id for tags in ({}, {"evaluated.sha256": "a" * 64})
    )
    strange = training(client, tmp_path / "run", **{"checkpoint.sha256": "../../etc"})
    for run_id, said in ((bare, "a run without"), (evaluation, "an evaluation's"), (strange, "another text")):
        with pytest.raises(CheckpointError, match=said):
            fetch_checkpoint(f"runs:/{run_id}", tracking_uri=store)
    name = f"by hand {next(NAMES)}"
    client.create_registered_model(name)
    client.create_model_version(name, "file:///nowhere")
    with pytest.raises(CheckpointError, match="version 1, which names no run"):
        fetch_checkpoint(f"models:/{name}/1", tracking_uri=store)


def test_no_store_is_made_and_none_that_is_away_is_waited_for(tmp_path):
    with pytest.raises(TrackingError, match="nothing of this name"):
        fetch_checkpoint("models:/kidney@champion", tracking_uri=f"sqlite:///{tmp_path}/none.db")
    with pytest.raises(TrackingError, match="no answer"):
        fetch_checkpoint("models:/kidney@champion", tracking_uri="http://127.0.0.1:9")
    assert not (tmp_path / "none.db").exists()
