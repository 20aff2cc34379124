"""How items are given to engines that come and go; in place of Ray a few lists."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from pyraseg.pipeline.prediction.cluster.actor import Answer, Opened, Order
from pyraseg.pipeline.prediction.cluster.ray_engine import RayEngine
from pyraseg.pipeline.prediction.items.task import Done
from pyraseg.pipeline.prediction.output.folder import OutputFolder
from pyraseg.pipeline.prediction.output.folder_lock import Shard
from pyraseg.pipeline.writers.tables.item_records import Failure, Item
from pyraseg.transforms.errors import OutputError, RunError, UsageError
from pyraseg.transforms.records import SourceRef

OPENED = Opened("torch fp32", "as it was asked for", "cpu")
FINE = (Done(1, (), {}), None)


class Lost(Exception):
    pass


@dataclass
class Actor:
    """``opens`` and ``answers`` say what its calls come to."""

    opens: Any
    answers: Callable[[list[Item]], Any]

    def __post_init__(self) -> None:
        self.open = SimpleNamespace(remote=lambda: Ref(self.opens))
        self.predict = SimpleNamespace(remote=lambda items: Ref(self.answers(items)))

    __hash__ = object.__hash__


class Ref:
    def __init__(self, value: Any) -> None:
        self.value = value


@dataclass
class Cluster:
    """What of ``ray`` is used."""

    answers: Callable[[list[Item]], Any]
    opens: Callable[[int], Any] = lambda number: OPENED
    actors: list[Actor] = field(default_factory=list)
    killed: list[Actor] = field(default_factory=list)
    exceptions: Any = field(default_factory=lambda: SimpleNamespace(RayError=Lost))

    def remote(self, **options: Any) -> Any:
        assert (options["max_restarts"], options["max_task_retries"]) == (0, 0)
        return lambda kind: SimpleNamespace(remote=lambda order: self._start())

    def _start(self) -> Actor:
        self.actors.append(Actor(self.opens(len(self.actors)), self.answers))
        return self.actors[-1]

    def wait(self, refs: list[Any], *, num_returns: int = 1, timeout: float) -> Any:
        return refs[:num_returns], refs[num_returns:]

    def get(self, ref: Any) -> Any:
        if isinstance(ref.value, Lost):
            raise ref.value
        return ref.value

    def kill(self, actor: Actor) -> None:
        self.killed.append(actor)


def item(number: int) -> Item:
    source = SourceRef(f"{number}.dcm", f"2.25.{number}", "", "", "US", "", 1, 1, 1)
    return Item(f"c{number}", source, f"{number}.dcm", 1, 1)


def done(items: list[Item]) -> Answer:
    return Answer([FINE] * len(items), 1.0)


@pytest.fixture
def folder(tmp_path) -> OutputFolder:
    folder = OutputFolder(tmp_path, shard=Shard(), fingerprint="mark")
    folder.prepare()
    return folder


def engine(ray: Cluster, folder: OutputFolder, *, number: int = 2, size: int = 3, backend="torch"):
    order: Any = Order(None, "mark", None, 10, backend, 1, 1.0)  # type: ignore[arg-type]
    return RayEngine(ray, order, number=number, gpus=False, size=size, folder=folder)


def settled(opened: RayEngine, number: int) -> dict[str, Failure | None]:
    ends = [(each.item.case, each.failure) for each in opened.run(map(item, range(number)))]
    assert len(ends) == len(dict(ends)), "an item was settled twice"
    return dict(ends)


def test_each_item_is_settled_once_and_all_engines_end(folder):
    ray = Cluster(done)
    with engine(ray, folder) as opened:
        opened.begin()
        assert settled(opened, 10) == {f"c{n}": None for n in range(10)}
        assert (opened.name, opened.device, len(ray.actors)) == ("torch fp32", "cpu", 2)
    assert set(ray.killed) == set(ray.actors)


def test_the_items_of_lost_engines_go_to_others(folder):
    losses = iter([True, False, True])
    ray = Cluster(lambda items: Lost() if next(losses, False) else done(items))
    with engine(ray, folder) as opened:
        opened.begin()
        assert settled(opened, 10) == {f"c{n}": None for n in range(10)}
    assert len(ray.actors) == 4


def test_an_item_that_takes_its_engine_with_it_fails_and_its_neighbours_do_not(folder):
    ray = Cluster(lambda items: Lost() if item(4) in items else done(items))
    with engine(ray, folder) as opened:
        opened.begin()
        ends = settled(opened, 7)
    assert [case for case, failure in ends.items() if failure] == ["c4"]
    assert "engines were lost" in ends["c4"].reason
    assert [failure.case for failure in folder.failures()] == ["c4"]


def test_a_failed_item_is_recorded_by_the_driver(folder):
    failure = Failure("1.dcm", "broken", "Copy it.", "c1")
    ray = Cluster(lambda items: Answer([(None, failure) if i.case == "c1" else FINE for i in items], 0))
    with engine(ray, folder) as opened:
        opened.begin()
        assert settled(opened, 3)["c1"] == failure
    assert folder.failures() == [failure]


def test_without_a_backend_the_first_engine_chooses_it_for_all(folder):
    ray = Cluster(done)
    with engine(ray, folder, backend=None) as opened:
        opened.begin()
        assert opened._order.backend == "torch"
        assert len(ray.actors) == 2


def test_a_node_that_lacks_something_ends_the_beginning_and_later_only_its_own_share(folder):
    refusal = OutputError("the folder", found="none", remedy="Mount it.")
    with engine(Cluster(done, lambda number: refusal), folder) as opened, pytest.raises(OutputError):
        opened.begin()
    ray = Cluster(done, lambda number: refusal if number else OPENED)
    with engine(ray, folder, backend=None) as opened:
        opened.begin()
        assert len(settled(opened, 10)) == 10
    other = Opened("torch bf16", "", "cuda")
    ray = Cluster(lambda items: Lost(), lambda number: other if number else OPENED)
    with engine(ray, folder, number=1) as opened:
        opened.begin()
        with pytest.raises(UsageError, match="nodes that compute alike, found torch fp32 and torch bf16"):
            settled(opened, 10)


def test_without_any_engine_the_run_ends(folder):
    ray = Cluster(lambda items: Lost(), lambda number: Lost() if number else OPENED)
    with engine(ray, folder, number=1) as opened:
        opened.begin()
        with pytest.raises(RunError, match="a node with room for an engine"):
            settled(opened, 10)


def test_the_watch_ends_the_round(folder):
    def stop() -> None:
        raise KeyboardInterrupt

    with engine(Cluster(done), folder) as opened:
        opened.begin()
        with pytest.raises(KeyboardInterrupt):
            list(opened.run([item(1)], watch=[stop]))


def test_a_folder_that_is_removed_ends_the_round(folder, tmp_path):
    with engine(Cluster(done), folder) as opened:
        opened.begin()
        (tmp_path / "items").rename(Path(tmp_path, "elsewhere"))
        with pytest.raises(OutputError, match="removed or replaced"):
            list(opened.run([item(1)]))
