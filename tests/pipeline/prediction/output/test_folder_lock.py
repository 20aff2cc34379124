"""One run at a time on an output folder, or the shards of one job; what is not ours is never touched."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from contextlib import AbstractContextManager
from pathlib import Path

import pytest

from pyraseg.pipeline.prediction.output.folder_lock import STATE, TABLES, FolderLock, Shard, parse_shard
from pyraseg.transforms.errors import OutputError, UsageError

WHOLE = Shard()
FIRST, SECOND = Shard(1, 2), Shard(2, 2)


def hold(folder: Path, *, shard: Shard, fingerprint: str, **options: bool) -> AbstractContextManager[None]:
    return FolderLock(folder, shard, fingerprint, **options).hold()


def used(folder: Path, shard: Shard = WHOLE, mark: str = "a", **options: bool) -> None:
    """A run that leaves an item, a failure and its tables."""
    with hold(folder, shard=shard, fingerprint=mark, **options):
        item = folder / "items" / f"c{shard.index}"
        item.mkdir(parents=True, exist_ok=True)
        (item / "item.json").write_text("{}")
        (folder / STATE / f"failures-{shard.label}.jsonl").write_text("{}")
        for name in TABLES:
            (folder / name).write_text("")


def everything(folder: Path) -> list[tuple[str, int]]:
    return sorted((str(path), path.stat().st_mtime_ns) for path in folder.rglob("*"))


def test_a_shard_takes_its_part_and_all_shards_take_each_name_once():
    names = [f"c{number:012x}" for number in range(500)]
    parts = [[name for name in names if Shard(index, 3).takes(name)] for index in (1, 2, 3)]
    assert sorted(name for part in parts for name in part) == names
    assert min(map(len, parts)) > 100
    assert parse_shard("2/3") == Shard(2, 3)


@pytest.mark.parametrize("text", ["0/2", "3/2", "1/0", "1", "a/b", "-1/2", "1/2/3", ""])
def test_a_shard_that_is_none_is_refused(text):
    with pytest.raises(UsageError, match="--shard 2/4"):
        parse_shard(text)


@pytest.mark.parametrize("overwrite", [False, True])
def test_a_folder_with_other_files_is_refused_and_left_as_it_is(tmp_path, overwrite):
    (tmp_path / "thesis.txt").write_text("years of work")
    before = everything(tmp_path)
    with (
        pytest.raises(OutputError, match="holds other files"),
        hold(tmp_path, shard=WHOLE, fingerprint="a", overwrite=overwrite),
    ):
        pass
    assert everything(tmp_path) == before


def test_results_of_an_earlier_run_are_refused_without_a_word_about_them(tmp_path):
    used(tmp_path)
    before = everything(tmp_path / "items")
    with pytest.raises(OutputError, match="--resume"), hold(tmp_path, shard=WHOLE, fingerprint="a"):
        pass
    used(tmp_path, resume=True)
    assert [name for name, _ in everything(tmp_path / "items")] == [name for name, _ in before]


def test_overwriting_removes_what_is_ours_and_nothing_else(tmp_path):
    used(tmp_path)
    (tmp_path / "notes.txt").write_text("mine")
    with hold(tmp_path, shard=WHOLE, fingerprint="a", overwrite=True):
        left = {path.name for path in tmp_path.iterdir()}
        assert left == {"notes.txt", STATE}
        assert not list((tmp_path / STATE).glob("failures-*"))


def test_the_second_of_two_runs_stops_and_a_run_that_was_killed_holds_nothing(tmp_path):
    script = (
        "import sys, time\n"
        "from pathlib import Path\n"
        "from pyraseg.pipeline.prediction.output.folder_lock import FolderLock, Shard\n"
        "with FolderLock(Path(sys.argv[1]), Shard(), 'a').hold():\n"
        "    print('here', flush=True)\n"
        "    time.sleep(600)\n"
    )
    process = subprocess.Popen(
        [sys.executable, "-c", script, tmp_path / "out"],
        stdout=subprocess.PIPE,
        cwd=Path(__file__).parents[4],
    )
    assert process.stdout is not None
    assert process.stdout.readline() == b"here\n"
    for options in ({}, {"resume": True}, {"overwrite": True}):
        with (
            pytest.raises(OutputError, match="another run is working in"),
            hold(tmp_path / "out", shard=WHOLE, fingerprint="a", **options),
        ):
            pass
    process.kill()
    process.wait()
    process.stdout.close()
    used(tmp_path / "out", resume=True)


def test_shards_of_one_job_share_a_folder_each_once(tmp_path):
    with hold(tmp_path, shard=FIRST, fingerprint="a"):
        used(tmp_path, SECOND)
        with pytest.raises(OutputError, match="another run"), hold(tmp_path, shard=FIRST, fingerprint="a"):
            pass
    for shard in (FIRST, SECOND):
        with pytest.raises(OutputError, match="earlier run"), hold(tmp_path, shard=shard, fingerprint="a"):
            pass


@pytest.mark.parametrize(("shard", "mark"), [(Shard(2, 3), "a"), (SECOND, "b"), (WHOLE, "a")])
def test_another_job_waits_for_the_shards_at_work(tmp_path, shard, mark):
    with (
        hold(tmp_path, shard=FIRST, fingerprint="a"),
        pytest.raises(OutputError, match="another run"),
        hold(tmp_path, shard=shard, fingerprint=mark, resume=True),
    ):
        pass


def test_shards_that_all_overwrite_remove_the_former_job_and_not_each_others_results(tmp_path):
    used(tmp_path, mark="former")
    (tmp_path / "items" / "former").mkdir()
    with hold(tmp_path, shard=FIRST, fingerprint="a", overwrite=True):
        assert not (tmp_path / "items").exists()
        used(tmp_path, SECOND, overwrite=True)
        assert [path.name for path in (tmp_path / "items").iterdir()] == ["c2"]
    with pytest.raises(OutputError, match="this shard has begun before"):
        used(tmp_path, FIRST, overwrite=True)
    assert [path.name for path in (tmp_path / "items").iterdir()] == ["c2"]


def test_a_run_that_has_left_nothing_needs_no_option_to_begin_again(tmp_path):
    with hold(tmp_path, shard=WHOLE, fingerprint="a"):
        pass
    used(tmp_path)


def test_cases_named_with_another_key_are_not_mixed_in(tmp_path, monkeypatch):
    used(tmp_path)
    monkeypatch.setenv("PYRASEG_HASH_KEY", "another")
    with pytest.raises(OutputError, match=r"named with another key.*PYRASEG_HASH_KEY"):
        used(tmp_path, resume=True)
    used(tmp_path, overwrite=True)


def test_a_look_at_a_lock_changes_nothing(tmp_path):
    used(tmp_path)
    before = everything(tmp_path)
    FolderLock(tmp_path, WHOLE, "a", overwrite=True).check()
    with pytest.raises(OutputError, match="earlier run"):
        FolderLock(tmp_path, WHOLE, "a").check()
    assert everything(tmp_path) == before


@pytest.mark.parametrize(("shard", "mark"), [(WHOLE, "a"), (FIRST, "b"), (Shard(1, 3), "a")])
def test_another_job_that_resumes_keeps_the_results_and_forgets_the_failures(tmp_path, shard, mark):
    used(tmp_path, FIRST)
    used(tmp_path, SECOND)
    (tmp_path / STATE / "drafts" / "2-of-2-abcd").mkdir(parents=True)
    with hold(tmp_path, shard=shard, fingerprint=mark, resume=True):
        assert not list((tmp_path / STATE).glob("failures-*"))
        assert not list((tmp_path / STATE).glob("drafts/*"))
        assert sorted(path.name for path in (tmp_path / "items").iterdir()) == ["c1", "c2"]


def test_the_folder_says_what_it_is_used_for_in_no_ones_name(tmp_path):
    used(tmp_path / "new" / "folder")
    content = json.loads((tmp_path / "new" / "folder" / STATE / "job.json").read_text())
    assert content.pop("key") not in os.environ["PYRASEG_HASH_KEY"]
    assert content == {"fingerprint": "a", "shards": 1, "begun": ["1-of-1"]}


@pytest.mark.skipif(os.name != "posix", reason="needs /proc or /dev")
def test_a_place_that_cannot_be_written_is_said(tmp_path):
    (tmp_path / "file").write_text("")
    for place in (tmp_path / "file" / "out", Path("/proc/out")):
        with (
            pytest.raises(OutputError, match="cannot be written"),
            hold(place, shard=WHOLE, fingerprint="a"),
        ):
            pass
