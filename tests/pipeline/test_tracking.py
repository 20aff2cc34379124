"""Every run is a run of its own, ends with a true status, and carries nothing that identifies."""

from pathlib import Path

import numpy as np
import pytest
from mlflow import MlflowClient

from pipeline.tracking import RunTracker, default_tracking_uri, safe_parameters
from transforms.errors import TrackingError


@pytest.fixture(scope="module")
def store(tmp_path_factory):
    """One sqlite store for the module: its first use costs seconds of migrations."""
    return f"sqlite:///{tmp_path_factory.mktemp('store') / 'mlruns.db'}"


def runs(store, experiment):
    client = MlflowClient(store)
    return client.search_runs([client.get_experiment_by_name(experiment).experiment_id])


def test_a_finished_run_holds_parameters_metrics_and_pictures(store):
    with RunTracker(store, experiment_name="whole", run_name="first", parameters={"depth": 18}) as tracker:
        for step in range(3):
            tracker.log_metrics({"loss": 1 / (step + 1), "absent": float("nan")}, step=step)
        tracker.log_image(np.zeros((4, 5, 3), np.uint8), "overlays/validation.png")
    (run,) = runs(store, "whole")
    assert run.info.status == "FINISHED"
    assert run.data.params == {"depth": "18"}
    assert set(run.data.metrics) == {"loss"}
    client = MlflowClient(store)
    assert [m.step for m in client.get_metric_history(run.info.run_id, "loss")] == [0, 1, 2]
    assert [a.path for a in client.list_artifacts(run.info.run_id, "overlays")] == ["overlays/validation.png"]


def interrupted_run(store, error):
    with RunTracker(store, experiment_name="crash", run_name="same") as tracker:
        tracker.log_metrics({"loss": 1.0}, step=1)
        raise error


def test_a_crashed_run_ends_failed_an_interrupted_one_killed_and_the_next_joins_neither(store):
    for error in (ValueError("the patient's name"), KeyboardInterrupt()):
        with pytest.raises(type(error)):
            interrupted_run(store, error)
    with RunTracker(store, experiment_name="crash", run_name="same") as third:
        assert third.run_id
    found = runs(store, "crash")
    assert sorted(run.info.status for run in found) == ["FAILED", "FINISHED", "KILLED"]
    assert all("patient" not in str(run.data.tags) for run in found)


def test_paths_never_become_parameters():
    safe = safe_parameters({"dataset_dir": "/data/DOE^JANE", "size": [1, 2], "data": {"file": Path("a"), "up": "../x"}})
    assert safe == {"dataset_dir": "<path>", "size": "[1, 2]", "data.file": "<path>", "data.up": "<path>"}


def test_a_relative_path_is_one_too_with_a_separator_or_by_its_parameter_s_name():
    safe = safe_parameters(
        {
            "note": "DOE_JANE/us",
            "mount": "D:\\DOE",
            "dataset_dir": "DOE_JANE",
            "datalist": "DOE.json",
            "files": ["a", "b/c"],
        }
    )
    assert set(safe.values()) == {"<path>"}
    plain = {"split": "test", "lr_decay": "poly", "fold": None, "label_names": ["background", "fluid"], "amp": True}
    assert safe_parameters(plain) == {name: str(value) for name, value in plain.items()}


def test_an_unreachable_server_is_said_within_seconds():
    with pytest.raises(TrackingError, match="no answer"), RunTracker("http://127.0.0.1:9", experiment_name="x"):
        pass


def test_a_plain_folder_is_refused_with_the_form_to_use(tmp_path):
    with pytest.raises(TrackingError, match="sqlite:///"), RunTracker(str(tmp_path), experiment_name="x"):
        pass


def test_a_disabled_tracker_does_nothing(tmp_path):
    with RunTracker(f"sqlite:///{tmp_path}/none.db", experiment_name="x", enabled=False) as tracker:
        tracker.log_metrics({"loss": 1.0}, step=1)
        tracker.log_json({}, "a.json")
    assert list(tmp_path.iterdir()) == []


def test_the_environment_names_the_server(monkeypatch, tmp_path):
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://tracking:5000")
    assert default_tracking_uri(tmp_path) == "http://tracking:5000"
    monkeypatch.delenv("MLFLOW_TRACKING_URI")
    assert default_tracking_uri(tmp_path) == f"sqlite:///{tmp_path / 'mlruns.db'}"
