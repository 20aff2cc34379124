"""`evaluating` on any split: every file agrees with the datalist, and the best validation's files are
kept."""

from __future__ import annotations

import hashlib
import json

import numpy as np
import pytest
import torch
from mlflow import MlflowClient
from monai.bundle import ConfigWorkflow, run

from pyraseg.pipeline.cli import main
from pyraseg.pipeline.comparison.read.curves import read_curve
from pyraseg.pipeline.comparison.read.store import open_store
from pyraseg.pipeline.phantom import generate
from pyraseg.transforms.io.frames import LoadFrame
from tests.pipeline.evaluation.engines import read

FILES = {
    "cases.csv",
    "summary.json",
    "quantities.csv",
    "confidence.csv",
    "reliability.png",
    "predictions.npz",
}


def evaluate(workspace, checkpoint, split: str, **overrides):
    folder = workspace.output / f"evaluated_{split}"
    common = {**workspace.common, "cache_dir": str(workspace.output / "cache"), "output_dir": str(folder)}
    run(
        "evaluating",
        config_file=[workspace.config("train"), workspace.config("evaluate")],
        checkpoint=str(checkpoint),
        split=split,
        **(common | overrides),
    )
    return folder


def test_the_test_split_s_masks_tables_and_run_agree(ultrasound, trained, capsys):
    tracked = {"tracking_uri": ultrasound.store, "experiment_name": "tests", "run_name": "all files"}
    folder = evaluate(ultrasound, trained, "test", resamples=200, **tracked)
    assert {path.name for path in folder.iterdir()} >= FILES | {"overlays.png"}
    items = {
        item["case"]: item for item in json.loads((ultrasound.data / "datalist.json").read_text())["test"]
    }
    rows = read(folder / "cases.csv")
    masks = np.load(folder / "predictions.npz", allow_pickle=False)
    assert set(masks) == set(items) == {row["case"] for row in rows}
    for row in rows:
        label = np.asarray(LoadFrame(as_labels=True)(str(ultrasound.data / items[row["case"]]["label"])))[0]
        value = {"kidney": 1, "hydronephrosis": 2}[row["class"]]
        assert label.shape == masks[row["case"]].shape
        assert int((label == value).sum()) == int(row["reference_pixels"])
        assert int((masks[row["case"]] == value).sum()) == int(row["predicted_pixels"])
    summary = json.loads((folder / "summary.json").read_text())
    assert summary["surface_tolerance"] == {"mm": 2.0, "px": 3.0}
    assert summary["interval"]["resamples"] == 200
    assert f"{len(items)} cases of {summary['groups']} groups" in capsys.readouterr().out
    client = MlflowClient(ultrasound.store)
    (found,) = client.search_runs(
        [client.get_experiment_by_name("tests").experiment_id], "attributes.run_name = 'all files'"
    )
    assert found.data.metrics["test_mean_dice"] == pytest.approx(summary["mean_dice"])
    assert {artifact.path for artifact in client.list_artifacts(found.info.run_id)} >= FILES
    digest = hashlib.sha256(trained.read_bytes()).hexdigest()
    about = {name: summary["evaluated"][name] for name in ("split", "weights_sha256", "run_id")}
    assert about == {"split": "test", "weights_sha256": [digest], "run_id": found.info.run_id}
    assert found.data.tags["evaluated.sha256"] == digest
    runs = client.search_runs([client.get_experiment_by_name("tests").experiment_id])
    trainings = {run.info.run_name for run in runs if run.data.tags.get("checkpoint.sha256") == digest}
    assert "trained" in trainings  # and whichever else gave the same bits


def test_another_split_is_evaluated_alike_and_what_is_switched_off_is_absent(ultrasound, trained):
    folder = evaluate(
        ultrasound, trained, "validation", surfaces=False, resamples=0, track=False, quantities=[]
    )
    items = json.loads((ultrasound.data / "datalist.json").read_text())["validation"]
    rows = read(folder / "cases.csv")
    assert {row["case"] for row in rows} == {item["case"] for item in items}
    assert {row["hd95"] for row in rows} == {""}
    assert not (folder / "quantities.csv").exists()


