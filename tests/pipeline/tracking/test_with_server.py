"""Against a real MLflow server: it may go away at any time, and all that was logged arrives."""

import logging
import signal
import sys

import pytest
from mlflow import MlflowClient

from pyraseg.pipeline import cli
from pyraseg.pipeline.tracking import RunTracker
from pyraseg.pipeline.tracking.sync import sync
from pyraseg.transforms.errors import InputError, TrackingError
from tests.pipeline.tracking.conftest import artifact, steps

pytestmark = [
    pytest.mark.skipif(sys.platform == "win32", reason="a process cannot be stopped there"),
    pytest.mark.usefixtures("impatient"),
]


@pytest.fixture
def outbox(tmp_path):
    return tmp_path / "output" / ".mlflow_outbox"


def test_a_run_arrives_with_its_files(server, outbox, tmp_path):
    with RunTracker(server.uri, experiment_name="server", outbox_dir=outbox) as tracker:
        tracker.log_metrics({"loss": 1.0}, step=1)
        tracker.log_text("text", "notes/a.txt")
    assert MlflowClient(server.uri).get_run(tracker.run_id).info.status == "FINISHED"
    assert artifact(server.uri, tracker.run_id, "notes/a.txt", tmp_path) == "text"
    assert not outbox.exists()


def test_a_server_that_goes_and_comes_back_in_mid_run_is_told_everything_in_order(server, outbox, tmp_path):
    with RunTracker(server.uri, experiment_name="loss", outbox_dir=outbox) as tracker:
        tracker.log_metrics({"loss": 0.0}, step=0)
        tracker.flush()
        server.signal(signal.SIGSTOP)
        for step in range(1, 50):
            tracker.log_metrics({"loss": float(step)}, step=step)
        tracker.log_text("text", "notes/a.txt")
        tracker.flush()
        server.signal(signal.SIGCONT)
        tracker.log_metrics({"loss": 50.0}, step=50)
    assert steps(server.uri, tracker.run_id, "loss") == list(range(51))
    assert artifact(server.uri, tracker.run_id, "notes/a.txt", tmp_path) == "text"
    assert MlflowClient(server.uri).get_run(tracker.run_id).info.status == "FINISHED"


def left_behind(server, outbox, error=None):
    """A run whose server goes away for good, and that may end with an error; its id."""
    tracker = RunTracker(server.uri, experiment_name="away", outbox_dir=outbox, patience=0.1)
    tracker.__enter__()
    server.signal(signal.SIGSTOP)
    tracker.log_metrics({"loss": 1.0}, step=1)
    tracker.log_text("text", "notes/a.txt")
    tracker.__exit__(type(error) if error else None, error, None)
    return tracker.run_id


def test_what_a_server_did_not_take_by_the_end_is_announced_in_one_line_and_sent_by_sync(
    server, outbox, tmp_path, caplog, capsys
):
    with caplog.at_level(logging.WARNING, logger="pyraseg"):
        run_id = left_behind(server, outbox, KeyboardInterrupt())
    (line,) = [record.getMessage() for record in caplog.records]
    assert "entries wait" in line
    assert "pyraseg sync" in line
    assert str(tmp_path) not in line
    assert cli.main(["sync", str(tmp_path / "output")]) == 1  # still away
    server.signal(signal.SIGCONT)
    assert cli.main(["sync", str(tmp_path / "output")]) == 0
    assert "entries sent" in capsys.readouterr().out
    assert MlflowClient(server.uri).get_run(run_id).info.status == "KILLED"
    assert steps(server.uri, run_id, "loss") == [1]
    assert artifact(server.uri, run_id, "notes/a.txt", tmp_path) == "text"
    assert list(sync(tmp_path / "output")) == ["nothing waits"]


def test_a_resumed_run_sends_first_what_waited(server, outbox):
    run_id = left_behind(server, outbox, ValueError())
    server.signal(signal.SIGCONT)
    with RunTracker(server.uri, experiment_name="away", outbox_dir=outbox, run_id=run_id) as tracker:
        tracker.log_metrics({"loss": 1.0}, step=1)
        tracker.log_metrics({"loss": 0.5}, step=2)
    run = MlflowClient(server.uri).get_run(run_id)
    assert (run.info.status, run.data.tags["pyraseg.resumed_from"]) == ("FINISHED", "FAILED")
    assert steps(server.uri, run_id, "loss") == [1, 2]
    assert not outbox.exists()


def test_sending_twice_is_sending_once(server, outbox):
    run_id = left_behind(server, outbox)
    server.signal(signal.SIGCONT)
    (folder,) = outbox.iterdir()
    journal = (folder / "journal.jsonl").read_bytes()
    assert len(list(sync(outbox))) == 1
    folder.mkdir(parents=True)
    (folder / "journal.jsonl").write_bytes(journal)
    (folder / "outbox.json").write_text(f'{{"tracking_uri": "{server.uri}", "run_id": "{run_id}"}}')
    assert len(list(sync(outbox))) == 1
    assert steps(server.uri, run_id, "loss") == [1]


def test_entries_of_a_run_that_was_deleted_are_kept_and_said(server, outbox):
    run_id = left_behind(server, outbox)
    server.signal(signal.SIGCONT)
    MlflowClient(server.uri).delete_run(run_id)
    with pytest.raises(TrackingError, match="a deleted run"):
        list(sync(outbox))
    MlflowClient(server.uri).restore_run(run_id)
    assert "entries sent" in "".join(sync(outbox))
    assert steps(server.uri, run_id, "loss") == [1]


def test_sync_wants_a_folder(tmp_path):
    with pytest.raises(InputError):
        list(sync(tmp_path / "absent"))
