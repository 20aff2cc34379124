"""Configs that all bundles share, beneath what a bundle, an overlay and the command line say."""

from __future__ import annotations

from pathlib import Path

import pytest
from monai.bundle import ConfigParser

from pyraseg.pipeline.bundle.shared_config import SHARED, extend_parser, extended, shared_files
from pyraseg.transforms.errors import ConfigError


@pytest.fixture(autouse=True)
def shared(tmp_path, monkeypatch) -> Path:
    """Two shared configs: a base, and an overlay on it."""
    folder = tmp_path / "shared"
    folder.mkdir()
    (folder / "base.yaml").write_text(
        "imports: ['$import math']\nsize: [1, 2]\ndepth: 18\n"
        "train: {handlers: [a], loader: {batch: 2, workers: 1}, part: {_target_: builtins.dict, x: 1}}\n"
    )
    (folder / "more.yaml").write_text("depth: 34\ntrain::loader::batch: 8\n+train::handlers: [b]\n")
    monkeypatch.setattr("pyraseg.pipeline.bundle.shared_config.SHARED", folder)
    return folder


BASE = {"extends": ["base.yaml"]}


def test_what_a_bundle_does_not_say_is_the_shared_config_s():
    assert extended({**BASE, "name": "ct"})["depth"] == 18
    assert extended({**BASE, "depth": 50})["depth"] == 50


def test_mappings_are_merged_and_lists_are_replaced():
    made = extended({**BASE, "size": [9], "train": {"loader": {"batch": 4}}})
    assert made["train"]["loader"] == {"batch": 4, "workers": 1}
    assert made["size"] == [9]


def test_a_component_takes_the_place_of_the_shared_one():
    own = {"_target_": "builtins.list"}
    assert extended({**BASE, "train": {"part": own}})["train"]["part"] == own


def test_handlers_and_imports_are_added():
    made = extended({**BASE, "imports": ["$import json"], "train": {"handlers": ["c"]}})
    assert made["imports"] == ["$import math", "$import json"]
    assert made["train"]["handlers"] == ["a", "c"]


def test_overlays_among_the_shared_configs_are_monai_s_own():
    made = extended({"extends": ["base.yaml", "more.yaml"], "train": {"handlers": ["c"]}})
    assert made["depth"] == 34
    assert made["train"]["loader"] == {"batch": 8, "workers": 1}
    assert made["train"]["handlers"] == ["a", "b", "c"]


def test_a_config_that_extends_nothing_stays_as_it_is():
    config = {"depth": 1, "train": {"handlers": []}}
    assert extended(config) == config


def test_a_shared_config_that_there_is_not_is_refused_with_those_there_are():
    with pytest.raises(ConfigError, match=r"found bas\.yaml\. There are base\.yaml, more\.yaml"):
        shared_files({"extends": ["bas.yaml"]})


def test_a_parser_evaluates_what_it_was_given(tmp_path):
    (tmp_path / "train.yaml").write_text("extends: [base.yaml]\ntwice: $2 * @depth\n")
    parser = ConfigParser()
    parser.read_config(str(tmp_path / "train.yaml"))
    parser.update({"depth": 7})
    extend_parser(parser)
    assert parser.get_parsed_content("twice") == 14
    assert parser.get_parsed_content("train::part") == {"x": 1}


def test_every_shipped_config_is_extended_by_every_bundle():
    shipped = {path.name for path in SHARED.glob("*.yaml")}
    for bundle in (Path(__file__).parents[3] / "bundles").glob("*/configs"):
        named = "".join(path.read_text() for path in bundle.glob("*.yaml"))
        assert [name for name in shipped if f"extends: [{name}]" not in named] == []
