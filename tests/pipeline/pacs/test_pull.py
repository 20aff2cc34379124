"""``pyraseg pull`` from Orthanc by both ways, and from archives that answer badly."""

from __future__ import annotations

import csv
import json
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from pydicom import dcmread

from pyraseg.pipeline.cli import main
from pyraseg.pipeline.pacs.archive import instance_count
from pyraseg.pipeline.pacs.delivery import deliver
from pyraseg.pipeline.pacs.peers import DicomPeer, Peer, parse_peer
from pyraseg.pipeline.pacs.query import parse_query
from pyraseg.transforms.errors import UsageError
from tests.orthanc import Orthanc
from tests.pipeline.pacs.conftest import OURS, ROOT
from tests.pipeline.pacs.peers import answering, data_set
from tests.pipeline.writers.dicom_cases import write_source
from tests.transforms.dicom.series_cases import write_series

KINDS = {"frame": 1, "cine": 2, "CT": 3, "PT": 4}  # by the last number of their Study Instance UID
LONG = 60  # instances of the series that a pull is killed in


@pytest.fixture(scope="session")
def stored(orthanc, studies) -> Orthanc:
    """Orthanc with all studies."""
    files = [path for paths in studies.values() for path in paths]
    assert {outcome.state for outcome in deliver(files, parse_peer(orthanc.address))} == {"stored"}
    return orthanc


def words(peer: Peer, output: Path, *more: str, study: int = 0) -> list[str]:
    where = ["--from" if isinstance(peer, DicomPeer) else "--dicomweb", str(peer), "--output", str(output)]
    return ["pull", *where, *(["--query", f"StudyInstanceUID={ROOT}.{study}"] if study else []), *more]


def fetched(output: Path) -> list[Path]:
    return sorted(output.rglob("*.dcm"))


@pytest.mark.parametrize("kind", KINDS)
def test_what_comes_back_is_bit_for_bit_what_was_sent(stored, archive_peer, studies, tmp_path, kind):
    assert main(words(archive_peer, tmp_path / "out", study=KINDS[kind])) == 0
    assert sorted(map(data_set, fetched(tmp_path / "out"))) == sorted(map(data_set, studies[kind]))
    for path in fetched(tmp_path / "out"):
        came, sent = dcmread(path), dcmread(studies[kind][0])
        assert came.file_meta.TransferSyntaxUID == sent.file_meta.TransferSyntaxUID
        assert came.file_meta.MediaStorageSOPInstanceUID == came.SOPInstanceUID
        assert came.PatientID == f"SENTINEL-{kind}"


def test_by_dicomweb_there_and_back_it_is_the_same_file(orthanc, tmp_path):
    source = write_source(
        tmp_path / "source.dcm", StudyInstanceUID=f"{ROOT}.7", SOPInstanceUID=f"{ROOT}.7.1.1"
    )
    peer = parse_peer(orthanc.url)
    assert [outcome.state for outcome in deliver([source], peer)] == ["stored"]
    assert main(words(peer, tmp_path / "out", study=7)) == 0
    assert [path.read_bytes() for path in fetched(tmp_path / "out")] == [source.read_bytes()]


def test_dimse_changes_who_wrote_the_file_meta_and_nothing_else_of_it(stored, studies, tmp_path):
    assert main(words(parse_peer(stored.address), tmp_path / "out", study=2)) == 0
    (came,), (sent,) = fetched(tmp_path / "out"), studies["cine"]
    there, here = (dcmread(path).file_meta for path in (came, sent))
    assert {e.keyword for e in there if e != here.get(e.tag)} == {
        "FileMetaInformationGroupLength", "ImplementationClassUID", "ImplementationVersionName",
    }  # fmt: skip


def test_names_and_lines_tell_nobody_who_it_is(stored, archive_peer, tmp_path, capfd):
    assert main(words(archive_peer, tmp_path / "out", study=3)) == 0
    said = "".join(capfd.readouterr()) + "".join(map(str, (tmp_path / "out").rglob("*")))
    said += (tmp_path / "out" / "series.csv").read_text()
    for secret in ("SENTINEL", "Sentinel", "Änne", ROOT, "1.2.4.", "20200102"):
        assert secret not in said
    assert [path for path in (tmp_path / "out").rglob("*") if path.stat().st_mode & 0o077] == []


