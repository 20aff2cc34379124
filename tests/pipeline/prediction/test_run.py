"""A run from its beginning to its end, seen from outside: portions, other inputs, what it must not
destroy."""

from __future__ import annotations

import json
import shutil

import pytest

from tests.pipeline.prediction.runs import predict

LITTLE = ("--formats", "nifti")


@pytest.fixture
def pair(phantom, tmp_path):
    """Two single frames in a folder."""
    folder = tmp_path / "in"
    folder.mkdir()
    for name in ("case_0001.dcm", "case_0003.dcm"):
        shutil.copy(phantom / name, folder / name)
    return folder


def test_results_survive_an_overwrite_that_cannot_begin_and_portions_come_to_an_end(
    pair, checkpoint, tmp_path
):
    out = tmp_path / "out"
    first = predict(pair, output=out, checkpoints=[checkpoint], options=[*LITTLE, "--limit", "1"])
    assert (first.status, len(first.results)) == (0, 1)
    assert "1 to do (1 more beyond the limit)" in first.stdout

    (tmp_path / "empty").mkdir()
    for name in ("", "notes.txt"):  # nothing at all, and nothing that the bundle takes
        if name:
            (tmp_path / "empty" / name).write_text("nothing")
        refused = predict(tmp_path / "empty", output=out, checkpoints=[checkpoint], options=["--overwrite"])
        assert refused.status == 3
        assert refused.results == first.results

    again = ["--limit", "1", "--resume", *LITTLE]
    second = predict(pair, output=out, checkpoints=[checkpoint], options=again)
    assert (second.status, len(second.results)) == (0, 2)
    assert "1 done before, 1 to do;" in second.stdout

    moved = predict(pair.rename(tmp_path / "moved"), pair.parent / "empty", output=out,
                    checkpoints=[checkpoint],
                    options=["--resume", *LITTLE])  # fmt: skip
    assert "2 done before, 0 to do" in moved.stdout
    assert sorted(row["file"] for row in moved.results) == ["moved/case_0001.dcm", "moved/case_0003.dcm"]


def test_results_among_the_inputs_are_not_read(pair, checkpoint):
    out = pair / "results"
    for options in (LITTLE, (*LITTLE, "--resume")):
        run = predict(pair, output=out, checkpoints=[checkpoint], options=options)
        assert (run.status, len(run.results), run.table("left_out")) == (0, 2, [])
    dry = predict(pair, output=out, checkpoints=[checkpoint], options=[*LITTLE, "--resume", "--dry-run"])
    assert "2 done before, kept" in dry.stdout


def test_a_dry_run_speaks_of_this_shard_alone(pair, tmp_path):
    lines = []
    for index in (1, 2, 3):
        run = predict(
            pair,
            output=tmp_path / "out",
            checkpoints=["none"],
            options=["--dry-run", "--shard", f"{index}/3"],
        )
        lines.append(run.stdout.splitlines()[0])
    assert sum(int(line.split()[0]) for line in lines) == 2
    assert not (tmp_path / "out").exists()


def test_the_folder_says_which_backend_its_results_are_of(pair, checkpoint, tmp_path):
    run = predict(pair, output=tmp_path / "out", checkpoints=[checkpoint], options=LITTLE)
    assert json.loads((run.output / ".pyraseg" / "backend.json").read_text())["backend"] == "torch"
    assert json.loads((run.output / "manifest.json").read_text())["backend"].startswith("torch ")
