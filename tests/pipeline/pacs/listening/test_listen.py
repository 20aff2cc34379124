"""From images that come to results that go back."""

from __future__ import annotations

import csv
import json
import os
import random
import shutil
import signal
import time
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest
from pydicom import dcmread

from tests.pipeline.pacs.listening.listeners import (
    Archive,
    Running,
    archive,
    bundle_with,
    listening,
    started,
    until,
)
from tests.pipeline.pacs.listening.nodes import sent, stored
from tests.pipeline.pacs.peers import data_set
from tests.pipeline.prediction.batch import published
from tests.pipeline.prediction.runs import BUNDLE, write_checkpoint
from tests.pipeline.prediction.volume_runs import BUNDLES, write_numbered, write_volume_checkpoint

QUIET = ("--quiet-seconds", "0.5", "--allow", "SENDER", "ORTHANC")


@pytest.fixture(scope="module")
def us_bundle(tmp_path_factory) -> Path:
    return bundle_with(tmp_path_factory.mktemp("us"), BUNDLE, write_checkpoint)


@pytest.fixture(scope="module")
def there() -> Iterator[Archive]:
    with archive() as there:
        yield there


@pytest.fixture(scope="module")
def node(_key, us_bundle, there, tmp_path_factory, request) -> Iterator[Running]:
    """It takes frames and CT, and returns SEG and SR, also to Orthanc where that is installed."""
    folder = tmp_path_factory.mktemp("listening")
    bundles = [us_bundle, bundle_with(folder, BUNDLES["ct"], write_volume_checkpoint)]
    options = (*QUIET, "--formats", "seg,sr,nifti", "--return-to", there.address)
    if shutil.which("Orthanc"):
        options += ("--return-to", request.getfixturevalue("orthanc").address)
    with listening(folder / "out", bundles, *options) as node:
        yield node


def series(folder: Path, number: int, **more: str) -> list[Path]:
    """In the order of their places."""
    files = write_numbered(folder, number, **more).iterdir()
    return sorted(files, key=lambda path: dcmread(path).ImagePositionPatient[2])


def segmented(there: Archive, series_uid: str) -> list:
    """The segmentations of a series that the archive has, as they came."""
    found = there.of("SEG")
    return [each for each in found if each.ReferencedSeriesSequence[0].SeriesInstanceUID == series_uid]


@pytest.mark.parametrize("kind", ["frame", "ct"])
def test_what_comes_is_segmented_and_returns_under_its_patient_and_study(
    node, there, new_image, tmp_path, kind
):
    files = [new_image()] if kind == "frame" else series(tmp_path / kind, 71)
    assert set(sent(node.port, *files)) == {0}
    source = dcmread(files[0])
    until(lambda: segmented(there, source.SeriesInstanceUID))
    (result,) = segmented(there, source.SeriesInstanceUID)
    for name in ("PatientID", "PatientName", "StudyInstanceUID"):
        assert result[name].value == source[name].value
    until(lambda: there.of("SR", StudyInstanceUID=source.StudyInstanceUID))
    (own,) = (
        path
        for path in node.output.glob("*/items/*/seg.dcm")
        if dcmread(path, stop_before_pixels=True).SOPInstanceUID == result.SOPInstanceUID
    )
    assert dcmread(own) == result
    assert result.SegmentationType == "BINARY"


