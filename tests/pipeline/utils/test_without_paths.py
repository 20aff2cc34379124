"""Paths never become parameters, and never stand in a config that leaves; what takes their place is told
apart."""

import hashlib
from pathlib import Path

import pytest

from pyraseg.pipeline.utils.without_paths import safe_config, safe_parameters

PLACES = {
    "note": "DOE_JANE/us",
    "mount": "D:\\DOE",
    "dataset_dir": "DOE_JANE",
    "datalist": "DOE.json",
    "files": ["DOE/a", "DOE/c"],
    "made": Path("DOE"),
    "tracking_uri": "http://doe:secret@host",
}
PLAIN = {
    "split": "test",
    "lr_decay": "poly",
    "fold": None,
    "datalist": None,
    "label_names": ["background", "fluid/clear"],
    "unit": "g/ml{SUVbw}",
    "amp": True,
    "fill": "$[128 / 255, @a // 2]",
}


def test_paths_never_become_parameters():
    safe = safe_parameters(PLACES | {"size": [1, 2], "data": {"file": Path("DOE_2"), "up": "../DOE"}})
    assert "DOE" not in str(safe)
    assert "secret" not in str(safe)
    assert len(set(safe.values())) == len(safe)  # what is hidden is told apart
    assert safe == safe_parameters(PLACES | {"size": [1, 2], "data": {"file": Path("DOE_2"), "up": "../DOE"}})


def test_what_is_no_path_stays_as_it_is():
    assert safe_parameters(PLAIN) == {name: str(value) for name, value in PLAIN.items()}
    assert safe_config({"train": {"handlers": [PLAIN, 1.5]}}) == {"train": {"handlers": [PLAIN, 1.5]}}


@pytest.mark.parametrize("key", ["pretrained", "checkpoint", "anything"])
def test_a_file_is_told_by_its_content_wherever_it_lies(tmp_path, key):
    contents = {"a.pt": b"one", "b.pt": b"other", "copy.pt": b"one"}
    for name, content in contents.items():
        (tmp_path / name).write_bytes(content)
    safe = {name: safe_parameters({key: str(tmp_path / name)})[key] for name in contents}
    assert safe["a.pt"] == safe["copy.pt"] == f"<file {hashlib.sha256(b'one').hexdigest()}>"
    assert safe["b.pt"] != safe["a.pt"]
    (tmp_path / "a.pt").write_bytes(b"changed")
    assert safe_parameters({key: str(tmp_path / "a.pt")})[key] != safe["a.pt"]


def test_a_config_loses_its_paths_at_every_depth():
    text = str(
        safe_config({"train": {"handlers": [PLACES, {"x": ["/data/DOE"]}]}, "datalist": {"path": "DOE.json"}})
    )
    assert "DOE" not in text


def test_an_expression_keeps_all_but_the_paths_in_its_quotes():
    safe = safe_config({"a": "$@root + '/DOE/x' + str(@b / 2)", "b": "$@root + '/DOE/y' + str(@b / 2)"})
    assert "DOE" not in str(safe)
    assert safe["a"].startswith("$@root + '<path ")
    assert safe["a"].endswith("' + str(@b / 2)")
    assert safe["a"] != safe["b"]


def test_a_config_keeps_references_by_whatever_name():
    assert safe_config({"folder": "@output_dir", "file": "@train::file"}) == {
        "folder": "@output_dir",
        "file": "@train::file",
    }
