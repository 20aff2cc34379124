"""Every run is a run of its own, ends with a true status, can be resumed, and carries nothing that
identifies."""

import getpass
import hashlib
import os
import signal
import subprocess
import sys
import textwrap
import time
from pathlib import Path

import mlflow.data
import numpy as np
import pytest
import yaml
from mlflow import MlflowClient

from pyraseg.pipeline.tracking import RunTracker, default_tracking_uri
from pyraseg.pipeline.tracking.sync import sync
from pyraseg.pipeline.utils.signals import handling
from pyraseg.transforms.errors import InputError, OutputError, TrackingError
from tests.pipeline.tracking.conftest import artifact, runs, steps

ROOT = Path(__file__).resolve().parents[3]


def artifacts(store, run_id, folder=None):
    return {entry.path for entry in MlflowClient(store).list_artifacts(run_id, folder)}


def interrupted(store, error, **options):
    """A run that ends with an error after steps 1 to 3; its id."""
    tracker = RunTracker(store, **{"experiment_name": "interrupted"} | options)
    with pytest.raises(type(error)), tracker:  # noqa: PT012
        for step in (1, 2, 3):
            tracker.log_metrics({"loss": 1 / step}, step=step)
        raise error
    return tracker.run_id


@pytest.fixture(scope="module")
def run(store, tmp_path_factory):
    checkpoint = tmp_path_factory.mktemp("run") / "model.pt"
    checkpoint.write_bytes(b"the weights")
    tracker = RunTracker(
        store,
        experiment_name="whole",
        run_name="first",
        parameters={"depth": 18, "dataset_dir": "/data/DOE"},
        tags={"site": "A"},
        config={"depth": 18, "dataset_dir": "/data/DOE", "network": {"_target_": "Net", "depth": "@depth"}},
        split={"digest": "d1", "training": {"g1": ["c1", "c2"]}, "validation": {"g2": ["c3"]}, "test": {}},
    )
    with tracker:
        for step in range(3):
            tracker.log_metrics({"loss": 1 / (step + 1), "absent": float("nan")}, step=step)
        tracker.log_metrics({"val_dice_fluid (all)": 0.5}, step=1)
        tracker.log_image(np.zeros((4, 5, 3), np.uint8), "overlays/validation.png")
        tracker.log_json({"a": 1}, "a.json")
        tracker.log_checkpoint(checkpoint)
        checkpoint.unlink()  # whatever happens to it afterwards
    (run,) = runs(store, "whole")
    return run


class TestAFinishedRun:
    def test_is_finished_under_its_name(self, run):
        assert (run.info.status, run.info.run_name) == ("FINISHED", "first")

    def test_holds_the_parameters_the_versions_and_the_machine_without_paths(self, run):
        params = run.data.params
        assert params["depth"] == "18"
        assert "DOE" not in str(params)
        assert {"version.torch", "version.monai", "version.mlflow", "hardware.cpu", "hardware.gpus"} <= set(
            params
        )

    def test_holds_every_step_of_a_metric_and_nothing_of_one_without_a_value(self, run, store):
        assert steps(store, run.info.run_id, "loss") == [0, 1, 2]
        assert "absent" not in run.data.metrics

    def test_takes_a_class_name_that_mlflow_would_refuse(self, run):
        assert run.data.metrics["val_dice_fluid _all_"] == 0.5

    def test_holds_the_load_of_the_machine(self, run):
        assert "system/cpu_utilization_percentage" in run.data.metrics

    def test_holds_pictures_documents_and_the_checkpoint_with_its_hash(self, run, store):
        assert artifacts(store, run.info.run_id, "overlays") == {"overlays/validation.png"}
        assert artifacts(store, run.info.run_id) >= {"a.json", "checkpoints"}
        assert run.data.tags["checkpoint.sha256"] == hashlib.sha256(b"the weights").hexdigest()

    def test_holds_its_config_without_paths(self, run, store, tmp_path):
        config = yaml.safe_load(artifact(store, run.info.run_id, "config.yaml", tmp_path))
        assert config.pop("dataset_dir").startswith("<path ")
        assert config == {"depth": 18, "network": {"_target_": "Net", "depth": "@depth"}}

    def test_holds_its_split_as_a_document_and_as_inputs(self, run, store, tmp_path, monkeypatch):
        assert '"c3"' in artifact(store, run.info.run_id, "split.json", tmp_path)
        inputs = {entry.tags[0].value: entry.dataset for entry in run.inputs.dataset_inputs}
        assert set(inputs) == {"training", "validation"}
        assert inputs["training"].digest == "d1"
        assert inputs["training"].profile == '{"groups": 1, "cases": 2}'
        source = mlflow.data.get_source(inputs["training"])
        monkeypatch.setattr(mlflow.tracking._tracking_service.utils, "_tracking_uri", store)
        assert '"c3"' in Path(source.load()).read_text()

    def test_has_the_tags_it_was_given_and_says_who_made_it(self, run):
        tags = run.data.tags
        assert (tags["site"], tags["mlflow.source.type"], tags["mlflow.source.name"]) == (
            "A",
            "LOCAL",
            "pyraseg",
        )
        assert tags["mlflow.user"] == getpass.getuser()


