"""A bundle's training, killed as a scheduler or an empty battery would and resumed by the same command."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import monai.bundle
import pytest
import torch
from mlflow import MlflowClient
from monai.bundle import run as monai_run

from pyraseg.pipeline.networks.checkpoint import facts_of
from pyraseg.pipeline.utils.errors import own_error
from pyraseg.transforms.errors import CheckpointError

ROOT = Path(__file__).resolve().parents[2]
STEP = 5  # in the second epoch
SAME = {"max_epochs": 2}  # as the training that the folder's tests share


def command(ultrasound, name: str, *more_configs: str, **overrides) -> list[str]:
    """The words of a shell command, as a user types them."""
    configs = [ultrasound.config("train"), *more_configs]
    options = ultrasound.training(name) | SAME | {"run_name": name, "num_workers": 1} | overrides
    words = [part for key, value in options.items() for part in (f"--{key}", str(value))]
    return ["-m", "monai.bundle", "run", "training", "--config_file", str(configs), *words]


RECORDER = """
import os, socket
def record(name):
    real = getattr(socket, name)
    def recorded(host, *more, **options):
        with open(os.environ["LOOKUPS"], "a") as file:
            file.write(f"{host}\\n")
        return real(host, *more, **options)
    setattr(socket, name, recorded)
for name in ("getaddrinfo", "gethostbyname", "gethostbyname_ex", "gethostbyaddr"):
    record(name)
"""
SILENCERS = ("PYTEST_CURRENT_TEST", "CI", "DO_NOT_TRACK", "MLFLOW_DISABLE_TELEMETRY", "ORT_DISABLE_TELEMETRY")


@pytest.fixture(scope="module")
def lookups(tmp_path_factory) -> Path:
    """Where every process that a test of this file starts writes the names of computers that it asks for."""
    folder = tmp_path_factory.mktemp("recorder")
    (folder / "sitecustomize.py").write_text(RECORDER)
    (folder / "lookups").touch()
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("LOOKUPS", str(folder / "lookups"))
        patch.setenv("PYTHONPATH", str(folder))
        yield folder / "lookups"


def run(words: list[str]) -> subprocess.CompletedProcess:
    environment = {name: value for name, value in os.environ.items() if name not in SILENCERS}
    return subprocess.run(
        [sys.executable, *words], cwd=ROOT, env=environment, capture_output=True, text=True, check=False
    )


@pytest.fixture(scope="module")
def resumed(ultrasound, trained, tmp_path_factory, lookups) -> tuple[Path, Path]:
    """The folders of an unbroken training, and of one that was killed in its second epoch and resumed.

    The unbroken one loads its frames in its own process, the killed one in another.
    """
    overlay = tmp_path_factory.mktemp("overlay") / "kill.yaml"
    overlay.write_text(
        f"+train::handlers:\n- _target_: tests.pipeline.training.kill.KillAt\n  step: {STEP}\n"
    )
    killed = run(command(ultrasound, "killed", str(overlay)))
    assert killed.returncode == -signal.SIGKILL
    (stale,) = tracked(ultrasound, "killed")
    assert stale.info.status == "RUNNING"
    again = {**ultrasound.training("killed"), **SAME, "run_name": "killed", "resume": True}
    monai.bundle.run("training", config_file=ultrasound.config("train"), **again)
    return trained.parent, ultrasound.output / "killed"


def tracked(ultrasound, name):
    client = MlflowClient(ultrasound.store)
    experiment = client.get_experiment_by_name("tests").experiment_id
    return [run for run in client.search_runs([experiment]) if run.info.run_name == name]


@pytest.mark.parametrize("file", ["last.pt", "model.pt"])
def test_the_weights_are_those_of_a_training_that_nothing_interrupted(resumed, file):
    whole, killed = (torch.load(folder / file, weights_only=True) for folder in resumed)
    assert facts_of(whole)["epoch"] == facts_of(killed)["epoch"]
    whole, killed = whole.get("model", whole), killed.get("model", killed)
    assert all(torch.equal(killed[name], value) for name, value in whole.items())


def test_mlflow_has_one_run_whose_steps_are_those_of_an_unbroken_one(ultrasound, resumed):
    client = MlflowClient(ultrasound.store)
    (whole,), (killed,) = tracked(ultrasound, "trained"), tracked(ultrasound, "killed")
    assert killed.info.status == "FINISHED"
    assert killed.data.tags["pyraseg.resumed_from"] == "RUNNING"
    for key in ("loss", "learning_rate", "val_mean_dice", "val_dice_kidney"):
        histories = [
            [(metric.step, metric.value) for metric in client.get_metric_history(run.info.run_id, key)]
            for run in (whole, killed)
        ]
        assert sorted(histories[1]) == sorted(histories[0]), key
        assert histories[0], key


def test_a_refused_command_leaves_files_and_a_finished_run_as_they_were(ultrasound, resumed):
    def record():
        client = MlflowClient(ultrasound.store)
        (run,) = tracked(ultrasound, "killed")
        texts = [client.download_artifacts(run.info.run_id, name) for name in ("config.yaml", "split.json")]
        files = {path: path.stat().st_mtime_ns for path in resumed[1].rglob("*")}
        return str(run.info), str(run.data), [Path(text).read_text() for text in texts], files

    before = record()
    options = ultrasound.training("killed") | SAME | {"run_name": "killed"}
    for changed in ({"learning_rate": 0.05}, {"optimizer::lr": 0.05}, {"ema_decay": 0.9}, {"max_epochs": 1}):
        with pytest.raises((CheckpointError, RuntimeError)) as raised:
            monai_run("training", config_file=ultrasound.config("train"), resume=True, **options | changed)
        assert isinstance(own_error(raised.value), CheckpointError)
        assert record() == before


def test_nothing_that_is_run_looks_up_the_name_of_another_computer(ultrasound, resumed, lookups, tmp_path):
    """Trainings, an evaluation, a prediction and a comparison, with no variable that keeps MLflow silent."""
    image = min(ultrasound.data.rglob("*.dcm"))
    where = {
        "output_dir": str(tmp_path / "eval"),
        "tracking_uri": ultrasound.store,
        "experiment_name": "tests",
    }
    checkpoint = str(resumed[0] / "model.pt")
    options = ultrasound.common | where | {"checkpoint": checkpoint, "surfaces": False, "resamples": 0}
    predict = ["predict", str(image), "--bundle", str(ultrasound.bundle), "--checkpoint", checkpoint]
    compare = ["compare", "--experiment", "tests", "--tracking_uri", ultrasound.store]
    code = f"""
from monai.bundle import run
from pyraseg.pipeline.cli import main
run("evaluating", config_file={ultrasound.config("evaluate")!r}, **{options!r})
assert main({[*predict, "--output", str(tmp_path / "out"), "--workers", "1"]!r}) == 0
assert main({[*compare, "--output", str(tmp_path / "comparison")]!r}) in (0, 1)
"""
    done = run(["-c", code])
    assert done.returncode == 0, done.stderr
    assert lookups.read_text() == ""
