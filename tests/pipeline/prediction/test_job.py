"""A command line becomes a job, or ends with status 2 and a sentence, before anything is loaded or
written."""

from __future__ import annotations

from pathlib import Path

import pytest

from pyraseg.pipeline.cli import main
from pyraseg.pipeline.prediction.discovery.acceptance_rules import AcceptanceRules
from pyraseg.pipeline.prediction.items.outputs import DEFAULT_FORMATS
from pyraseg.pipeline.prediction.job import Job, fingerprint, for_bundle
from pyraseg.pipeline.prediction.output.folder_lock import Shard
from pyraseg.transforms.io.reading_options import ReadingOptions
from tests.pipeline.prediction.runs import BUNDLE, write_checkpoint


@pytest.fixture
def jobs(monkeypatch):
    """The jobs that command lines ask for; nothing is done."""
    asked: list[Job] = []

    def predict(job: Job) -> list[str]:
        asked.append(job)
        return []

    monkeypatch.setattr("pyraseg.pipeline.prediction.run.predict", predict)
    return asked


def arguments(tmp_path: Path, *more: str) -> list[str]:
    return ["predict", str(tmp_path), "--bundle", str(BUNDLE), "--output", str(tmp_path / "out"), *more]


def test_without_options_the_formats_of_every_bundle_are_written(jobs, tmp_path):
    assert main(arguments(tmp_path)) == 0
    (job,) = jobs
    assert job == Job((tmp_path,), BUNDLE, tmp_path / "out")
    assert job.formats == DEFAULT_FORMATS


def test_options_reach_the_job(jobs, tmp_path):
    words = [
        "--formats",
        "overlay, seg",
        "--shard",
        "2/3",
        "--checkpoint",
        "a.pt",
        "b.pt",
        "--limit",
        "5",
        "--identify",
    ]
    assert main(arguments(tmp_path, *words)) == 0
    (job,) = jobs
    assert (job.formats, job.shard, job.limit) == (("seg", "overlay"), Shard(2, 3), 5)
    assert (job.checkpoints, job.identify) == ((Path("a.pt"), Path("b.pt")), True)


def test_the_bundle_s_reading_counts_where_the_command_line_gives_none(jobs, tmp_path):
    main(arguments(tmp_path, "--stack", "2", "--repair", "single_slice, copies"))
    job, bundle = jobs[0], {"stack": 1, "assume_hu": True}
    assert job.reading == ReadingOptions(stack=2, repair=["copies", "single_slice"])
    rules = AcceptanceRules(unit="series", modalities=["CT"], sop_classes={"1.2": "one"})
    read = for_bundle(job, rules, ReadingOptions.of(bundle)).reading
    assert read.given == {"stack": 2, "repair": ["copies", "single_slice"], "assume_hu": True}


@pytest.mark.parametrize(("option", "word"), [("--stack", "2"), ("--repair", "copies"), ("--assume-hu", "")])
def test_options_of_series_are_refused_where_the_bundle_takes_files(tmp_path, capsys, option, word):
    words = [
        "predict",
        str(tmp_path),
        "--bundle",
        str(BUNDLE),
        "--dry-run",
        option,
        *([word] if word else []),
    ]
    assert main(words) == 2
    assert f"a bundle that takes series, for {option}, found one that takes single files" in (
        capsys.readouterr().err
    )


def test_what_is_behind_two_dashes_are_overrides_wherever_the_inputs_stand(jobs, tmp_path):
    overrides = ["--", "--cleanup", "None", "--inference_mode=sliding"]
    others = ["--bundle", str(BUNDLE), "--output", str(tmp_path / "out")]
    assert main(["predict", str(tmp_path), str(tmp_path), *others, *overrides]) == 0
    assert main(["predict", *others, str(tmp_path), str(tmp_path), *overrides]) == 0
    for job in jobs:
        assert job.inputs == (tmp_path, tmp_path)
        assert job.overrides == {"cleanup": "None", "inference_mode": "sliding"}


