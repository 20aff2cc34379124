"""``pyraseg push``: results arrive under their patient and study, and once."""

from __future__ import annotations

import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from pydicom import dcmread

from pyraseg.pipeline.cli import main
from pyraseg.pipeline.pacs.peers import DicomPeer, Peer
from pyraseg.pipeline.writers.dicom.seg import write_seg
from pyraseg.pipeline.writers.dicom.sr import write_sr
from tests.orthanc import free_port
from tests.pipeline.pacs.conftest import ROOT
from tests.pipeline.pacs.peers import answering, data_set
from tests.pipeline.writers.dicom_cases import predict
from tests.pipeline.writers.volume_cases import predict_volume, read


@pytest.fixture(scope="session")
def results(studies, tmp_path_factory) -> Path:
    """As `predict` leaves them: SEG and SR of a cine and of a CT among tables and pictures."""
    folder = tmp_path_factory.mktemp("results")
    predictions = {"cine": predict(studies["cine"][0]), "CT": predict_volume(read(studies["CT"][0].parent))}
    for name, prediction in predictions.items():
        item = folder / "items" / name
        item.mkdir(parents=True)
        seg = write_seg(item / "seg.dcm", prediction)
        write_sr(item / "sr.dcm", prediction, seg=seg)
        (item / "overlay.png").write_bytes(b"\x89PNG\r\n\x1a\n")
        (item / "item.json").write_text("{}")
    (folder / "results.csv").write_text("case\n")
    return folder


@pytest.fixture(autouse=True)
def _own_ledger(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))


def words(inputs: Path, peer: Peer, *more: str) -> list[str]:
    return ["push", str(inputs), "--to" if isinstance(peer, DicomPeer) else "--dicomweb", str(peer), *more]


def test_seg_and_sr_arrive_bit_for_bit_under_their_patient_and_study(results, archive_peer, orthanc, capsys):
    assert main(words(results, archive_peer)) == 0
    assert "4 sent, 0 refused" in capsys.readouterr().out
    for path in results.rglob("*.dcm"):
        sent = dcmread(path)
        assert data_set(orthanc.file(sent.SOPInstanceUID)) == data_set(path)
        parents = orthanc.ask(f"/instances/{orthanc.instances()[sent.SOPInstanceUID]}/study")
        assert parents["MainDicomTags"]["StudyInstanceUID"] in (f"{ROOT}.2", f"{ROOT}.3")
        assert parents["PatientMainDicomTags"]["PatientID"] == sent.PatientID


def test_a_second_push_sends_nothing_unless_it_is_to(results, archive_peer, capsys):
    assert main(words(results, archive_peer)) == 0
    capsys.readouterr()
    assert main(words(results, archive_peer)) == 0
    assert "4 were sent before, 0 are to be sent" in capsys.readouterr().out
    assert main(words(results, archive_peer, "--again")) == 0
    assert "0 were sent before, 4 are to be sent" in capsys.readouterr().out


def test_two_objects_under_one_uid_are_not_sent_and_a_copy_goes_once(studies, tmp_path, capsys):
    source = studies["frame"][0].read_bytes()
    for name, content in {"one": source, "copy": source}.items():
        (tmp_path / f"{name}.dcm").write_bytes(content)
    address = f"PEER@127.0.0.1:{free_port()}"
    assert main(["push", str(tmp_path), "--to", address, "--dry-run"]) == 0
    assert "1 files" in capsys.readouterr().out
    (tmp_path / "other.dcm").write_bytes(source[:-2] + b"\x01\x02")
    assert main(["push", str(tmp_path), "--to", address, "--dry-run"]) == 1
    assert "same SOP Instance UID" in capsys.readouterr().err


def test_a_dry_run_says_what_would_be_sent(results, archive_peer, tmp_path, capsys):
    assert main(words(results, archive_peer, "--dry-run")) == 0
    assert "4 files" in (said := capsys.readouterr().out)
    assert "2 Segmentation Storage" in said
    assert not (tmp_path / "state").exists()


def test_orthanc_commits_to_results(results, orthanc, move_port, capsys):
    assert main(["push", str(results), "--to", orthanc.address, "--commit", str(move_port)]) == 0
    assert "4 sent, 0 refused" in capsys.readouterr().out


def test_a_labelmap_is_refused_with_its_reason_and_costs_the_others_nothing(
    studies, results, orthanc, tmp_path, capsys
):
    """Orthanc 1.10 has not heard of the SOP class of 2024; by DICOMweb it takes what it does not know."""
    seg = write_seg(tmp_path / "labelmap.dcm", predict(studies["cine"][0]), kind="labelmap")
    inputs = [str(seg.path), str(results / "items" / "cine")]
    assert main(["push", *inputs, "--to", orthanc.address]) == 1
    said = capsys.readouterr()
    assert "2 sent, 1 refused" in said.out
    assert "refused 1: the PACS does not take" in said.out
    assert "SENTINEL" not in said.out + said.err
    assert main(["push", *inputs, "--dicomweb", orthanc.url]) == 0


def test_a_peer_that_is_away_ends_the_push_and_the_next_one_goes_on(results, tmp_path, capsys):
    address = f"PEER@127.0.0.1:{free_port()}"
    assert main(["push", str(results), "--to", address, "--patience", "1"]) == 1
    assert "after 0 of 4 files" in capsys.readouterr().err


def test_what_an_ended_push_left_is_no_part_of_the_next_one(results, tmp_path, capsys):
    received: list[bytes] = []

    def answer(method, path, headers, body):
        received.append(body)
        return (503 if len(received) == 1 else 200), {}, b""

    with answering(answer) as url:
        assert main(["push", str(results / "items" / "CT"), "--dicomweb", url, "--patience", "1"]) in (0, 1)
        before = len(received)
        assert main(["push", str(results / "items" / "cine"), "--dicomweb", url]) == 0
    cine = dcmread(results / "items" / "cine" / "seg.dcm").SOPInstanceUID.encode()
    assert any(cine in body for body in received[before:])
    ct = dcmread(results / "items" / "CT" / "seg.dcm").SOPInstanceUID.encode()
    assert not any(ct in body for body in received[before:])


def test_a_push_that_is_killed_goes_on_with_what_is_missing(orthanc, tmp_path, monkeypatch):
    from tests.transforms.dicom.series_cases import stored_values, write_series

    def edit(index: int, dataset) -> None:
        dataset.StudyInstanceUID, dataset.SeriesInstanceUID = f"{ROOT}.6", f"{ROOT}.6.1"

    folder = write_series(tmp_path / "series", stored_values(60, 8, 8), first_uid=60_000, edit=edit)
    command = ["push", str(folder), "--to", orthanc.address]
    process = subprocess.Popen([sys.executable, "-m", "pyraseg.pipeline", *command])

    def there() -> int:
        return sum(uid.startswith("1.2.4.60") for uid in orthanc.instances())

    while there() < 5 and process.poll() is None:
        time.sleep(0.005)
    process.send_signal(signal.SIGKILL)
    process.wait()
    assert main(command) == 0
    assert there() == 60


def test_results_that_are_not_there_are_a_sentence(tmp_path, capsys):
    assert main(["push", str(tmp_path / "none"), "--to", "A@127.0.0.1:104"]) == 2
    assert "nothing of that name. Check RESULTS." in capsys.readouterr().err
