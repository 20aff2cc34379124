"""Killed, stopped, without room or without its file: a batch loses nothing, does nothing twice and says what
it did."""

from __future__ import annotations

import os
import shutil
import signal
import stat
import subprocess
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest
from pydicom import Dataset, dcmread

from pyraseg.pipeline import cli
from pyraseg.pipeline.prediction.job import Job
from pyraseg.pipeline.prediction.run import predict
from pyraseg.pipeline.utils.signals import handling
from pyraseg.transforms.errors import RunError
from tests.pipeline.prediction.batch import (
    Batch,
    ended,
    files_of,
    published,
    result_of,
    wait_for,
    write_image,
)
from tests.pipeline.prediction.runs import BUNDLE, write_checkpoint

ITEMS = 20


@pytest.fixture(scope="module")
def batch(tmp_path_factory, checkpoint) -> Batch:
    """18 single frames and 2 cines of 64 x 64, and a file that is none."""
    images = tmp_path_factory.mktemp("batch") / "images"
    for number in range(ITEMS):
        write_image(images / f"image_{number:03d}.dcm", number, frames=4 if number % 10 == 9 else 1)
    (images / "notes.txt").write_text("left out")
    return Batch((images,), checkpoint)


@pytest.fixture(scope="module")
def unbroken(batch, tmp_path_factory) -> Path:
    """The output folder of a run that nothing happened to."""
    output = tmp_path_factory.mktemp("unbroken") / "out"
    assert cli.main(batch.arguments(output)) == 0
    return output


@pytest.fixture
def few(tmp_path, checkpoint) -> Batch:
    """Three images, to be changed."""
    for number in range(3):
        write_image(tmp_path / "in" / f"{number}.dcm", number)
    return Batch((tmp_path / "in",), checkpoint)


def kept(before: dict[str, tuple[int, int]], output: Path) -> bool:
    """Whether the items that were done before are there, untouched."""
    now = published(output)
    return all(now.get(case) == state for case, state in before.items())


def done_again(before: dict[str, tuple[int, int]], output: Path) -> set[str]:
    """The items whose records are not those of before."""
    now = published(output)
    return {case for case in {*before, *now} if before.get(case) != now.get(case)}


def test_an_unbroken_run_has_each_item_once(unbroken):
    found = result_of(unbroken)
    assert sorted(files_of(found.results)) == [f"image_{number:03d}.dcm" for number in range(ITEMS)]
    assert len(found.items) == ITEMS
    assert len(found.frames) == 18 + 2 * 4
    assert (found.failures, files_of(found.left_out)) == ([], ["notes.txt"])


def test_outputs_are_for_their_owner_alone_and_no_draft_is_left(unbroken):
    for path in unbroken.rglob("*"):
        assert stat.S_IMODE(path.stat().st_mode) == (0o700 if path.is_dir() else 0o600), path
    assert not any((unbroken / ".pyraseg" / "drafts").iterdir())


def test_killed_at_many_points_it_goes_on_to_the_same_result(batch, unbroken, tmp_path):
    output, options, before = tmp_path / "out", ("--workers", "1"), {}
    for number, group in ((3, False), (9, True)):
        with batch.started(output, *options) as process:
            wait_for(output, number, process)
            family = psutil.Process(process.pid).children(recursive=True)
            (os.killpg if group else os.kill)(process.pid, signal.SIGKILL)
            assert ended(process)[0] == -signal.SIGKILL
        assert psutil.wait_procs(family, timeout=30)[1] == []
        assert kept(before, output)
        before = published(output)
        assert number <= len(before) < ITEMS
        options = ("--workers", "1", "--resume")
    assert cli.main(batch.arguments(output, *options)) == 0
    assert kept(before, output)
    assert result_of(output) == result_of(unbroken)
    assert not any((output / ".pyraseg" / "drafts").iterdir())


def test_stopped_by_a_signal_it_writes_its_tables_and_says_how_to_go_on(batch, unbroken, tmp_path, capsys):
    output = tmp_path / "out"
    sender = threading.Thread(target=_send, args=(signal.SIGTERM, output))
    with handling(signal.default_int_handler, [signal.SIGTERM]):  # which a signal that comes late would meet
        sender.start()
        assert cli.main(batch.arguments(output, "--workers", "1")) == 130
        sender.join()
    assert "stopped; go on with the same command and --resume" in capsys.readouterr().out
    found, before = result_of(output), published(output)
    assert 5 <= len(found.results) == len(found.items) == len(before) < ITEMS
    assert found.failures == []
    assert cli.main(batch.arguments(output, "--resume")) == 0
    assert f"{ITEMS} items: {len(before)} done before, {ITEMS - len(before)} to do" in capsys.readouterr().out
    assert kept(before, output)
    assert result_of(output) == result_of(unbroken)