def test_a_second_pull_fetches_what_is_missing_alone(stored, archive_peer, tmp_path, capsys):
    assert main(words(archive_peer, tmp_path / "out", study=4)) == 0
    gone, *kept = fetched(tmp_path / "out")
    content, times = gone.read_bytes(), [path.stat().st_mtime_ns for path in kept]
    gone.unlink()
    assert main(words(archive_peer, tmp_path / "out", study=4)) == 0
    assert data_set(gone) == data_set(content)
    assert [path.stat().st_mtime_ns for path in kept] == times
    capsys.readouterr()
    assert main(words(archive_peer, tmp_path / "out", study=4)) == 0
    assert "0.0 MB came" in capsys.readouterr().out


def test_a_dry_run_says_how_much_there_is_and_makes_nothing(stored, archive_peer, tmp_path, capsys):
    assert main(words(archive_peer, tmp_path / "out", "--dry-run", study=3)) == 0
    assert capsys.readouterr().out == "1 studies, 1 series, 5 instances; 0 are here\n"
    assert not (tmp_path / "out").exists()


def test_keys_of_series_select_among_those_of_a_study(stored, archive_peer, tmp_path, capsys):
    query = ["--query", "PatientID=SENTINEL-*", "StudyDate=20200101-20200110", "Modality=PT", "--dry-run"]
    assert main(words(archive_peer, tmp_path / "out", *query)) == 0
    assert "1 studies, 1 series, 5 instances" in capsys.readouterr().out


def test_the_ledger_compares_with_the_archives_count(stored, archive_peer, tmp_path):
    assert main(words(archive_peer, tmp_path / "out", study=3)) == 0
    (row,) = csv.DictReader((tmp_path / "out" / "series.csv").open())
    assert (row["modality"], row["in_archive"], row["here"], row["state"]) == ("CT", "5", "5", "whole")
    assert instance_count(archive_peer, f"{ROOT}.3", f"{ROOT}.3.1") == 5
    assert instance_count(archive_peer, f"{ROOT}.3", f"{ROOT}.3.999") is None


def test_a_query_that_finds_nothing_says_so(stored, archive_peer, tmp_path):
    assert main(words(archive_peer, tmp_path / "out", study=999)) == 3


@pytest.mark.parametrize("query", [[], ["--query", "PatientID=*"], ["--query", "Modality="]])
def test_a_query_that_matches_everything_asks_whether_it_is_meant(
    stored, archive_peer, tmp_path, capsys, query
):
    assert main(words(archive_peer, tmp_path / "out", *query)) == 2
    assert "--limit N, or --yes" in capsys.readouterr().err
    assert main(words(archive_peer, tmp_path / "out", *query, "--limit", "1")) == 0
    assert len({path.parent for path in fetched(tmp_path / "out")}) == 1


@pytest.mark.parametrize(
    ("word", "says"),
    [
        ("StudyDates=20260101-", "Did you mean StudyDate"),
        ("ModalityInStudy=US", "Did you mean ModalitiesInStudy"),
        ("PixelSpacing=1", "another keyword of DICOM"),
        ("StudyDate=2026", "20260101-"),
        ("StudyDate", "KEYWORD=VALUE"),
        ("PatientID=a\x00b", "control character"),
        ("StudyInstanceUID=1.2/../x", "UID"),
    ],
)
def test_a_word_that_is_no_query_is_refused_with_the_nearest_right_one(word, says):
    with pytest.raises(UsageError, match=says.replace("*", r"\*")):
        parse_query([word])


def test_a_folder_begun_with_another_key_is_refused(stored, archive_peer, tmp_path, monkeypatch):
    assert main(words(archive_peer, tmp_path / "out", study=1)) == 0
    monkeypatch.setenv("PYRASEG_HASH_KEY", "another")
    assert main(words(archive_peer, tmp_path / "out", study=1)) == 1


