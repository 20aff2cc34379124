"""What is refused before anything listens."""

from __future__ import annotations

import socket

import pytest

from pyraseg.pipeline.cli import main
from pyraseg.pipeline.pacs.holding import holding
from pyraseg.pipeline.pacs.listening.figures import Figures
from pyraseg.pipeline.pacs.listening.reception import Reception
from pyraseg.pipeline.pacs.listening.settings import Address
from pyraseg.pipeline.pacs.peers import Tls
from pyraseg.transforms.errors import UsageError
from tests.pipeline.prediction.runs import BUNDLE


@pytest.mark.parametrize("title", ["", "   ", "A\nB", "A\x1b[2J", "SEVENTEEN LETTERS", "A\\B"])
def test_an_ae_title_that_is_none_is_refused_without_being_shown(title):
    for given in (lambda: Address(title), lambda: Address("PYRASEG", allowed=("PACS", title))):
        with pytest.raises(UsageError) as caught:
            given()
        assert "AE title" in str(caught.value)
        assert "\x1b" not in str(caught.value)


def test_beyond_this_machine_senders_must_be_named():
    with pytest.raises(UsageError, match="--allow"):
        Address("PYRASEG", "0.0.0.0")
    Address("PYRASEG", "0.0.0.0", allowed=("PACS",))


def test_a_port_in_use_is_one_sentence(tmp_path):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(UsageError, match=r"cannot be had \(Address already in use\)"):
            Reception(Address("PYRASEG", port=port), tmp_path, print).__enter__()
        with pytest.raises(UsageError, match="--metrics-port"), Figures().served(port):
            pass


def test_certificates_that_cannot_be_read_are_one_sentence(tmp_path, capsys):
    certificate = tmp_path / "certificate.pem"
    certificate.write_text("no certificate")
    with pytest.raises(UsageError, match="a certificate with its key"):
        Address("PYRASEG", tls=Tls(cert=str(certificate)))
    command = [
        "listen",
        "--bundle",
        str(BUNDLE),
        "--output",
        str(tmp_path / "out"),
        "--tls-cert",
        str(certificate),
    ]
    assert main(command) == 2
    assert main([*command[:-2], "--tls-key", str(certificate)]) == 2
    lines = capsys.readouterr().err.splitlines()
    assert [line.split(":")[0] for line in lines if not line.startswith("  ")] == ["UsageError"] * 2
    assert not (tmp_path / "out").exists()


def test_two_bundles_of_one_name_are_refused(tmp_path, capsys):
    command = ["listen", "--bundle", str(BUNDLE), "--bundle", str(BUNDLE), "--output", str(tmp_path / "out")]
    assert main(command) == 2
    assert "another name" in capsys.readouterr().err


def test_a_folder_with_other_files_of_another_key_or_of_a_running_listener_is_refused(
    tmp_path, capsys, monkeypatch
):
    folder = tmp_path / "out"
    folder.mkdir()
    (folder / "notes.txt").touch()
    command = ["listen", "--bundle", str(BUNDLE), "--output", str(folder), "--port", "0"]
    assert main(command) == 2
    assert "holds other files" in capsys.readouterr().err
    (folder / "notes.txt").unlink()
    (folder / ".pyraseg").mkdir()
    (folder / ".pyraseg" / "listen.json").write_text('{"key": "c0"}')
    assert main(command) == 2
    assert "another key" in capsys.readouterr().err
    with holding(folder / ".pyraseg" / "listen.lock", "this output folder"):
        assert main(command) == 2
    assert "found one that holds this output folder. Wait until it has ended" in capsys.readouterr().err
