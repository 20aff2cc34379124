"""Documents of absurd depth or size are refused in words, by every reader in the same way."""

from __future__ import annotations

import json

import pytest

from pyraseg.pipeline.datalist import load_datalist
from pyraseg.pipeline.datalist.sources.table import TableSource
from pyraseg.pipeline.experiments.grid import read_grid
from pyraseg.pipeline.utils.documents import DocumentError, parse_json, parse_yaml, read_rows, read_text
from pyraseg.transforms.errors import ConfigError, DatalistError

BOMB = "a0: &a0 [x, x]\n" + "".join(f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 9)}]\n" for n in range(1, 12))


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("[" * 100_000, "nested too deep"),
        ('{"a":' * 100_000, "nested too deep"),
        ("1" * 10_000, "too many digits"),
        ('{"a": 1,}', "a syntax error in line 1"),
    ],
)
def test_json_is_refused_in_words(tmp_path, text, why):
    with pytest.raises(DocumentError, match=why):
        parse_json(text)
    (tmp_path / "list.json").write_text(text)
    with pytest.raises(DatalistError, match=why):
        load_datalist(tmp_path / "list.json")


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("[" * 3000, "nested too deep"),
        (BOMB, "aliases that stand for more than"),
        ("&a [*a]", "aliases that stand for more than"),
        ("a: !!python/object/apply:os.system [x]", "a syntax error in line 1"),
        ("a: 2020-99-99", "a value that is none"),
        ("? {a: 1}\n: b", "a syntax error in line 1"),
        ("#" * 2**21, "more than 1 MB"),
    ],
)
def test_yaml_is_refused_in_words(tmp_path, text, why):
    with pytest.raises(DocumentError, match=why):
        parse_yaml(text)
    (tmp_path / "grid.yaml").write_text(text)
    with pytest.raises(ConfigError, match="more than 1 MB" if len(text) > 2**20 else why):
        read_grid(tmp_path / "grid.yaml", bundle="bundles/us_hydronephrosis")


def test_aliases_stand_for_their_values():
    assert parse_yaml("a: &x [1, 2]\nb: *x") == {"a": [1, 2], "b": [1, 2]}


def test_a_grid_of_more_arms_than_anyone_trains_is_refused(tmp_path):
    axes = {f"axis{n}": {f"s{each}": {"depth": each} for each in range(10)} for n in range(20)}
    (tmp_path / "grid.yaml").write_text(json.dumps(axes))
    with pytest.raises(ConfigError, match="at most 1000 arms"):
        read_grid(tmp_path / "grid.yaml", bundle="bundles/us_hydronephrosis")


def test_a_file_larger_than_any_list_is_not_read_to_its_end(tmp_path):
    with (tmp_path / "list.csv").open("wb") as file:
        file.truncate(2**40)  # takes no room on the disk
    for read in (read_text, read_rows):
        with pytest.raises(DocumentError, match="more than 134 MB"):
            read(tmp_path / "list.csv")
    with pytest.raises(DatalistError, match="more than 134 MB"):
        TableSource(tmp_path / "list.csv").collect()


@pytest.mark.parametrize("item", [{"label": "a.png"}, {"label": "a.png", "case": "a"}, {}])
def test_an_item_without_an_image_is_named(tmp_path, item):
    content = {"training": [item], "label_names": ["background", "kidney"]}
    (tmp_path / "list.json").write_text(json.dumps(content))
    with pytest.raises(DatalistError, match="item 0 of training without a path under image"):
        load_datalist(tmp_path / "list.json", split="training")
