"""From two finished runs in a store to the page, and each refusal on the way; through the command line."""

from __future__ import annotations

import csv
import json
import re
import shutil
from dataclasses import replace
from html.parser import HTMLParser

import numpy as np
import pytest

from pyraseg.pipeline.cli import main
from pyraseg.pipeline.comparison.present.pictures import Frames
from pyraseg.pipeline.comparison.read.find_runs import find_runs
from pyraseg.pipeline.comparison.read.store import Store, open_store
from pyraseg.pipeline.comparison.run import read_factors
from pyraseg.transforms.errors import InputError
from pyraseg.transforms.records import Segment
from tests.pipeline.comparison.runs import NAMES, StoreOfRuns, evaluate

FILES = {"comparison.csv", "comparison.md", "comparison.html"}


def compare(store: StoreOfRuns, output, *options: str) -> int:
    where = ["--tracking_uri", store.uri, "--experiment", store.experiment, "--output", str(output)]
    return main(["compare", *where, "--resamples", "100", *options])


def rows(output) -> list[dict[str, str]]:
    with open(output / "comparison.csv", newline="") as file:
        return list(csv.DictReader(file))


class Page(HTMLParser):
    """What a page would load or run, and its text."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.sources: list[str] = []
        self.tags: list[str] = []
        self.text = ""
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        self.tags.append(tag)
        self.sources += [value for name, value in attrs if name in ("src", "href") and value]
        assert not any(name.startswith("on") or name == "style" for name, _ in attrs)

    def handle_data(self, data):
        self.text += data


@pytest.fixture(scope="module")
def compared(arms, tmp_path_factory):
    output = tmp_path_factory.mktemp("compared")
    assert compare(arms, output, "--metric", "dice", "hd95") == 0
    return output


def test_two_arms_of_two_seeds_become_three_files_that_name_the_better_one(compared):
    assert {path.name for path in compared.iterdir()} == FILES
    found = [row for row in rows(compared) if row["kind"] == "difference"]
    assert {(row["class"], row["metric"], row["arm"], row["against"]) for row in found} == {
        (label, metric, "none", "cbam")
        for label in ("kidney", "hydronephrosis")
        for metric in ("dice", "hd95_mm")
    }
    dice = next(row for row in found if (row["class"], row["metric"]) == ("kidney", "dice"))
    assert float(dice["high"]) < 0
    assert (dice["groups"], dice["losses"], dice["cases"]) == ("10", "10", "25")
    assert float(dice["p"]) == pytest.approx(2 / 2**10, rel=1e-4)
    assert "“cbam” is better than “none”" in (compared / "comparison.md").read_text()


def test_the_table_has_every_part(compared):
    found = rows(compared)
    kinds = {row["kind"] for row in found}
    assert kinds == {
        *("arm", "run", "difference", "subgroup", "calibration", "bias", "lower_limit", "upper_limit")
    }
    arm = next(row for row in found if (row["kind"], row["arm"], row["metric"]) == ("arm", "cbam", "dice"))
    seeds = [
        float(row["mean"])
        for row in found
        if (row["kind"], row["arm"], row["metric"]) == ("run", "cbam", "dice")
    ][:2]
    assert float(arm["mean"]) == pytest.approx(np.mean(seeds), abs=1e-4)
    assert float(arm["low"]) < float(arm["mean"]) < float(arm["high"])


def test_the_page_loads_nothing_runs_nothing_and_shows_pictures(compared):
    page = Page((compared / "comparison.html").read_text())
    assert "script" not in page.tags
    assert page.sources
    assert all(source.startswith("data:image/jpeg;base64,") for source in page.sources)
    assert page.tags.count("svg") >= 6
    assert "attention" in page.text
    assert "max_epochs" not in page.text  # the same in all arms


def test_the_same_runs_give_the_same_bytes(arms, compared, tmp_path):
    assert compare(arms, tmp_path, "--metric", "dice", "hd95") == 0
    for name in FILES:
        assert (tmp_path / name).read_bytes() == (compared / name).read_bytes()


def test_runs_can_be_named_by_training_by_evaluation_or_by_id(arms, tmp_path, capsys):
    client = arms.client
    experiment = client.get_experiment_by_name(arms.experiment).experiment_id
    (run,) = client.search_runs([experiment], "attributes.run_name = 'test of none 1'")
    assert compare(arms, tmp_path, "--runs", "cbam seed 0", "test of none 0", run.info.run_id) == 0
    said = capsys.readouterr().out
    assert "cbam: 1 run\n" in said
    assert "none: 2 runs\n" in said
    assert "An arm with a single run" in said


def test_arms_can_be_named(arms, tmp_path, capsys):
    named = ["first=cbam seed 0,none seed 0", "second=cbam seed 1,none seed 1"]
    assert compare(arms, tmp_path, "--arms", *named, "--baseline", "second") == 0
    assert "no difference of “first” and “second” is shown" in capsys.readouterr().out


def test_an_own_table_gives_subgroups(arms, tmp_path):
    table = tmp_path / "scanners.csv"
    table.write_text("group,scanner\n" + "".join(f"case_{g:02},{'AB'[g % 2]}\n" for g in range(10)))
    assert compare(arms, tmp_path / "out", "--subgroups", str(table)) == 0
    found = [row for row in rows(tmp_path / "out") if row["factor"] == "scanner"]
    assert {row["level"]: row["groups"] for row in found if row["class"] == "kidney"} == {"A": "5", "B": "5"}


@pytest.mark.parametrize("content", ["", "site\nx\n", "case\nx\n"])
def test_a_table_of_subgroups_without_its_columns_is_refused(content, tmp_path, capsys):
    from pyraseg.transforms.errors import InputError

    (tmp_path / "table.csv").write_text(content)
    with pytest.raises(InputError, match="a column case or group"):
        read_factors(tmp_path / "table.csv")
    with pytest.raises(InputError, match="cannot be read"):
        read_factors(tmp_path / "gone.csv")


def test_a_comparison_can_be_logged_and_is_not_compared_the_next_time(fresh, tables, tmp_path, capsys):
    for name in ("good_0", "poor_0"):
        fresh.training(name, kind=name)
        fresh.evaluation(f"test {name}", tables[name], of=name)
    assert compare(fresh, tmp_path, "--log") == 0
    found = re.search(r"logged as the run (\w+)", capsys.readouterr().out)
    assert found is not None
    assert {entry.path for entry in fresh.client.list_artifacts(found[1])} == FILES
    assert compare(fresh, tmp_path, "--overwrite") == 0
    assert "2 arms" in (tmp_path / "comparison.md").read_text()


def test_an_older_evaluation_of_a_checkpoint_and_unfinished_ones_are_left_out_and_named(
    fresh, tables, tmp_path, capsys
):
    for name in ("good_0", "poor_0"):
        fresh.training(name, kind=name)
    fresh.evaluation("first look", tables["good_1"], of="good_0")
    fresh.evaluation("second look", tables["good_0"], of="good_0")
    fresh.evaluation("the other", tables["poor_0"], of="poor_0")
    fresh.evaluation("crashed", tables["poor_1"], of="poor_0", status="FAILED")
    assert compare(fresh, tmp_path) == 0
    said = capsys.readouterr().out
    assert "left out: first look: a later run measured the same checkpoint" in said
    assert "left out: crashed: it is FAILED" in said
    assert compare(fresh, tmp_path, "--overwrite", "--runs", "the other", "crashed") == 1
    assert "it is FAILED" in capsys.readouterr().err


def test_runs_with_other_cases_are_refused_by_name(fresh, tables, tmp_path, capsys):
    fresh.evaluation("whole", tables["good_0"], of=None)
    fresh.evaluation("short", evaluate(tmp_path / "short", error=0.5, groups=(9, 4), surfaces=False), of=None)
    assert compare(fresh, tmp_path / "out") == 1
    said = capsys.readouterr().err
    assert "DatalistError" in said
    assert "'short': 0 of its cases are not there, 12 of the other's not in it" in said
    assert not (tmp_path / "out").exists()


def test_an_internal_and_an_external_evaluation_of_one_checkpoint_are_two(fresh, tables, tmp_path, capsys):
    outside = evaluate(tmp_path / "outside", error=0.5, groups=(9, 4), surfaces=False)
    for name in ("good_0", "poor_0"):
        fresh.training(name, kind=name)
        fresh.evaluation(f"inside {name}", tables[name], of=name)
        fresh.evaluation(f"outside {name}", outside, of=name)
    assert compare(fresh, tmp_path / "out") == 1
    said = capsys.readouterr().err
    assert "found 'outside good_0' of 'good_0 (seed 0)': 0 of its cases are not there" in said
    for where in ("inside", "outside"):
        names = [f"{where} {name}" for name in ("good_0", "poor_0")]
        assert compare(fresh, tmp_path / where, "--runs", *names) == 0


def test_trainings_alone_are_no_comparison_on_the_test_split_and_one_on_the_validation_split(
    fresh, tables, tmp_path, capsys
):
    for name in ("good_0", "poor_0"):
        run_id = fresh.training(name, kind=name)
        fresh.client.log_artifacts(run_id, str(tables[name]), "validation")
    assert compare(fresh, tmp_path / "out") == 1
    assert "two finished runs with a table of test cases, found 0 of 2 runs" in capsys.readouterr().err
    assert compare(fresh, tmp_path / "out", "--runs", "good_0", "poor_0") == 1
    assert "'good_0', found no evaluation of it on this split" in capsys.readouterr().err
    assert compare(fresh, tmp_path / "out", "--split", "validation") == 0
    assert "“good_0” is better than “poor_0”" in capsys.readouterr().out


def test_a_cross_validation_counts_as_the_run_that_pools_its_folds(fresh, tables, tmp_path, capsys):
    for name in ("good_0", "poor_0"):
        pooled = fresh.add(f"{name} pooled", folder=tables[name], params={"folds": 5})
        fold = fresh.evaluation(f"{name} fold 0", tables[name], of=None, split="validation")
        fresh.client.set_tag(fold, "mlflow.parentRunId", pooled)
    assert compare(fresh, tmp_path, "--split", "validation") == 0
    said = capsys.readouterr().out
    assert "left out: good_0 fold 0: it is a part of a run that pools it" in said
    assert "“good_0 pooled” is better than “poor_0 pooled”" in said


@pytest.mark.parametrize(
    ("options", "status", "said"),
    [
        (["--metric", "dise"], 2, "Did you mean dice"),
        (["--runs", "cbam sead 0", "none seed 0"], 2, "Did you mean 'cbam seed 0'"),
        (["--runs", "cbam seed 0", "cbam seed 1"], 2, "at least two arms"),
        (["--runs", "cbam seed 0"], 1, "found 1 of 8 runs"),
        (["--baseline", "cbma"], 2, "Did you mean 'cbam'"),
        (["--experiment", "armz"], 2, "Did you mean 'arms'"),
        (["--tracking_uri", "sqlite:////nowhere/mlruns.db"], 1, "the sqlite file of a MLflow store"),
        (["--tracking_uri", "http://127.0.0.1:9"], 1, "a MLflow server that answers"),
        (["--tracking_uri", "folder"], 1, "a plain folder, which MLflow no longer takes"),
        (["--resamples", "0"], 2, "at least one draw"),
    ],
)
def test_what_cannot_be_compared_is_said_in_a_sentence(options, status, said, arms, tmp_path, capsys):
    assert compare(arms, tmp_path / "out", *options) == status
    assert said in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


def test_a_file_that_is_no_store_is_said(tmp_path, capsys):
    (tmp_path / "mlruns.db").write_bytes(b"no database at all, but long enough to be read as one" * 50)
    store = StoreOfRuns(f"sqlite:///{tmp_path / 'mlruns.db'}", tmp_path)
    assert compare(store, tmp_path / "out") == 1
    assert "a MLflow store that can be read" in capsys.readouterr().err


def test_a_comparison_is_not_replaced_unasked(arms, compared, capsys):
    assert compare(arms, compared) == 1
    assert "--overwrite" in capsys.readouterr().err


def test_names_of_anybody_s_become_no_markup_and_no_formula(store, tables, tmp_path):
    strange = replace(store, experiment="<b>|=1+1")
    for name, table in (("<script>alert(1)</script>", "good_0"), ("=HYPERLINK(1)|x", "poor_0")):
        strange.training(name, kind=name)
        strange.evaluation(f"of {name}", tables[table], of=name)
    assert compare(strange, tmp_path) == 0
    page = Page((tmp_path / "comparison.html").read_text())
    assert "script" not in page.tags
    assert "<script>alert(1)</script>" in page.text
    assert not any(cell.startswith("=") for row in rows(tmp_path) for cell in row.values())
    lines = [
        line
        for line in (tmp_path / "comparison.md").read_text().splitlines()
        if "HYPERLINK" in line and "|" in line
    ]
    assert all("\\|x" in line for line in lines)


def test_tables_that_lack_scores_or_masks_still_compare(fresh, tmp_path, capsys):
    """Without surfaces, probabilities and masks: what is not there is not on the page."""
    for name, error in (("one", 0.3), ("other", 1.5)):
        folder = evaluate(tmp_path / name, error=error, surfaces=False)
        for file in ("confidence.csv", "quantities.csv", "predictions.npz"):
            (folder / file).unlink()
        fresh.training(name, kind=name)
        fresh.evaluation(f"test {name}", folder, of=name)
    assert compare(fresh, tmp_path / "out") == 0
    page = Page((tmp_path / "out" / "comparison.html").read_text())
    assert "Calibration" not in page.text
    assert page.sources == []
    assert compare(fresh, tmp_path / "out", "--overwrite", "--metric", "hd95") == 2
    assert "a metric that every run has" in capsys.readouterr().err


def test_operating_points_stand_side_by_side(fresh, tables, tmp_path):
    for arm, threshold in (("good_0", 0.8), ("poor_0", 0.5)):
        folder = tmp_path / arm
        shutil.copytree(tables[arm], folder)
        summary = json.loads((folder / "summary.json").read_text())
        rates = {"missed": {"mean": 0.125, "low": 0.1, "high": 0.2}}  # no case is without: no false alarms
        point = {"unit": "frame", "threshold": threshold, "smallest": 0.002, "rates": rates}
        (folder / "summary.json").write_text(json.dumps(summary | {"operating_point": {"kidney": point}}))
        fresh.evaluation(arm, folder, of=None)
    assert compare(fresh, tmp_path / "out") == 0
    text = (tmp_path / "out" / "comparison.md").read_text()
    for arm, point in (("good\\_0", "peak above 0.8"), ("poor\\_0", "above 0.5")):
        row = f"| {arm} | {arm} | {point}, from 0.002 (frame) | 0.125 (0.100 to 0.200) | – (–) | – (–) |"
        assert f"| kidney {row}" in text
    assert (
        "kidney: missed in 0 % of the cases that show it; the overlap with the reference (Dice, 0 to 1)"
        in text
    )


@pytest.mark.parametrize(
    ("name", "damage"),
    [
        ("summary.json", lambda data: data[: len(data) // 2]),
        ("cases.csv", lambda data: data[: len(data) * 2 // 3]),
        ("cases.csv", lambda data: data.replace(b"hydronephrosis,0.", b"hydronephrosis,O.", 1)),
        ("quantities.csv", lambda data: data[:-9]),
        ("confidence.csv", lambda data: data.replace(b",13,", b",15,")),
        ("predictions.npz", lambda data: data[: len(data) // 2]),
        ("predictions.npz", lambda data: data.replace(b"\x78", b"\x79").replace(b"\xed", b"\x00")),
    ],
)
def test_a_file_that_is_damaged_is_said_with_its_run(fresh, tables, tmp_path, capsys, name, damage):
    folder = tmp_path / "damaged"
    shutil.copytree(tables["poor_0"], folder)
    content = (folder / name).read_bytes()
    (folder / name).write_bytes(damage(content))
    assert (folder / name).read_bytes() != content
    fresh.evaluation("whole", tables["good_0"], of=None)
    fresh.evaluation("broken", folder, of=None)
    assert compare(fresh, tmp_path / "out") == 1
    assert "a damaged one of 'broken'" in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


def test_a_table_that_says_two_things_of_one_patient_is_refused(tmp_path):
    (tmp_path / "scanners.csv").write_text("group,scanner,age\na,X,9\na,Y,9\n")
    with pytest.raises(InputError, match="one scanner for each group"):
        read_factors(tmp_path / "scanners.csv")
    (tmp_path / "scanners.csv").write_text("group,scanner\na,X\na,X\nb,Y\n")
    assert read_factors(tmp_path / "scanners.csv") == {"scanner": {"a": "X", "b": "Y"}}


def test_masks_without_their_frames_are_not_called_overlays(arms, tmp_path, monkeypatch, capsys):
    """A data set whose names are hashed with another key has none of the cases."""
    segments = [Segment(value, name, (0, 0, 0)) for value, name in enumerate(NAMES)]
    monkeypatch.setattr(
        "pyraseg.pipeline.comparison.run.read_frames", lambda *_, **__: Frames(segments, lambda case: None)
    )
    assert compare(arms, tmp_path, "--dataset_dir", str(tmp_path)) == 0
    assert "note: --dataset_dir has none of the pictured cases" in capsys.readouterr().out
    page = Page((tmp_path / "comparison.html").read_text())
    assert page.sources
    assert "dashed: reference" not in page.text


@pytest.mark.parametrize(
    ("logged", "names"),
    [
        (
            "['background', 'renal pelvis, left', \"crohn's\"]",
            ("background", "renal pelvis, left", "crohn's"),
        ),
        ("['background', 'kidn", ()),  # MLflow keeps the beginning of a long list
        ("<path>", ()),
        ("", ()),
    ],
)
def test_the_names_of_classes_are_read_as_they_were_logged_or_not_at_all(
    fresh, tables, tmp_path, logged, names
):
    fresh.add("one", folder=tables["good_0"], params={"split": "test", "label_names": logged or " "})
    fresh.add("other", folder=tables["poor_0"], params={"split": "test"})
    with open_store(fresh.uri) as store:
        runs, _ = find_runs(store, fresh.experiment, folder=tmp_path)
    assert [run.label_names for run in runs] == [names, ()]


def test_of_trainings_that_nobody_measured_no_file_is_asked_for(fresh, tables, tmp_path, monkeypatch):
    """An experiment may hold thousands of them, and a question to a server each takes minutes."""
    for name in ("good_0", "poor_0"):
        fresh.training(name, kind=name)
        fresh.evaluation(f"test {name}", tables[name], of=name)
    lone = fresh.training("lone")
    asked, files = set(), Store.files
    monkeypatch.setattr(
        Store, "files", lambda store, run_id, *more: asked.add(run_id) or files(store, run_id, *more)
    )
    assert compare(fresh, tmp_path) == 0
    assert len(asked) == 4
    assert lone not in asked