def _send(number: int, output: Path) -> None:
    deadline = time.monotonic() + 300
    while len(published(output)) < 5 and time.monotonic() < deadline:
        time.sleep(0.002)
    os.kill(os.getpid(), number)


def test_a_second_run_stops_and_shards_share_the_folder(batch, unbroken, tmp_path, capsys):
    output = tmp_path / "out"
    with batch.started(output, "--shard", "1/2") as first:
        wait_for(output, 1, first)
        first.send_signal(signal.SIGSTOP)  # or it may be done before the others have begun
        assert cli.main(batch.arguments(output, "--resume")) != 0
        assert cli.main(batch.arguments(output, "--shard", "1/2", "--resume")) != 0
        first.send_signal(signal.SIGCONT)
        assert capsys.readouterr().err.count("another run is working in. Wait for it to end") == 2
        assert cli.main(batch.arguments(output, "--shard", "2/2")) == 0
        assert ended(first)[0] == 0
    assert result_of(output) == result_of(unbroken)


def test_only_what_has_changed_is_due(few, tmp_path):
    output = tmp_path / "out"
    assert cli.main(few.arguments(output)) == 0
    before, image = published(output), few.inputs[0] / "1.dcm"
    content = image.read_bytes()
    image.write_bytes(content[:-1] + bytes([content[-1] ^ 1]))
    assert cli.main(few.arguments(output, "--resume")) == 0
    changed = {row["case"] for row in result_of(output).results if row["file"] == "1.dcm"}
    assert done_again(before, output) == changed

    before = published(output)
    assert cli.main(few.arguments(output, "--resume")) == 0
    assert done_again(before, output) == set()

    assert cli.main(few.arguments(output, "--resume", "--seg-type", "labelmap")) == 0
    assert done_again(before, output) == set(before)

    before = published(output)
    other = Batch(few.inputs, write_checkpoint(tmp_path / "other.pt", seed=2))
    assert cli.main(other.arguments(output, "--resume", "--seg-type", "labelmap")) == 0
    assert done_again(before, output) == set(before)
    assert len(result_of(output).results) == 3


def segmentations(output: Path) -> dict[str, Dataset]:
    return {path.parent.name: dcmread(path) for path in output.glob("items/*/seg.dcm")}


def test_another_models_results_name_the_earlier_ones_or_take_their_uids(few, tmp_path, capsys):
    assert cli.main(few.arguments(tmp_path / "old")) == 0
    old = segmentations(tmp_path / "old")
    other = Batch(few.inputs, write_checkpoint(tmp_path / "other.pt", seed=2))
    earlier = ("--earlier", str(tmp_path / "old"))
    assert cli.main(other.arguments(tmp_path / "new", *earlier)) == 0
    for case, seg in segmentations(tmp_path / "new").items():
        assert seg.SOPInstanceUID != old[case].SOPInstanceUID
        assert seg.RelatedSeriesSequence[0].SeriesInstanceUID == old[case].SeriesInstanceUID
    assert all("replaces an earlier" in row["notes"] for row in result_of(tmp_path / "new").results)

    assert cli.main(other.arguments(tmp_path / "same", *earlier, "--replace")) == 0
    assert cli.main(other.arguments(tmp_path / "old", "--resume", "--replace")) == 0
    for output in (tmp_path / "same", tmp_path / "old"):
        for case, seg in segmentations(output).items():
            assert seg.SOPInstanceUID == old[case].SOPInstanceUID
            assert seg.DeviceSerialNumber != old[case].DeviceSerialNumber

    assert cli.main(other.arguments(tmp_path / "none", "--replace")) == 2
    assert "--earlier" in capsys.readouterr().err
    assert cli.main(other.arguments(tmp_path / "none", "--earlier", str(few.inputs[0]))) == 2
    assert "a folder without results" in capsys.readouterr().err
    assert not (tmp_path / "none").exists()


