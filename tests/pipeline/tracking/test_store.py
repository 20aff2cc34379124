"""The store is asked within limits that end with the asking."""

import os
import shutil
from pathlib import Path

import filelock
import pytest
from mlflow import MlflowClient

from pyraseg.pipeline.comparison.read.store import open_store
from pyraseg.pipeline.tracking import RunTracker
from pyraseg.pipeline.tracking.logged_model import the_model
from pyraseg.pipeline.tracking.refusal import without_login
from pyraseg.pipeline.tracking.sqlite import one_at_a_time
from pyraseg.pipeline.tracking.store import bounded_requests, require_reachable, the_experiment
from pyraseg.transforms.errors import TrackingError

NAMES = ("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "MLFLOW_HTTP_REQUEST_TIMEOUT")


@pytest.fixture(autouse=True)
def _unset(monkeypatch):
    for name in NAMES:
        monkeypatch.delenv(name, raising=False)


def limits():
    return [os.environ.get(name) for name in NAMES]


def test_limits_hold_until_the_last_of_several_trackings_has_ended():
    first, second = bounded_requests(), bounded_requests()
    first.__enter__()
    second.__enter__()
    assert None not in limits()
    first.__exit__(None, None, None)
    assert None not in limits()
    second.__exit__(None, None, None)
    assert limits() == [None, None]


def test_a_limit_that_the_user_has_set_stands(monkeypatch):
    monkeypatch.setenv(NAMES[0], "5")
    with bounded_requests():
        assert limits()[0] == "5"
    assert limits() == ["5", None]


@pytest.mark.parametrize(
    ("uri", "kept"),
    [
        ("https://doe:secret@host:5000/x", "https://host:5000/x"),
        ("http://host", "http://host"),
        ("sqlite:////data/a@b/mlruns.db", "sqlite:////data/a@b/mlruns.db"),
    ],
)
def test_a_login_is_written_nowhere(uri, kept):
    assert without_login(uri) == kept


def test_nobody_answers_where_nothing_listens():
    with pytest.raises(TrackingError, match="no answer"):
        require_reachable("http://127.0.0.1:9")


def test_a_store_that_was_copied_reads_its_own_files_and_one_that_was_moved_finds_them(store, tmp_path):
    with RunTracker(store, experiment_name="moved") as tracker:
        tracker.log_text("here", "a.txt")
        tracker.log_trained("5" * 64, epoch=1)
    old = Path(store.removeprefix("sqlite:///")).parent
    shutil.copytree(old, tmp_path / "copy")
    copy = f"sqlite:///{tmp_path / 'copy' / 'mlruns.db'}"
    require_reachable(copy)
    run = MlflowClient(copy).get_run(tracker.run_id)
    assert (tmp_path / "copy").as_uri() in run.info.artifact_uri
    assert old.as_uri() in MlflowClient(store).get_run(tracker.run_id).info.artifact_uri
    (tmp_path / "copy").rename(tmp_path / "moved ö")
    with open_store(f"sqlite:///{tmp_path / 'moved ö' / 'mlruns.db'}") as opened:
        assert opened.fetch(tracker.run_id, "a.txt", tmp_path).read_text() == "here"
        experiment = opened.client.get_experiment(run.info.experiment_id)
        model = the_model(opened.client, tracker.run_id, "5" * 64)
    assert model.artifact_location.startswith(experiment.artifact_location)
    assert experiment.artifact_location == (tmp_path / "moved ö" / "mlruns").as_uri()


def test_an_experiment_is_made_once(store):
    client = MlflowClient(store)
    first, second = (the_experiment(client, "once").experiment_id for _ in range(2))
    assert first == second


def test_a_sqlite_store_is_opened_by_one_process_at_a_time_and_a_server_by_any_number(tmp_path):
    other = filelock.FileLock(tmp_path / "runs.db.lock", timeout=0)
    with one_at_a_time(f"sqlite:///{tmp_path / 'runs.db'}"), pytest.raises(filelock.Timeout):
        other.acquire()
    with other, one_at_a_time("http://127.0.0.1:5000"):
        assert other.is_locked