class TestTheEnd:
    def test_a_crashed_run_is_failed_an_interrupted_one_killed_and_the_next_joins_neither(self, store):
        failed = interrupted(store, ValueError("x"), experiment_name="ends", run_name="same")
        killed = interrupted(store, KeyboardInterrupt(), experiment_name="ends", run_name="same")
        with RunTracker(store, experiment_name="ends", run_name="same") as third:
            assert third.run_id not in (failed, killed)
        found = {run.info.run_id: run.info.status for run in runs(store, "ends")}
        assert found == {failed: "FAILED", killed: "KILLED", third.run_id: "FINISHED"}

    def test_a_crash_leaves_a_traceback_without_the_message(self, store, tmp_path):
        run_id = interrupted(store, ValueError("the patient's name"))
        text = artifact(store, run_id, "error/traceback.txt", tmp_path)
        assert "test_tracker.py" in text
        assert "ValueError" in text
        assert "patient" not in text + str(MlflowClient(store).get_run(run_id).data.tags)

    def test_our_errors_keep_their_sentence(self, store, tmp_path):
        error = InputError("an image", found="a gap", remedy="Mend it.", path="/data/DOE.dcm")
        text = artifact(store, interrupted(store, error), "error/traceback.txt", tmp_path)
        assert "InputError: wanted an image, found a gap. Mend it." in text
        assert "DOE" not in text

    def test_a_run_whose_files_still_wait_is_not_finished_before_they_are_stored(
        self, store, tmp_path, monkeypatch
    ):
        def busy(*_):
            raise ConnectionError("busy")

        with monkeypatch.context() as patch:
            patch.setattr(MlflowClient, "log_artifact", busy)
            with RunTracker(store, experiment_name="waits", outbox_dir=tmp_path, patience=0) as tracker:
                tracker.log_text("a file", "a.txt")
        assert [run.info.status for run in runs(store, "waits")] == ["RUNNING"]
        assert list(sync(tmp_path))
        assert [run.info.status for run in runs(store, "waits")] == ["FINISHED"]
        assert artifacts(store, tracker.run_id) >= {"a.txt"}

    def test_sigterm_ends_a_run_killed_and_unwinds_as_ctrl_c_does(self, store):
        tracker = RunTracker(store, experiment_name="sigterm")
        with handling(signal.SIG_DFL, [signal.SIGTERM]), pytest.raises(KeyboardInterrupt), tracker:  # noqa: PT012
            tracker.log_metrics({"loss": 1.0}, step=1)
            signal.raise_signal(signal.SIGTERM)
        (run,) = runs(store, "sigterm")
        assert (run.info.status, run.data.metrics["loss"]) == ("KILLED", 1.0)


