"""What anybody has put into an experiment is limited, named, and keeps nobody from comparing the rest."""

from __future__ import annotations

import shutil

import pytest

from pyraseg.pipeline.comparison.read.artifacts import read_document
from pyraseg.pipeline.comparison.read.find_runs import find_runs
from pyraseg.pipeline.comparison.read.store import open_store
from pyraseg.transforms.errors import InputError, TrackingError
from pyraseg.transforms.io.limits import CONFIG_BYTES

BOMB = "a: &a [x, x]\n" + "".join(
    f"{chr(98 + i)}: &{chr(98 + i)} [{', '.join(['*' + chr(97 + i)] * 9)}]\n" for i in range(12)
)
POISON = {
    "config.yaml": [
        BOMB,
        "a: " + "[" * 5000,
        "? {a: 1, 2: 3}\n: [{1: 2, a: 3}]",
        "\0",
        "x" * (CONFIG_BYTES + 1),
    ],
    "split.json": ["[" * 100_000, '{"training": 7}', '{"training": "ab"}', '{"validation": [["a"]]}', "{"],
    "cases.csv": ["", "model,auc\ncnn,0.9\n", "\0\0\0", "case\n" + "x" * 200_000 + "\n"],
}


def test_poisoned_runs_are_left_out_with_their_reasons(fresh, tables, tmp_path):
    fresh.evaluation("one", tables["good_0"], of=None)
    fresh.evaluation("two", tables["poor_0"], of=None)
    names = []
    for name, texts in POISON.items():
        for index, text in enumerate(texts):
            path = tmp_path / str(index) / name
            path.parent.mkdir(exist_ok=True)
            path.write_text(text)
            names.append(f"{name} {index}")
            params = {"split": "test"}
            run_id = fresh.add(names[-1], files={"cases.csv": "no table"}, params=params)
            for file in (tables["poor_1"] / "cases.csv", path):
                fresh.client.log_artifact(run_id, str(file))
    with open_store(fresh.uri) as store:
        runs, left_out = find_runs(store, fresh.experiment, folder=tmp_path / "fetched")
        assert [run.name for run in runs] == ["one", "two"]
        assert [name for name, _ in left_out] == names
        assert all("found" in reason for _, reason in left_out)
        with pytest.raises(TrackingError, match="found"):
            find_runs(store, fresh.experiment, folder=tmp_path / "again", names=["one", names[0]])


@pytest.mark.parametrize("value", ["nan", "inf", "1e999"])
def test_a_score_that_is_no_number_leaves_its_run_out(fresh, tables, tmp_path, value):
    folder = tmp_path / "bad"
    shutil.copytree(tables["poor_0"], folder)
    head, first, *rest = (folder / "cases.csv").read_text().splitlines()
    cells = first.split(",")
    cells[head.split(",").index("dice")] = value
    (folder / "cases.csv").write_text("\n".join([head, ",".join(cells), *rest]) + "\n")
    fresh.evaluation("one", tables["good_0"], of=None)
    fresh.evaluation("bad", folder, of=None)
    with open_store(fresh.uri) as store, pytest.raises(TrackingError, match="a damaged one of 'bad'"):
        find_runs(store, fresh.experiment, folder=tmp_path / "fetched")


def test_a_document_of_gigabytes_is_not_read(tmp_path):
    path = tmp_path / "config.yaml"
    with open(path, "wb") as file:
        file.truncate(2 << 30)
    with pytest.raises(InputError, match="a damaged one of 'r'"):
        read_document(path, run="r")
