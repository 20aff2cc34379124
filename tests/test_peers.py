"""The table of peers says who is ahead and what is missing; nothing of ours runs in a peer's environment."""

from __future__ import annotations

import ast

import pytest

from tests.bench.peers import __main__ as peers
from tests.bench.peers.environments import INSIDE, Missing
from tests.bench.peers.rows import Row, in_turns, table


def test_above_one_is_ours_whatever_is_counted():
    assert Row("peer 1", "seconds", 2.0, 3.0).ratio == 1.5
    assert Row("peer 1", "slices", 2.0, 3.0, "slices/s", more_is_better=True).ratio == pytest.approx(2 / 3)


def test_a_row_says_both_figures_and_how_many_times_better_ours_is():
    rows = [
        Row("peer 1", "a CT", 21.24, 1234.5, "MiB"),
        Row("peer 2", "", why="cannot be installed: no such version"),
    ]
    assert table(rows).splitlines()[2:] == [
        "| peer 1 | a CT | 21.2 MiB | 1,234 MiB | 58.12 |",
        "| peer 2 |  |  | cannot be installed: no such version |  |",
    ]


def test_a_peer_that_is_missing_is_a_row(monkeypatch):
    def gone() -> tuple[list[Row], str]:
        raise Missing("cannot be installed: no network")

    monkeypatch.setitem(peers.MEASUREMENTS, "gone", gone)
    (row,), note = peers.measured("gone")
    assert (row.peer, row.why, note) == ("gone", "cannot be installed: no network", "")


def test_ways_take_turns_and_their_medians_count():
    seen, values = [], iter([3.0, 1.0, 2.0])
    ways = {"a": lambda: seen.append("a") or next(values), "b": lambda: seen.append("b") or 5.0}
    assert in_turns(ways, 3) == {"a": 2.0, "b": 5.0}
    assert seen == ["a", "b"] * 3


@pytest.mark.parametrize("path", sorted(INSIDE.glob("*.py")), ids=lambda path: path.stem)
def test_what_runs_in_an_environment_of_a_peer_imports_nothing_of_ours(path):
    names = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            names |= {alias.name.split(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            names.add((node.module or "").split(".")[0])
    assert names
    assert names & {"pyraseg", "tests", "pipeline", "transforms"} == set()