def test_a_cine_that_orthanc_sends_has_its_segmentation_in_orthanc_bit_for_bit(orthanc, node, new_image):
    path = new_image(frames=3)
    orthanc.ask("/modalities/node", "PUT", json.dumps(["PYRASEG", "127.0.0.1", node.port]).encode())
    stored_there = orthanc.ask("/instances", "POST", path.read_bytes())
    answer = orthanc.ask("/modalities/node/store", "POST", stored_there["ID"].encode())
    assert answer["FailedInstancesCount"] == 0
    study = orthanc.ask(f"/instances/{stored_there['ID']}/study")["ID"]

    def segmentations() -> list[str]:
        series = orthanc.ask(f"/studies/{study}/series")
        return [each["Instances"][0] for each in series if each["MainDicomTags"]["Modality"] == "SEG"]

    until(segmentations)
    (instance,) = segmentations()
    uid = orthanc.ask(f"/instances/{instance}")["MainDicomTags"]["SOPInstanceUID"]
    (own,) = (
        each
        for each in node.output.glob("*/items/*/seg.dcm")
        if dcmread(each, stop_before_pixels=True).SOPInstanceUID == uid
    )
    assert data_set(orthanc.file(uid)) == data_set(own)


@pytest.mark.parametrize("way", ["DIMSE", "DICOMweb"])
def test_an_archive_counts_what_has_come_and_takes_results_by_either_way(
    orthanc, move_port, us_bundle, new_image, tmp_path, way
):
    peer = {"DIMSE": orthanc.address, "DICOMweb": orthanc.url}[way]
    committed = ["--commit", str(move_port)] if way == "DIMSE" else []
    options = (*QUIET, "--formats", "seg", "--archive", peer, "--return-to", peer, *committed)
    first, second = new_image(), new_image()
    late = dcmread(second)
    for name in ("PatientID", "StudyInstanceUID", "SeriesInstanceUID"):
        late[name] = dcmread(first)[name]
    late.save_as(second)
    there = [orthanc.ask("/instances", "POST", path.read_bytes()) for path in (first, second)]
    with listening(tmp_path / "out", [us_bundle], *options) as node:
        sent(node.port, first)
        node.wait_for("waits, 1 images here, the archive has 2")
        sent(node.port, second)

        def results() -> list[str]:
            series = orthanc.ask(f"/studies/{there[0]['ParentStudy']}/series")
            found = [each["Instances"] for each in series if each["MainDicomTags"]["Modality"] == "SEG"]
            return [one for instances in found for one in instances]

        until(lambda: len(results()) == 2)
    assert not node.told("refused")


def test_each_bundle_takes_its_own_and_the_rest_is_kept(node, tmp_path):
    files = series(tmp_path / "mr", 73, modality="MR")
    sent(node.port, *files)
    (line,) = node.wait_for("no bundle takes it")
    assert "modality MR" in line
    assert "12 images kept" in line
    assert len([path for path in stored(node.output / "received") if path.parent.name == line[:13]]) == 12


def test_a_late_slice_gives_results_that_replace_the_earlier_ones(node, there, tmp_path):
    files = series(tmp_path / "ct", 74)
    uid = dcmread(files[0]).SeriesInstanceUID
    sent(node.port, *files[:-1])
    until(lambda: segmented(there, uid))
    (first,) = segmented(there, uid)
    sent(node.port, files[-1])
    until(lambda: len(segmented(there, uid)) == 2)
    (second,) = (each for each in segmented(there, uid) if each.SOPInstanceUID != first.SOPInstanceUID)
    assert second.RelatedSeriesSequence[0].SeriesInstanceUID == first.SeriesInstanceUID
    case = node.wait_for("ct_sarcoma: done", f"{len(files) - 1} slices")[0].split()[0]
    assert node.wait_for(case, f"{len(files)} slices")


def test_what_is_sent_twice_is_predicted_and_returned_once(node, there, new_image):
    path = new_image()
    sent(node.port, path)
    uid = dcmread(path).SeriesInstanceUID
    until(lambda: segmented(there, uid))
    lines = len(node.told("done"))
    sent(node.port, path)
    time.sleep(1.5)
    assert len(node.told("done")) == lines
    (result,) = segmented(there, uid)
    assert len(there.got[result.SOPInstanceUID]) == 1