def test_a_list_that_is_a_test_set_and_nothing_else_is_measured_compared_and_shown_over_its_frames(
    ultrasound, trained, tmp_path, capsys
):
    """Data of another hospital: no patient of it, and no split beside it, was ever trained on."""
    generate(tmp_path / "ext", modality="us", cases=6, seed=9)
    (tmp_path / "ext/datalist.json").unlink()
    words = ["--images", "images", "--labels", "labels"]
    folders = [word if word.startswith("-") else str(tmp_path / "ext" / word) for word in words]
    labels = ["--group-from", "patient_id", "--label-map", "1=kidney,2=hydronephrosis"]
    output = str(tmp_path / "ext/datalist.json")
    assert main(["datalist", *folders, *labels, "--fractions", "0", "0", "1", "--output", output]) == 0
    options = {
        "tracking_uri": ultrasound.store,
        "experiment_name": "tests",
        "surfaces": False,
        "resamples": 0,
    }
    for name, flips in (("plain", None), ("flipped", ["w"])):
        places = {"dataset_dir": str(tmp_path / "ext"), "output_dir": str(tmp_path / name)}
        evaluate(ultrasound, trained, "test", **places, **options, run_name=name, tta_flips=flips)
    where = ["--tracking_uri", ultrasound.store, "--experiment", "tests", "--output", str(tmp_path / "page")]
    frames = ["--bundle", str(ultrasound.bundle), "--dataset_dir", str(tmp_path / "ext")]
    arms = ["--arms", "plain=plain", "flipped=flipped", "--resamples", "50"]
    assert main(["compare", *where, *frames, *arms]) == 0
    assert "flipped: 1 run" in capsys.readouterr().out
    text = (tmp_path / "page/comparison.md").read_text()
    assert "6 groups" in text
    (row,) = [line for line in text.splitlines() if line.startswith("| evaluation: tta")]
    assert row == '| evaluation: tta\\_flips | null | \\["w"\\] |'
    page = (tmp_path / "page/comparison.html").read_text()
    assert "Filled: prediction, dashed: reference." in page
    assert page.count("data:image/jpeg") >= 2
    assert str(tmp_path) not in page


def test_the_curve_of_a_real_training_ends_at_the_last_step_of_its_optimizer(ultrasound, trained):
    with open_store(ultrasound.store) as store:
        (training,) = [run for run in store.runs(store.experiment_id("tests")) if run.name == "trained"]
        curve, why = read_curve(store, training)
    assert curve is not None, why
    state = torch.load(trained.parent / "last.pt", weights_only=True)["state"]["optimizer"]["state"]
    assert curve.length == max(int(each["step"]) for each in state.values())
    assert len(curve.dice) == 2


def test_training_keeps_what_the_best_validation_gave(ultrasound, trained):
    folder = trained.parent / "validation"
    assert {path.name for path in folder.iterdir()} == FILES - {"quantities.csv"}
    items = json.loads((ultrasound.data / "datalist.json").read_text())["validation"]
    assert set(np.load(folder / "predictions.npz", allow_pickle=False)) == {item["case"] for item in items}


def test_the_weights_are_the_checkpoints_alone_whatever_the_training_began_from(ultrasound, trained):
    """A cross-validation hands ``--pretrained`` on to every step, and an ensemble has no backbone to load it
    into."""
    configs = [ultrasound.config("train"), ultrasound.config("evaluate")]
    options = {**ultrasound.common, "checkpoint": [str(trained)] * 2, "pretrained": "gone.pt"}
    flow = ConfigWorkflow(config_file=configs, logging_file=False, **options)
    assert len(flow.parser.get_parsed_content("network").members) == 2
