"""Entries arrive once, in order and in few requests; a store that is away keeps them, one that refuses is
told on."""

import time
from pathlib import Path

import pytest
import requests
from mlflow.exceptions import MlflowException
from mlflow.protos.databricks_pb2 import BAD_REQUEST, INTERNAL_ERROR, INVALID_PARAMETER_VALUE

from pyraseg.pipeline.tracking.outbox import Outbox
from pyraseg.pipeline.tracking.sender import BackgroundSender, Sender


class Client:
    """Stands for MLflow's: keeps what it is sent; ``error`` is what a request meets, where ``meets`` says
    so."""

    def __init__(self, error=None, *, meets=lambda sent: True):
        self.tracking_uri = "sqlite:///mlruns.db"
        self.error = error
        self.meets = meets
        self.requests = []

    def _take(self, *sent):
        if self.error is not None and self.meets(sent):
            raise self.error
        self.requests.append(sent)

    def log_batch(self, run_id, metrics=(), params=(), tags=()):
        for kind, entries in (("metrics", metrics), ("params", params), ("tags", tags)):
            if entries:
                self._take(kind, [(entry.key, entry.value) for entry in entries])

    def log_artifact(self, run_id, path, folder):
        self._take("file", Path(path).read_text(), folder)

    def set_terminated(self, run_id, status, end_time):
        self._take("status", status)


def refusal():
    return MlflowException("no", INVALID_PARAMETER_VALUE)


@pytest.fixture
def outbox(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return Outbox(tmp_path / "outbox" / "run")


def metrics(step, **values):
    return {"kind": "metrics", "step": step, "time": 0, "values": values}


def test_metrics_of_many_steps_are_one_request_and_the_order_of_kinds_stands(outbox):
    for step in range(3):
        outbox.append(metrics(step, loss=step))
    outbox.append({"kind": "tags", "values": {"a": "1"}})
    outbox.add_text("text", "notes", name="a.txt")
    outbox.append({"kind": "status", "status": "FINISHED", "time": 0})
    client = Client()
    assert Sender(client, outbox, run_id="r").send_waiting()
    batch = ("metrics", [("loss", 0), ("loss", 1), ("loss", 2)])
    assert client.requests == [
        batch,
        ("tags", [("a", "1")]),
        ("file", "text", "notes"),
        ("status", "FINISHED"),
    ]
    assert outbox.waiting() == []


def test_no_request_is_larger_than_mlflow_takes(outbox):
    for step in range(600):
        outbox.append(metrics(step, a=1, b=2, c=3))
    outbox.append({"kind": "params", "values": {f"p{n}": "1" for n in range(250)}})
    client = Client()
    Sender(client, outbox, run_id="r").send_waiting()
    assert [(kind, len(entries)) for kind, entries in client.requests] == [
        ("metrics", 1000),
        ("metrics", 800),
        ("params", 100),
        ("params", 100),
        ("params", 50),
    ]


@pytest.mark.parametrize(
    "error",
    [MlflowException("away", INTERNAL_ERROR), requests.ConnectionError(), OSError("disk"), KeyError("s3")],
)
def test_what_a_store_does_not_take_stays_and_is_sent_once_it_does(outbox, error):
    outbox.append(metrics(0, loss=1))
    outbox.append({"kind": "tags", "values": {"a": "1"}})
    client = Client(error, meets=lambda sent: sent[0] == "tags")
    sender = Sender(client, outbox, run_id="r")
    assert not sender.send_waiting()
    assert [entry["kind"] for _, entry in outbox.waiting()] == ["tags"]
    client.error = None
    assert sender.send_waiting()
    assert client.requests == [("metrics", [("loss", 1)]), ("tags", [("a", "1")])]


def test_of_a_refused_request_only_what_is_to_blame_is_set_aside(outbox, caplog):
    for step in range(8):
        outbox.append(metrics(step, **{"bad" if step == 5 else "loss": step}))
    client = Client(refusal(), meets=lambda sent: any(key == "bad" for key, _ in sent[1]))
    assert Sender(client, outbox, run_id="r").send_waiting()
    assert sorted(value for _, entries in client.requests for _, value in entries) == [0, 1, 2, 3, 4, 6, 7]
    (refused,) = outbox.refused
    assert refused["key"] == "bad"
    assert "INVALID_PARAMETER_VALUE" in caplog.text


def test_a_login_that_ran_out_is_no_refusal(outbox):
    outbox.add_text("text", "", name="a.txt")
    response = requests.Response()
    response.status_code = 403
    sender = Sender(Client(requests.HTTPError(response=response)), outbox, run_id="r")
    assert not sender.send_waiting()
    assert (len(outbox.waiting()), outbox.refused) == (1, [])


def test_a_file_that_a_proxy_finds_too_large_keeps_its_run_open_until_it_is_stored(outbox, caplog):
    outbox.add_text("much", "model/data", name="model.pt2")
    outbox.append(metrics(0, loss=1))
    outbox.append({"kind": "status", "status": "FINISHED", "time": 0})
    response = requests.Response()
    response.status_code = 413
    client = Client(requests.HTTPError(response=response), meets=lambda sent: sent[0] == "file")
    Sender(client, outbox, run_id="r").send_waiting()
    assert client.requests == [("metrics", [("loss", 1)])]
    assert "model/data/model.pt2 (0.0 MB): more than the server" in caplog.text
    outbox.close()
    again, client.error = Outbox(outbox.folder), None
    assert Sender(client, again, run_id="r").send_waiting()
    assert client.requests[1:] == [("file", "much", "model/data"), ("status", "FINISHED")]


def test_a_full_disk_of_the_store_is_said_and_nothing_is_set_aside(outbox):
    outbox.append(metrics(0, loss=1))
    error = MlflowException("(sqlite3.OperationalError) database or disk is full", BAD_REQUEST)
    sender = Sender(Client(error), outbox, run_id="r")
    assert not sender.send_waiting()
    assert (sender.failure.found, outbox.refused) == ("no room left for it", [])


def test_the_thread_sends_while_the_work_goes_on_and_at_the_end(outbox, monkeypatch):
    monkeypatch.setattr("pyraseg.pipeline.tracking.sender.SEND_SECONDS", 0.01)
    client = Client()
    thread = BackgroundSender(Sender(client, outbox, run_id="r"))
    outbox.append(metrics(0, loss=1))
    limit = time.monotonic() + 10
    while not client.requests and time.monotonic() < limit:
        time.sleep(0.01)
    assert client.requests
    outbox.append(metrics(1, loss=2))
    assert thread.close(patience=10)
    assert len(client.requests) == 2


def test_the_end_waits_a_limited_time_for_a_store_that_is_away_and_then_leaves_it_alone(outbox):
    client = Client(OSError())
    thread = BackgroundSender(Sender(client, outbox, run_id="r"))
    outbox.append(metrics(0, loss=1))
    assert not thread.close(patience=0.1)
    client.error = None
    time.sleep(0.6)
    assert client.requests == []
    assert len(outbox.waiting()) == 1