def test_a_move_brings_what_a_get_is_not_offered_for(studies, tmp_path, move_port, capsys, no_pauses):
    known = {OURS: {"AET": OURS, "Host": "127.0.0.1", "Port": move_port, "AllowGet": False}}
    server = Orthanc(tmp_path / "orthanc", DicomModalities=known, DicomAlwaysAllowGet=False).start()
    try:
        peer = parse_peer(server.address)
        assert {outcome.state for outcome in deliver(studies["CT"], peer)} == {"stored"}
        assert main(words(peer, tmp_path / "out", study=3)) == 1
        assert "--port" in capsys.readouterr().err
        assert main(words(peer, tmp_path / "out", "--port", str(move_port), study=3)) == 0
    finally:
        server.stop(kill=True)
    assert sorted(map(data_set, fetched(tmp_path / "out"))) == sorted(map(data_set, studies["CT"]))


@pytest.fixture(scope="session")
def long_series(orthanc, tmp_path_factory) -> list[Path]:
    """Files of a series that takes a while; it is the study of number 5."""

    def edit(index: int, dataset) -> None:
        dataset.StudyInstanceUID, dataset.SeriesInstanceUID = f"{ROOT}.5", f"{ROOT}.5.1"

    folder = tmp_path_factory.mktemp("long") / "series"
    write_series(folder, np.zeros((LONG, 8, 8), np.int16), first_uid=50_000, edit=edit)
    files = sorted(folder.iterdir())
    assert {outcome.state for outcome in deliver(files, parse_peer(orthanc.url))} == {"stored"}
    return files


@pytest.mark.parametrize(
    ("way", "number"), [("address", signal.SIGKILL), ("url", signal.SIGKILL), ("address", signal.SIGINT)]
)
def test_a_pull_that_is_stopped_goes_on_with_what_is_missing(orthanc, long_series, tmp_path, way, number):
    archive_peer = parse_peer(getattr(orthanc, way))
    output = tmp_path / "out"
    command = [sys.executable, "-m", "pyraseg.pipeline", *words(archive_peer, output, study=5)]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL)
    while len(fetched(output)) < 5 and process.poll() is None:
        time.sleep(0.002)
    process.send_signal(number)
    assert process.wait() == {signal.SIGKILL: -9, signal.SIGINT: 130}[number]
    assert (output / "series.csv").exists() == (number == signal.SIGINT)
    first = {path: path.stat().st_mtime_ns for path in fetched(output)}
    assert all(data_set(path) for path in first)
    assert main(words(archive_peer, output, study=5)) == 0
    assert sorted(map(data_set, fetched(output))) == sorted(map(data_set, long_series))
    assert {path: path.stat().st_mtime_ns for path in first} == first
    assert list(output.rglob("*.part")) == []


