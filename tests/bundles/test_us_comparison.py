"""From a real training and two evaluations of the bundle to the page, over the frames of the data."""

from __future__ import annotations

import torch
from monai.bundle import run

from pyraseg.pipeline.cli import main
from pyraseg.pipeline.comparison.read.curves import read_curve
from pyraseg.pipeline.comparison.read.store import open_store


def evaluate(workspace, checkpoint, name: str, **overrides) -> None:
    run(
        "evaluating",
        config_file=[workspace.config("train"), workspace.config("evaluate")],
        **workspace.common,
        cache_dir=str(workspace.output / "cache"),
        checkpoint=str(checkpoint),
        output_dir=str(workspace.output / name),
        tracking_uri=workspace.store,
        experiment_name="tests",
        run_name=name,
        surfaces=False,
        resamples=0,
        **overrides,
    )


def test_two_evaluations_of_one_training_differ_in_what_was_changed_and_are_shown_over_their_frames(
    ultrasound, trained, tmp_path, capsys
):
    evaluate(ultrasound, trained, "plain")
    evaluate(ultrasound, trained, "flipped", tta_flips=["w"])
    where = ["--tracking_uri", ultrasound.store, "--experiment", "tests", "--output", str(tmp_path)]
    frames = ["--bundle", str(ultrasound.bundle), "--dataset_dir", str(ultrasound.data)]
    arms = ["--arms", "plain=plain", "flipped=flipped", "--resamples", "50"]
    assert main(["compare", *where, *frames, *arms]) == 0
    assert "flipped: 1 run" in capsys.readouterr().out
    text = (tmp_path / "comparison.md").read_text()
    (row,) = [line for line in text.splitlines() if line.startswith("| evaluation: tta")]
    assert row == '| evaluation: tta\\_flips | null | \\["w"\\] |'
    page = (tmp_path / "comparison.html").read_text()
    assert "Filled: prediction, dashed: reference." in page
    assert page.count("data:image/jpeg") >= 2
    assert str(ultrasound.data) not in page


def test_the_curve_of_a_real_training_ends_at_the_last_step_of_its_optimizer(ultrasound, trained):
    with open_store(ultrasound.store) as store:
        (training,) = [run for run in store.runs(store.experiment_id("tests")) if run.name == "trained"]
        curve, why = read_curve(store, training)
    assert curve is not None, why
    state = torch.load(trained.parent / "last.pt", weights_only=True)["state"]["optimizer"]["state"]
    assert curve.length == max(int(each["step"]) for each in state.values())
    assert len(curve.dice) == 2
