"""A sqlite store and a real MLflow server, each started once."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest
from mlflow import MlflowClient
from mlflow.entities import Run

START_SECONDS = 120


@dataclass
class Server:
    """A MLflow server in a process group of its own, so that it can be stopped and continued as a whole."""

    process: subprocess.Popen
    uri: str

    def signal(self, number: signal.Signals) -> None:
        os.killpg(self.process.pid, number)

    def wait(self) -> None:
        limit = time.monotonic() + START_SECONDS
        while time.monotonic() < limit and self.process.poll() is None:
            try:
                urllib.request.urlopen(f"{self.uri}/health", timeout=5).close()
            except OSError:
                time.sleep(0.1)
            else:
                return
        pytest.fail("the MLflow server did not start")


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


@contextmanager
def running_server(folder: Path) -> Iterator[Server]:
    """A server that may still be starting, with its database and artifacts in a folder."""
    port = free_port()
    options = f"--host 127.0.0.1 --port {port} --workers 1 --backend-store-uri sqlite:///server.db"
    command = [sys.executable, "-m", "mlflow", "server", *options.split(), "--artifacts-destination", "files"]
    environment = os.environ | {"MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false", "OMP_NUM_THREADS": "1"}
    quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
    process = subprocess.Popen(command, cwd=folder, env=environment, start_new_session=True, **quiet)
    server = Server(process, f"http://127.0.0.1:{port}")
    try:
        yield server
    finally:
        server.signal(signal.SIGKILL)
        process.wait()


@pytest.fixture(scope="session", autouse=True)
def _booting(tmp_path_factory):
    """Starts while the tests that need no server run: it takes ten seconds and more."""
    with running_server(tmp_path_factory.mktemp("server")) as server:
        yield server


@pytest.fixture
def server(_booting, monkeypatch):
    """The server, running; a test may stop it. Waiting for one that is stopped is short."""
    monkeypatch.setattr("pyraseg.pipeline.tracking.store.PROBE_SECONDS", 0.5)
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_TIMEOUT", "2")
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
    _booting.wait()
    yield _booting
    _booting.signal(signal.SIGCONT)


@pytest.fixture(scope="session")
def store(tmp_path_factory) -> str:
    """One sqlite store: its first use costs seconds of migrations."""
    return f"sqlite:///{tmp_path_factory.mktemp('store') / 'mlruns.db'}"


@pytest.fixture
def impatient(monkeypatch) -> None:
    """What is sent is sent at once."""
    monkeypatch.setattr("pyraseg.pipeline.tracking.sender.SEND_SECONDS", 0.05)


def runs(uri: str, experiment: str) -> list[Run]:
    client = MlflowClient(uri)
    return client.search_runs([client.get_experiment_by_name(experiment).experiment_id])


def steps(uri: str, run_id: str, key: str) -> list[int]:
    return [metric.step for metric in MlflowClient(uri).get_metric_history(run_id, key)]


def artifact(uri: str, run_id: str, path: str, folder: Path) -> str:
    return Path(MlflowClient(uri).download_artifacts(run_id, path, str(folder))).read_text()
