"""Paths never become parameters, and never stand in a config that leaves."""

from pathlib import Path

from pyraseg.pipeline.tracking import safe_parameters
from pyraseg.pipeline.tracking.parameters import safe_config

PLACES = {
    "note": "DOE_JANE/us",
    "mount": "D:\\DOE",
    "dataset_dir": "DOE_JANE",
    "datalist": "DOE.json",
    "files": ["a", "b/c"],
    "made": Path("a"),
}
PLAIN = {
    "split": "test",
    "lr_decay": "poly",
    "fold": None,
    "label_names": ["background", "fluid"],
    "amp": True,
}


def test_paths_never_become_parameters():
    safe = safe_parameters(
        {"dataset_dir": "/data/DOE^JANE", "size": [1, 2], "data": {"file": Path("a"), "up": "../x"}}
    )
    assert safe == {"dataset_dir": "<path>", "size": "[1, 2]", "data.file": "<path>", "data.up": "<path>"}


def test_a_relative_path_is_one_too_with_a_separator_or_by_its_parameter_s_name():
    assert set(safe_parameters(PLACES).values()) == {"<path>"}
    assert safe_parameters(PLAIN) == {name: str(value) for name, value in PLAIN.items()}


def test_a_config_keeps_its_shape_and_its_plain_values():
    assert safe_config({"train": {"handlers": [PLAIN, 1.5]}}) == {"train": {"handlers": [PLAIN, 1.5]}}


def test_a_config_loses_its_paths_at_every_depth():
    text = str(
        safe_config({"train": {"handlers": [PLACES, {"x": ["/data/DOE"]}]}, "datalist": {"path": "DOE.json"}})
    )
    assert "DOE" not in text


def test_a_config_keeps_references_by_whatever_name():
    assert safe_config({"folder": "@output_dir", "file": "@train::file"}) == {
        "folder": "@output_dir",
        "file": "@train::file",
    }
