"""Why a store refused reaches the user in a sentence, without a login; MLflow's client decides, not we."""

from __future__ import annotations

import datetime
import ipaddress
import json
import shutil
import sqlite3
import ssl
import threading
from contextlib import closing, contextmanager
from http.server import BaseHTTPRequestHandler, HTTPServer

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID
from mlflow import MlflowClient

from pyraseg.pipeline.comparison.read.store import open_store
from pyraseg.pipeline.tracking import RunTracker
from pyraseg.pipeline.tracking.store import require_reachable, the_experiment
from pyraseg.transforms.errors import TrackingError


@contextmanager
def answering(status, body="", *, certificate=None):
    """The address of a server that answers so to everything."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self):
            self.send_response(status)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body.encode())

        def log_message(self, *arguments): ...

    server, scheme = HTTPServer(("127.0.0.1", 0), Handler), "http"
    if certificate is not None:
        context, scheme = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER), "https"
        context.load_cert_chain(certificate)
        server.socket = context.wrap_socket(server.socket, server_side=True)
    thread = threading.Thread(target=server.serve_forever, args=(0.01,))
    thread.start()
    yield f"{scheme}://127.0.0.1:{server.server_port}"
    server.shutdown()
    thread.join()
    server.server_close()


@pytest.fixture(scope="module")
def certificate(tmp_path_factory):
    """A key and a certificate that no authority has signed, as hospitals have their own."""
    key, now = ec.generate_private_key(ec.SECP256R1()), datetime.datetime.now(datetime.UTC)
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "tracking")])
    address = x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("127.0.0.1"))])
    made = x509.CertificateBuilder(name, name, key.public_key(), x509.random_serial_number())
    made = made.not_valid_before(now).not_valid_after(now + datetime.timedelta(days=1))
    signed = made.add_extension(address, critical=False).sign(key, hashes.SHA256())
    pem, form = serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8
    file = tmp_path_factory.mktemp("certificate") / "server.pem"
    private = key.private_bytes(pem, form, serialization.NoEncryption())
    file.write_bytes(private + signed.public_bytes(pem))
    return str(file)


@pytest.mark.parametrize(
    ("variable", "value"),
    [
        ("MLFLOW_TRACKING_SERVER_CERT_PATH", None),
        ("REQUESTS_CA_BUNDLE", None),
        ("MLFLOW_TRACKING_INSECURE_TLS", "true"),
    ],
)
@pytest.mark.filterwarnings("ignore:Unverified HTTPS request")
def test_a_server_with_a_certificate_of_its_own_is_trusted_where_mlflow_trusts_it(
    certificate, monkeypatch, variable, value
):
    with answering(200, "{}", certificate=certificate) as uri:
        with pytest.raises(TrackingError, match="certificate that this machine does not trust"):
            require_reachable(uri)
        if value is None:
            monkeypatch.setenv(variable, "gone.pem")
            with pytest.raises(TrackingError, match="certificates that is not there"):
                require_reachable(uri)
        monkeypatch.setenv(variable, value or certificate)
        require_reachable(uri)


@pytest.mark.parametrize(
    ("status", "body", "said"),
    [
        (401, "<html>", "wrong or missing login"),
        (403, json.dumps({"error_code": "PERMISSION_DENIED", "message": "no"}), "without the right"),
        (503, "", "no answer"),
        (404, "<html>", "a refusal"),
        (200, "<html>", "a refusal"),
    ],
)
def test_what_a_server_answers_is_said_and_a_login_never(status, body, said, caplog):
    with answering(status, body) as uri, pytest.raises(TrackingError, match=said) as caught:
        require_reachable(uri.replace("://", "://doe:secret@"))
    assert "secret" not in str(caught.value) + caplog.text


def test_a_login_is_in_no_refusal_of_an_unreachable_server(caplog):
    with pytest.raises(TrackingError, match="no answer") as caught:
        require_reachable("http://doe:secret@127.0.0.1:9")
    assert "secret" not in str(caught.value) + caplog.text


def changed(statement):
    def change(file):
        with closing(sqlite3.connect(file)) as database, database:
            database.execute(statement)

    return change


def of_other_tables(file):
    file.unlink()
    changed("CREATE TABLE experiments (a)")(file)


FAULTS = {
    "a damaged database": lambda file: file.write_bytes(b"not a database" * 1000),
    "of another version": changed("UPDATE alembic_version SET version_num = 'cfd24bdc0731'"),
    "of another version of MLflow": changed("UPDATE alembic_version SET version_num = 'f' || 'f'"),
    "not MLflow's": of_other_tables,
    "not MLflow's, or": changed("DROP TABLE runs"),
    "cannot be opened": lambda file: (file.unlink(), file.mkdir()),
}


@pytest.mark.parametrize("said", FAULTS)
def test_a_database_that_cannot_be_used_is_said_in_a_sentence(store, tmp_path, said, caplog):
    file = tmp_path / "mlruns.db"
    MlflowClient(store).search_experiments()  # makes it
    shutil.copy(store.removeprefix("sqlite:///"), file)
    FAULTS[said](file)
    uri = f"sqlite:///{file}"
    with pytest.raises(TrackingError, match=said), RunTracker(uri, experiment_name="x"):
        pass
    with pytest.raises(TrackingError), open_store(uri) as opened:
        opened.runs("1")
    assert "Traceback" not in caplog.text


def test_a_locked_and_a_read_only_database_are_told_apart(store, tmp_path, monkeypatch):
    monkeypatch.setattr("pyraseg.pipeline.tracking.sqlite.LOCK_SECONDS", 0.1)
    file = tmp_path / "mlruns.db"
    MlflowClient(store).search_experiments()
    shutil.copy(store.removeprefix("sqlite:///"), file)
    with closing(sqlite3.connect(file)) as other:
        other.execute("BEGIN EXCLUSIVE")
        with pytest.raises(TrackingError, match="another process keeps locked"):
            require_reachable(f"sqlite:///{file}")
    only_read = f"sqlite:///file:{file}?mode=ro&uri=true"
    with pytest.raises(TrackingError, match="cannot be written"), RunTracker(only_read, experiment_name="x"):
        pass
    with open_store(only_read) as opened:
        assert opened.runs("99") == []


class TestTheEnvironmentNamesTheExperiment:
    def test_by_its_name_its_number_or_both(self, store, monkeypatch):
        client = MlflowClient(store)
        made = the_experiment(client, "made")
        monkeypatch.setenv("MLFLOW_EXPERIMENT_NAME", "made")
        assert the_experiment(client, None).experiment_id == made.experiment_id
        monkeypatch.setenv("MLFLOW_EXPERIMENT_ID", made.experiment_id)
        assert the_experiment(client, None).name == "made"
        monkeypatch.delenv("MLFLOW_EXPERIMENT_NAME")
        assert the_experiment(client, None).name == "made"

    def test_and_two_that_disagree_or_none_are_an_error(self, store, monkeypatch):
        client = MlflowClient(store)
        with pytest.raises(TrackingError, match="MLFLOW_EXPERIMENT_NAME"):
            the_experiment(client, None)
        monkeypatch.setenv("MLFLOW_EXPERIMENT_NAME", "another")
        monkeypatch.setenv("MLFLOW_EXPERIMENT_ID", "0")
        with pytest.raises(TrackingError, match="Unset one"):
            the_experiment(client, None)

    def test_a_deleted_one_is_named_with_the_way_back(self, store):
        client = MlflowClient(store)
        client.delete_experiment(the_experiment(client, "gone").experiment_id)
        with (
            pytest.raises(TrackingError, match="mlflow experiments restore"),
            RunTracker(store, experiment_name="gone"),
        ):
            pass


def test_the_run_that_the_environment_names_is_gone_on_in_once(store, monkeypatch):
    with RunTracker(store, experiment_name="given") as given:
        pass
    monkeypatch.setenv("MLFLOW_RUN_ID", given.run_id)
    with RunTracker(store, experiment_name="another") as first:
        assert (first.run_id, first.experiment_name) == (given.run_id, "given")
    with RunTracker(store, experiment_name="another") as second:
        assert second.run_id != given.run_id