class TestResuming:
    def test_goes_on_in_the_same_run_and_logs_no_step_twice(self, store, tmp_path):
        run_id = interrupted(store, ValueError(), parameters={"epochs": 1}, outbox_dir=tmp_path)
        options = {"experiment_name": "interrupted", "outbox_dir": tmp_path, "run_id": run_id}
        with RunTracker(store, **options, parameters={"epochs": 2, "new": 3}) as tracker:
            tracker.flush()
            assert tracker.run_id == run_id
            for step in (2, 3, 4):
                tracker.log_metrics({"loss": 1 / step, "val": 0.1}, step=step)
        run = MlflowClient(store).get_run(run_id)
        assert run.info.status == "FINISHED"
        assert steps(store, run_id, "loss") == [1, 2, 3, 4]
        assert steps(store, run_id, "val") == [2, 3, 4]
        assert (run.data.params["epochs"], run.data.tags["resumed.epochs"], run.data.params["new"]) == (
            "1",
            "2",
            "3",
        )
        assert "error" not in run.data.tags
        assert (run.data.tags["pyraseg.resumed_from"], run.data.tags["pyraseg.resumes"]) == ("FAILED", "1")

    def test_the_load_of_the_machine_goes_on_counting(self, store):
        run_id = interrupted(store, ValueError())
        with RunTracker(store, experiment_name="interrupted", run_id=run_id):
            pass
        assert steps(store, run_id, "system/cpu_utilization_percentage") == [0, 1]

    def test_a_run_is_running_again_while_it_is_resumed(self, store, impatient):
        run_id = interrupted(store, KeyboardInterrupt())
        with RunTracker(store, experiment_name="interrupted", run_id=run_id):
            limit = time.monotonic() + 20
            while MlflowClient(store).get_run(run_id).info.status != "RUNNING" and time.monotonic() < limit:
                time.sleep(0.05)
            assert MlflowClient(store).get_run(run_id).info.status == "RUNNING"

    def test_counts_how_often(self, store):
        run_id = interrupted(store, ValueError())
        for _ in range(2):
            with RunTracker(store, experiment_name="interrupted", run_id=run_id):
                pass
        tags = MlflowClient(store).get_run(run_id).data.tags
        assert (tags["pyraseg.resumes"], tags["pyraseg.resumed_from"]) == ("2", "FINISHED")

    def test_a_run_that_is_gone_is_an_error_with_the_way_out(self, store):
        with (
            pytest.raises(TrackingError, match="run_id"),
            RunTracker(store, experiment_name="x", run_id="0" * 32),
        ):
            pass
        run_id = interrupted(store, ValueError())
        MlflowClient(store).delete_run(run_id)
        with (
            pytest.raises(TrackingError, match="deleted"),
            RunTracker(store, experiment_name="x", run_id=run_id),
        ):
            pass

    @pytest.mark.skipif(sys.platform == "win32", reason="Windows has no SIGKILL")
    def test_a_killed_process_loses_nothing_and_its_run_is_taken_up_where_it_was(self, store, tmp_path):
        outbox = tmp_path / "outbox"
        code = f"""
            import os, signal
            from pyraseg.pipeline.tracking import RunTracker
            tracker = RunTracker({store!r}, experiment_name="sigkill", outbox_dir={str(outbox)!r})
            tracker.__enter__()
            tracker.flush()
            for step in range(1000):
                tracker.log_metrics({{"loss": 1.0}}, step=step)
            os.kill(os.getpid(), signal.SIGKILL)
        """
        subprocess.run([sys.executable, "-c", textwrap.dedent(code)], cwd=ROOT, check=False)
        (stale,) = runs(store, "sigkill")
        assert stale.info.status == "RUNNING"
        options = {"experiment_name": "sigkill", "outbox_dir": outbox, "run_id": stale.info.run_id}
        with RunTracker(store, **options) as tracker:
            for step in range(990, 1010):
                tracker.log_metrics({"loss": 1.0}, step=step)
        assert steps(store, stale.info.run_id, "loss") == list(range(1010))
        (run,) = runs(store, "sigkill")
        assert (run.info.status, run.data.tags["pyraseg.resumed_from"]) == ("FINISHED", "RUNNING")
        assert not outbox.exists()


