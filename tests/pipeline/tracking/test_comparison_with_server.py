"""``compare`` against a real MLflow server: the same answer as from a sqlite file, and nothing but what it
was told."""

from __future__ import annotations

import csv
from pathlib import Path

import pytest
from mlflow import MlflowClient

from pyraseg.pipeline.cli import main
from pyraseg.pipeline.tracking.registry import fetch_checkpoint
from tests.pipeline.comparison.runs import StoreOfRuns, evaluate
from tests.pipeline.tracking.conftest import artifact, runs

NAME = "Größe & <b>50 %</b> / 'a'"  # of an experiment, as anybody may name it
GROUPS = (3, 2, 1, 1, 1, 1)


@pytest.fixture(scope="module")
def tables(tmp_path_factory) -> dict[str, Path]:
    folder = tmp_path_factory.mktemp("evaluations")
    return {
        name: evaluate(folder / name, error=error, groups=GROUPS, surfaces=False)
        for name, error in (("cbam", 0.3), ("none", 1.6))
    }


def fill(uri: str, folder: Path, tables: dict[str, Path]) -> StoreOfRuns:
    """Two trainings and their evaluations."""
    place = StoreOfRuns(uri, folder, NAME)
    for name, table in tables.items():
        training = place.training(f"{name} seed 0", attention=name)
        place.validations(training, {1: 0.4, 2: 0.6}, iterations=4)
        place.evaluation(f"test of {name}", table, of=f"{name} seed 0")
    return place


def compare(uri: str, output: Path, *options: str) -> int:
    where = ["--tracking_uri", uri, "--experiment", NAME, "--output", str(output)]
    return main(["compare", *where, "--resamples", "50", *options])


def test_a_server_and_a_file_with_the_same_runs_give_the_same_comparison(
    server, store, tables, tmp_path, monkeypatch, capsys
):
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_TIMEOUT", "30")
    fill(server.uri, tmp_path, tables)
    fill(store, tmp_path, tables)
    monkeypatch.setenv(
        "MLFLOW_TRACKING_URI", store
    )  # what is asked for counts, not what the environment says
    assert compare(server.uri, tmp_path / "of_server", "--log") == 0
    assert compare(store, tmp_path / "of_file") == 0
    names = ("comparison.csv", "comparison.md", "comparison.html")
    found, expected = (
        [(tmp_path / of / name).read_text() for name in names] for of in ("of_server", "of_file")
    )
    assert found[0] == expected[0]
    assert found[2].count("data:image/jpeg") == expected[2].count("data:image/jpeg") > 0
    with open(tmp_path / "of_server" / "comparison.csv", newline="") as file:
        assert {row["kind"] for row in csv.DictReader(file)} >= {
            "difference",
            "subgroup",
            "calibration",
            "training",
        }
    (logged,) = [run for run in runs(server.uri, NAME) if run.info.run_name == "comparison"]
    assert {entry.path for entry in MlflowClient(server.uri).list_artifacts(logged.info.run_id)} >= set(names)
    assert artifact(server.uri, logged.info.run_id, names[1], tmp_path) == found[1]
    assert not [run for run in runs(store, NAME) if run.info.run_name == "comparison"]


def test_an_experiment_that_a_server_has_not_is_said(server, tmp_path, capsys):
    options = ["--tracking_uri", server.uri, "--experiment", "absent", "--output", str(tmp_path / "out")]
    assert main(["compare", *options]) == 2
    assert "an experiment of this store" in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


def test_a_server_takes_a_promotion_and_gives_its_checkpoint_back(server, tables, tmp_path, monkeypatch):
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_TIMEOUT", "30")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    place = StoreOfRuns(server.uri, tmp_path, "promotions")
    where = ["--tracking_uri", server.uri, "--experiment", place.experiment, "--model", "Niere ü"]
    for name in ("none", "cbam"):
        run_id = place.training(name, kind=name)
        (tmp_path / "model.pt").write_text(name)
        place.client.log_artifact(run_id, str(tmp_path / "model.pt"), "checkpoints")
        place.evaluation(f"test of {name}", tables[name], of=name)
        assert main(["promote", *where, "--because", "of 6 patients"]) == 0
    path, stored = fetch_checkpoint("models:/Niere ü@champion", tracking_uri=server.uri)
    assert (path.read_text(), stored.model, stored.run_id) == ("cbam", "Niere ü version 2", run_id)
    version = place.client.get_model_version("Niere ü", "2")
    page = version.tags["pyraseg.comparison"].removeprefix(f"runs:/{run_id}/")
    assert "<html" in artifact(server.uri, run_id, page, tmp_path)