def test_a_receiving_process_that_is_killed_is_replaced(node, there, new_image):
    child = next(
        each
        for each in psutil.Process().children()
        if node.port in {c.laddr.port for c in each.net_connections()}
    )
    child.kill()
    path = new_image()

    def accepted() -> bool:
        try:
            return sent(node.port, path) == [0]
        except (RuntimeError, ValueError):  # not associated
            return False

    until(accepted)
    until(lambda: segmented(there, dcmread(path).SeriesInstanceUID))


def test_an_archive_that_refuses_for_now_gets_its_results_later(node, there, new_image):
    there.status = 0xA700
    path = new_image()
    sent(node.port, path)
    uid = dcmread(path).SeriesInstanceUID
    node.wait_for("done", number=len(node.told("done")) + 1)
    there.status = 0
    until(lambda: segmented(there, uid))


def test_monitors_are_told_figures_and_no_identity_is_in_a_line(node, new_image, there):
    path = new_image()
    image = dcmread(path)
    sent(node.port, path)
    until(lambda: segmented(there, image.SeriesInstanceUID))
    text = node.ask("metrics")
    assert node.ask("healthz") == "ok\n"
    figures = {
        line.rpartition(" ")[0]: float(line.rpartition(" ")[2])
        for line in text.splitlines()
        if line[0] != "#"
    }
    assert figures["pyraseg_received_objects_total"] >= 1
    assert figures["pyraseg_received_bytes_total"] >= path.stat().st_size / 2
    assert figures['pyraseg_items_total{bundle="us_hydronephrosis",outcome="done"}'] >= 1
    assert figures['pyraseg_result_seconds_count{bundle="us_hydronephrosis"}'] >= 1
    said = "\n".join(node.lines) + text
    for value in (image.SOPInstanceUID, image.StudyInstanceUID, str(image.PatientName), "SENDER"):
        assert value not in said


def test_what_fails_is_told_with_a_remedy_and_the_tables_follow(node, tmp_path):
    files = series(tmp_path / "gap", 75)
    sent(node.port, *files[:4], *files[6:])
    (line,) = node.wait_for("ct_sarcoma: failed")
    assert "wanted" in line
    table = node.output / "ct_sarcoma" / "failures.csv"

    def rows() -> list[dict[str, str]]:
        return list(csv.DictReader(table.open())) if table.exists() else []

    until(lambda: line.split()[0] in {row["case"] for row in rows()})
    sent(node.port, *files[4:6])
    until(lambda: (node.output / "ct_sarcoma" / "items" / line.split()[0]).exists())
    until(lambda: line.split()[0] not in {row["case"] for row in rows()})


def test_nothing_is_lost_or_done_twice_when_the_listener_is_killed_at_random_moments(
    us_bundle, new_image, tmp_path
):
    draw, files = random.Random(3), [new_image(frames=frames) for frames in (1, 1, 3, 1)]
    left, kept, output = list(files), {}, tmp_path / "out"
    with archive() as there:
        options = (*QUIET, "--formats", "seg", "--return-to", there.address)
        for kill in range(2):
            with started(output, us_bundle, *options) as (process, port):
                assert sent(port, left.pop()) == [0]
                if kill:
                    until(lambda: published(output / us_bundle.name))
                time.sleep(draw.uniform(0, 1))
                os.killpg(process.pid, signal.SIGKILL)
            kept = published(output / us_bundle.name)
        with listening(output, [us_bundle], *options) as node:
            assert sent(node.port, *left) == [0] * len(left)
            until(lambda: len(there.of("SEG")) == len(files))
        wanted = {dcmread(path).SeriesInstanceUID for path in files}
        found = [each.ReferencedSeriesSequence[0].SeriesInstanceUID for each in there.of("SEG")]
    assert sorted(found) == sorted(wanted)
    assert len(stored(output / "received")) == len(files)
    assert not list((output / "received" / ".incoming").iterdir())
    now = published(output / us_bundle.name)
    assert {case: now[case] for case in kept} == kept
    assert node.lines[-1] == f"ended: {len(files) - len(kept)} items done, 0 failed"