def test_a_result_whose_file_has_broken_since_gives_way_to_the_failure(few, tmp_path):
    output = tmp_path / "out"
    assert cli.main(few.arguments(output)) == 0
    image = few.inputs[0] / "1.dcm"
    content = image.read_bytes()
    image.write_bytes(content[:-100])
    assert cli.main(few.arguments(output, "--resume")) == 1
    found = result_of(output)
    assert files_of(found.failures) == ["1.dcm"]
    assert sorted(files_of(found.results)) == ["0.dcm", "2.dcm"]
    image.write_bytes(content)
    assert cli.main(few.arguments(output, "--resume")) == 0
    found = result_of(output)
    assert sorted(files_of(found.results)) == ["0.dcm", "1.dcm", "2.dcm"]
    assert found.failures == []


def test_a_file_that_vanishes_costs_itself_alone(few, tmp_path):
    lines = predict(
        Job(few.inputs, BUNDLE, tmp_path / "out", (few.weights,), ("seg", "nifti"), backend="torch")
    )
    while " to do; " not in next(lines):
        continue
    (few.inputs[0] / "2.dcm").unlink()
    with pytest.raises(RunError, match="1 that failed"):
        list(lines)
    found = result_of(tmp_path / "out")
    assert sorted(files_of(found.results)) == ["0.dcm", "1.dcm"]
    assert files_of(found.failures) == ["2.dcm"]
    assert found.failures[0]["reason"]


def test_files_of_one_name_in_different_inputs_have_results_of_their_own(tmp_path, checkpoint):
    for number, folder in enumerate("ab"):
        write_image(tmp_path / folder / "scan.dcm", number)
    both = Batch((tmp_path / "a", tmp_path / "b"), checkpoint)
    assert cli.main(both.arguments(tmp_path / "out")) == 0
    found = result_of(tmp_path / "out")
    assert sorted(files_of(found.results)) == ["a/scan.dcm", "b/scan.dcm"]
    assert len(found.items) == 2


def test_wrong_usage_and_a_run_on_results_say_so(few, tmp_path, capsys):
    assert cli.main(few.arguments(tmp_path / "out")) == 0
    assert cli.main(few.arguments(tmp_path / "out")) != 0
    assert "--resume" in capsys.readouterr().err
    assert cli.main(few.arguments(tmp_path / "other", "--shard", "3/2")) == 2
    assert cli.main(few.arguments(tmp_path / "other", "--formats", "gif")) == 2
    assert not (tmp_path / "other").exists()


def test_a_folder_that_is_somebody_elses_is_left_as_it_is(few, tmp_path, capsys):
    (tmp_path / "thesis").mkdir()
    (tmp_path / "thesis" / "chapter.txt").write_text("years of work")
    for option in ("--overwrite", "--resume"):
        assert cli.main(few.arguments(tmp_path / "thesis", option)) != 0
    assert [path.name for path in (tmp_path / "thesis").iterdir()] == ["chapter.txt"]
    assert "holds other files" in capsys.readouterr().err


@pytest.fixture
def disk(tmp_path) -> Iterator[Path]:
    """A file system of its own."""
    place = tmp_path / "disk"
    place.mkdir()
    mounted = shutil.which("mount") and subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=16m", "tmpfs", place], capture_output=True, check=False
    )
    if not mounted or mounted.returncode:
        pytest.skip("needs the right to mount a small file system")
    yield place
    subprocess.run(["umount", place], check=True)


def test_on_a_full_disk_each_item_fails_for_itself_and_resuming_completes_the_batch(
    batch, unbroken, disk, capsys
):
    filler = disk / "filler"
    output = disk / "out"
    filler.write_bytes(bytes(16 * 2**20 - 150_000))
    assert cli.main(batch.arguments(output)) == 1
    said = capsys.readouterr()
    assert "no room for it (No space left on device)" in said.err
    assert "Traceback" not in said.err
    before = published(output)
    assert len(before) < ITEMS
    filler.unlink()
    assert cli.main(batch.arguments(output, "--resume")) == 0
    assert result_of(output) == result_of(unbroken)
    assert kept(before, output)


def test_a_disk_that_cannot_be_written_is_said_at_once(few, disk, capsys):
    subprocess.run(["mount", "-o", "remount,ro", disk], check=True)
    assert cli.main(few.arguments(disk / "out")) != 0
    assert "cannot be written (Read-only file system)" in capsys.readouterr().err