@pytest.mark.parametrize(
    "words",
    [
        ["--formats", "seg,dicom"],
        ["--formats", ""],
        ["--shard", "4/3"],
        ["--shard", "0/3"],
        ["--shard", "half"],
        ["--limit", "0"],
        ["--workers", "-1"],
        ["--seg-type", "fuzzy"],
        ["--backend", "tensorflow"],
        ["--resume", "--overwrite"],
        ["--no-such-option"],
        ["--stack", "0"],
        ["--repair", "longest"],
        ["--series", "1"],
        ["--", "--output_dir", "elsewhere"],
        ["--", "--reading", "{'stack': 1}"],
        ["--", "--checkpoint", "other.pt"],
        ["--", "cleanup"],
        ["--", "--cleanup"],
    ],
    ids=" ".join,
)
def test_a_wrong_option_is_a_wrong_usage(jobs, tmp_path, capsys, words):
    try:
        status = main(arguments(tmp_path, *words))
    except SystemExit as end:  # as argparse does it
        status = end.code
    assert status == 2
    said = capsys.readouterr().err
    assert any(word.strip("-") in said for word in words if word.strip("-"))
    assert not jobs
    assert not (tmp_path / "out").exists()


def test_an_input_that_is_not_there_is_a_wrong_usage(jobs, tmp_path, capsys):
    assert (
        main(["predict", str(tmp_path / "no"), "--bundle", str(BUNDLE), "--output", str(tmp_path / "out")])
        == 2
    )
    assert "nothing of that name" in capsys.readouterr().err


def test_an_output_is_needed_but_for_a_dry_run(jobs, tmp_path, capsys):
    assert main(["predict", str(tmp_path), "--bundle", str(BUNDLE)]) == 2
    assert "--output" in capsys.readouterr().err
    assert main(["predict", str(tmp_path), "--bundle", str(BUNDLE), "--dry-run"]) == 0


def test_nothing_to_predict_has_a_status_of_its_own(checkpoint, tmp_path, capsys):
    (tmp_path / "in").mkdir()
    words = ["--bundle", str(BUNDLE), "--output", str(tmp_path / "out"), "--checkpoint", str(checkpoint)]
    assert main(["predict", str(tmp_path / "in"), *words, "--dry-run"]) == 3
    assert "wanted something to predict, found nothing." in capsys.readouterr().err
    (tmp_path / "in" / "notes.txt").write_text("no image")
    for more in (["--dry-run"], []):
        assert main(["predict", str(tmp_path / "in"), *words, *more]) == 3
        assert "found nothing among 1 file: 1 x no DICOM (.txt)" in capsys.readouterr().err
    assert "notes.txt" in (tmp_path / "out" / "left_out.csv").read_text()


def test_the_fingerprint_changes_with_what_changes_results_and_nothing_else(checkpoint, tmp_path):
    from dataclasses import replace

    from pyraseg.pipeline.prediction.bundle import load_bundle, read_bundle

    bundle = load_bundle(read_bundle(BUNDLE), checkpoints=[checkpoint])
    job = Job((tmp_path,), BUNDLE, tmp_path / "out")
    first = fingerprint(job, bundle)
    same = (
        {"workers": 3},
        {"limit": 2},
        {"resume": True},
        {"output": tmp_path / "b"},
        {"inputs": (), "batch_size": 2},
    )
    assert {fingerprint(replace(job, **change), bundle) for change in same} == {first}
    changes = ({"formats": ("seg",)}, {"seg_type": "labelmap"}, {"probabilities": True}, {"identify": True})
    others = {fingerprint(replace(job, **change), bundle) for change in changes}
    weights = write_checkpoint(tmp_path / "other.pt", seed=5)
    others.add(fingerprint(job, load_bundle(read_bundle(BUNDLE), checkpoints=[weights])))
    others.add(
        fingerprint(
            job, load_bundle(read_bundle(BUNDLE), checkpoints=[checkpoint], overrides={"cleanup": "None"})
        )
    )
    assert len(others - {first}) == 6
