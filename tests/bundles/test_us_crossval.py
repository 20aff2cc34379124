"""A cross-validation of the ultrasound bundle in two folds: real trainings, in this process to save their
imports."""

from __future__ import annotations

import csv
import json

import fire
import pytest
import torch
from mlflow import MlflowClient
from monai.bundle import run

from pyraseg.pipeline.experiments import CrossValidation, run_experiment
from pyraseg.pipeline.inference.trained import checkpoint_paths
from pyraseg.pipeline.networks.checkpoint import facts_of
from pyraseg.transforms.errors import RunError

QUICK = {
    "max_epochs": 1,
    "surfaces": "false",
    "resamples": 0,
    "input_size": "[48,48]",
}


def in_this_process(command) -> int:
    """What ``python -m monai.bundle run ...`` does with the words of a command."""
    fire.Fire({"run": run}, command=list(command[command.index("run") :]))
    return 0


@pytest.fixture(scope="module")
def folds(phantom, tmp_path_factory):
    """The phantom's datalist with its patients in two folds, a few frames of each."""
    content = json.loads((phantom / "datalist.json").read_text())
    items = content["training"] + content["validation"]
    groups = sorted({item["group"] for item in items})[:4]
    few = [next(item for item in items if item["group"] == group) for group in groups]
    content["training"] = [{**item, "fold": groups.index(item["group"]) % 2} for item in few]
    content["test"] = content["test"][:1]
    del content["validation"], content["digest"]
    path = tmp_path_factory.mktemp("folds") / "datalist.json"
    path.write_text(json.dumps(content))
    return path


def test_two_folds_give_every_case_a_score_by_the_network_that_did_not_see_it(ultrasound, folds, tmp_path):
    overrides = {**QUICK, "num_workers": 0, "batch_size": 2, "tracking_uri": ultrasound.store}
    overrides |= {"experiment_name": "crossval", "cache_dir": str(tmp_path / "cache")}
    plan = CrossValidation(
        ultrasound.bundle,
        ultrasound.data,
        datalist=folds,
        overlays=["unet"],
        output=tmp_path / "out",
        overrides=[word for name, value in overrides.items() for word in (f"--{name}", str(value))],
    )
    lines = list(run_experiment(plan, start=in_this_process))
    with open(plan.output / "cases.csv") as file:
        measured = {(int(row["fold"]), row["case"]) for row in csv.DictReader(file)}
    wanted = json.loads(folds.read_text())["training"]
    assert measured == {(item["fold"], item["case"]) for item in wanted}
    summary = json.loads((plan.output / "summary.json").read_text())
    assert summary["test"]["cases"] == 1
    assert len(summary["over_folds"]["mean_dice"]["values"]) == 2
    assert lines[-1].startswith("summary.json")
    members = [facts_of(torch.load(path, weights_only=True)) for path in checkpoint_paths(plan.output)]
    assert [member["network"]["name"] for member in members] == ["unet", "unet"]

    client = MlflowClient(ultrasound.store)
    runs = client.search_runs([client.get_experiment_by_name("crossval").experiment_id])
    (parent,) = [each for each in runs if "mlflow.parentRunId" not in each.data.tags]
    nested = {each.info.run_name: each for each in runs if each is not parent}
    assert {each.data.tags["mlflow.parentRunId"] for each in nested.values()} == {parent.info.run_id}
    assert set(nested) == {"fold 0", "fold 0, evaluation", "fold 1", "fold 1, evaluation", "ensemble, test"}
    assert {each.info.status for each in runs} == {"FINISHED"}


def test_a_first_step_that_is_refused_leaves_the_folder_for_other_settings(ultrasound, folds, tmp_path):
    words = ["--track", "false", "--learning_rate"]
    options = {"datalist": folds, "output": tmp_path / "out"}
    plan = CrossValidation(ultrasound.bundle, ultrasound.data, overrides=[*words, "fast"], **options)
    with pytest.raises(RunError):
        list(run_experiment(plan, start=lambda command: 1))
    assert not plan.output.exists()

    def interrupted(command):
        (plan.output / "fold_0").mkdir()
        raise KeyboardInterrupt

    plan = CrossValidation(ultrasound.bundle, ultrasound.data, overrides=[*words, "0.1"], **options)
    with pytest.raises(KeyboardInterrupt):
        list(run_experiment(plan, start=interrupted))
    assert (plan.output / "crossval.json").is_file()


def test_an_experiment_goes_on_with_the_same_weights_wherever_they_lie(ultrasound, folds, tmp_path):
    def fixed(name, content):
        (tmp_path / name).write_bytes(content)
        words = ["--pretrained", str(tmp_path / name)]
        places = {"datalist": folds, "output": tmp_path / "out"}
        return CrossValidation(ultrasound.bundle, ultrasound.data, overrides=words, **places).fixed

    assert fixed("a.pt", b"a") == fixed("moved.pt", b"a") != fixed("a.pt", b"b")
