"""``pyraseg info``: keys that stay; no code of what it reads runs; no place and no person is named."""

from __future__ import annotations

import json
import platform
import re
from pathlib import Path

import pytest
import torch

from pyraseg.pipeline.cli import main
from pyraseg.pipeline.delivery.info import describe
from pyraseg.pipeline.networks.checkpoint import with_facts
from pyraseg.pipeline.utils.files import sha256_of
from tests.pipeline.prediction.runs import BUNDLE, LABELS, SIZE, write_checkpoint

PAGE = Path(__file__).parents[3] / "docs" / "handing-on.md"
POINT = {"threshold": 0.8, "smallest": 0.002, "met": True, "rule": {"false_alarms": 0.1}, "curve": [1.0]}


def documented() -> dict[str, set[str]]:
    """The keys of each kind on the page; what stands in brackets explains them."""
    rows = re.findall(r"^\| `(\w+)` \| (.+) \|$", PAGE.read_text(encoding="utf-8"), re.MULTILINE)
    return {kind: set(re.findall(r"`(\w+)`", re.sub(r"\([^)]*\)", "", text))) for kind, text in rows}


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory) -> Path:
    return write_checkpoint(tmp_path_factory.mktemp("fold_0") / "model.pt")


def test_a_checkpoint_says_what_it_is_and_what_it_was_trained_on(checkpoint, tmp_path):
    found = describe(checkpoint)
    assert found["sha256"] == sha256_of(checkpoint)
    assert (found["label_names"], found["input_size"]) == (list(LABELS), SIZE)
    assert found["parameters"] > 10**6
    facts = {"calibration": {"operating_point": {"fluid": POINT}, "unlike": {"mean": torch.ones(2)}}}
    facts |= {"data": {"training_groups": 30}, "best_metric": float("nan"), "run_id": "abc"}
    torch.save(with_facts(torch.nn.Linear(2, 2).state_dict(), facts), tmp_path / "model.pt")
    found = describe(tmp_path)
    assert found["operating_point"] == {"fluid": {name: POINT[name] for name in list(POINT)[:4]}}
    assert found["calibration"] == ["operating_point", "unlike"]
    assert found["trained_on"]["data"] == {"training_groups": 30}
    assert (found["trained_on"]["run_id"], found["trained_on"]["best_metric"]) == ("abc", None)


def test_folds_are_an_ensemble(checkpoint, tmp_path):
    for fold in ("fold_0", "fold_1"):
        (tmp_path / fold).mkdir()
        (tmp_path / fold / "model.pt").write_bytes(checkpoint.read_bytes())
    found = describe(tmp_path)
    assert found.keys() == documented()["ensemble"] | {"kind"}
    assert [member["sha256"] for member in found["members"]] == [sha256_of(checkpoint)] * 2


def test_a_bundle_is_described_without_running_its_code(tmp_path):
    (tmp_path / "configs").mkdir()
    (tmp_path / "configs/metadata.json").write_bytes((BUNDLE / "configs/metadata.json").read_bytes())
    config = f"label_names: $open('{tmp_path}/ran', 'w')\n"
    (tmp_path / "configs/inference.yaml").write_text(config, encoding="utf-8")
    found = describe(tmp_path)
    assert found["label_names"] == list(LABELS)
    assert found["takes"]["modalities"] == ["US"]
    assert found["checkpoint"] is None
    assert not (tmp_path / "ran").exists()


def test_the_keys_are_those_of_the_page(checkpoint, tmp_path):
    for name in ("manifest", "summary"):
        (tmp_path / name).mkdir()
        (tmp_path / name / f"{name}.json").write_text('{"counts": {"results": 3}}', encoding="utf-8")
    things = [None, BUNDLE, checkpoint, tmp_path / "manifest", tmp_path / "summary"]
    pages, found = documented(), {thing["kind"]: thing for thing in map(describe, things)}
    assert found["results"]["counts"] == {"results": 3}
    assert {kind: thing.keys() - {"kind"} for kind, thing in found.items()} == {
        kind: pages[kind] for kind in found
    }


def test_programs_get_one_json_object_without_a_place_or_a_host(checkpoint, capsys):
    for arguments in ([], [str(checkpoint)]):
        assert main(["info", *arguments, "--json"]) == 0
        text = capsys.readouterr().out
        assert json.loads(text)["kind"] in ("installation", "checkpoint")
        assert not [
            word for word in (str(Path.home()), platform.node(), str(checkpoint.parent)) if word in text
        ]


def test_people_get_lines(checkpoint, capsys):
    assert main(["info", str(checkpoint)]) == 0
    assert "label_names: [background, kidney, hydronephrosis]" in capsys.readouterr().out.splitlines()


@pytest.mark.parametrize(
    ("name", "content", "said"),
    [
        ("nothing", None, "found nothing of that name"),
        ("empty/x.txt", b"", "found a folder with none of them"),
        ("model.pt", b"no weights", "found a file that torch.load refuses"),
        ("cut/manifest.json", b'{"counts": ', "a syntax error in line 1"),
        ("list/summary.json", b"[1]", "found one that is no mapping"),
    ],
)
def test_what_is_none_of_these_is_refused_in_a_sentence(name, content, said, tmp_path, capsys):
    path = tmp_path / name
    if content is not None:
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(content)
    assert main(["info", str(path.parent if path.suffix in (".txt", ".json") else path)]) == 1
    text = capsys.readouterr().err
    assert said in text
    assert "Traceback" not in text
