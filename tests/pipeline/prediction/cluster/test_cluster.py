"""Three nodes of a real Ray on this machine: driver, node and engine are killed, and results are the same."""

from __future__ import annotations

import contextlib
import os
import signal
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest

from pyraseg.pipeline import cli
from pyraseg.pipeline.utils.signals import handling
from tests.pipeline.prediction.batch import Batch, ended, published, result_of, wait_for, write_image

ITEMS = 30


@pytest.fixture(scope="module")
def batch(tmp_path_factory, checkpoint) -> Batch:
    """Tiny frames, a cine, a file cut short and one that is none."""
    images = tmp_path_factory.mktemp("cluster") / "images"
    for number in range(ITEMS):
        path = write_image(images / f"{number:02d}.dcm", number, frames=4 if number == 9 else 1)
    path.write_bytes(path.read_bytes()[:-100])
    (images / "notes.txt").write_text("left out")
    return Batch((images,), checkpoint)


@pytest.fixture(scope="module")
def cluster() -> Iterator[Any]:
    """Three nodes: a head that computes nothing, and two of one core. Ray puts its own handler on SIGTERM."""
    with pytest.MonkeyPatch.context() as patch, handling(signal.getsignal(signal.SIGTERM), [signal.SIGTERM]):
        patch.setenv("RAY_USAGE_STATS_ENABLED", "0")
        patch.setenv("RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER", "0")  # loopback
        patch.setenv("RAY_worker_niceness", "0")  # 15 would starve beside other tests
        utils = pytest.importorskip("ray.cluster_utils")
        cluster = started(lambda: utils.Cluster(initialize_head=True, head_node_args={"num_cpus": 0}))
        try:
            for _ in range(2):
                started(lambda: cluster.add_node(num_cpus=1))
            yield cluster
        finally:
            cluster.shutdown()


def started(start: Callable[[], Any]) -> Any:
    """Ray allows 30 seconds for the start of a node, which a starved machine does not always keep."""
    for _ in range(3):
        with contextlib.suppress(Exception):
            return start()
    pytest.skip("no node of Ray starts within the 30 seconds that it allows")


def engines() -> list[psutil.Process]:
    """The processes of engines on this machine's nodes."""
    found = [each for each in psutil.process_iter(["cmdline"]) if each.info["cmdline"]]
    return [each for each in found if each.info["cmdline"][0].startswith("ray::NodeEngine")]


def lose_an_engine_and_a_node(cluster: Any, output: Path) -> None:
    """One each, while items are in work."""
    begun = len(published(output))
    for more, lose in ((1, _kill_engine), (4, _kill_node)):
        while len(published(output)) < begun + more:
            time.sleep(0.01)
        lose(cluster)


def _kill_engine(cluster: Any) -> None:
    engines()[0].kill()


def _kill_node(cluster: Any) -> None:
    cluster.remove_node(next(iter(cluster.worker_nodes)), allow_graceful=False)


@pytest.mark.skipif(not hasattr(os, "sched_getaffinity"), reason="tested on Linux")
def test_with_driver_engine_and_node_killed_the_results_are_those_of_one_machine(
    batch, cluster, tmp_path, capsys
):
    assert cli.main(batch.arguments(tmp_path / "one")) == 1
    output = tmp_path / "out"
    arguments = ("--engine", "ray", "--ray-address", cluster.address, "--workers", "1")
    with batch.started(output, *arguments) as driver:
        wait_for(output, 1, driver, seconds=900)
        capsys.readouterr()
        assert cli.main(batch.arguments(output, *arguments, "--resume")) == 2
        assert "another run is working in" in capsys.readouterr().err
        driver.kill()
        assert ended(driver)[0] == -signal.SIGKILL
    before, nodes = published(output), len(cluster.worker_nodes)
    loser = threading.Thread(target=lose_an_engine_and_a_node, args=(cluster, output), daemon=True)
    loser.start()
    assert cli.main(batch.arguments(output, *arguments, "--resume")) == 1
    loser.join(timeout=0)
    assert not loser.is_alive()
    assert len(cluster.worker_nodes) == nodes - 1
    assert result_of(output) == result_of(tmp_path / "one")
    now = published(output)
    assert {case: now[case] for case in before} == before
    assert not any((output / ".pyraseg" / "drafts").iterdir())
    assert list((output / ".pyraseg").glob("nodes-*")) == []