def test_a_child_run_names_its_parent(store):
    with (
        RunTracker(store, experiment_name="folds") as parent,
        RunTracker(store, experiment_name="folds", parent_run_id=parent.run_id) as child,
    ):
        pass
    assert MlflowClient(store).get_run(child.run_id).data.tags["mlflow.parentRunId"] == parent.run_id


def test_tracking_leaves_the_environment_the_signals_and_the_outbox_as_they_were(store, tmp_path):
    before, handler = dict(os.environ), signal.getsignal(signal.SIGTERM)
    with RunTracker(store, experiment_name="clean", outbox_dir=tmp_path / "outbox") as outer:
        with RunTracker(store, experiment_name="clean"):
            pass
        assert (tmp_path / "outbox" / outer.run_id).is_dir()
    assert dict(os.environ) == before
    assert signal.getsignal(signal.SIGTERM) == handler
    assert list(tmp_path.iterdir()) == []


def test_an_unreachable_server_is_said_within_seconds():
    with (
        pytest.raises(TrackingError, match="no answer"),
        RunTracker("http://127.0.0.1:9", experiment_name="x"),
    ):
        pass


def test_a_plain_folder_is_refused_with_the_form_to_use(tmp_path):
    with pytest.raises(TrackingError, match="sqlite:///"), RunTracker(str(tmp_path), experiment_name="x"):
        pass


def test_a_file_that_is_not_there_is_an_error_with_its_path_as_data(store, tmp_path):
    with RunTracker(store, experiment_name="clean") as tracker, pytest.raises(OutputError) as caught:
        tracker.log_file(tmp_path / "DOE.png")
    assert caught.value.path == str(tmp_path / "DOE.png")
    assert "DOE" not in str(caught.value)


@pytest.mark.parametrize(("enabled", "rank"), [(False, "0"), (True, "1")])
def test_a_tracker_that_is_switched_off_or_of_another_rank_does_nothing(tmp_path, monkeypatch, enabled, rank):
    monkeypatch.setenv("RANK", rank)
    with RunTracker(f"sqlite:///{tmp_path}/none.db", experiment_name="x", enabled=enabled) as tracker:
        tracker.log_metrics({"loss": 1.0}, step=1)
        tracker.log_json({}, "a.json")
        tracker.log_file("absent")
        tracker.flush()
    assert tracker.run_id is None
    assert list(tmp_path.iterdir()) == []


def test_the_environment_names_the_server(monkeypatch, tmp_path):
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://tracking:5000")
    assert default_tracking_uri(tmp_path) == "http://tracking:5000"
    monkeypatch.delenv("MLFLOW_TRACKING_URI")
    assert default_tracking_uri(tmp_path) == f"sqlite:///{tmp_path / 'mlruns.db'}"


def test_a_run_that_is_asked_to_be_new_is(store):
    with RunTracker(store, experiment_name="new", run_id="new") as tracker:
        pass
    assert [run.info.run_id for run in runs(store, "new")] == [tracker.run_id]


TWICE = """
import os, signal
from pyraseg.pipeline.tracking import RunTracker

tracker = RunTracker({store!r}, experiment_name="twice")
log_text = tracker.log_text
tracker.log_text = lambda *words: (os.kill(os.getpid(), signal.SIGINT), log_text(*words))
with tracker:
    tracker.log_metrics({{"loss": 1.0}}, step=1)
    os.kill(os.getpid(), signal.SIGUSR1)
"""


def test_more_signals_while_a_run_ends_leave_it_killed(store):
    done = subprocess.run([sys.executable, "-c", TWICE.format(store=store)], check=False)
    assert done.returncode == -signal.SIGINT
    assert [run.info.status for run in runs(store, "twice")] == ["KILLED"]


def test_a_run_whose_outbox_cannot_be_written_is_not_left_running(store, tmp_path):
    (tmp_path / "file").touch()
    with (
        pytest.raises(OutputError),
        RunTracker(store, experiment_name="nowhere", outbox_dir=tmp_path / "file"),
    ):
        raise AssertionError("it opened")
    (run,) = runs(store, "nowhere")
    assert run.info.status == "FAILED"