class OneSeries:
    """An archive of one series by DICOMweb that answers each retrieval as the next of ``answers`` does."""

    def __init__(self, files: list[Path], *answers) -> None:
        self.contents = {dcmread(path).SOPInstanceUID: path.read_bytes() for path in files}
        self.answers = list(answers)
        self.counted = len(files)
        self.retrieved: list[str] = []

    def __call__(self, method, path, headers, body):
        place = path.split("?")[0]
        if place.endswith("/studies"):
            return self._json([{"0020000D": f"{ROOT}.4"}])
        if place.endswith("/series"):
            return self._json([{"0020000E": f"{ROOT}.4.1", "00201209": self.counted}])
        if place.endswith("/instances"):
            return self._json([{"00080018": uid} for uid in self.contents])
        self.retrieved.append(place)
        last = place.rsplit("/", 1)[1]
        wanted = [self.contents[last]] if last in self.contents else list(self.contents.values())
        answer = self.answers.pop(0) if self.answers else self.whole
        return answer(wanted)

    @staticmethod
    def _json(answers):
        if not answers:
            return 204, {}, b""
        content = [{tag: {"vr": "UI", "Value": [value]} for tag, value in one.items()} for one in answers]
        return 200, {"Content-Type": "application/dicom+json"}, json.dumps(content).encode()

    @staticmethod
    def whole(contents):
        body = b"".join(b"--b\r\nContent-Type: application/dicom\r\n\r\n" + one + b"\r\n" for one in contents)
        return (
            200,
            {"Content-Type": 'multipart/related; type="application/dicom"; boundary=b'},
            body + b"--b--",
        )

    @staticmethod
    def cut_short(contents):
        status, headers, body = OneSeries.whole(contents)
        return status, headers, body[: len(body) * 3 // 5]

    @staticmethod
    def broken_off(contents):
        status, headers, body = OneSeries.whole(contents)
        return status, {**headers, "Content-Length": str(len(body))}, body[: len(body) * 3 // 5]

    @staticmethod
    def refusing(status, **headers):
        return lambda contents: (status, headers, b"")


@pytest.fixture
def no_pauses(monkeypatch) -> Iterator[list[float]]:
    pauses: list[float] = []
    monkeypatch.setattr("pyraseg.pipeline.pacs.pull.sleep", pauses.append)
    return pauses


@pytest.mark.parametrize("fault", ["cut_short", "broken_off"])
def test_an_answer_that_is_cut_short_is_noticed_and_the_rest_fetched(studies, tmp_path, no_pauses, fault):
    archive = OneSeries(studies["PT"], getattr(OneSeries, fault))
    with answering(archive) as url:
        assert main(words(parse_peer(url), tmp_path, study=4)) == 0
    assert sorted(map(data_set, fetched(tmp_path))) == sorted(map(data_set, studies["PT"]))
    assert len(archive.retrieved) > 1


def test_an_archive_that_has_fewer_than_it_counts_is_not_called_whole(studies, tmp_path, no_pauses):
    archive = OneSeries(studies["PT"])
    archive.counted += 1
    with answering(archive) as url:
        assert main(words(parse_peer(url), tmp_path, study=4)) == 1
    (row,) = csv.DictReader((tmp_path / "series.csv").open())
    assert (row["in_archive"], row["here"], row["state"]) == (
        "6",
        "5",
        "fewer instances than the archive counts",
    )


def test_a_query_is_asked_again_where_the_archive_cannot_now(studies, tmp_path, no_pauses):
    archive, said = OneSeries(studies["PT"]), [(503, {}, b""), (200, {}, b"[{")]
    with answering(lambda *asked: said.pop() if said else archive(*asked)) as url:
        assert main(words(parse_peer(url), tmp_path, study=4)) == 0
    assert no_pauses == [1, 2]


@pytest.mark.parametrize("status", [429, 500, 503])
def test_an_archive_that_cannot_now_is_asked_again_when_it_says(studies, tmp_path, no_pauses, status):
    archive = OneSeries(studies["PT"], OneSeries.refusing(status, **{"Retry-After": "17"}))
    with answering(archive) as url:
        assert main(words(parse_peer(url), tmp_path, study=4)) == 0
    assert no_pauses == [17]


@pytest.mark.parametrize(("status", "says"), [(401, "PYRASEG_DICOMWEB_USER"), (403, "403"), (404, "404")])
def test_a_refusal_ends_with_what_to_do(studies, tmp_path, capsys, status, says):
    with answering(lambda *_: (status, {}, b"")) as url:
        assert main(words(parse_peer(url), tmp_path, study=4)) == 1
    said = capsys.readouterr().err
    assert says in said
    assert f"{ROOT}.4" not in said


def test_what_belongs_to_another_series_is_not_taken(studies, tmp_path, no_pauses):
    archive = OneSeries(
        studies["PT"], *[lambda contents: OneSeries.whole([studies["CT"][0].read_bytes()])] * 9
    )
    with answering(archive) as url:
        assert main(words(parse_peer(url), tmp_path, study=4)) == 1
    assert fetched(tmp_path) == []
    (row,) = csv.DictReader((tmp_path / "series.csv").open())
    assert row["state"] == "an instance of another series"


def test_a_retrieval_is_not_redirected_to_another_host(studies, tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("PYRASEG_DICOMWEB_TOKEN", "secret")
    seen: list[dict[str, str]] = []

    def elsewhere(method, path, headers, body):
        seen.append(headers)
        return OneSeries.whole([])

    with answering(elsewhere) as other:
        redirect = OneSeries.refusing(302, Location=f"{other}/there")
        with answering(OneSeries(studies["PT"], redirect)) as url:
            assert main(words(parse_peer(url), tmp_path, study=4)) == 1
    assert seen == []
    assert "redirect" in capsys.readouterr().err
